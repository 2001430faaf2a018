"""A second device comes into the library by way of a real relay; and everything that may go wrong on the way."""

from __future__ import annotations

import itertools
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from core import edits
from core.arrival import is_arriving
from core.devices import devices, find_device, revoke
from core.errors import (
    CoreError,
    Forged,
    LibraryExists,
    NoSuchRelay,
    NotALibrary,
    NotAMember,
    PairingRefused,
    RelayUnreachable,
    Withheld,
)
from core.joining import join, read_code
from core.library import Library
from core.sync.relays import Relays
from core.sync.report import RelayReport, SyncReport
from core.telling import tell_relays
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis
from crypto.pairing_code import WORDS, PairingCode
from crypto.phrase import new_phrase, phrase_secrets
from sync_relay import wire
from sync_relay.client import RelayClient
from tests.core.conftest import PASSPHRASE, Bench
from tests.core.devices.conftest import LOST_OR_ANSWERED, Pairing, cut_once, prune, sync, sync_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.pairing import Introduction
    from tests.sync_relay.conftest import Clock

OF_THE_NEW_DEVICE = [
    ("GET /v1/mailboxes/", 1),
    ("GET /v1/mailboxes/", 3),
    ("POST /v1/mailboxes/", 2),  # after the claim: answer, introduction, acceptance
    ("POST /v1/mailboxes/", 3),
    ("POST /v1/mailboxes/", 4),
    ("/challenge.", 1),
    ("/sign-in.", 1),
    ("/log.", 1),
]
OF_THE_OLD_DEVICE = [
    ("/challenge.", 1),
    ("/sign-in.", 1),
    ("/log.", 1),
    ("POST /v1/mailboxes.", 1),
    ("GET /v1/mailboxes/", 2),
    ("POST /v1/mailboxes/", 1),  # hello, offer, grant
    ("POST /v1/mailboxes/", 2),
    ("POST /v1/mailboxes/", 3),
    ("/log.", 2),
    ("/membership.", 1),
    ("DELETE ", 1),
]


def members(library: Library) -> set[bytes]:
    return {one.device_id for one in devices(library) if not one.revoked}


def other_words(code: PairingCode) -> PairingCode:
    first = next(word for word in WORDS if word != code.words[0])
    return PairingCode(code.mailbox, (first, *code.words[1:]))


def no_trace(root: Path) -> bool:
    return not root.exists() or not any(root.iterdir())


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


def unreachable(_engine: Any, **_: Any) -> SyncReport:
    return SyncReport([RelayReport("http://127.0.0.1", RelayUnreachable("cut off"))])


@pytest.mark.parametrize("place", ["Library.create_from", "Relays.remember", "begin_arriving", "publish"])
def test_a_join_that_is_killed_leaves_no_library_and_the_folder_can_be_used(pairing: Pairing, place: str) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    invitation = pairing.invite()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"core.joining.{place}", killed)
        with pytest.raises(Killed):
            pairing.join(invitation.code)
    invitation.result()
    root = pairing.folder / "laptop"
    with pytest.raises(NotALibrary):
        Library.unlock(root, PASSPHRASE)
    pairing.add("laptop").close()
    # The keys of the first attempt are gone with it.
    assert len(members(pairing.library)) == 3


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


def test_a_wrong_word_ends_the_code_on_both_sides(pairing: Pairing) -> None:
    invitation = pairing.invite()
    with pytest.raises(PairingRefused, match="wrong"):
        pairing.join(other_words(invitation.code))
    assert isinstance(invitation.error(), PairingRefused)
    with pytest.raises(PairingRefused, match="no such code"):
        pairing.join(invitation.code)
    assert len(members(pairing.library)) == 1
    assert no_trace(pairing.folder / "laptop")


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


@LOST_OR_ANSWERED
def test_a_line_that_breaks_at_the_claim_ends_the_code(pairing: Pairing, answered: bool) -> None:
    invitation = pairing.invite()
    # Nobody can claim a mailbox twice, and nothing was said yet.
    with pytest.raises(RelayUnreachable):
        pairing.join(invitation.code, connect=cut_once("/claim.", 1, answered=answered))
    assert no_trace(pairing.folder / "laptop")
    invitation.stop.set()
    assert isinstance(invitation.error(), PairingRefused)
    assert len(members(pairing.library)) == 1
    pairing.add("laptop").close()
    assert len(members(pairing.library)) == 2


@LOST_OR_ANSWERED
def test_the_line_of_the_new_device_breaks(pairing: Pairing, answered: bool) -> None:
    for number, (what, count) in enumerate(OF_THE_NEW_DEVICE):
        invitation = pairing.invite()
        connect = cut_once(what, count, answered=answered)
        pairing.join(invitation.code, f"laptop {number}", connect=connect).close()
        invitation.result()
        assert len(members(pairing.library)) == 2 + number, (what, count)


@LOST_OR_ANSWERED
def test_the_line_of_the_old_device_breaks(pairing: Pairing, answered: bool) -> None:
    count_of_members = 1
    for what, count in OF_THE_OLD_DEVICE:
        connect = cut_once(what, count, answered=answered)
        if what in {"/challenge.", "/sign-in.", "POST /v1/mailboxes."}:
            # There is no code yet: nothing is lost by saying so.
            with pytest.raises(RelayUnreachable):
                pairing.invite(connect=connect)
        else:
            invitation = pairing.invite(connect=connect)
            pairing.join(invitation.code, f"laptop {count_of_members}").close()
            invitation.result()
            count_of_members += 1
        assert len(members(pairing.library)) == count_of_members, (what, count)


class Swapping(RelayClient):
    """A relay that changes one of the letters it passes on."""

    letter = 0
    change: Callable[[bytes], bytes]
    seen = 0

    def collect_letters(self, side: wire.MailboxSide, after: int = 0) -> wire.Letters:
        found = super().collect_letters(side, after)
        changed = [
            type(self).change(letter) if after + number == self.letter else letter
            for number, letter in enumerate(found.letters)
        ]
        return wire.Letters(letters=changed, claimed=found.claimed)


def flipped_last(letter: bytes) -> bytes:
    return letter[:-1] + bytes([letter[-1] ^ 1])


def flipped_middle(letter: bytes) -> bytes:
    middle = len(letter) // 2
    return letter[:middle] + bytes([letter[middle] ^ 0x40]) + letter[middle + 1 :]


CHANGES = {
    "changed": flipped_middle,
    "short": lambda letter: letter[:-1],
    "other": lambda _letter: b"SFLTPA\0\1\3" + bytes(300),
}


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_letter_that_is_changed_on_its_way_ends_it(pairing: Pairing, side: str) -> None:
    for number, change in itertools.product([0, 1, 2], CHANGES):
        lying = type("Lying", (Swapping,), {"letter": number, "change": staticmethod(CHANGES[change])})
        invitation = pairing.invite(connect=lying if side == "old" else RelayClient)
        with pytest.raises((PairingRefused, Forged)):
            pairing.join(invitation.code, connect=RelayClient if side == "old" else lying)
        error = invitation.error()
        assert isinstance(error, PairingRefused | Forged), (number, change)
        if side == "old" and number:
            assert isinstance(error, Forged), (number, change)
        assert len(members(pairing.library)) == 1, (number, change)
        assert no_trace(pairing.folder / "laptop"), (number, change)


class LyingLog(RelayClient):
    """A relay that gives out other membership entries than it was given."""

    entries: Callable[[list[bytes]], list[bytes]]

    def log(self, after: int, limit: int = wire.MAX_ITEMS, kinds: Any = ()) -> wire.LogPage:
        page = super().log(after, limit, kinds)
        bodies = [item.body for item in page.items if item.body is not None]
        items = [
            wire.Item(position=number, kind=wire.KIND_MEMBERSHIP, body=body)
            for number, body in enumerate(type(self).entries(bodies), start=1)
        ]
        return wire.LogPage(items=items, position=page.position)


def invented(_entries: list[bytes]) -> list[bytes]:
    return [create_genesis(DeviceSecrets.generate(), phrase_secrets(new_phrase()))]


LIES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], type[CoreError]]] = {
    "nothing": (lambda _: [], Withheld),
    "an invented genesis": (invented, Withheld),
    "genesis alone": (lambda entries: entries[:1], Withheld),
    "no genesis": (lambda entries: entries[1:], Withheld),
    "a changed genesis": (lambda entries: [flipped_last(entries[0]), *entries[1:]], Withheld),
    "a changed entry": (lambda entries: [entries[0], flipped_last(entries[1]), *entries[2:]], Forged),
    "an entry of another library": (lambda entries: [*entries, invented([])[0][:-200]], Forged),
}


def test_a_relay_that_gives_out_other_entries_is_found_out(pairing: Pairing) -> None:
    pairing.add("first").close()
    sync(pairing.library)
    for lie, (entries, alarm) in LIES.items():
        lying = type("Lying", (LyingLog,), {"entries": staticmethod(entries)})
        invitation = pairing.invite()
        with pytest.raises(alarm) as raised:
            pairing.join(invitation.code, "second", connect=lying)
        assert raised.value.hint, lie
        assert no_trace(pairing.folder / "second"), lie
        invitation.result()


def test_an_inviter_is_not_told_of_entries_that_do_not_hold(pairing: Pairing) -> None:
    lying = type("Lying", (LyingLog,), {"entries": staticmethod(LIES["a changed entry"][0])})
    with pairing.add("first"):
        invitation = pairing.invite(connect=lying)
        pairing.join(invitation.code, "second").close()
        invitation.result()
    assert len(members(pairing.library)) == 3


def test_two_devices_revoke_each_other_and_the_phrase_remains(pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)
        revoke(desk, laptop.device_id)
        revoke(laptop, desk.device_id)
        assert tell_relays(desk) == []
        (refused,) = tell_relays(laptop)
        assert isinstance(refused, NotAMember)
        assert members(desk) == {desk.device_id}
        assert isinstance(sync_error(laptop), NotAMember)
        assert laptop.catalog.pids("") == []


def test_a_device_that_is_revoked_while_it_invites_adds_nobody(pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)

        def confirm(_: Introduction) -> bool:
            revoke(desk, laptop.device_id)
            assert tell_relays(desk) == []
            return True

        invitation = pairing.invite(laptop, confirm=confirm)
        with pytest.raises(PairingRefused, match="did not tell the relay"):
            pairing.join(invitation.code, "phone")
        assert isinstance(invitation.error(), NotAMember)
        sync(desk)
        assert members(desk) == {desk.device_id}
        assert no_trace(pairing.folder / "phone")


def test_an_add_that_is_void_is_known_to_the_newcomer(pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)
        revoke(desk, laptop.device_id)

        class Late(RelayClient):
            """The revocation reaches the relay between the newcomer's signing in and its asking for entries."""

            def log(self, after: int, limit: int = wire.MAX_ITEMS, kinds: Any = ()) -> wire.LogPage:
                assert tell_relays(desk) == []
                with RelayClient(self.url) as member:
                    member.sign_in(desk.members.secrets, desk.library_id, 0)
                    return member.log(after, limit, kinds)

        invitation = pairing.invite(laptop)
        with pytest.raises(NotAMember, match="revoked at the same time"):
            pairing.join(invitation.code, "phone", connect=Late)
        invitation.error()
        assert find_device(desk, "laptop").revoked
        assert members(desk) == {desk.device_id}


def test_a_copied_folder_invites_and_revokes_as_a_device_of_its_own(
    bench: Bench, pairing: Pairing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)
        shutil.copytree(bench.root, tmp_path / "copy")
        revoke(desk, laptop.device_id)
        monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
        with Library.open(tmp_path / "copy", bench.secrets) as copy:
            pairing.add("phone", copy).close()
            assert copy.device_id != desk.device_id
            sync(desk, copy)
            for library in (desk, copy):
                assert library.members.membership.alarms == ()
            assert members(desk) == members(copy)
            assert [one.name for one in devices(desk) if not one.revoked] == ["desk", "desk (copy)", "phone"]


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
