"""Labelling at import and afterwards: results, vectors, and photos whose preview is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from core import bundles, edits
from core.importing.pipeline import import_paths
from core.importing.tagging import retag
from crdt.records import AutoRecord, BundleRecord
from crdt.schema import auto_key
from ml.errors import MlError
from ml.pack import Pack, builtin_pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.importing.events import ImportEvent
    from core.library import Library


@pytest.fixture(scope="module")
def pack() -> Pack:
    try:
        return builtin_pack()
    except MlError as error:
        pytest.skip(f"the built-in pack is not in this checkout: {error}")


def results(library: Library, model: str) -> dict[bytes, AutoRecord]:
    found = {}
    for pid, document in library.catalog.documents_of(library.catalog.pids()).items():
        packed = library.replica_get(document, "auto", auto_key(pid, model))
        if isinstance(packed, bytes):
            found[pid] = AutoRecord.unpack(packed)
    return found


def vectors(library: Library, model: str) -> dict[bytes, np.ndarray]:
    found = {}
    for document in set(library.catalog.documents_of(library.catalog.pids()).values()):
        for key, packed in library.replica_items(document, "bundle"):
            assert isinstance(packed, bytes)
            record = BundleRecord.unpack(packed)
            if record.kind != "vector":
                continue
            assert record.model == model
            assert record.dimensions is not None
            with library.blobs.open(bytes.fromhex(key), record.key) as bundle:
                for entry in record.entries:
                    part = bundles.read_part(bundle, entry.offset, entry.length)
                    (found[entry.pid],) = bundles.read_vectors(part, record.dimensions)
    return found


def test_an_import_labels_and_keeps_vectors(library: Library, make_photo: Callable[..., Path], pack: Pack) -> None:
    for number in range(3):
        make_photo(f"{number}.jpg", size=(200, 150), taken=f"2024:0{number + 1}:01 00:00:00")
    folder = make_photo("3.jpg").parent
    import_paths(library, [folder], pack=pack, workers=1)
    found = results(library, pack.model)
    assert len(found) == 4
    assert all(0 < len(record.classes()) <= 32 for record in found.values())
    assert all(record.at for record in found.values())
    kept = vectors(library, pack.model)
    assert set(kept) == set(found)
    assert all(np.isfinite(vector).all() and vector.any() for vector in kept.values())


def test_retag_labels_what_has_no_labels_and_nothing_twice(
    library: Library, make_photo: Callable[..., Path], pack: Pack
) -> None:
    for number in range(3):
        folder = make_photo(f"{number}.jpg", size=(200, 150)).parent
    import_paths(library, [folder], label=False, workers=1)
    assert results(library, pack.model) == {}
    first = retag(library, pack, workers=1)
    assert (first.added, first.skipped, first.failed) == (3, 0, 0)
    assert set(vectors(library, pack.model)) == set(results(library, pack.model)) == set(library.catalog.pids())
    second = retag(library, pack, workers=1)
    assert (second.added, second.skipped, second.group) == (0, 3, None)
    assert retag(library, pack, again=True, workers=1).added == 3


def test_a_preview_gives_about_what_an_import_gives(
    library: Library, make_photo: Callable[..., Path], pack: Pack
) -> None:
    folder = make_photo("a.jpg", size=(640, 480)).parent
    import_paths(library, [folder], pack=pack, workers=1)
    imported = dict(next(iter(results(library, pack.model).values())).classes())
    retag(library, pack, again=True, workers=1)
    from_preview = dict(next(iter(results(library, pack.model).values())).classes())
    strongest = max(imported, key=lambda index: imported[index])
    assert from_preview[strongest] == pytest.approx(imported[strongest], abs=0.05)


def test_photos_without_a_preview_are_labelled_from_the_original_or_named(
    library: Library, make_photo: Callable[..., Path], pack: Pack
) -> None:
    kept, lost = make_photo("kept.jpg"), make_photo("lost.jpg")
    import_paths(library, [kept, lost], label=False, workers=1)
    for photo in library.catalog.search():
        for copy in library.catalog.copies(photo.pid):
            if copy.role == "preview" or photo.filename == lost.name:
                library.blobs.remove(copy.blob_id)
    heard: list[ImportEvent] = []
    summary = retag(library, pack, workers=1, progress=heard.append)
    assert (summary.added, summary.failed) == (1, 1)
    failures = [event for event in heard if event.kind == "failed"]
    assert [event.pid for event in failures] == [
        photo.pid for photo in library.catalog.search() if photo.filename == lost.name
    ]


def test_retag_keeps_to_what_a_query_finds_and_out_of_the_trash(
    library: Library, make_photo: Callable[..., Path], pack: Pack
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        folder = make_photo(name).parent
    import_paths(library, [folder], label=False, workers=1)
    names = {photo.filename: photo.pid for photo in library.catalog.search()}
    edits.set_rating(library, [names["a.jpg"]], 5)
    edits.trash(library, [names["b.jpg"]])
    retag(library, pack, query="rating:5", workers=1)
    assert set(results(library, pack.model)) == {names["a.jpg"]}
    retag(library, pack, workers=1)
    assert set(results(library, pack.model)) == {names["a.jpg"], names["c.jpg"]}


def test_vectors_keep_their_direction() -> None:
    rng = np.random.default_rng(5)
    vector = rng.normal(size=128).astype(np.float32)
    (read,) = bundles.read_vectors(bundles.vector_bytes(vector), 128)
    cosine = float(read @ vector / np.linalg.norm(read) / np.linalg.norm(vector))
    assert cosine == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ValueError, match="dimensions"):
        bundles.read_vectors(b"123", 2)


def test_a_bundle_is_its_parts_in_order() -> None:
    data, entries = bundles.build([(bytes(16), b"one"), (b"\1" * 16, b""), (b"\2" * 16, b"three")])
    assert [data[entry.offset : entry.offset + entry.length] for entry in entries] == [b"one", b"", b"three"]
