"""A snapshot is applied in a process of its own first: what that does not survive costs that snapshot alone."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from core import replica_process, snapshots
from core.errors import SnapshotDamaged, StorageFailed
from core.replica_messages import Step
from core.replica_process import ReplicaProcess
from crdt.operations import Put
from crdt.replica import Replica, new_actor
from tests.core.test_snapshots import DEVICES, MONTH, cases, two_replicas

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def trial() -> Iterator[ReplicaProcess]:
    with ReplicaProcess() as trial:
        yield trial


def test_what_comes_back_is_the_document(trial: ReplicaProcess) -> None:
    one, _ = two_replicas()
    saved = trial.merge(MONTH, snapshots.make(one), DEVICES)
    loaded = Replica.load(MONTH, saved, new_actor(bytes(32)))
    assert loaded.heads() == one.heads()
    assert loaded.changes() == one.changes()
    pid = trial.pid
    trial.merge(MONTH, snapshots.make(one), DEVICES)
    assert trial.pid == pid, "one process for all"


def test_a_snapshot_that_does_not_hold_is_refused_and_the_process_stays(trial: ReplicaProcess) -> None:
    for name in ("damaged stream", "a change twice", "later version", "a change by a stranger"):
        with pytest.raises(SnapshotDamaged, match="does not hold"):
            trial.merge(MONTH, cases()[name][0], DEVICES)
    pid = trial.pid
    assert trial.merge(MONTH, snapshots.make(two_replicas()[0]), DEVICES)
    assert trial.pid == pid


def test_a_process_that_dies_is_replaced(trial: ReplicaProcess) -> None:
    good = snapshots.make(two_replicas()[0])
    trial.merge(MONTH, good, DEVICES)
    pid = trial.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SnapshotDamaged, match="was ended by the system"):
        trial.merge(MONTH, good, DEVICES)
    assert trial.merge(MONTH, good, DEVICES)
    assert trial.pid != pid


def test_one_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_process, "BYTES_A_SECOND", 1 << 60)
    monkeypatch.setattr(replica_process, "WEIGHT_A_SECOND", 1 << 60)
    with ReplicaProcess(seconds=0.0) as trial, pytest.raises(SnapshotDamaged, match="took too long"):
        trial.merge(MONTH, snapshots.make(two_replicas()[0]), DEVICES)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no limits on memory to set")
def test_one_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_process, "MEMORY_FOR_A_BYTE", 0)
    monkeypatch.setattr(replica_process, "MEMORY_FOR_WEIGHT", 0)
    replica = Replica.create(MONTH, new_actor(min(DEVICES)))
    for number in range(8):
        replica.edit([Put("caption", f"{number:016x}{key:016x}", "x" * 8_000) for key in range(900)])
    snapshot = snapshots.make(replica)
    assert len(snapshot) < 1 << 20
    with ReplicaProcess(memory=24 << 20) as trial, pytest.raises(SnapshotDamaged):
        trial.merge(MONTH, snapshot, DEVICES)
    with ReplicaProcess() as trial:
        assert trial.merge(MONTH, snapshot, DEVICES)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no limits on memory to set")
def test_one_that_deflates_well_is_granted_what_it_needs() -> None:
    """A member that writes zeros for hours: what others write to that document is not blamed for its size."""
    replica = Replica.create(MONTH, new_actor(min(DEVICES)))
    for number in range(6):
        replica.edit([Put("bundle", f"{number:032x}{key:032x}", bytes(65_000)) for key in range(126)])
    snapshot = snapshots.make(replica)
    assert len(snapshot) < 256 << 10
    other = Replica.create(MONTH, new_actor(max(DEVICES)))
    honest = other.edit([Put("rating", "00" * 16, 5)])
    assert honest is not None
    with ReplicaProcess(memory=32 << 20) as process:
        assert process.merge(MONTH, snapshot, DEVICES)
    with ReplicaProcess(memory=32 << 20) as process:
        assert process.rehearse(replica, [Step([max(DEVICES)], [honest])]) is None


def test_a_trial_that_is_closed_from_another_thread_blames_no_snapshot(trial: ReplicaProcess) -> None:
    good = snapshots.make(two_replicas()[0])
    trial.merge(MONTH, good, DEVICES)
    closing = threading.Thread(target=trial.close)
    closing.start()
    closing.join(60)
    with pytest.raises(StorageFailed):
        trial.merge(MONTH, good, DEVICES)


def test_a_replica_that_forgot_what_waits_is_sent_whole(trial: ReplicaProcess) -> None:
    """It was opened again from a file older than that, while the process still knew it."""
    one, two = (Replica.create(MONTH, new_actor(device)) for device in sorted(DEVICES)[:2])
    changes = [one.edit([Put("caption", f"{number:032x}", "a boat")]) for number in range(2)]
    first, second = [change for change in changes if change is not None]
    author = min(DEVICES)
    closing = threading.Timer(60, trial.close)  # else one that is asked for ever would hang
    closing.start()
    try:
        assert trial.rehearse(two, [Step([author], [second])]) is None
        assert two.waiting() == []
        assert trial.rehearse(two, [Step([author], [first])]) is None
    finally:
        closing.cancel()
