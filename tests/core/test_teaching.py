"""Labels taught by examples: found everywhere, corrected for good, the same on every device, and cheap to open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from core import edits, teaching
from core.errors import InvalidEdit, NoSuchLabel, NoSuchPhoto, NoVector
from core.rebuild import rebuild
from crdt.documents import LIBRARY
from crdt.operations import Put
from crdt.records import TaughtRecord
from tests.core.test_vectors import add_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from core.library import Library
    from tests.core.conftest import Bench

WIDTH = 320
BOAT = "our boat"


def rows_of(count: int, *, seed: int, thing: int | None = None) -> NDArray[np.float32]:
    """Return vectors of photos of one thing, or of anything."""
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH)) * (0.5 if thing is not None else 1) + 1
    if thing is not None:
        rows[:, 40 * thing : 40 * thing + 40] += 3
    return rows.astype(np.float32)


def harbour(bench: Bench, library: Library) -> tuple[list[bytes], list[bytes]]:
    """Fill a library: 20 photos of our boat, 150 of other things."""
    boats = bench.add_photos(library, 20, seed="boat")
    others = bench.add_photos(library, 150, month="2023-01")
    add_vectors(library, boats, rows_of(20, seed=1, thing=0))
    add_vectors(library, others, rows_of(150, seed=2))
    return boats, others


def found(library: Library, name: str = BOAT) -> set[bytes]:
    return set(library.catalog.pids(f'label:"{name}"'))


def sources(library: Library, pid: bytes) -> dict[str, str]:
    photo = library.catalog.photo(pid)
    assert photo is not None
    return {label.name: label.source for label in photo.labels}


def test_a_label_is_taught_and_stands_like_any_other(bench: Bench) -> None:
    """It is found, counted and explained; edits, a restart and a rebuild keep it; forgetting takes it away."""
    with bench.open() as library:
        boats, _ = harbour(bench, library)
        taught = teaching.teach(library, "Our Boat", boats[:5])
        assert (taught.name, taught.positive, taught.negative, taught.without_vector) == (BOAT, 5, 0, 0)
        now = found(library)
        assert len(now & set(boats)) >= 18
        assert len(now - set(boats)) <= 1
        assert taught.photos == len(now) == library.catalog.label_counts()[BOAT]
        assert sources(library, boats[0]) == {BOAT: "taught"}
        edits.set_rating(library, boats, 5)
        edits.trash(library, [boats[6]])
        assert found(library) == now - {boats[6]}
        edits.restore(library, [boats[6]])
        reason = teaching.reasons(library, boats[7], "our boat")[0]
        assert reason.shown
        assert (reason.positive, reason.negative, reason.example) == (5, 0, None)
        assert reason.score is not None
        assert reason.score >= 0.5
        assert {pid for pid, _ in reason.nearest} < set(boats[:5])
        asked = teaching.uncertain(library, BOAT, 4)
        assert not {pid for pid, _ in asked.most_certain} & set(boats[:5])
        assert asked.most_certain == sorted(asked.most_certain, key=lambda one: -one[1])
        assert [one.name for one in teaching.taught_labels(library)] == [BOAT]
    with bench.open() as library:
        assert found(library) == now
        assert teaching.refresh(library) == 0
        rebuild(library)
        teaching.refresh(library)
        assert found(library) == now
        with bench.open() as other:
            assert found(other) == now
            teaching.forget(other, BOAT)
            assert found(other) == set()
        library.refresh()
        assert found(library) == set()
        assert teaching.taught_labels(library) == []
        assert set(library.catalog.pids("has:label")) == set()
        with pytest.raises(NoSuchLabel):
            teaching.forget(library, BOAT)


def test_corrections_hold_and_teach(bench: Bench) -> None:
    """What was taken away stays away at once and through every later fit; what was added is learnt from."""
    with bench.open() as library:
        boats, others = harbour(bench, library)
        ferries = bench.add_photos(library, 12, month="2022-07", seed="ferry")
        looks = rows_of(12, seed=5, thing=0) + rows_of(12, seed=6, thing=3)
        add_vectors(library, ferries, looks)
        teaching.teach(library, BOAT, boats[:4])
        wrong = sorted(found(library) & set(ferries))[:4] or ferries[:4]
        edits.remove_label(library, boats[8:9], BOAT)
        for pid in wrong:
            edits.remove_label(library, [pid], BOAT)
        assert not found(library) & {boats[8]}
        edits.add_label(library, others[:1], BOAT)
        assert sources(library, others[0]) == {BOAT: "user"}
        with bench.open() as other:
            assert teaching.refresh(other) == 1
            assert boats[8] not in found(other)
            assert not found(other) & set(wrong)
            assert others[0] in found(other)
            label = teaching.taught_labels(other)[0]
            assert label.positive == 5
            assert label.negative >= 1
        # Said again by teaching, it holds again.
        teaching.teach(library, BOAT, [boats[8]], [others[0]])
        assert boats[8] in found(library)
        assert others[0] not in found(library)


def test_new_photos_and_another_model(bench: Bench) -> None:
    """Photos that come later get the label; another model's vectors are learnt from anew; without any it is of none."""
    with bench.open() as library:
        boats, others = harbour(bench, library)
        teaching.teach(library, BOAT, boats[:5], others[:3])
        late = bench.add_photos(library, 6, month="2025-01")
        add_vectors(library, late, rows_of(6, seed=9, thing=0))
        assert teaching.refresh(library) == 1
        assert len(found(library) & set(late)) >= 5
        library.set_setting("pack", "other@1 " + "0" * 64)
        assert teaching.refresh(library) == 1
        assert found(library) == set()
        with pytest.raises(NoVector, match="other@1"):
            teaching.teach(library, BOAT, boats[:5])
        rows = np.concatenate([rows_of(20, seed=11, thing=1), rows_of(150, seed=12)])[:, :240]
        add_vectors(library, [*boats, *others], rows, model="other@1")
        assert teaching.refresh(library) == 1
        assert len(found(library) & set(boats)) >= 17
        assert teaching.refresh(library) == 0


def test_examples_that_teach_nothing_are_refused(bench: Bench) -> None:
    """None, contradictory, unknown, too many; and a fact of another device that is none harms nobody."""
    with bench.open() as library:
        boats, _ = harbour(bench, library)
        bare = bench.add_photos(library, 2, month="2021-01")

        def refused(positive: Sequence[bytes], negative: Sequence[bytes] = (), name: str = BOAT) -> InvalidEdit:
            with pytest.raises(InvalidEdit) as caught:
                teaching.teach(library, name, positive, negative)
            return caught.value

        assert "no photo shows" in str(refused([]))
        assert "both" in str(refused(boats[:3], boats[2:4]))
        assert "bytes" in str(refused(boats[:1], name="x" * 10_000))
        assert "label" in str(refused(boats[:1], name=" "))
        with pytest.raises(NoSuchPhoto):
            teaching.teach(library, BOAT, [bytes(16)])
        with pytest.raises(NoVector):
            teaching.teach(library, BOAT, bare)
        assert teaching.taught_labels(library) == []
        taught = teaching.teach(library, "⛵ \u05e1\u05d9\u05e8\u05d4", [boats[0], bare[0]])
        assert taught.without_vector == 1
        assert taught.photos >= 2
        # One photo and half of the photos of one thing against the other half: careful, never an error.
        teaching.teach(library, "torn", boats[:10], boats[10:])
        assert not found(library, "torn") & set(boats[10:])
        hostile = [Put("taught", name, b"\xff") for name in ("broken", "Upper", "x" * 400, "a\x00b")]
        hostile.append(Put("taught", "empty", TaughtRecord().pack()))
        unknown = TaughtRecord.of([bytes([i]) * 16 for i in range(5)], [])
        library.commit(
            {LIBRARY: [*hostile, Put("taught", "elsewhere", unknown.pack())]}, action="teach", summary="by others"
        )
        teaching.refresh(library)
        assert found(library, "broken") == found(library, "empty") == found(library, "elsewhere") == set()
        named = {label.name for label in teaching.taught_labels(library)}
        assert named == {"broken", "empty", "elsewhere", "torn", taught.name}
        assert teaching.reasons(library, boats[0], "broken")[0].score is None


def test_what_another_process_worked_out_is_taken_over_without_vectors(bench: Bench) -> None:
    """The app sees what a command taught, and the other way round; a purged photo goes from it for good."""
    with bench.open() as app, bench.open() as command:
        boats, _ = harbour(bench, command)
        app.refresh()
        teaching.teach(command, BOAT, boats[:5])
        now = found(command)
        app.refresh()
        assert teaching.refresh(app, learn=False) == 1
        assert found(app) == now
        assert teaching.refresh(app, learn=False) == 0
        edits.purge(command, boats[:1])
        app.refresh()
        teaching.refresh(app)
        assert found(app) == now - {boats[0]}


def test_what_is_asked_is_asked_once(bench: Bench) -> None:
    """In a small library the most and the least certain do not overlap; the trash is not asked about."""
    with bench.open() as library:
        boats, _ = harbour(bench, library)
        teaching.teach(library, BOAT, boats[:5])
        edits.trash(library, [boats[9]])
        asked = teaching.uncertain(library, BOAT, 100)
        pids = [pid for pid, _ in (*asked.most_certain, *asked.least_certain)]
        assert len(set(pids)) == len(pids) == 170 - 5 - 1
        with pytest.raises(NoSuchLabel, match="not taught"):
            teaching.uncertain(library, "dog")
