"""Photos, questions about them, and the answer by a plain reading of every photo: what the catalog is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from PIL import Image

from core.catalog import Catalog
from core.catalog.colours import colours_of
from core.catalog.connection import ground_km
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
from crdt.operations import Operation, Put
from crdt.records import AutoRecord, CopyRecord, PhotoFacts
from crdt.replica import Replica, new_actor
from crdt.schema import album_key, auto_key, copy_key, label_key, pid_key

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


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
HASHES = [of_image(Image.new("RGB", (4, 3), colour)) for colour in ("red", "blue", "white")]
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
        thumbhash=draw(st.sampled_from([None, *HASHES])),
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
