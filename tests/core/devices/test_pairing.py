"""A second device comes into the library by way of a real relay, and what people do wrong on the way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from core import edits
from core.arrival import is_arriving
from core.devices import devices
from core.errors import CoreError, LibraryExists, NoSuchRelay, NotALibrary, PairingRefused, RelayUnreachable
from core.joining import join, read_code
from core.library import Library
from core.sync.relays import Relays
from core.sync.report import RelayReport, SyncReport
from crypto.pairing_code import WORDS, PairingCode
from sync_relay.client import RelayClient
from tests.core.conftest import PASSPHRASE, Bench
from tests.core.devices.conftest import Pairing, members, no_trace, prune, sync

if TYPE_CHECKING:
    from pathlib import Path

    from core.pairing import Introduction
    from tests.sync_relay.conftest import Clock


def other_words(code: PairingCode) -> PairingCode:
    first = next(word for word in WORDS if word != code.words[0])
    return PairingCode(code.mailbox, (first, *code.words[1:]))


def test_a_second_device_joins_and_both_see_the_same(bench: Bench, pairing: Pairing) -> None:
    desk = pairing.library
    photos = bench.add_photos(desk, 3)
    sync(desk)
    with pairing.add("laptop") as laptop:
        assert {photo.hex() for photo in photos} == {pid.hex() for pid in laptop.catalog.pids("")}
        sync(laptop, desk)
        both = [
            [(one.device_id, one.name, one.fingerprint, one.revoked) for one in devices(library)]
            for library in (desk, laptop)
        ]
        assert both[0] == both[1]
        assert [name for _, name, _, _ in both[0]] == ["desk", "laptop"]
        assert [one.this for one in devices(laptop)] == [False, True]
        edits.set_rating(laptop, photos[:1], 5)
        sync(laptop, desk)
        assert desk.catalog.pids("rating:5") == photos[:1]


def test_what_people_compare_is_the_same_on_both_screens(pairing: Pairing) -> None:
    asked: list[Introduction] = []
    met: list[Any] = []

    def confirm(newcomer: Introduction) -> bool:
        asked.append(newcomer)
        return True

    invitation = pairing.invite(confirm=confirm)
    pairing.join(invitation.code, on_meeting=met.append).close()
    invitation.result()
    assert met[0].own_fingerprint == asked[0].fingerprint
    assert met[0].inviter_fingerprint == next(one.fingerprint for one in devices(pairing.library) if one.this)
    assert met[0].library_id == pairing.library.library_id


def test_a_device_joins_by_way_of_a_relay_that_has_pruned(bench: Bench, pairing: Pairing) -> None:
    photos = bench.add_photos(pairing.library, 3, blobs=True)
    sync(pairing.library)
    prune(pairing.library, pairing.relay)
    with pairing.add("laptop") as laptop:
        assert set(laptop.catalog.pids("")) == set(photos)
        assert laptop.log.base()
        assert not is_arriving(laptop)
        assert [one.name for one in devices(laptop)] == ["desk", "laptop"]


def test_a_join_whose_first_sync_fails_says_so_until_one_is_done(bench: Bench, pairing: Pairing) -> None:
    photos = bench.add_photos(pairing.library, 2)
    sync(pairing.library)
    invitation = pairing.invite()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.joining.SyncEngine.run", unreachable)
        with pytest.raises(RelayUnreachable) as cut_off:
            pairing.join(invitation.code)
    assert "safelight sync" in (cut_off.value.hint or "")
    invitation.result()
    root = pairing.folder / "laptop"
    with Library.open(root, Library.unlock(root, PASSPHRASE)) as laptop:
        assert is_arriving(laptop)
        sync(laptop)
        assert not is_arriving(laptop)
        assert set(laptop.catalog.pids("")) == set(photos)


def test_a_device_that_nobody_named_names_itself_when_everything_has_arrived(pairing: Pairing) -> None:
    """Both were killed: the newcomer before its first sync, the one that let it in before it wrote down its name."""
    invitation = pairing.invite()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.joining.SyncEngine.run", unreachable)
        patch.setattr("core.pairing.name_new_device", lambda *_: None)
        with pytest.raises(RelayUnreachable):
            pairing.join(invitation.code, "notebook")
        invitation.result()
    (found,) = (one for one in devices(pairing.library) if not one.this)
    assert (found.name, found.is_silent) == ("", True)
    root = pairing.folder / "notebook"
    with Library.open(root, Library.unlock(root, PASSPHRASE)) as laptop:
        for _ in range(2):
            sync(laptop)
            sync(pairing.library)
        assert [one.name for one in devices(laptop)] == ["desk", "notebook"]
        seq, _ = laptop.log.head(laptop.device_id)
        sync(laptop)
        assert laptop.log.head(laptop.device_id)[0] == seq == 1
    (found,) = (one for one in devices(pairing.library) if not one.this)
    assert (found.name, found.is_silent) == ("notebook", False)


def unreachable(_engine: Any, **_: Any) -> SyncReport:
    return SyncReport([RelayReport("http://127.0.0.1", RelayUnreachable("cut off"))])


def test_a_join_that_is_killed_leaves_no_library_and_the_folder_can_be_used(pairing: Pairing) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    for number, place in enumerate(("Library.create_from", "Relays.remember", "begin_arriving", "publish")):
        invitation = pairing.invite()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"core.joining.{place}", killed)
            with pytest.raises(Killed):
                pairing.join(invitation.code, f"laptop {number}")
        invitation.result()
        root = pairing.folder / f"laptop {number}"
        with pytest.raises(NotALibrary):
            Library.unlock(root, PASSPHRASE)
        pairing.add(f"laptop {number}").close()
        # The keys of the first attempt are gone with it.
        assert len(members(pairing.library)) == 3 + 2 * number, place


def test_a_join_that_was_killed_at_its_very_end_is_finished(pairing: Pairing) -> None:
    pairing.add("laptop").close()
    root = pairing.folder / "laptop"
    (root / ".unfinished").mkdir()
    (root / "library.toml").rename(root / ".unfinished" / "library.toml")
    with pytest.raises(LibraryExists):
        pairing.join("7-velvet-harbour")
    with Library.open(root, Library.unlock(root, PASSPHRASE)) as laptop:
        sync(laptop)


def test_a_device_that_joined_can_invite_the_next(bench: Bench, pairing: Pairing) -> None:
    bench.add_photos(pairing.library, 2)
    sync(pairing.library)
    with pairing.add("laptop") as laptop, pairing.add("phone", laptop) as phone:
        assert len(phone.catalog.pids("")) == 2
        sync(pairing.library)
        assert members(pairing.library) == members(phone)


def test_without_a_relay_there_is_no_place_to_meet(library: Library, pairing: Pairing) -> None:
    Relays(pairing.library).remove(pairing.relay.url)
    with pytest.raises(NoSuchRelay, match="no relay yet"):
        pairing.invite()
    del library


@pytest.mark.parametrize("text", ["", "7", "velvet-harbour", "7-velvet-harbor", "0-velvet-harbour", "7-velvet-x-y"])
def test_a_slip_that_makes_no_code_costs_nothing(text: str) -> None:
    with pytest.raises(PairingRefused) as refused:
        read_code(text)
    assert refused.value.hint


@pytest.mark.scenario(10, "pairing codes are guessed")
def test_a_wrong_word_ends_the_code_on_both_sides(pairing: Pairing) -> None:
    invitation = pairing.invite()
    with pytest.raises(PairingRefused, match="wrong"):
        pairing.join(other_words(invitation.code))
    assert isinstance(invitation.error(), PairingRefused)
    with pytest.raises(PairingRefused, match="no such code"):
        pairing.join(invitation.code)
    assert len(members(pairing.library)) == 1
    assert no_trace(pairing.folder / "laptop")


@pytest.mark.scenario(10, "a pairing code is used twice")
def test_a_code_that_was_used_is_of_no_use(pairing: Pairing) -> None:
    invitation = pairing.invite()
    pairing.join(invitation.code).close()
    invitation.result()
    with pytest.raises(PairingRefused, match="no such code"):
        pairing.join(invitation.code, "second")
    assert len(members(pairing.library)) == 2


def test_a_code_that_somebody_else_has_claimed_is_said_to_be(pairing: Pairing) -> None:
    invitation = pairing.invite()
    with RelayClient(pairing.relay.url) as guesser:
        guesser.claim_mailbox(invitation.code.mailbox)
        with pytest.raises(PairingRefused, match="somebody tried to guess"):
            pairing.join(invitation.code)
    invitation.stop.set()
    assert isinstance(invitation.error(), PairingRefused)


def test_a_code_expires(pairing: Pairing, clock: Clock) -> None:
    invitation = pairing.invite()
    clock.now += 601
    with pytest.raises(PairingRefused, match="expired"):
        pairing.join(invitation.code)
    assert isinstance(invitation.error(), PairingRefused)


@pytest.mark.parametrize("letter", [b"x", bytes(4096), b"SFLTPA\0\1\2" + bytes(64)])
def test_whoever_leaves_nonsense_has_made_the_one_guess(pairing: Pairing, letter: bytes) -> None:
    invitation = pairing.invite()
    with RelayClient(pairing.relay.url) as guesser:
        guesser.leave_letter(guesser.claim_mailbox(invitation.code.mailbox), letter)
    assert isinstance(invitation.error(), PairingRefused)
    assert len(members(pairing.library)) == 1


def test_a_no_on_the_old_device_adds_nobody(pairing: Pairing) -> None:
    invitation = pairing.invite(confirm=lambda _: False)
    with pytest.raises(PairingRefused, match="said no"):
        pairing.join(invitation.code)
    assert isinstance(invitation.error(), PairingRefused)
    assert len(members(pairing.library)) == 1
    assert no_trace(pairing.folder / "laptop")


def test_a_no_on_the_new_device_adds_nobody(pairing: Pairing) -> None:
    stop = threading.Event()
    invitation = pairing.invite()
    with pytest.raises(PairingRefused, match="stopped"):
        pairing.join(invitation.code, on_meeting=lambda _: stop.set(), stop=stop)
    assert isinstance(invitation.error(), PairingRefused)
    assert len(members(pairing.library)) == 1


def test_inviting_can_be_stopped(pairing: Pairing) -> None:
    invitation = pairing.invite()
    invitation.stop.set()
    assert isinstance(invitation.error(), PairingRefused)
    with pytest.raises(PairingRefused, match="no such code"):
        pairing.join(invitation.code)


def test_a_folder_that_is_used_is_refused_before_the_code_is(pairing: Pairing, bench: Bench) -> None:
    invitation = pairing.invite()
    with pytest.raises(LibraryExists):
        pairing.join(invitation.code, root=bench.root)
    pairing.join(invitation.code).close()
    invitation.result()


def test_joining_is_refused_by_a_url_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CoreError):
        join("ftp://relay", read_code("7-velvet-harbour"), name="x", root=tmp_path / "x", passphrase=PASSPHRASE)


def test_joining_at_a_port_where_nobody_answers(pairing: Pairing, tmp_path: Path) -> None:
    pairing.relay.stop()
    try:
        with pytest.raises(RelayUnreachable):
            pairing.join("7-velvet-harbour", root=tmp_path / "x")
        assert no_trace(tmp_path / "x")
    finally:
        pairing.relay.start()
