"""Devices of one library end with equal catalogs, whatever each did, and whatever their relays did meanwhile."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import NotAMember, RolledBack
from core.importing.pipeline import import_paths
from tests.core.sync.conftest import converged, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.core.sync.conftest import Device, Home, PutBack
    from tests.sync_relay.running_relay import Relay


def settle(*devices: Device) -> None:
    """Sync all devices until none has anything to give or take."""
    for _ in range(6):
        reports = [device.sync() for device in devices]
        if not any(report.moved for report in reports):
            break
    else:
        raise AssertionError("there is always something to sync")
    converged(*devices)


def test_a_second_device_shows_what_the_first_does(pair: tuple[Device, Device]) -> None:
    first, second = pair
    pids = first.photos(5)
    edits.add_label(first.library, pids[:2], "Lisbon")
    edits.set_caption(first.library, pids[:1], "by the river")
    album = edits.create_album(first.library, "Holidays")
    edits.add_to_album(first.library, pids, album)
    edits.trash(first.library, pids[4:])
    first.sync()
    report = second.sync()
    assert report.relays[0].pulled >= 7
    settle(first, second)
    assert len(second.library.catalog.search("label:lisbon album:Holidays")) == 2
    # Originals come when somebody wants them.
    assert list(second.library.blobs.iter_ids()) == []


def test_edits_on_both_while_neither_could_sync(pair: tuple[Device, Device]) -> None:
    first, second = pair
    pids = first.photos(4)
    settle(first, second)
    edits.set_rating(first.library, pids, 5)
    edits.add_label(first.library, pids[:1], "dog")
    edits.set_rating(second.library, pids[2:], 2)
    edits.add_label(second.library, pids[:1], "puppy")
    edits.set_caption(second.library, pids[3:], "the same day")
    more = second.photos(2, month="2023-11")
    edits.set_favourite(second.library, more, favourite=True)
    settle(first, second)
    assert {label.name for label in first.library.catalog.search("label:dog")[0].labels} == {"dog", "puppy"}
    assert len(first.library.catalog.search("is:favourite")) == 2


def test_one_file_imported_on_both_is_one_photo_and_one_blob(
    pair: tuple[Device, Device], relay: Relay, tmp_path: Path, picture: Path
) -> None:
    first, second = pair
    settle(first, second)
    copied = tmp_path / "another name.jpg"
    copied.write_bytes(picture.read_bytes())
    import_paths(first.library, [picture], label=False)
    import_paths(second.library, [copied], label=False)
    settle(first, second)
    (photo,) = first.library.catalog.search("")
    originals = {copy.blob_id for copy in first.library.catalog.copies(photo.pid) if copy.role == "original"}
    assert len(originals) == 1
    (original,) = originals
    assert first.library.blobs.exists(original)
    assert second.library.blobs.exists(original)
    assert relay.log.getvalue().count('"upload"') == len(set(first.library.blobs.iter_ids()))


def test_bundles_come_at_once_and_originals_where_everything_is_kept(
    pair: tuple[Device, Device], home: Home, picture: Path
) -> None:
    first, second = pair
    import_paths(first.library, [picture], label=False)
    settle(first, second)
    (photo,) = second.library.catalog.search("")
    reference = second.library.catalog.thumbnail(photo.pid)
    assert reference is not None
    assert set(second.library.blobs.iter_ids()) == {reference.blob_id}
    second.sync(originals=True)
    assert set(second.library.blobs.iter_ids()) == set(first.library.blobs.iter_ids())
    third = home.add()
    first.sync()
    third.library.set_setting(f"originals/{third.id.hex()}", "all")
    third.sync()
    assert set(third.library.blobs.iter_ids()) == set(first.library.blobs.iter_ids())


def test_a_purge_reaches_the_relay_and_the_other_device(pair: tuple[Device, Device], relay: Relay) -> None:
    first, second = pair
    pids = first.photos(3)
    first.sync()
    second.sync(originals=True)
    blobs = set(second.library.blobs.iter_ids())
    edits.trash(first.library, pids[:1])
    edits.purge(first.library, pids[:1])
    settle(first, second)
    left = set(first.library.blobs.iter_ids())
    assert len(left) == 2
    assert set(second.library.blobs.iter_ids()) == left
    client = relay.client()
    client.sign_in(first.secrets, first.library.library_id)
    (gone,) = blobs - left
    assert client.blob(gone).state == "leaving"
    assert {client.blob(blob).state for blob in left} == {"stored"}
    # Nobody brings it back.
    settle(first, second)
    assert client.blob(gone).state == "leaving"


def test_two_relays_one_of_which_is_lost(home: Home, new_relay: Callable[..., Relay]) -> None:
    first = home.found()
    near, far = new_relay(), new_relay()
    for relay in (near, far):
        first.engine.relays.use(relay.url, relay.invite())
    first.sync()
    second = home.add()
    first.sync()
    pids = first.photos(2)
    settle(first, second)
    near.stop()
    edits.set_rating(first.library, pids, 3)
    second.photos(1, month="2022-02")
    for device in (first, second, first, second):
        device.engine.run()
    converged(first, second)
    first.engine.relays.remove(near.url)
    first.engine.run()
    assert second.engine.run().worst_error is None
    settle(first, second)


def test_a_relay_passes_on_to_another_what_that_one_lacks(home: Home, new_relay: Callable[..., Relay]) -> None:
    """The second device reads one relay, and brings the other what the first device never gave it."""
    first = home.found()
    near, far = new_relay(), new_relay()
    first.engine.relays.use(near.url, near.invite())
    first.photos(3)
    first.sync()
    second = home.add()
    first.sync()
    second.sync()
    second.engine.relays.use(far.url, far.invite())
    second.sync()
    client = far.client()
    client.sign_in(second.secrets, second.library.library_id)
    assert {client.blob(blob).state for blob in first.library.blobs.iter_ids()} == {"stored"}
    # They only passed through.
    assert list(second.library.blobs.iter_ids()) == []
    near.stop()
    third = home.add([far.url], by=1)
    second.engine.run()
    third.engine.run()
    assert shown(third)["photos"] == shown(first)["photos"]


@pytest.mark.scenario(4, "to nothing", alarm="rolled-back")
def test_a_relay_that_starts_again_with_nothing_is_filled_by_everybody(
    home: Home, new_relay: Callable[..., Relay]
) -> None:
    relay = new_relay()
    first = home.found()
    first.engine.relays.use(relay.url, relay.invite())
    first.sync()
    second = home.add()
    first.sync()
    pids = first.photos(2)
    settle(first, second)
    edits.set_rating(second.library, pids, 1)
    second.sync()
    for device in (first, second):
        device.engine.close()
    relay.stop()
    shutil.rmtree(relay.base_settings.data)
    relay.start()
    assert isinstance(first.engine.run().worst_error, NotAMember)
    # What the second device wrote is given back by it; the first has not seen it.
    first.engine.relays.use(relay.url, relay.invite())
    report = first.engine.run()
    assert [type(alarm) for alarm in report.alarms] == [RolledBack]
    for device in (second, first, second):
        device.engine.run()
    converged(first, second)
    assert first.library.catalog.search("rating:1")


@pytest.mark.scenario(4, "to an earlier backup", alarm="rolled-back")
def test_a_relay_put_back_by_its_files_is_named_and_filled(
    pair: tuple[Device, Device], relay: Relay, put_back: PutBack
) -> None:
    first, second = pair
    pids = first.photos(2)
    settle(first, second)
    for device in pair:
        device.engine.close()
    put_back.save(relay)
    edits.set_rating(first.library, pids, 4)
    edits.set_rating(second.library, pids[:1], 2)
    settle(first, second)
    for device in pair:
        device.engine.close()
    put_back(relay)
    # The second writes first: positions are given out anew, and what they now stand for is something else.
    edits.set_caption(second.library, pids, "afterwards")
    edits.set_caption(second.library, pids, "afterwards, again")
    edits.set_caption(second.library, pids, "afterwards, and again")
    assert [type(alarm) for alarm in second.engine.run().alarms] == [RolledBack]
    first.engine.run()
    first.engine.run()
    second.engine.run()
    converged(first, second)
    assert first.library.catalog.search("afterwards")


def test_a_revoked_device_gets_and_gives_nothing_more(pair: tuple[Device, Device], home: Home) -> None:
    first, second = pair
    pids = first.photos(2)
    settle(first, second)
    edits.set_rating(second.library, pids[:1], 2)
    home.revoke(second)
    first.sync()
    edits.set_rating(first.library, pids, 5)
    first.sync()
    report = second.engine.run()
    assert isinstance(report.worst_error, NotAMember)
    assert len(second.library.catalog.search("rating:5")) == 0
    assert len(first.library.catalog.search("rating:5")) == 2


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    path = tmp_path / "picture.jpg"
    Image.effect_noise((640, 480), 60).convert("RGB").save(path, quality=90)
    return path
