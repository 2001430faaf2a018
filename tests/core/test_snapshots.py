"""Snapshots: the same changes make the same bytes, and what is none is refused before it costs anything.

The cases are also in tests/vectors/core-snapshot.json, for other implementations; with SAFELIGHT_WRITE_VECTORS=1 in
the environment the file is written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from core import snapshots
from core.errors import SnapshotDamaged, UnknownFormat
from crdt.change import MAX_CHANGE_BYTES
from crdt.errors import ActorRefused, ChangeInvalid, DependencyMissing
from crdt.operations import Put
from crdt.replica import Replica, device_prefix, new_actor

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "core-snapshot.json"
MONTH = "photos:2024-05"
AUTHOR, OTHER = bytes(range(32)), bytes(range(32, 64))
DEVICES = {AUTHOR, OTHER}
PHOTO = "0123456789abcdef0123456789abcdef"
HEAD = 4 + 1 + 1 + len(MONTH)


def two_replicas() -> tuple[Replica, Replica]:
    """Two devices that know the same, learnt in different orders."""
    one = Replica.create(MONTH, device_prefix(AUTHOR) + b"author-1")
    two = Replica.create(MONTH, device_prefix(OTHER) + b"other--1")
    mine = [one.edit([Put("rating", PHOTO, stars), Put("caption", PHOTO, "x" * 40 * stars)]) for stars in (1, 2, 3)]
    theirs = [two.edit([Put("favourite", f"{number:032x}", True)]) for number in range(3)]
    assert all(mine)
    assert all(theirs)
    one.apply([change for change in theirs if change], author=OTHER)
    two.apply([change for change in mine if change], author=AUTHOR)
    last = two.edit([Put("rating", PHOTO, 5)])
    assert last is not None
    one.apply([last], author=OTHER)
    return one, two


def packed(
    changes: list[bytes], *, count: int | None = None, length: int | None = None, document: str = MONTH
) -> bytes:
    """A snapshot of these changes, whatever they are, that says of itself what it is told to."""
    stream = b"".join(struct.pack(">I", len(change)) + change for change in changes)
    return raw(stream, len(changes) if count is None else count, len(stream) if length is None else length, document)


def raw(stream: bytes, count: int, length: int, document: str = MONTH) -> bytes:
    name = document.encode()
    sizes = struct.pack(">IQ", count, length)
    return b"SLSN" + bytes([1, len(name)]) + name + sizes + zlib.compress(stream, 6)


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def cases() -> dict[str, tuple[bytes, str]]:
    """Snapshots of `MONTH` with one fault each, and the error each is refused with."""
    changes = two_replicas()[0].changes()
    good = packed(changes)
    stream = zlib.decompress(good[HEAD + 12 :])
    damaged = flipped(changes[2], len(changes[2]) - 1)
    deflated = changes[0][:8] + b"\x02" + changes[0][9:]
    return {
        "empty": (b"", "SnapshotDamaged"),
        "other magic": (b"SLSM" + good[4:], "SnapshotDamaged"),
        "later version": (good[:4] + b"\x02" + good[5:], "UnknownFormat"),
        "of another document": (packed(changes, document="photos:2024-06"), "SnapshotDamaged"),
        "cut off in its sizes": (good[: HEAD + 7], "SnapshotDamaged"),
        "cut off in its stream": (good[:-3], "SnapshotDamaged"),
        "bytes behind the stream": (good + b"\0", "SnapshotDamaged"),
        "no changes": (packed([]), "SnapshotDamaged"),
        "one change fewer than it says": (packed(changes, count=len(changes) + 1), "SnapshotDamaged"),
        "one change more than it says": (packed(changes, count=len(changes) - 1), "SnapshotDamaged"),
        "longer than it says": (packed(changes, length=len(stream) - 1), "SnapshotDamaged"),
        "shorter than it says": (packed(changes, length=len(stream) + 1), "SnapshotDamaged"),
        "more changes than any has": (packed(changes, count=snapshots.MAX_CHANGES + 1), "SnapshotDamaged"),
        "over a gigabyte": (packed(changes, length=snapshots.MAX_BYTES + 1), "SnapshotDamaged"),
        "more than can come out of it": (packed(changes, length=len(good) * 1_032 + 1), "SnapshotDamaged"),
        "damaged stream": (flipped(good, -1), "SnapshotDamaged"),
        "a change twice": (packed([*changes, changes[0]]), "SnapshotDamaged"),
        "a change of no bytes": (packed([*changes[:-1], b""]), "SnapshotDamaged"),
        "a change that is none": (packed([*changes[:-1], b"x" * 64]), "SnapshotDamaged"),
        "a change with another checksum": (packed([*changes[:2], damaged, *changes[3:]]), "SnapshotDamaged"),
        "a deflated change": (packed([deflated, *changes[1:]]), "SnapshotDamaged"),
        "last change cut off": (raw(stream[:-1], len(changes), len(stream) - 1), "SnapshotDamaged"),
        "a change longer than any": (
            raw(struct.pack(">I", MAX_CHANGE_BYTES + 1) + stream[4:], len(changes), len(stream)),
            "SnapshotDamaged",
        ),
        "a change without what it builds on": (packed(changes[1:]), "DependencyMissing"),
        "a change by a stranger": (packed([_of_a_stranger(), *changes]), "ActorRefused"),
    }


def _of_a_stranger() -> bytes:
    stranger = Replica.create(MONTH, device_prefix(bytes(32)) + b"stranger")
    change = stranger.edit([Put("rating", PHOTO, 1)])
    assert change is not None
    return change


def merge(snapshot: bytes) -> Replica:
    replica = Replica.create(MONTH, new_actor(AUTHOR))
    snapshots.merge_into(replica, snapshot, DEVICES)
    return replica


def test_two_devices_that_know_the_same_make_the_same_bytes() -> None:
    one, two = two_replicas()
    assert snapshots.make(one) == snapshots.make(two)
    loaded = merge(snapshots.make(one))
    assert loaded.heads() == one.heads()
    assert loaded.get("rating", PHOTO) == 5
    assert snapshots.make(loaded) == snapshots.make(one)
    assert [change for _, change in snapshots.read(snapshots.make(one), MONTH)] == one.changes()


def test_what_waits_is_in_no_snapshot() -> None:
    one, two = two_replicas()
    first, second = (two.edit([Put("rating", PHOTO, stars)]) for stars in (1, 2))
    assert first is not None
    assert second is not None
    before = snapshots.make(one)
    one.apply([second], author=OTHER)
    assert (one.waits(), snapshots.make(one)) == (1, before)
    one.apply([first], author=OTHER)
    assert (one.waits(), snapshots.make(one)) == (0, snapshots.make(two))


def test_the_actors_are_those_of_known_devices() -> None:
    with pytest.raises(ActorRefused):
        snapshots.merge_into(Replica.create(MONTH, new_actor(AUTHOR)), snapshots.make(two_replicas()[0]), {AUTHOR})


@pytest.mark.parametrize("name", cases())
def test_each_fault_is_refused(name: str) -> None:
    snapshot, expected = cases()[name]
    with pytest.raises((SnapshotDamaged, UnknownFormat, ChangeInvalid)) as caught:
        merge(snapshot)
    assert type(caught.value).__name__ == expected


@pytest.mark.scenario(9, "it is damaged or a bomb")
@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(lambda: raw(bytes(200 << 20), 100, 200 << 20), id="zeros"),
        pytest.param(lambda: raw(b"\x00\x80\x00\x00" * (50 << 20), 24, 200 << 20), id="changes of 8 MiB that are none"),
        pytest.param(lambda: packed([two_replicas()[0].changes()[0]] * 400_000), id="one change over and over"),
        pytest.param(lambda: raw(b"\x00\x7f\x00\x00" + bytes(100 << 20), 1, 200), id="says 200 bytes"),
        pytest.param(lambda: raw(b"", snapshots.MAX_CHANGES, snapshots.MAX_BYTES), id="says a gigabyte"),
    ],
)
def test_a_bomb_costs_nothing(bomb: Callable[[], bytes]) -> None:
    snapshot = bomb()
    assert len(snapshot) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(SnapshotDamaged):
            merge(snapshot)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


def test_a_document_that_says_nothing_has_no_snapshot() -> None:
    with pytest.raises(SnapshotDamaged):
        snapshots.make(Replica.create(MONTH, new_actor(AUTHOR)))


def test_the_vectors_are_these_cases() -> None:
    one, _ = two_replicas()
    vectors: dict[str, Any] = {
        "about": f"Snapshots of {MONTH}; `devices` are those whose changes it may hold. A good one holds these "
        "changes, in this order; each other one is refused with an error of this class.",
        "document": MONTH,
        "devices": sorted(device.hex() for device in DEVICES),
        "cases": [
            {
                "name": "good",
                "expected": "ok",
                "snapshot": packed(one.changes()).hex(),
                "changes": [change.hex() for change in one.changes()],
                "heads": [head.hex() for head in one.heads()],
            },
            *(
                {"name": name, "expected": expected, "snapshot": snapshot.hex()}
                for name, (snapshot, expected) in cases().items()
            ),
        ],
    }
    if os.environ.get("SAFELIGHT_WRITE_VECTORS"):
        VECTORS.write_text(json.dumps(vectors, indent=1) + "\n", "utf-8")
    kept = json.loads(VECTORS.read_text("utf-8"))
    # Compressors differ; what comes out of them does not.
    good = bytes.fromhex(kept["cases"][0]["snapshot"])
    assert good[: HEAD + 12] == snapshots.make(one)[: HEAD + 12]
    assert zlib.decompress(good[HEAD + 12 :]) == zlib.decompress(snapshots.make(one)[HEAD + 12 :])
    assert [(case["name"], case["expected"]) for case in kept["cases"]] == [
        (case["name"], case["expected"]) for case in vectors["cases"]
    ]
    for case in kept["cases"]:
        snapshot = bytes.fromhex(case["snapshot"])
        if case["expected"] == "ok":
            replica = merge(snapshot)
            assert [change.hex() for change in replica.changes()] == case["changes"]
            assert [head.hex() for head in replica.heads()] == case["heads"]
            assert hashlib.sha256(replica.changes()[0][8:]).digest() == next(snapshots.read(snapshot, MONTH))[0]
            continue
        with pytest.raises((SnapshotDamaged, UnknownFormat, ChangeInvalid)) as caught:
            merge(snapshot)
        assert type(caught.value).__name__ == case["expected"]


def test_what_is_missing_between_batches_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MERGED_AT_ONCE", 1)
    one, _ = two_replicas()
    assert merge(snapshots.make(one)).heads() == one.heads()
    with pytest.raises(DependencyMissing):
        merge(packed(one.changes()[::-1]))
