"""Listing, naming and revoking devices, and another recovery phrase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.devices import (
    device_name,
    devices,
    find_device,
    machine_name,
    one_device,
    phrase_was_shown,
    rename_device,
    replace_phrase,
    revoke,
)
from core.errors import InvalidEdit, NoSuchDevice, NotAMember, WrongPhrase
from core.telling import tell_relays
from crypto.epochs import open_epochs
from crypto.fingerprint import fingerprint
from crypto.phrase import new_phrase, phrase_secrets
from tests.core.devices.conftest import sync, sync_error

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.conftest import Bench
    from tests.core.devices.conftest import Pairing


def test_a_library_begins_with_one_device(library: Library) -> None:
    (only,) = devices(library)
    assert only.this
    assert not only.revoked
    assert only.name == "desk"
    assert only.device_id == library.device_id
    assert only.added_at == library.members.genesis.created_at
    assert only.added_by is None
    assert only.last_seen is not None
    assert only.fingerprint == fingerprint(library.device_id, library.members.secrets.exchange_public)


def test_the_newest_envelope_says_when_a_device_was_seen(bench: Bench, pairing: Pairing) -> None:
    with pairing.add("laptop") as laptop:
        sync(pairing.library)
        before = find_device(pairing.library, "laptop").last_seen
        assert before is not None
        bench.add_photos(laptop, 1)
        sync(laptop, pairing.library)
        after = find_device(pairing.library, "laptop").last_seen
        assert after is not None
        assert after >= before


def test_renaming(library: Library) -> None:
    assert rename_device(library, library.device_id, "  The desk, upstairs ") == "The desk, upstairs"
    assert devices(library)[0].name == "The desk, upstairs"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 121, "abc\u202edef", "\x1b[2J", "\ud800"])
def test_names_that_cannot_be_shown_are_refused(library: Library, name: str) -> None:
    with pytest.raises(InvalidEdit):
        rename_device(library, library.device_id, name)
    assert devices(library)[0].name == "desk"


@pytest.mark.parametrize("node", ["", "böse\x1b[2Jkiste", "x" * 300, "ü" * 100, "two words"])
def test_a_machine_always_has_a_name(monkeypatch: pytest.MonkeyPatch, node: str) -> None:
    monkeypatch.setattr("platform.node", lambda: node)
    assert device_name(machine_name())


def test_devices_are_found_by_name_or_beginning_of_id(pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop"):
        found = devices(desk)
        for one in found:
            assert find_device(desk, one.name.upper()) == one
            assert find_device(desk, one.device_id.hex()) == one
            assert find_device(desk, one.device_id.hex()[:10]) == one
        for nothing in ("", "printer", "zz"):
            with pytest.raises(NoSuchDevice):
                find_device(desk, nothing)
        rename_device(desk, found[1].device_id, "desk")
        with pytest.raises(NoSuchDevice, match="2 devices") as several:
            find_device(desk, "desk")
        assert found[0].device_id.hex()[:8] in (several.value.hint or "")
        # A device that is gone is not in the way of one that has its name.
        revoke(desk, found[1].device_id)
        assert find_device(desk, "desk").this
        with pytest.raises(NoSuchDevice):
            one_device([], "desk")


def test_a_revoked_device_gets_nothing_new_and_keeps_what_it_has(bench: Bench, pairing: Pairing) -> None:
    desk = pairing.library
    old = bench.add_photos(desk, 2)
    sync(desk)
    with pairing.add("laptop") as laptop:
        sync(desk)
        epoch = desk.members.current.epoch_id
        revoke(desk, laptop.device_id)
        assert desk.members.current.epoch_id != epoch
        record = find_device(desk, "laptop")
        assert record.revoked
        assert not record.this
        new = bench.add_photos(desk, 1, month="2025-01")
        sync(desk)
        error = sync_error(laptop)
        assert isinstance(error, NotAMember)
        assert error.hint
        assert set(laptop.catalog.pids("")) == set(old)
        desk.members.refresh()
        keys = open_epochs(desk.members.membership, laptop.members.secrets).keys
        assert desk.members.current.epoch_id not in keys
        assert new


def test_what_a_revoked_device_had_written_stays(bench: Bench, pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        photos = bench.add_photos(laptop, 2)
        sync(laptop, desk)
        revoke(desk, laptop.device_id)
        sync(desk)
        assert set(desk.catalog.pids("")) == set(photos)
    with pairing.add("phone") as phone:
        assert set(phone.catalog.pids("")) == set(photos)


def test_nobody_is_revoked_twice_and_no_stranger_ever(pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        revoke(desk, laptop.device_id)
        for gone in (laptop.device_id, bytes(32), desk.members.membership.phrases[0]):
            with pytest.raises(NoSuchDevice):
                revoke(desk, gone)


def test_a_device_may_revoke_itself_and_the_others_change_the_key(bench: Bench, pairing: Pairing) -> None:
    desk = pairing.library
    with pairing.add("laptop") as laptop:
        photos = bench.add_photos(laptop, 1)
        sync(laptop, desk)
        revoke(laptop, laptop.device_id)
        sync(desk)
        with pytest.raises(NotAMember):
            revoke(laptop, desk.device_id)
        assert tell_relays(laptop) == []
        sync(desk)
        assert find_device(desk, "laptop").revoked
        epoch = desk.members.current.epoch_id
        bench.add_photos(desk, 1, seed="after")
        assert desk.members.current.epoch_id != epoch
        assert set(photos) < set(desk.catalog.pids(""))


def test_a_phrase_is_replaced_by_itself_alone(bench: Bench, library: Library) -> None:
    old = phrase_secrets(bench.phrase)
    words = replace_phrase(library, bench.phrase)
    assert words != bench.phrase
    new = phrase_secrets(words)
    assert library.members.membership.phrases == (new.device_id,)
    current = library.members.current.epoch_id
    assert current in open_epochs(library.members.membership, new).keys
    assert current not in open_epochs(library.members.membership, old).keys
    phrase_was_shown(library)
    with pytest.raises(WrongPhrase, match="replaced"):
        replace_phrase(library, bench.phrase)
    again = replace_phrase(library, words)
    assert library.members.membership.phrases == (phrase_secrets(again).device_id,)


def test_words_that_nobody_has_seen_are_not_lost(bench: Bench, library: Library) -> None:
    words = replace_phrase(library, bench.phrase)
    assert words.encode() not in (bench.root / "log.db").read_bytes()
    assert words.encode() not in (bench.root / "log.db-wal").read_bytes()
    with bench.open() as again:
        assert replace_phrase(again, bench.phrase) == words
        with pytest.raises(WrongPhrase):
            replace_phrase(again, new_phrase())
        phrase_was_shown(again)
        with pytest.raises(WrongPhrase, match="replaced"):
            replace_phrase(again, bench.phrase)


@pytest.mark.parametrize("words", ["", "abandon " * 24, "not a phrase at all", "zoo"])
def test_words_that_are_no_phrase(library: Library, words: str) -> None:
    with pytest.raises(WrongPhrase):
        replace_phrase(library, words)


def test_another_librarys_phrase_is_not_this_ones(library: Library) -> None:
    with pytest.raises(WrongPhrase, match="not the one of this library"):
        replace_phrase(library, new_phrase())
