"""The catalog finds what a plain reading of the documents finds, however it came to hold them."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.catalog import SORT_KEYS, Catalog, selection
from core.catalog.colours import colours_of
from core.catalog.connection import ground_km
from core.query import Query
from core.query.fields import COLOURS, LOOKS
from core.query.nodes import (
    And,
    Bound,
    Colour,
    Flag,
    IdPrefix,
    MediaType,
    Near,
    Node,
    Not,
    Or,
    Range,
    Text,
    Words,
    walk,
)
from core.query.values import wall_clock_ms
from core.query.words import contains, words
from core.thumbhash import of_image
from crdt.documents import LIBRARY, shard_name
from crdt.operations import Delete, Operation, Put
from crdt.records import AutoRecord, BundleEntry, BundleRecord, CopyRecord, PhotoFacts
from crdt.replica import Replica, new_actor
from crdt.schema import album_key, auto_key, copy_key, label_key, pid_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from core.catalog import PhotoRecord

MODEL = "tiny@1"
TAXONOMY = {"beagle": "dog", "poodle": "dog", "dog": "animal", "cat": "animal", "animal": None, "beach": None}
CLASSES = ["beagle", "poodle", "cat", "beach"]


class TinyLabeller:
    """A model of four classes under a taxonomy; a class is shown from 0.5 on, with everything above it."""

    def __call__(self, model: str, classes: Sequence[tuple[int, float]], /) -> Sequence[tuple[str, float]]:
        found: dict[str, float] = {}
        for index, probability in classes if model == MODEL else ():
            if probability >= 0.5 and index < len(CLASSES):
                for name in (CLASSES[index], *self.above(CLASSES[index])):
                    found[name] = max(probability, found.get(name, 0.0))
        return list(found.items())

    def active(self) -> str | None:
        return MODEL

    def below(self, name: str, /) -> Collection[str]:
        return {other for other in TAXONOMY if name in self.above(other)}

    def above(self, name: str, /) -> Collection[str]:
        parent = TAXONOMY.get(name)
        return [] if parent is None else [parent, *self.above(parent)]

    def forget(self) -> None:
        pass


@dataclass
class Shot:
    """One photo as its maker means it."""

    pid: bytes
    facts: PhotoFacts
    name: str = "IMG_1.jpg"
    auto: tuple[int, float] | None = None
    labels: dict[str, bool] = field(default_factory=dict)
    albums: tuple[str, ...] = ()
    caption: str | None = None
    rating: int | None = None
    favourite: bool = False
    rotation: int | None = None
    taken: str | None = None
    trash: int | None = None

    @property
    def document(self) -> str:
        return shard_name(self.facts.wall_clock, self.pid)

    def operations(self) -> list[Operation]:
        pid, key = self.pid, pid_key(self.pid)
        copy = CopyRecord(role="original", key=bytes(32), size=self.facts.size, file_name=self.name)
        made: list[Operation] = [
            Put("photo", key, self.facts.pack()),
            Put("copy", copy_key(pid, pid * 2), copy.pack()),
            *(Put("label", label_key(pid, name), added) for name, added in self.labels.items()),
            *(Put("album", album_key(pid, album), 1.0) for album in self.albums),
        ]
        if self.auto is not None:
            made.append(Put("auto", auto_key(pid, MODEL), AutoRecord.of([self.auto]).pack()))
        for map_name in ("caption", "rating", "rotation", "taken", "trash"):
            value = getattr(self, map_name)
            if value is not None:
                made.append(Put(map_name, key, value))
        if self.favourite:
            made.append(Put("favourite", key, True))
        return made


ALBUMS = {"a1": "Lisbon 2024", "a2": "Birthday party", "a3": "lisbon"}


def documents_of(shots: Sequence[Shot]) -> dict[str, Replica]:
    replicas = {LIBRARY: Replica.create(LIBRARY, new_actor(b"device"))}
    replicas[LIBRARY].edit([Put("album", album, name) for album, name in ALBUMS.items()])
    for shot in shots:
        if shot.document not in replicas:
            replicas[shot.document] = Replica.create(shot.document, new_actor(b"device"))
        replicas[shot.document].edit(shot.operations())
    return replicas


def catalog_of(replicas: dict[str, Replica]) -> Catalog:
    catalog = Catalog.empty(TinyLabeller())
    for document in sorted(replicas):
        catalog.load_document(document, replicas[document])
    return catalog


# What a query means, photo by photo, with nothing remembered and nothing indexed.


def shown_labels(shot: Shot) -> set[str]:
    labeller = TinyLabeller()
    model = {name for name, _ in labeller(MODEL, [shot.auto] if shot.auto else [])}
    given_names = {name for name, added in shot.labels.items() if added}
    denied = {name for name, added in shot.labels.items() if not added}
    below = {name for name in denied for name in labeller.below(name)}
    implied = {above for name in given_names for above in labeller.above(name)} - denied
    return (model - denied - below) | given_names | implied


def taken_ms(shot: Shot) -> int | None:
    text = (shot.taken or "")[:19] or shot.facts.wall_clock or shot.facts.fallback_clock
    return None if text is None else wall_clock_ms(datetime.fromisoformat(text))


def is_true(node: Node, shot: Shot) -> bool:  # noqa: C901, PLR0911, PLR0912 - one answer a kind of node
    match node:
        case And(items=items):
            return all(is_true(item, shot) for item in items)
        case Or(items=items):
            return any(is_true(item, shot) for item in items)
        case Not(item=item):
            return not is_true(item, shot)
        case Words(text=text, prefix=prefix):
            places = [shot.name, shot.caption or "", *shown_labels(shot), *(ALBUMS[album] for album in shot.albums)]
            return any(contains(place, words(text), prefix=prefix) for place in places)
        case Text(field="label", text=text, prefix=prefix):
            return any(name == text or (prefix and name.startswith(text)) for name in shown_labels(shot))
        case Text(field=name, text=text, prefix=prefix):
            facts = shot.facts
            texts = {
                "album": [ALBUMS[album] for album in shot.albums],
                "camera": [f"{facts.make or ''} {facts.model or ''}"],
                "lens": [facts.lens or ""],
                "name": [shot.name],
                "caption": [shot.caption or ""],
            }
            return any(contains(place, words(text), prefix=prefix) for place in texts[name])
        case Flag(field=kind, name=name):
            return flag(kind, name, shot)
        case MediaType(name=name):
            return {"jpeg": "image/jpeg", "raw": "image/x-adobe-dng", "png": "image/png"}[name] == shot.facts.mime
        case Range():
            return in_range(node, shot)
        case Near(latitude=latitude, longitude=longitude, kilometres=kilometres):
            facts = shot.facts
            if facts.latitude is None or facts.longitude is None:
                return False
            return ground_km(round(facts.latitude, 7), round(facts.longitude, 7), latitude, longitude) <= kilometres
        case Colour(name=name):
            colours = colours_of([shot.facts.thumbhash or b""])[0]
            return bool(colours >> COLOURS.index(name) & 1)
        case IdPrefix(digits=digits):
            return shot.pid.hex().startswith(digits)
        case _:
            raise AssertionError(node)


def in_range(node: Range, shot: Shot) -> bool:
    facts = shot.facts
    values: dict[str, float | None] = {
        "rating": shot.rating or 0,
        "width": facts.width,
        "height": facts.height,
        "size": facts.size,
        "iso": facts.iso,
        "aperture": facts.f_number,
        "brightness": None if facts.brightness is None else facts.brightness / 10,
        "date": taken_ms(shot),
        "imported": facts.imported_at,
    }
    value = values[node.field]
    if value is None:
        return False
    low, high = node.low, node.high
    above = low is None or value > low.value or (low.inclusive and value == low.value)
    below = high is None or value < high.value or (high.inclusive and value == high.value)
    return above and below


def flag(kind: str, name: str, shot: Shot) -> bool:
    facts = shot.facts
    turned = shot.rotation in {90, 270}
    width, height = (facts.height, facts.width) if turned else (facts.width, facts.height)
    own_date = shot.taken is not None or facts.wall_clock is not None
    answers = {
        ("is", "favourite"): shot.favourite,
        ("is", "trash"): shot.trash is not None,
        ("is", "labelled"): bool(shown_labels(shot)),
        ("is", "unlabelled"): not shown_labels(shot),
        ("is", "confirmed"): any(shot.labels.values()),
        ("is", "rated"): bool(shot.rating),
        ("is", "unrated"): not shot.rating,
        ("is", "landscape"): width > height,
        ("is", "portrait"): width < height,
        ("is", "square"): width == height,
        ("is", "dark"): facts.brightness == _DARK,
        ("is", "bright"): False,
        ("is", "blurry"): False,
        ("is", "black-and-white"): False,
        ("is", "screenshot"): bool(facts.screenshot) or "Screenshot" in shot.name,
        ("is", "guessed-date"): not own_date and facts.fallback_clock is not None,
        ("has", "gps"): facts.latitude is not None,
        ("has", "caption"): bool(shot.caption),
        ("has", "date"): own_date,
        ("has", "label"): bool(shown_labels(shot)),
        ("has", "album"): bool(shot.albums),
        ("has", "rating"): bool(shot.rating),
        ("has", "camera"): facts.make is not None or facts.model is not None,
        ("has", "lens"): facts.lens is not None,
    }
    return answers[kind, name]


def expected(node: Node, shots: Sequence[Shot]) -> set[bytes]:
    trash_too = Flag(field="is", name="trash") in walk(node)
    return {shot.pid for shot in shots if is_true(node, shot) and (trash_too or shot.trash is None)}


# Random photos and random questions about them, from pools small enough to meet.

_CLOCKS = ["2023-12-31T23:59:59", "2024-01-01T00:00:00", "2024-05-17T14:03:00", "1969-07-20T20:17:40"]
_PLACES = [
    (38.72, -9.14),
    (38.75, -9.15),
    (38.72, 170.0),
    (-17.0, 179.99),
    (-17.0, -179.99),
    (89.9, 0.0),
    (89.9, 180.0),
]
_NAMES = ["IMG_1.jpg", "IMG_12.jpg", "Grüße aus Lisbon.png", "日本の花.jpg", "beach beagle.jpg", "Screenshot_1.png"]
_DARK = 120
_HASHES = [of_image(Image.new("RGB", (4, 3), colour)) for colour in ("red", "blue", "white")]
_CAPTIONS = [None, "Birthday party", "At the beach", "GRÜSSE", "🎉 party 🎉", "..."]


@st.composite
def photos(draw: st.DrawFn) -> list[Shot]:
    count = draw(st.integers(0, 8))
    return [draw(_shots(number)) for number in range(count)]


@st.composite
def _shots(draw: st.DrawFn, number: int) -> Shot:
    place = draw(st.sampled_from([None, *_PLACES]))
    clock = draw(st.sampled_from([None, *_CLOCKS]))
    facts = PhotoFacts(
        width=draw(st.sampled_from([100, 200, 4000])),
        height=draw(st.sampled_from([100, 200])),
        size=draw(st.sampled_from([1000, 2_000_000])),
        mime=draw(st.sampled_from(["image/jpeg", "image/png", "image/x-adobe-dng"])),
        wall_clock=clock,
        offset_minutes=draw(st.sampled_from([None, -90, 120])),
        latitude=None if place is None else place[0],
        longitude=None if place is None else place[1],
        make=draw(st.sampled_from([None, "Google", "Canon"])),
        model=draw(st.sampled_from([None, "Pixel 8", "Pixel 8 Pro"])),
        lens=draw(st.sampled_from([None, "EF 50mm f/1.8"])),
        iso=draw(st.sampled_from([None, 100, 400])),
        f_number=draw(st.sampled_from([None, 1.8, 2.8])),
        imported_at=draw(st.sampled_from([1_700_000_000, 1_700_000_001])),
        thumbhash=draw(st.sampled_from([None, *_HASHES])),
        brightness=draw(st.sampled_from([None, _DARK, 500])),
        screenshot=draw(st.sampled_from([None, False, True])),
        fallback_clock=None if clock else draw(st.sampled_from([None, _CLOCKS[1]])),
    )
    return Shot(
        pid=bytes([draw(st.integers(0, 3)) * 16 + number]) + bytes(15),
        facts=facts,
        name=draw(st.sampled_from(_NAMES)),
        auto=draw(st.one_of(st.none(), st.tuples(st.integers(0, 4), st.sampled_from([0.4, 0.6, 0.9])))),
        labels=draw(st.dictionaries(st.sampled_from([*TAXONOMY, "my cat"]), st.booleans(), max_size=2)),
        albums=tuple(draw(st.sets(st.sampled_from(sorted(ALBUMS)), max_size=2))),
        caption=draw(st.sampled_from(_CAPTIONS)),
        rating=draw(st.sampled_from([None, 0, 1, 5])),
        favourite=draw(st.booleans()),
        rotation=draw(st.sampled_from([None, 90, 180])),
        taken=draw(st.sampled_from([None, None, "2024-05-18T00:00:00+02:00", "2024-05-18T00:00:00"])),
        trash=draw(st.sampled_from([None, None, None, 1_700_000_000])),
    )


@st.composite
def _ranges(draw: st.DrawFn) -> Node:
    fields: list[tuple[str, list[float]]] = [
        ("rating", [0, 1, 4, 5]),
        ("width", [100, 150, 4000]),
        ("height", [100, 200]),
        ("size", [1000, 2_000_000]),
        ("iso", [100, 400]),
        ("aperture", [1.8, 2.8]),
        ("brightness", [_DARK / 10, 49.9, 50]),
        ("date", [wall_clock_ms(datetime.fromisoformat(clock)) for clock in _CLOCKS]),
        ("imported", [1_700_000_000, 1_700_000_001]),
    ]
    name, values = draw(st.sampled_from(fields))
    low, high = sorted([draw(st.sampled_from(values)), draw(st.sampled_from(values))])
    ends = draw(st.sampled_from(["low", "high", "both"]))
    inclusive = draw(st.booleans())
    return Range(
        field=name,
        low=None if ends == "high" else Bound(low, inclusive),
        high=None if ends == "low" else Bound(high, inclusive),
    )


_wanted = st.sampled_from(
    [
        "beach",
        "dog",
        "party",
        "IMG 1",
        "img",
        "1",
        "jpg",
        "lisbon",
        "Lisbon 2024",
        "Grüsse",
        "日本",
        "本の",
        "🎉",
        "bea",
        "pixel 8",
    ]
)
_flags = [("is", name) for name in ("favourite", "trash", "labelled", "unlabelled", "confirmed", "rated", "unrated")]
_flags += [("is", name) for name in ("landscape", "portrait", "square", "guessed-date", *LOOKS)]
_flags += [("has", name) for name in ("gps", "caption", "date", "label", "album", "rating", "camera", "lens")]
_leaves: st.SearchStrategy[Node] = st.one_of(
    st.builds(lambda text, prefix: Words(text=text, prefix=prefix), _wanted, st.booleans()),
    st.builds(
        lambda name, text, prefix: Text(field=name, text=text, prefix=prefix),
        st.sampled_from(["album", "camera", "lens", "name", "caption"]),
        _wanted,
        st.booleans(),
    ),
    st.builds(
        lambda text, prefix: Text(field="label", text=text, prefix=prefix),
        st.sampled_from([*TAXONOMY, "my cat", "b", "none"]),
        st.booleans(),
    ),
    st.sampled_from(_flags).map(lambda pair: Flag(field=pair[0], name=pair[1])),
    st.sampled_from(["jpeg", "png", "raw"]).map(lambda name: MediaType(name=name)),
    _ranges(),
    st.sampled_from(["red", "blue", "white", "pink"]).map(lambda name: Colour(name=name)),
    st.builds(
        lambda place, kilometres: Near(latitude=place[0], longitude=place[1], kilometres=kilometres),
        st.sampled_from([*_PLACES, (0.0, 0.0), (-90.0, 0.0)]),
        st.sampled_from([0.0, 0.5, 3.0, 3.4, 3.5, 5.0, 30.0, 500.0, 15_000.0, 20_016.0]),
    ),
    st.sampled_from(["0", "1", "10", "100", "2000", "f"]).map(lambda digits: IdPrefix(digits=digits)),
)
questions: st.SearchStrategy[Node] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        inner.map(lambda item: Not(item=item)),
        st.lists(inner, max_size=3).map(lambda items: And(items=tuple(items))),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: Or(items=tuple(items))),
    ),
    max_leaves=6,
)


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
            thumbhash=_HASHES[size - 1],
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
