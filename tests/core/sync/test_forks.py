"""Two copies of one device meet at a relay: one of them becomes a device of its own, and nothing is lost."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.library import Library
from tests.core.sync.conftest import Device, converged

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sync_relay.running_relay import Relay


@pytest.fixture
def twin(pair: tuple[Device, Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """A copy of the second device, with its machine's memory, as a disk that was cloned."""
    first, second = pair
    first.photos(3)
    first.sync()
    second.sync()
    edits.set_rating(second.library, second.library.catalog.pids()[:1], 1)
    second.sync()
    first.sync()
    second.close()
    root, state = tmp_path / "twin", tmp_path / "twin's state"
    shutil.copytree(second.root, root)
    shutil.copytree(os.environ["SAFELIGHT_STATE_DIR"], state)
    with monkeypatch.context() as other_machine:
        other_machine.setenv("SAFELIGHT_STATE_DIR", str(state))
        library = Library.open(root, second.secrets)
        library.catalog  # noqa: B018  its machine is the one it was opened on
    second.reopen()
    return Device(root, second.secrets, library)


@pytest.mark.scenario(12, "a library folder is copied")
def test_a_copy_that_meets_the_other_at_a_relay_becomes_a_new_device(pair: tuple[Device, Device], twin: Device) -> None:
    first, second = pair
    pids = sorted(first.library.catalog.pids())
    was = second.id
    edits.set_caption(second.library, pids[:1], "by the one")
    second.photos(1, month="2021-01")
    edits.set_caption(twin.library, pids[1:2], "by the other")
    twin.photos(2, month="2022-02")
    second.sync()
    twin.sync()
    assert twin.id != was
    assert second.id == was
    for device in (first, second, twin, first):
        device.sync()
    converged(first, second, twin)
    assert len(first.library.catalog.search("")) == 6
    assert len(first.library.catalog.search('"by the one" OR "by the other"')) == 2
    edits.set_rating(twin.library, pids, 5)
    for device in (twin, first, second):
        device.sync()
    converged(first, second, twin)
    twin.close()


def test_a_copy_whose_relay_heard_of_the_other_first_gives_its_blobs_too(
    pair: tuple[Device, Device], twin: Device, relay: Relay
) -> None:
    first, second = pair
    twin.photos(2, month="2022-02")
    edits.set_rating(second.library, second.library.catalog.pids(), 2)
    second.sync()
    twin.sync()
    client = relay.client()
    client.sign_in(first.secrets, first.library.library_id)
    assert {client.blob(blob).state for blob in twin.library.blobs.iter_ids()} == {"stored"}
    first.sync(originals=True)
    second.sync()
    converged(first, second, twin)
    assert set(twin.library.blobs.iter_ids()) <= set(first.library.blobs.iter_ids())
    twin.close()
