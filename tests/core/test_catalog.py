"""The catalog finds what a plain reading of the documents finds, however it came to hold them."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from core.catalog import SORT_KEYS, Catalog, selection
from core.query import Query
from core.query.nodes import (
    And,
    Node,
    Text,
)
from crdt.documents import LIBRARY
from crdt.operations import Delete, Operation, Put
from crdt.records import AutoRecord, BundleEntry, BundleRecord, CopyRecord, PhotoFacts
from crdt.replica import Replica, new_actor
from crdt.schema import album_key, auto_key, copy_key, label_key, pid_key
from tests.core.catalog_oracle import (
    ALBUMS,
    HASHES,
    MODEL,
    TAXONOMY,
    Shot,
    TinyLabeller,
    catalog_of,
    documents_of,
    expected,
    photos,
    questions,
    shown_labels,
    taken_ms,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.catalog import PhotoRecord


@settings(max_examples=40)
@given(photos(), st.lists(questions, min_size=1, max_size=16))
def test_a_search_finds_what_reading_every_photo_finds(shots: list[Shot], asked: list[Node]) -> None:
    catalog = catalog_of(documents_of(shots))
    for node in asked:
        found = catalog.pids(Query(node))
        assert len(found) == len(set(found))
        assert set(found) == expected(node, shots), str(node)
        assert catalog.count(Query(node)) == len(found)
        # What was remembered meanwhile changes no answer.
        assert set(catalog.pids(Query(And(items=(node, node))))) == set(found)
    visible = [shot for shot in shots if shot.trash is None]
    assert catalog.label_counts() == Counter(name for shot in visible for name in shown_labels(shot))
    assert {one.name: one.photos for one in catalog.albums()} == {
        name: sum(album in shot.albums for shot in visible) for album, name in ALBUMS.items()
    }
    assert sum(photos for _, photos in catalog.months()) == sum(taken_ms(shot) is not None for shot in visible)
    catalog.close()


_SORTED_BY: dict[str, Callable[[PhotoRecord], Any]] = {
    "taken": lambda record: record.taken,
    "imported": lambda record: record.imported_at,
    "rating": lambda record: record.rating,
    "name": lambda record: record.filename,
    "size": lambda record: record.size,
    "score": lambda record: record.score,
}


@settings(max_examples=40)
@given(
    photos(),
    st.sampled_from(SORT_KEYS),
    st.booleans(),
    st.sampled_from([And(items=()), Text(field="label", text="dog")]),
    st.sampled_from(["sort", "walk", "keep"]),
)
def test_pages_put_together_are_the_sorted_whole(
    shots: list[Shot], sort: str, descending: bool, node: Node, way: str
) -> None:
    catalog = catalog_of(documents_of(shots))
    with pytest.MonkeyPatch.context() as patch:
        # Large libraries are sorted in other ways than small ones; all must give the same order.
        if way != "sort":
            patch.setattr(selection, "_SORTED_IN_SQL", -1)
            patch.setattr(selection, "_WALK_AT_LEAST", 0)
        if way == "keep":
            patch.setattr(selection, "_WALK_AT_MOST", -1)
        _check_order(catalog, sort, descending=descending, node=node)
    catalog.close()


def _check_order(catalog: Catalog, sort: str, *, descending: bool, node: Node) -> None:
    whole = catalog.search(Query(node), sort, descending=descending)
    keys = [_SORTED_BY[sort](record) for record in whole]
    known = [key for key in keys if key is not None]
    assert known == sorted(known, reverse=descending)
    assert keys[len(known) :] == [None] * (len(keys) - len(known))
    paged: list[PhotoRecord] = []
    while page := catalog.search(Query(node), sort, descending=descending, limit=3, offset=len(paged)):
        paged += page
    assert paged == whole
    assert [record.pid for record in whole] == catalog.pids(Query(node), sort, descending=descending)


@settings(max_examples=40)
@given(st.data())
def test_reading_what_was_touched_gives_the_catalog_that_reading_everything_gives(data: st.DataObject) -> None:
    documents = [LIBRARY, "photos:2024-05", "photos:2024-06", "undated:0"]
    replicas = {document: Replica.create(document, new_actor(b"device")) for document in documents}
    kept = Catalog.empty(TinyLabeller())
    for document in documents:
        kept.load_document(document, replicas[document])
    for _ in range(data.draw(st.integers(1, 6))):
        document = data.draw(st.sampled_from(documents))
        made = data.draw(st.lists(_library_edits if document == LIBRARY else _shard_edits, min_size=1, max_size=8))
        replicas[document].edit(made)
        kept.update(document, {(operation.map, operation.key) for operation in made}, replicas[document])
        if data.draw(st.booleans()):
            kept = Catalog.deserialise(kept.serialise(), TinyLabeller())
    if data.draw(st.booleans()):
        document = data.draw(st.sampled_from(documents))
        kept.load_document(document, replicas[document])
    assert said_by(kept) == said_by(catalog_of(replicas))
    for catalog in (kept, catalog_of(replicas)):
        catalog.close()


_ASKED = (
    *(
        "",
        "label:dog",
        "-label:animal",
        "label:dog OR rating:>=3",
        "label:be* -is:trash",
        "is:trash",
        "beach",
        "party OR a",
    ),
    *("is:favourite rating:>=2", "has:album", "album:lisbon", "is:unlabelled", "has:caption -is:favourite", "name:img"),
    *("date:2024-05..2024-05", "date:2024-06 size:>=2b", "camera:canon", "is:confirmed", "-(label:dog label:beach)"),
)


@settings(max_examples=30, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # to shrink takes minutes
@given(photos(), st.data(), st.booleans())
def test_an_answer_that_was_remembered_before_an_edit_is_right_after_it(
    shots: list[Shot], data: st.DataObject, keep: bool
) -> None:
    replicas = documents_of(shots)
    kept = catalog_of(replicas)
    with pytest.MonkeyPatch.context() as patch:
        if keep:  # orders are kept whole, as in large libraries
            patch.setattr(selection, "_SORTED_IN_SQL", -1)
            patch.setattr(selection, "_WALK_AT_MOST", -1)
        for _ in range(data.draw(st.integers(1, 4))):
            for query in _ASKED:
                kept.pids(query, data.draw(st.sampled_from(SORT_KEYS)))
            shot = data.draw(st.sampled_from([None, *shots]))
            document, strategy = (LIBRARY, _library_edits) if shot is None else (shot.document, _edits_of(shot.pid))
            made = data.draw(st.lists(strategy, min_size=1, max_size=4))
            replicas[document].edit(made)
            kept.update(document, {(operation.map, operation.key) for operation in made}, replicas[document])
        fresh = catalog_of(replicas)
        half = data.draw(st.integers(0, 1))  # of all pairs, the other half in another example
        for number, query in enumerate(_ASKED, half):
            for sort in SORT_KEYS[number % 2 :: 2]:
                assert kept.pids(query, sort) == fresh.pids(query, sort), (query, sort)
    for catalog in (kept, fresh):
        catalog.close()


_PIDS = [bytes([number]) * 16 for number in range(4)]
_BUNDLES = [bytes([number]) * 32 for number in range(2)]


@functools.cache
def _edits_of(pid: bytes) -> st.SearchStrategy[Operation]:
    key = pid_key(pid)
    facts = st.builds(
        lambda clock, size, make: PhotoFacts(
            width=4,
            height=3,
            size=size,
            mime="image/jpeg",
            wall_clock=clock,
            make=make,
            imported_at=size,
            thumbhash=HASHES[size - 1],
            brightness=100 * size,
            perceptual_hash=bytes([size]) * 8,
        ).pack(),
        st.sampled_from([None, "2024-05-17T14:03:00", "2024-06-01T00:00:00"]),
        st.integers(1, 3),
        st.sampled_from([None, "Canon"]),
    )
    copies = st.builds(
        lambda role, name: CopyRecord(role=role, key=bytes(32), size=1, file_name=name).pack(),
        st.sampled_from(["original", "preview"]),
        st.sampled_from([None, "IMG_1.jpg", "Screenshot_2.png"]),
    )
    results = st.tuples(st.integers(0, 4), st.sampled_from([0.4, 0.6, 0.9])).map(
        lambda one: AutoRecord.of([one]).pack()
    )
    values: list[tuple[str, str, st.SearchStrategy[Any]]] = [
        ("photo", key, facts),
        ("photo", key, st.just(b"no facts")),
        ("copy", copy_key(pid, bytes([1]) * 32), copies),
        ("copy", copy_key(pid, bytes([2]) * 32), copies),
        ("auto", auto_key(pid, MODEL), results),
        ("auto", auto_key(pid, "other@1"), results),
        *(("label", label_key(pid, name), st.booleans()) for name in ("dog", "beagle", "animal", "beach")),
        *(("album", album_key(pid, album), st.sampled_from([1.0, 2.0])) for album in ("a1", "a2")),
        ("caption", key, st.sampled_from(["", "at the beach", "party"])),
        ("rating", key, st.integers(0, 5)),
        ("favourite", key, st.booleans()),
        ("rotation", key, st.sampled_from([0, 90])),
        ("taken", key, st.sampled_from(["2024-05-18T00:00:00+02:00", "2024-05-18T00:00:00", "never"])),
        ("trash", key, st.integers(0, 1)),
        ("purged", key, st.just(value=True)),
    ]
    puts = [st.builds(Put, st.just(map_name), st.just(at), value) for map_name, at, value in values]
    deletes = st.sampled_from(sorted({(map_name, at) for map_name, at, _ in values})).map(lambda at: Delete(*at))
    return st.one_of(*puts, deletes)


_entries = st.lists(st.builds(BundleEntry, st.sampled_from(_PIDS), st.integers(0, 9), st.integers(1, 9)), max_size=3)
_bundles = st.builds(
    lambda kind, entries: BundleRecord(kind=kind, key=bytes(32), entries=entries).pack(),
    st.sampled_from(["thumb", "thumb", "vector"]),
    _entries,
)
_bundle_keys = st.sampled_from([blob_id.hex() for blob_id in _BUNDLES])
_shard_edits: st.SearchStrategy[Operation] = st.one_of(
    *(_edits_of(pid) for pid in _PIDS),
    st.builds(Put, st.just("bundle"), _bundle_keys, _bundles),
    st.builds(Delete, st.just("bundle"), _bundle_keys),
)
_library_edits: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Put, st.just("album"), st.sampled_from(["a1", "a2"]), st.sampled_from(["Lisbon", "Party"])),
    st.builds(Delete, st.just("album"), st.sampled_from(["a1", "a2"])),
    st.builds(Put, st.just("vocabulary"), st.just("dog"), st.just("Dog")),
    st.builds(Put, st.sampled_from(["setting", "search", "device"]), st.just("k"), st.sampled_from(["v", "w"])),
    st.builds(Delete, st.sampled_from(["setting", "search", "device"]), st.just("k")),
)


def said_by(catalog: Catalog) -> dict[str, Any]:
    """All that a catalog answers, but for the order of photos that are equal in it."""
    everything = sorted(catalog.pids("") + catalog.pids("is:trash"))
    return {
        "photos": [catalog.photo(pid) for pid in everything],
        "copies": [catalog.copies(pid) for pid in everything],
        "thumbnails": catalog.thumbnails(_PIDS),
        "documents": catalog.documents_of(_PIDS),
        "purged": catalog.purged(_PIDS),
        "automatic": [(pid, name) for pid in _PIDS for name in TAXONOMY if catalog.has_automatic_label(pid, name)],
        "shared": [catalog.blobs_of_others([pid]) for pid in _PIDS],
        "albums": catalog.albums(),
        "members": [set(catalog.album_pids(album)) for album in ("a1", "a2")],
        "labels": catalog.label_counts(),
        "months": catalog.months(),
        "hashed": catalog.hashed_photos(),
        "values": [catalog.library_values(name) for name in ("setting", "search", "device")],
        "found": [
            set(catalog.pids(query))
            for query in (
                "beach",
                "name:img",
                "caption:party",
                "album:lisbon",
                "colour:red",
                "is:dark",
                "is:screenshot",
                "brightness:>10",
                "label:dog",
                "-label:animal",
                "has:gps",
                "jpg",
            )
        ],
    }
