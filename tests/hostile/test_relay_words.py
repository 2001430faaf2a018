"""Scenarios 1, 3 and 5: a relay that says it holds what it does not, or keeps back what it holds.

Elsewhere: altered answers (tests/core/sync/test_faults.py), flipped bytes of envelopes (tests/core/test_ingest.py)
and of other formats (tests/crypto), altered blobs (tests/core/sync/test_originals.py), answers that no relay gives
(tests/sync_relay/test_client_answers.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from core import edits
from core.errors import Withheld
from core.sync.alarms import MAX_KEPT, SyncAlarms
from crypto.envelope import read_header
from sync_relay import wire
from tests.core.sync.conftest import converged
from tests.hostile.conftest import about, lie_to, still_sound, sync_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.sync.conftest import Device
    from tests.sync_relay.running_relay import Relay


def claims(device: bytes, seq: int) -> Callable[[wire.Heads], wire.Heads]:
    """Have a relay say that it holds envelope `seq` of a device."""

    def altered(heads: wire.Heads) -> wire.Heads:
        others = [head for head in heads.heads if head.device_id != device]
        return msgspec.structs.replace(heads, heads=[*others, wire.Head(device_id=device, seq=seq, hash=b"h" * 32)])

    return altered


def without(device: bytes, seq: int) -> Callable[[wire.LogPage], wire.LogPage]:
    """Have a relay keep back the envelopes of a device from number `seq` on."""

    def altered(page: wire.LogPage) -> wire.LogPage:
        def is_kept_back(item: wire.Item) -> bool:
            if item.kind != wire.KIND_ENVELOPE or item.body is None:
                return False
            header = read_header(item.body)
            return header.device_id == device and header.seq >= seq

        return msgspec.structs.replace(page, items=[item for item in page.items if not is_kept_back(item)])

    return altered


@pytest.mark.scenario(5, "one device's envelopes", alarm="withheld")
class TestClaims:
    def test_a_relay_that_says_it_has_our_edits_already_is_named(self, pair: tuple[Device, Device]) -> None:
        first, second = pair
        sync_all(first, second)
        (pid,) = first.photos()
        lies = lie_to(first, heads=claims(first.id, 1_000))
        alarms = sync_all(first, rounds=2)
        assert about(alarms, first.id) == ["withheld"], alarms
        lies.clear()
        sync_all(first, second)
        converged(first, second)
        assert second.library.catalog.photo(pid) is not None
        still_sound(first, second)

    def test_a_relay_that_names_others_edits_and_gives_none_out_is_named(self, pair: tuple[Device, Device]) -> None:
        first, second = pair
        sync_all(first, second)
        lies = lie_to(first, heads=claims(second.id, 1_000))
        alarms = sync_all(first, rounds=2)
        assert about(alarms, second.id) == ["withheld"], alarms
        lies.clear()
        edits.set_rating(second.library, second.photos(), 5)
        sync_all(first, second)
        converged(first, second)

    def test_a_relay_that_names_devices_nobody_knows_is_not_believed(self, pair: tuple[Device, Device]) -> None:
        first, second = pair
        sync_all(first, second)
        lies = lie_to(first, heads=claims(b"s" * 32, 7))
        first.photos()
        assert sync_all(first, rounds=2) == []
        lies.clear()
        sync_all(second)
        converged(first, second)


@pytest.mark.scenario(5, "one device's envelopes", alarm="withheld")
class TestKeptBack:
    def test_what_another_device_has_seen_and_the_relay_keeps_back_is_named(
        self, pair: tuple[Device, Device], home: Any
    ) -> None:
        first, second = pair
        third = home.add()
        sync_all(first, second, third)
        pids = third.photos(2)
        third.sync()
        second.sync()
        edits.set_rating(second.library, pids[:1], 4)
        second.sync()
        head = third.library.log.head(third.id)[0]
        lies = lie_to(first, log=without(third.id, head), past=without(third.id, head))
        alarms = sync_all(first, rounds=2)
        assert "withheld" in about(alarms, third.id)
        assert any(f"envelope {head} of device {third.id.hex()[:12]}" in str(alarm) for alarm in alarms)
        edits.set_caption(first.library, first.photos(), "written all the same")
        lies.clear()
        sync_all(first, second, third)
        converged(first, second, third)
        still_sound(first, second, third)


class TestFloods:
    def test_a_relay_fills_no_disk_with_alarms(
        self, pair: tuple[Device, Device], relay: Relay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert MAX_KEPT <= 1_000
        monkeypatch.setattr("core.sync.alarms.MAX_KEPT", 100)
        first, _ = pair
        alarms = SyncAlarms(first.library)
        for number in range(150):
            alarms.raise_(Withheld(f"envelope {number} is not given out"), relay.url)
        kept = alarms.list()
        assert len(kept) <= 101
        assert any("more" in one.message for one in kept)
        assert not alarms.raise_(Withheld("one more"), relay.url)
        alarms.clear()
        assert alarms.raise_(Withheld("one more"), relay.url)
