"""Originals on demand: fetched when somebody wants them, gone again after an export, and an error that says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.errors import BlobDamaged, BlobMissing, NoSuchPhoto, NoSuchRelay, RelayUnreachable
from core.export import ExportEvent, export, write_original
from core.export_names import Layout
from core.originals import Originals, keep_every_original
from core.sync.free import free
from core.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.library import Library
    from tests.core.sync.conftest import Device
    from tests.sync_relay.running_relay import Relay


def blob_of(library: Library, pid: bytes) -> bytes:
    (copy,) = library.catalog.copies(pid)
    return copy.blob_id


def is_here(device: Device, pid: bytes) -> bool:
    return device.library.blobs.exists(blob_of(device.library, pid))


@pytest.fixture
def far(pair: tuple[Device, Device]) -> Device:
    """A device that knows of three photos of another one, whose originals are at the relay."""
    first, second = pair
    first.photos(3)
    first.sync()
    second.sync()
    return second


def test_an_original_is_fetched_once_and_stays(far: Device) -> None:
    pid, other, _ = far.library.catalog.pids()
    assert not is_here(far, pid)
    with Originals(far.library) as originals:
        copy = originals.ensure(pid)
        assert far.library.blobs.read(copy.blob_id, copy.key)
        assert originals.ensure(pid) == copy
    assert is_here(far, pid)
    assert not is_here(far, other)


def test_what_is_here_needs_no_relay(far: Device, relay: Relay) -> None:
    pid, *_ = far.library.catalog.pids()
    with Originals(far.library) as originals:
        originals.ensure(pid)
    relay.stop()
    with Originals(far.library) as originals:
        assert originals.ensure(pid).blob_id == blob_of(far.library, pid)
        assert originals.copy_here(pid) is not None


def test_a_relay_out_of_reach_is_named(far: Device, relay: Relay) -> None:
    pid, *_ = far.library.catalog.pids()
    relay.stop()
    with Originals(far.library) as originals:
        for _ in range(2):
            with pytest.raises(RelayUnreachable, match=relay.url):
                originals.ensure(pid)
        assert originals.copy_here(pid) is None


def test_what_no_relay_has_is_an_alarm(pair: tuple[Device, Device], relay: Relay) -> None:
    first, second = pair
    (pid,) = first.photos(1)
    first.sync()
    second.sync()
    stored = [path for path in relay.settings.data.rglob("*") if blob_of(first.library, pid).hex() in path.name]
    for path in stored:
        path.unlink()
    with Originals(second.library) as originals, pytest.raises((BlobMissing, RelayUnreachable)):
        originals.ensure(pid)


def test_what_was_never_sent_is_an_alarm_that_says_so(pair: tuple[Device, Device]) -> None:
    first, second = pair
    first.bench.add_photos(first.library, 1)  # a blob that nobody has
    first.engine.run()
    second.sync()
    (pid,) = second.library.catalog.pids()
    with Originals(second.library) as originals, pytest.raises(BlobMissing) as missing:
        originals.ensure(pid)
    assert "synced" in str(missing.value.hint)


def test_where_one_relay_lacks_it_and_another_does_not_answer_nobody_is_accused(
    pair: tuple[Device, Device], new_relay: Callable[..., Relay]
) -> None:
    first, second = pair
    other = new_relay()
    first.engine.relays.use(other.url, other.invite())
    first.bench.add_photos(first.library, 1)
    first.engine.run()
    second.sync()
    other.stop()
    (pid,) = second.library.catalog.pids()
    with Originals(second.library) as originals, pytest.raises(RelayUnreachable, match=other.url):
        originals.ensure(pid)


def test_one_relay_that_answers_is_enough(pair: tuple[Device, Device], new_relay: Callable[..., Relay]) -> None:
    first, second = pair
    other = new_relay()
    first.engine.relays.use(other.url, other.invite())
    (pid,) = first.photos(1)
    first.sync()
    second.sync()
    other.stop()
    with Originals(second.library) as originals:
        originals.ensure(pid)
    assert is_here(second, pid)


def test_damaged_on_the_way_nothing_is_kept(far: Device, relay: Relay) -> None:
    pid, *_ = far.library.catalog.pids()
    blob_id = blob_of(far.library, pid)
    (stored,) = [path for path in relay.settings.data.rglob("*") if path.is_file() and blob_id.hex() in path.name]
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    with Originals(far.library) as originals, pytest.raises(BlobDamaged):
        originals.ensure(pid)
    assert not is_here(far, pid)


def test_without_relays_it_says_where_it_is(far: Device, relay: Relay) -> None:
    pid, *_ = far.library.catalog.pids()
    far.engine.relays.remove(relay.url)
    with Originals(far.library) as originals, pytest.raises(NoSuchRelay, match="on another device"):
        originals.ensure(pid)
    (own,) = far.photos(1)
    far.library.blobs.remove(blob_of(far.library, own))
    with Originals(far.library) as originals, pytest.raises(BlobMissing):
        originals.ensure(own)


def test_a_photo_without_an_original(far: Device) -> None:
    with Originals(far.library) as originals:
        with pytest.raises(NoSuchPhoto):
            originals.ensure(bytes(16))
        with pytest.raises(NoSuchPhoto):
            originals.ensure(far.library.catalog.pids()[0], "preview")


# Export


def test_an_export_fetches_what_it_writes_and_keeps_nothing_of_it(far: Device, tmp_path: Path) -> None:
    pids = far.library.catalog.pids()
    summary = export(far.library, "", tmp_path / "out")
    assert (summary.exported, summary.failed, summary.fetched) == (3, 0, 3)
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 3
    assert not any(is_here(far, pid) for pid in pids)
    assert verify(far.library).sound


def test_an_export_may_keep_what_it_fetches(far: Device, tmp_path: Path) -> None:
    export(far.library, "", tmp_path / "out", keep=True)
    assert all(is_here(far, pid) for pid in far.library.catalog.pids())


def test_a_device_that_keeps_everything_keeps_what_an_export_fetches(far: Device, tmp_path: Path) -> None:
    keep_every_original(far.library, wanted=True)
    export(far.library, "", tmp_path / "out")
    assert all(is_here(far, pid) for pid in far.library.catalog.pids())


def test_an_export_heals_what_was_lost_here(pair: tuple[Device, Device], tmp_path: Path) -> None:
    first, _ = pair
    (pid,) = first.photos(1)
    first.sync()
    first.library.blobs.remove(blob_of(first.library, pid))
    assert [problem.name for problem in verify(first.library).problems] == ["blob-missing"]
    assert export(first.library, "", tmp_path / "out").exported == 1
    assert verify(first.library).sound


def test_what_was_exported_before_is_not_fetched_again(far: Device, relay: Relay, tmp_path: Path) -> None:
    export(far.library, "", tmp_path / "out")
    relay.stop()
    summary = export(far.library, "", tmp_path / "out")
    assert (summary.present, summary.failed, summary.fetched) == (3, 0, 0)


def test_an_export_without_its_relay_fails_photo_by_photo(far: Device, relay: Relay, tmp_path: Path) -> None:
    pid, *_ = far.library.catalog.pids()
    with Originals(far.library) as originals:
        originals.ensure(pid)
    relay.stop()
    events: list[ExportEvent] = []
    summary = export(far.library, "", tmp_path / "out", progress=lambda event, *_: events.append(event))
    assert (summary.exported, summary.failed, summary.unreachable, summary.damaged) == (1, 2, 2, 0)
    assert all(relay.url in str(event.reason) for event in events if event.event == "failed")
    assert is_here(far, pid)


def test_an_album_in_two_folders_is_fetched_for_both(far: Device, tmp_path: Path) -> None:
    from core import edits

    pids = far.library.catalog.pids()
    for name in ("a", "b"):
        edits.add_to_album(far.library, pids, edits.create_album(far.library, name))
    summary = export(far.library, "", tmp_path / "out", layout=Layout.ALBUM)
    assert summary.failed == 0
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.jpg")} == {"a", "b"}
    assert not any(is_here(far, pid) for pid in pids)


def test_many_more_than_one_batch(pair: tuple[Device, Device], tmp_path: Path) -> None:
    first, second = pair
    first.photos(40)
    first.sync()
    second.sync()
    there: list[int] = []
    summary = export(
        second.library, "", tmp_path / "out", sidecars=False,
        progress=lambda *_: there.append(sum(1 for _ in second.library.blobs.iter_ids())),
    )  # fmt: skip
    assert (summary.exported, summary.fetched) == (40, 40)
    assert max(there) <= 32
    assert list(second.library.blobs.iter_ids()) == []


def test_opening_fetches_and_keeps(far: Device, tmp_path: Path) -> None:
    pid, *_ = far.library.catalog.pids()
    path = write_original(far.library, pid, tmp_path)
    assert path.stat().st_size > 0
    assert is_here(far, pid)
    assert free(far.library, single_copy=True).freed == 1
    assert not is_here(far, pid)
