"""Vectors of a whole library: found, compared, kept, and safe from what other devices write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from core import bundles, edits
from core.active_model import active_model
from core.errors import NoVector
from core.similar import similar_photos
from core.vectors import open_vectors, quantise
from crdt.operations import Put
from crdt.records import BundleEntry, BundleRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from core.library import Library
    from tests.core.conftest import Bench

WIDTH = 16


def model_of(library: Library) -> str:
    """Return the model in use."""
    found = active_model(library.setting)
    assert found is not None
    return found


def add_vectors(
    library: Library, pids: Sequence[bytes], rows: NDArray[np.float32], *, model: str | None = None
) -> bytes:
    """Store vectors as an import does; return the bundle's id."""
    data, entries = bundles.build(
        (pid, bundles.vector_bytes(row)) for pid, row in zip(pids, rows.tolist(), strict=True)
    )
    record = BundleRecord(
        kind="vector", key=bytes(32), entries=entries, model=model or model_of(library), dimensions=rows.shape[1]
    )
    return put_bundle(library, data, record)


def put_bundle(library: Library, data: bytes, record: BundleRecord) -> bytes:
    """Store a bundle that says what `record` says."""
    blob = library.blobs.put_bytes(data)
    record.key, record.size = blob.key, blob.size
    document = next(iter(library.catalog.documents_of([record.entries[0].pid]).values()), "photos:2024-05")
    library.commit({document: [Put("bundle", blob.id.hex(), record.pack())]}, action="import", summary="vectors")
    return blob.id


def random_rows(count: int, *, seed: int = 0, width: int = WIDTH) -> NDArray[np.float32]:
    """Return vectors of any length, as a model gives them."""
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32) * 3


def test_photos_that_look_alike_are_found_and_the_trash_is_left_out(bench: Bench) -> None:
    """The order is that of the cosines; the next process finds the vectors sealed and reads no bundle again."""
    with bench.open() as library:
        pids = bench.add_photos(library, 40)
        rows = random_rows(40)
        rows[7] = 2 * rows[3] + 0.01 * rows[9]
        rows[8] = rows[3] + 0.3 * rows[9]
        blob_id = add_vectors(library, pids, rows)
        assert [pid for pid, _ in similar_photos(library, pids[3], 2)] == [pids[7], pids[8]]
        score = similar_photos(library, pids[3], 1)[0][1]
        assert score == pytest.approx(1, abs=1e-3)
        edits.trash(library, [pids[7]])
        assert [pid for pid, _ in similar_photos(library, pids[3], 1)] == [pids[8]]
        assert open_vectors(library) is open_vectors(library)
    with bench.open() as library:
        library.blobs.remove(blob_id)
        vectors = open_vectors(library)
        assert sorted(vectors.pids) == sorted(pids)
        exact = rows @ rows[3] / np.linalg.norm(rows, axis=1) / np.linalg.norm(rows[3])
        of_pid = dict(zip(pids, exact.tolist(), strict=True))
        known, unit = vectors.of([pids[3], bytes(16)])
        assert known == [pids[3]]
        scored, scores = vectors.scores(unit[0], 1.0)
        assert scores == pytest.approx([of_pid[pid] + 1 for pid in scored], abs=0.02)
        assert bytes(16) not in vectors
        assert vectors.similar(bytes(16)) == []
        with pytest.raises(ValueError, match="weights of the shape"):
            vectors.scores(unit[0][:5])


def test_new_bundles_are_added_and_purged_photos_go(bench: Bench) -> None:
    """What an import, a sync or a purge changes is seen at the next opening, in this process and in others."""
    with bench.open() as library:
        pids = bench.add_photos(library, 60)
        rows = random_rows(60)
        assert len(open_vectors(library)) == 0
        with pytest.raises(NoVector, match="no photo has a vector"):
            similar_photos(library, pids[0])
        add_vectors(library, pids[:30], rows[:30])
        assert len(open_vectors(library)) == 30
        with pytest.raises(NoVector) as caught:
            similar_photos(library, pids[40])
        assert "safelight retag" in str(caught.value.hint)
        # Of a bundle that is not here yet, photos have no vector; once it is here they have.
        late = add_vectors(library, pids[20:50], rows[20:50])
        away = library.blobs.path(late).with_suffix(".away")
        library.blobs.path(late).rename(away)
        assert len(open_vectors(library)) == 30
        away.rename(library.blobs.path(late))
        assert len(open_vectors(library)) == 50
        edits.purge(library, pids[:5])
        with bench.open() as other:
            assert not set(pids[:5]) & set(open_vectors(other).pids)
            assert len(open_vectors(other)) == 45
        assert not set(pids[:5]) & set(open_vectors(library).pids)
        assert len(open_vectors(library)) == 45
        add_vectors(library, pids[5:9], random_rows(4), model="other@1")
        assert len(open_vectors(library, "other@1")) == 4


def test_what_hostile_bundles_say_is_left_out(bench: Bench) -> None:
    """Sizes that do not fit, places outside, numbers that are none, and lengths of its own: skipped and counted."""
    with bench.open() as library:
        pids = bench.add_photos(library, 40)
        rows = random_rows(40)
        data = b"".join(bundles.vector_bytes(row) for row in rows.tolist())
        length = 2 * WIDTH
        model = model_of(library)

        def record(entries: list[BundleEntry], dimensions: int | None = WIDTH) -> BundleRecord:
            return BundleRecord(kind="vector", key=bytes(32), entries=entries, model=model, dimensions=dimensions)

        bad = np.frombuffer(data, dtype="<f2").reshape(40, WIDTH).copy()
        bad[0, 3], bad[1, 2], bad[2] = np.nan, np.inf, 0
        # Others wrote vectors of another length, and there was nothing to compare them with.
        add_vectors(library, pids[30:33], random_rows(3, width=8))
        assert len(open_vectors(library)) == 3
        put_bundle(library, bad.tobytes(), record([BundleEntry(pids[i], i * length, length) for i in range(10)]))
        vectors = open_vectors(library)
        assert sorted(vectors.pids) == sorted(pids[3:10])
        assert vectors.skipped == 6
        put_bundle(
            library,
            data[length:],
            record(
                [
                    BundleEntry(pids[10], 0, length),
                    BundleEntry(pids[11], 39 * length, length),
                    BundleEntry(pids[12], 2**40, length),
                    BundleEntry(pids[13], 0, length - 1),
                    BundleEntry(pids[14], 0, 2**40),
                ]
            ),
        )
        put_bundle(library, data[2 * length :], record([BundleEntry(pids[15], 0, 2 * 65_536)], 65_536))
        put_bundle(library, data[3 * length :], record([BundleEntry(pids[16], 0, length)], None))
        damaged = add_vectors(library, pids[17:19], rows[17:19])
        library.blobs.path(damaged).write_bytes(b"no blob")
        vectors = open_vectors(library)
        assert sorted(vectors.pids) == sorted(pids[3:11])
        assert np.isfinite(vectors.scores(np.ones(WIDTH, dtype=np.float32))[1]).all()
        # A file that is no longer what it was is made again.
        library.derived.save(f"vectors:{model}", "vectors 1", library.vector, b"\xff" * 50)
    with bench.open() as library:
        assert sorted(open_vectors(library).pids) == sorted(pids[3:11])


def test_a_byte_a_number_is_enough() -> None:
    """Cosines of quantised vectors differ in the third digit at most, and vectors keep the length 1."""
    rows = random_rows(500, width=320)
    rows = np.maximum(rows, 0)  # such as means of rectified features are
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    steps, scales = quantise(rows)
    again = steps * scales[:, None]
    assert np.linalg.norm(again, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(again @ again.T - rows @ rows.T).max() < 5e-3
