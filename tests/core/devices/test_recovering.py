"""A library again from a relay and 24 words; and everything that may go wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from core.devices import DeviceRecord, devices, replace_phrase, revoke
from core.errors import (
    CoreError,
    Forged,
    LibraryExists,
    NoSuchDevice,
    NotALibrary,
    NotAMember,
    RelayUnreachable,
    WrongPhrase,
)
from core.library import Library
from core.recovering import recover
from core.sync.relays import Relays
from core.telling import tell_relays
from core.unfinished import refuse_unless_free
from crypto import kdf
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis, entry_hash
from crypto.phrase import new_phrase, phrase_secrets
from sync_relay import errors as relay_errors
from sync_relay import wire
from sync_relay.client import RelayClient
from sync_relay.server.settings import Settings
from tests.core.conftest import PASSPHRASE, Bench
from tests.core.devices.conftest import LOST_OR_ANSWERED, Pairing, cut_once, members, prune, sync, sync_error
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

STEPS = [
    ("/challenge.", 1),
    ("/log.", 1),
    ("/log.", 2),
    ("/past.", 1),
    ("/log.", 3),
    ("/sign-in.", 1),
    ("/membership.", 1),
]
CHANGES_NOTHING = 5
"""The first steps only ask: whether the relay answered them makes no difference."""


def nobody(_devices: Sequence[DeviceRecord]) -> Collection[bytes]:
    return ()


def everybody(found: Sequence[DeviceRecord]) -> Collection[bytes]:
    return [one.device_id for one in found]


def again(pairing: Pairing, words: str, **more: Any) -> Library:
    how: dict[str, Any] = {
        "name": "new desk",
        "root": pairing.folder / "new",
        "keep": nobody,
        "passphrase": PASSPHRASE,
    } | more
    return recover(pairing.relay.url, words, kdf=kdf.new_parameters(*kdf.FLOOR), **how)


@pytest.fixture
def photos(bench: Bench, pairing: Pairing) -> list[bytes]:
    """Photos of a library that a relay has all of."""
    pids = bench.add_photos(pairing.library, 3, blobs=True)
    sync(pairing.library)
    return pids


def test_a_lost_library_comes_back_and_the_lost_device_is_out(
    bench: Bench, pairing: Pairing, photos: list[bytes]
) -> None:
    shown: list[DeviceRecord] = []

    def keep(found: Sequence[DeviceRecord]) -> Collection[bytes]:
        shown.extend(found)
        return ()

    with again(pairing, bench.phrase, keep=keep) as found:
        assert [(one.name, one.this) for one in shown] == [("desk", False)]
        assert shown[0].last_seen is not None
        assert set(found.catalog.pids("")) == set(photos)
        assert members(found) == {found.device_id}
        assert [one.name for one in devices(found) if one.this] == ["new desk"]
        bench.add_photos(found, 1, seed="after")
        sync(found)
        assert isinstance(sync_error(pairing.library), NotAMember)
        # What the lost device could read, it can read; nothing that is new.
        assert set(pairing.library.catalog.pids("")) == set(photos)
    with Library.open(pairing.folder / "new", Library.unlock(pairing.folder / "new", PASSPHRASE)) as reopened:
        assert len(reopened.catalog.pids("")) == 4


def test_a_device_that_is_kept_goes_on(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    desk = pairing.library
    with again(pairing, bench.phrase, keep=everybody) as found:
        assert members(found) == {desk.device_id, found.device_id}
        bench.add_photos(desk, 1, seed="more")
        sync(desk, found)
        assert len(found.catalog.pids("")) == len(photos) + 1
        assert members(desk) == members(found)


def test_the_phrase_recovers_more_than_once(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    again(pairing, bench.phrase).close()
    with again(pairing, bench.phrase, root=pairing.folder / "second") as second:
        assert set(second.catalog.pids("")) == set(photos)
        assert members(second) == {second.device_id}


def test_after_two_devices_revoked_each_other_the_phrase_remains(
    bench: Bench, pairing: Pairing, photos: list[bytes]
) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        sync(desk)
        revoke(desk, laptop.device_id)
        revoke(laptop, desk.device_id)
        # A second relay, or a hand, may bring both to one place.
        desk.ingest.entries([entry.data for entry in laptop.members.membership.entries.values()])
        assert not desk.members.is_member
        with RelayClient(pairing.relay.url) as client:
            client.sign_in(phrase_secrets(bench.phrase), None, 0)
            client.append_entries([entry.data for entry in desk.members.membership.entries.values()])
        assert isinstance(sync_error(laptop), NotAMember)
        assert isinstance(sync_error(desk), NotAMember)
    with again(pairing, bench.phrase) as found:
        assert set(found.catalog.pids("")) == set(photos)
        assert members(found) == {found.device_id}


def test_a_library_comes_back_from_a_relay_that_has_pruned(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    prune(pairing.library, pairing.relay)
    later = bench.add_photos(pairing.library, 1, seed="later")
    sync(pairing.library)
    with again(pairing, bench.phrase) as found:
        assert set(found.catalog.pids("")) == {*photos, *later}
        assert found.log.base()
        assert members(found) == {found.device_id}
        assert sync_error(found) is None
        assert found.alarms == []


def test_a_relay_that_is_gone_for_good_is_not_in_the_way(
    bench: Bench, pairing: Pairing, photos: list[bytes], tmp_path: Path
) -> None:
    gone = Relay(Settings(data=tmp_path / "gone"), Clock())
    Relays(pairing.library).use(gone.url, gone.invite())
    sync(pairing.library)
    gone.stop()
    with again(pairing, bench.phrase) as found:
        assert set(found.catalog.pids("")) == set(photos)
        assert [one.name for one in devices(found)] == ["desk", "new desk"]
        assert isinstance(sync_error(found), RelayUnreachable)


def test_a_relay_that_was_away_is_told_by_the_machine_itself(
    bench: Bench, pairing: Pairing, photos: list[bytes], tmp_path: Path
) -> None:
    away = Relay(Settings(data=tmp_path / "away"), Clock())
    try:
        Relays(pairing.library).use(away.url, away.invite())
        sync(pairing.library)
        away.stop()
        with again(pairing, bench.phrase) as found:
            away.start()
            # Every device that it knows was revoked, and the phrase is not there to ask any more.
            sync(found)
            later = bench.add_photos(found, 1, seed="later")
            sync(found)
            assert sync_error(pairing.library) is not None
            with RelayClient(away.url) as client:
                client.sign_in(found.members.secrets, found.library_id, 0)
                entries = {item.body for item in client.log(0, kinds=[wire.KIND_MEMBERSHIP]).items}
                assert entries == set(found.log.membership_entries().values())
                with pytest.raises(relay_errors.NotAMember):
                    client.sign_in(pairing.library.members.secrets, found.library_id, 0)
            assert set(found.catalog.pids("")) == {*photos, *later}
    finally:
        away.stop()


def test_other_relays_hear_at_once_of_who_is_revoked(
    bench: Bench, pairing: Pairing, photos: list[bytes], tmp_path: Path
) -> None:
    second = Relay(Settings(data=tmp_path / "second relay"), Clock())
    try:
        Relays(pairing.library).use(second.url, second.invite())
        sync(pairing.library)
        with again(pairing, bench.phrase) as found, RelayClient(second.url) as client:
            with pytest.raises(relay_errors.NotAMember):
                client.sign_in(pairing.library.members.secrets, found.library_id, 0)
            client.sign_in(found.members.secrets, found.library_id, 0)
            assert set(found.catalog.pids("")) == set(photos)
    finally:
        second.stop()


def test_all_relays_of_the_library_learn_of_the_new_machine(
    bench: Bench, pairing: Pairing, photos: list[bytes], tmp_path: Path
) -> None:
    second = Relay(Settings(data=tmp_path / "second relay"), Clock())
    try:
        Relays(pairing.library).use(second.url, second.invite())
        sync(pairing.library)
        with again(pairing, bench.phrase) as found:
            sync(found)
            assert set(found.catalog.pids("")) == set(photos)
        assert isinstance(sync_error(pairing.library), NotAMember)
    finally:
        second.stop()


@pytest.mark.parametrize("words", ["", "zoo " * 24, "abandon"])
def test_words_that_are_no_phrase(pairing: Pairing, words: str) -> None:
    with pytest.raises(WrongPhrase):
        again(pairing, words)
    assert not (pairing.folder / "new").exists()


def test_a_phrase_of_no_library_there(pairing: Pairing, photos: list[bytes]) -> None:
    with pytest.raises(WrongPhrase, match="no library at the relay") as refused:
        again(pairing, new_phrase())
    assert refused.value.hint
    assert photos
    assert not (pairing.folder / "new").exists()


def test_a_phrase_that_was_replaced_recovers_nothing_and_the_new_one_does(
    bench: Bench, pairing: Pairing, photos: list[bytes]
) -> None:
    words = replace_phrase(pairing.library, bench.phrase)
    assert tell_relays(pairing.library) == []
    with pytest.raises(WrongPhrase):
        again(pairing, bench.phrase)
    with again(pairing, words) as found:
        assert set(found.catalog.pids("")) == set(photos)


def test_a_folder_that_is_used_is_refused_first(bench: Bench, pairing: Pairing) -> None:
    with pytest.raises(LibraryExists):
        again(pairing, bench.phrase, root=bench.root)


def test_a_no_leaves_everything_as_it_was(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    class No(Exception):
        pass

    def refuse(_: Sequence[DeviceRecord]) -> Collection[bytes]:
        raise No

    with pytest.raises(No):
        again(pairing, bench.phrase, keep=refuse)
    root = pairing.folder / "new"
    assert not any(root.iterdir())
    sync(pairing.library)
    assert len(devices(pairing.library)) == 1
    again(pairing, bench.phrase).close()
    assert photos


def test_keeping_what_is_no_device_changes_nothing(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    with pytest.raises(CoreError):
        again(pairing, bench.phrase, keep=lambda _: [bytes(32)])
    sync(pairing.library)
    assert len(devices(pairing.library)) == 1
    assert photos


class LyingRelay(RelayClient):
    """A relay that signs anybody in, and gives out other entries than it has."""

    library_id = b""
    entries: Callable[[list[bytes]], list[bytes]]

    def sign_in(
        self, secrets: DeviceSecrets, library_id: bytes | None, now: int, entries: Sequence[bytes] = ()
    ) -> wire.Session:
        if not self.library_id:
            return super().sign_in(secrets, library_id, now, entries)
        return wire.Session(token="x", expires_in=3600, library_id=self.library_id, position=1, generation=bytes(16))

    def log(self, after: int, limit: int = wire.MAX_ITEMS, kinds: Any = ()) -> wire.LogPage:
        found = [] if self.library_id else super().log(after, limit, kinds).items
        bodies = [item.body for item in found if item.body is not None]
        items = [
            wire.Item(position=number, kind=wire.KIND_MEMBERSHIP, body=body)
            for number, body in enumerate(type(self).entries(bodies), start=1)
        ]
        return wire.LogPage(items=items, position=len(items))


@pytest.mark.scenario(10, "a library is invented for a recovery phrase", alarm="forged")
def test_a_relay_cannot_invent_a_library_for_a_phrase(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    phrase = phrase_secrets(bench.phrase)
    others = create_genesis(DeviceSecrets.generate(), phrase_secrets(new_phrase()))
    mine = create_genesis(DeviceSecrets.generate(), phrase)
    countersigned_by_nobody = mine[:-64] + bytes(64)
    for genesis in (others, countersigned_by_nobody):
        lying = type(
            "Lying",
            (LyingRelay,),
            {"library_id": entry_hash(genesis), "entries": staticmethod(lambda _, genesis=genesis: [genesis])},
        )
        with pytest.raises(Forged) as raised:
            again(pairing, bench.phrase, connect=lying)
        assert raised.value.hint
        assert not (pairing.folder / "new").exists()
    assert photos


def test_a_relay_that_gives_out_other_entries(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    changes: list[Callable[[list[bytes]], list[bytes]]] = [
        lambda _: [],
        lambda entries: entries[1:],  # without genesis
        lambda entries: [entries[0], entries[1][:-1] + b"x"],
    ]
    with pairing.add("laptop"):
        for change in changes:
            lying = type("Lying", (LyingRelay,), {"entries": staticmethod(change)})
            with pytest.raises(CoreError) as raised:
                again(pairing, bench.phrase, connect=lying)
            assert raised.value.name in {"withheld", "forged"}
            assert not (pairing.folder / "new").exists()
    assert photos


@LOST_OR_ANSWERED
def test_the_line_breaks_and_repeating_works(
    bench: Bench, pairing: Pairing, photos: list[bytes], answered: bool
) -> None:
    for number, (what, count) in enumerate(STEPS[CHANGES_NOTHING * answered :]):
        root = pairing.folder / f"new {number}"
        try:
            again(pairing, bench.phrase, root=root, connect=cut_once(what, count, answered=answered)).close()
        except RelayUnreachable:
            with pytest.raises(NotALibrary):
                Library.unlock(root, PASSPHRASE)
            again(pairing, bench.phrase, root=root).close()
        with Library.open(root, Library.unlock(root, PASSPHRASE)) as found:
            assert set(found.catalog.pids("")) == set(photos), (what, count)
            assert members(found) == {found.device_id}, (what, count)


class Killed(BaseException):
    """The process ends here."""


def kill_at(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Have the next recovery end where it does `place`, as a process that is killed: nothing tidies up behind it."""

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr("core.recovering.discard", lambda _: None)
    monkeypatch.setattr(place, killed)


def test_a_recovery_that_was_killed_is_repeated(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    for place in (
        "core.recovering._pull",
        "core.recovering.devices",
        "core.recovering._entries",
        "core.recovering.Library.add_entries",
        "sync_relay.client.RelayClient.append_entries",
        "core.recovering.publish",
        "core.recovering.first_sync",
    ):
        root = pairing.folder / place
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, place)
            with pytest.raises(Killed):
                again(pairing, bench.phrase, root=root)
        if place.endswith("first_sync"):
            found = Library.open(root, Library.unlock(root, PASSPHRASE))
            sync(found)
        else:
            with pytest.raises(NotALibrary):
                Library.unlock(root, PASSPHRASE)
            refuse_unless_free(root)
            found = again(pairing, bench.phrase, root=root)
        with found:
            assert set(found.catalog.pids("")) == set(photos), place
            sync(found)
            assert members(found) == {found.device_id}, place
            assert sorted(path.name for path in root.iterdir() if path.name.startswith(".")) == [], place


def test_a_folder_that_was_moved_in_part_is_finished(bench: Bench, pairing: Pairing, photos: list[bytes]) -> None:
    root = pairing.folder / "new"
    again(pairing, bench.phrase).close()
    unfinished = root / ".unfinished"
    unfinished.mkdir()
    for name in ("library.toml", "blobs"):
        (root / name).rename(unfinished / name)
    with again(pairing, bench.phrase, keep=_never) as found:
        assert set(found.catalog.pids("")) == set(photos)
    assert not unfinished.exists()


def _never(_: Sequence[DeviceRecord]) -> Collection[bytes]:
    raise NoSuchDevice("nobody is asked again")


def test_what_another_passphrase_left_unfinished_is_begun_anew(
    bench: Bench, pairing: Pairing, photos: list[bytes], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, "core.recovering.publish")
        with pytest.raises(Killed):
            again(pairing, bench.phrase)
    with again(pairing, bench.phrase, passphrase=b"another passphrase") as found:
        assert set(found.catalog.pids("")) == set(photos)
        # The first attempt had made a machine a member whose keys are gone: it is out again.
        assert members(found) == {found.device_id}
    assert tmp_path.exists()
