"""Near-duplicates are found among all photos, grouped around the best one, and nothing else is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import edits
from core.duplicates import MAX_DISTANCE, disposable, duplicates_of, find_duplicates, near_groups
from core.importing.pipeline import import_paths
from crdt.operations import Put
from crdt.records import CopyRecord, PhotoFacts
from crdt.schema import copy_key, pid_key

if TYPE_CHECKING:
    from pathlib import Path

    from core.library import Library
    from tests.core.conftest import Bench

MONTH = "photos:2024-05"


def bits(*places: int) -> bytes:
    return sum(1 << place for place in places).to_bytes(8, "big")


def add(library: Library, number: int, hash_: bytes | None, *, name: str = "IMG.jpg", **fields: Any) -> bytes:
    pid = number.to_bytes(16, "big")
    usual = {"width": 4000, "height": 3000, "size": 1_000_000, "mime": "image/jpeg", "brightness": 400}
    facts = PhotoFacts(**{**usual, **fields}, wall_clock="2024-05-17T14:03:00", perceptual_hash=hash_)
    copy = CopyRecord(role="original", key=bytes(32), size=1, file_name=name)
    operations = [Put("photo", pid_key(pid), facts.pack()), Put("copy", copy_key(pid, pid * 2), copy.pack())]
    library.commit({MONTH: operations}, action="import", summary="one", group=bytes(16))
    return pid


def groups(library: Library, **options: Any) -> list[tuple[bytes, ...]]:
    return [group.photos for group in find_duplicates(library, **options)]


def test_groups_have_the_best_first_and_leave_out_what_is_not_alike(bench: Bench) -> None:
    with bench.open() as library:
        small = add(library, 1, bits(1, 2, 3), width=1000, height=750, size=90_000)
        best = add(library, 2, bits(1, 2), width=4000, height=3000)
        heavier = add(library, 3, bits(1, 2, 4), size=2_000_000)
        screen = add(library, 4, bits(1, 2), width=8000, height=6000, name="Screenshot 1.jpg")
        add(library, 5, bits(1, 2), width=3000, height=4000)
        add(library, 6, bits(1, 2), brightness=900)
        add(library, 7, bits(*range(20, 30)))
        add(library, 8, None)
        add(library, 9, None)
        assert groups(library) == [(heavier, best, small, screen)]
        assert groups(library, among=[small, screen]) == [(small, screen)]
        assert groups(library, distance=0) == [(best, screen)]
        found = duplicates_of(library, screen)
        assert found is not None
        assert found.photos == (heavier, best, small, screen)
        assert duplicates_of(library, (7).to_bytes(16, "big")) is None
        assert duplicates_of(library, (8).to_bytes(16, "big")) is None
        assert duplicates_of(library, b"nobody" * 2) is None
        edits.trash(library, [heavier, small])
        assert groups(library) == [(best, screen)]
        for wrong in (-1, MAX_DISTANCE + 1):
            with pytest.raises(ValueError, match="distance"):
                find_duplicates(library, distance=wrong)


def test_what_the_user_marked_and_raws_are_not_disposable(bench: Bench) -> None:
    with bench.open() as library:
        pids = [add(library, n + 1, bits(1, 2), size=9_000_000 - n) for n in range(6)]
        raw = add(library, 9, bits(1, 2), mime="image/x-adobe-dng", size=1)
        (group,) = find_duplicates(library)
        edits.set_favourite(library, [pids[1]], favourite=True)
        edits.set_rating(library, [pids[2]], 1)
        edits.set_caption(library, [pids[3]], "the one for grandmother")
        edits.add_to_album(library, [pids[4]], edits.create_album(library, "Lisbon"))
        assert group.photos == (*pids, raw)
        photos = {photo.pid: photo for photo in library.catalog.photos(list(group.photos))}
        assert disposable([photos[pid] for pid in group.photos]) == [pids[5]]
        assert disposable([photos[raw], photos[pids[5]]]) == []


def test_small_differences_make_no_chain(bench: Bench) -> None:
    """Each of a row differs from the next in five bits: with its neighbours it is alike, with the ends it is not."""
    with bench.open() as library:
        row = [add(library, n + 1, bits(*range(5 * n)), size=1_000_000 - n) for n in range(6)]
        assert groups(library) == [(row[0], row[1]), (row[2], row[3]), (row[4], row[5])]


def test_files_of_one_picture_are_one_group_and_black_frames_are_none(
    bench: Bench, shared_data: Path, tmp_path: Path
) -> None:
    from PIL import Image

    rng = random.Random(3)
    for number in range(4):
        frame = Image.effect_noise((320, 240), 2 + rng.random()).point([value // 20 for value in range(256)])
        frame.convert("RGB").save(tmp_path / f"black{number}.jpg")
    folder = shared_data / "photos" / "duplicates"
    ours = {path for path in folder.iterdir() if "ukbench09380" in path.name or "ukbench00120" in path.name}
    with bench.open() as library:
        orientations = sorted((shared_data / "photos" / "orientation").glob("*Landscape_[1-8].jpg"))
        import_paths(library, [*sorted(ours), *orientations, tmp_path], label=False)
        names = {photo.pid: photo.filename or "" for photo in library.catalog.search()}
        found = [{names[pid].split("__")[1] for pid in group} for group in groups(library)]
    assert len(found) == 3
    assert {f"Landscape_{number}.jpg" for number in range(1, 9)} in found
    # Turned, mirrored and squeezed ones are other pictures.
    assert {"ukbench00120.jpg", "ukbench00120_gray.jpg"} in found
    (webp,) = (one for one in found if "ukbench09380.webp" in one)
    assert len(webp) == 2, "the same bytes under three names are one photo"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(0, MAX_DISTANCE), st.integers(8, 40))
def test_no_near_duplicate_is_missed_and_none_is_made_up(seed: int, count: int, distance: int, spread: int) -> None:
    """Against comparing all with all, on hashes as like each other as chance has it."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 1 << spread, count, dtype=np.uint64) << np.uint64(int(rng.integers(0, 64 - spread)))
    shapes = rng.choice([0.0, 0.3], count).astype(np.float32)
    light = np.full(count, 500, np.int16)
    expected, taken = [], np.zeros(count, dtype=bool)
    for head in range(count):
        near = (np.bitwise_count(hashes ^ hashes[head]) <= distance) & (shapes == shapes[head]) & ~taken
        members = np.flatnonzero(near[head:]) + head
        if not taken[head] and len(members) > 1:
            expected.append(members.tolist())
            taken[members] = True
        taken[head] = True
    assert near_groups(hashes, shapes, light, distance) == expected
