"""What one document says of one photo, read from the maps of a shard; and how two documents' words are joined."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from core.catalog.looks import looks_of
from core.catalog.records import DateSource, Extra
from core.catalog.tables import DEGREE_UNIT, SCORE_UNIT
from core.query.values import wall_clock_ms
from crdt.documents import PID_BYTES
from crdt.errors import CrdtError
from crdt.records import AutoRecord, CopyRecord, PhotoFacts
from crdt.schema import BLOB_ID_BYTES, label_name, photo_prefix, pid_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from core.catalog.labels import Labeller
    from crdt.operations import Scalar

PHOTO_MAPS = ("photo", "caption", "rating", "favourite", "rotation", "taken", "trash", "purged")
"""Maps of a shard whose keys are a photo's id alone."""

PART_MAPS = ("copy", "auto", "label", "album")
"""Maps of a shard whose keys are a photo's id, a slash and more."""

_PREFIX = 2 * PID_BYTES + 1
"""Characters of a photo's id and the slash after it."""
_PID = re.compile(rf"[0-9a-f]{{{2 * PID_BYTES}}}", re.ASCII)
_BLOB_ID = re.compile(rf"[0-9a-f]{{{2 * BLOB_ID_BYTES}}}", re.ASCII)
_CORRECTION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(Z|[+-]\d\d:\d\d)?", re.ASCII)


_Value = TypeVar("_Value")


class ReplicaReader(Protocol):
    """How the catalog reads a document; :class:`crdt.replica.Replica` is one."""

    def get(self, map_name: str, key: str, /) -> Scalar | None:
        """Return the value at a key, ``None`` if there is none."""

    def items(self, map_name: str, prefix: str = "", /) -> Iterator[tuple[str, Scalar]]:
        """Return the keys that start with ``prefix``, sorted, with their values."""


USER = "user"
"""Stands for a model where the user gave the label."""
IMPLIED = "implied"
"""Stands for a model where the user gave a more special label."""
TAUGHT = "taught"
"""Stands for a model where the label was learnt from the user's examples."""


class FactsEntry(msgspec.Struct, array_like=True):
    """The facts of a photo in the units of the tables (see :mod:`core.catalog.tables`)."""

    taken: int | None
    taken_offset: int | None
    taken_from: int
    imported: int | None
    width: int
    height: int
    size: int
    mime: str
    camera: str | None
    lens: str | None
    latitude: int | None
    longitude: int | None
    iso: int | None
    aperture: int | None
    focal: int | None
    motion: int | None
    looks: int
    brightness: int | None
    perceptual_hash: int | None
    extra: Extra


class CopyEntry(msgspec.Struct, array_like=True, frozen=True, order=True):
    """One copy."""

    blob_id: bytes
    preview: bool
    key: bytes
    size: int
    name: str | None


class LabelEntry(msgspec.Struct, array_like=True, frozen=True, order=True):
    """One label on somebody's word: folded name, ``name@version`` or USER or IMPLIED, score in parts of SCORE_UNIT."""

    name: str
    model: str
    score: int


class PhotoEntry(msgspec.Struct, array_like=True):
    """All that one document says of a photo, or several documents together.

    Attributes:
        facts: from the file; ``None`` if this document has none that can be read.
        copies: sorted by blob id.
        labels: that are not rejected, sorted by name and model.
        rejected: names of labels the user rejected, sorted.
        albums: album id and position, sorted by id.
        corrected: the user's date: wall clock in milliseconds, offset in minutes or ``None``.
    """

    facts: FactsEntry | None = None
    copies: tuple[CopyEntry, ...] = ()
    labels: tuple[LabelEntry, ...] = ()
    rejected: tuple[str, ...] = ()
    albums: tuple[tuple[str, float], ...] = ()
    caption: str | None = None
    rating: int | None = None
    favourite: bool = False
    rotation: int | None = None
    corrected: tuple[int, int | None] | None = None
    trashed: int | None = None
    purged: bool = False

    @property
    def shown(self) -> bool:
        """Whether there is a photo to show."""
        return self.facts is not None and not self.purged

    @property
    def silent(self) -> bool:
        """Whether the document says nothing of the photo."""
        return self == _SILENT


_SILENT = PhotoEntry()


class _Raw:
    """The values of all maps that speak of one photo; parts as (map, second part of the key, value)."""

    __slots__ = ("parts", "values")

    def __init__(self) -> None:
        self.values: dict[str, Scalar] = {}
        self.parts: list[tuple[str, str, Scalar]] = []


def read_entry(read: ReplicaReader, pid: bytes, labeller: Labeller) -> PhotoEntry:
    """Read what a document says of one photo."""
    raw = _Raw()
    key, prefix = pid_key(pid), photo_prefix(pid)
    for map_name in PHOTO_MAPS:
        value = read.get(map_name, key)
        if value is not None:
            raw.values[map_name] = value
    for map_name in PART_MAPS:
        raw.parts.extend((map_name, part_key[_PREFIX:], value) for part_key, value in read.items(map_name, prefix))
    return _entry(raw, labeller)


def read_entries(read: ReplicaReader, labeller: Labeller) -> dict[bytes, PhotoEntry]:
    """Read what a document says of every photo it speaks of."""
    found: defaultdict[str, _Raw] = defaultdict(_Raw)
    for map_name in PHOTO_MAPS:
        for key, value in read.items(map_name):
            found[key].values[map_name] = value
    for map_name in PART_MAPS:
        for key, value in read.items(map_name):
            if key[_PREFIX - 1 : _PREFIX] == "/":
                found[key[: _PREFIX - 1]].parts.append((map_name, key[_PREFIX:], value))
    # Keys of other shapes come from newer versions; ids are looked at once a photo, not once a key.
    return {bytes.fromhex(key): _entry(raw, labeller) for key, raw in found.items() if _PID.fullmatch(key)}


def join(parts: Mapping[str, PhotoEntry], labeller: Labeller) -> PhotoEntry:
    """One photo out of what several documents say: facts of the lowest document name that has some, union of the rest.

    What was rejected in one document is rejected; what the user gave in another stands all the same.
    """
    entries = [parts[name] for name in sorted(parts)]
    rejected = sorted({name for entry in entries for name in entry.rejected})
    return PhotoEntry(
        facts=next((entry.facts for entry in entries if entry.facts is not None), None),
        copies=tuple(sorted({copy.blob_id: copy for entry in reversed(entries) for copy in entry.copies}.values())),
        labels=accepted((label for entry in entries for label in entry.labels), rejected, labeller),
        rejected=tuple(rejected),
        albums=tuple(
            sorted({album: position for entry in reversed(entries) for album, position in entry.albums}.items())
        ),
        caption=_first(entry.caption for entry in entries),
        rating=_first(entry.rating for entry in entries),
        favourite=any(entry.favourite for entry in entries),
        rotation=_first(entry.rotation for entry in entries),
        corrected=_first(entry.corrected for entry in entries),
        trashed=_first(entry.trashed for entry in entries),
        purged=any(entry.purged for entry in entries),
    )


def _first(values: Iterable[_Value | None]) -> _Value | None:
    return next((value for value in values if value is not None), None)


def _entry(raw: _Raw, labeller: Labeller) -> PhotoEntry:
    values = raw.values
    if values.get("purged") is True:
        # Nothing more is kept of it, here as elsewhere.
        return PhotoEntry(purged=True)
    entry = PhotoEntry(
        facts=_facts(values.get("photo")),
        caption=_of_type(values.get("caption"), str) or None,
        rating=_of_type(values.get("rating"), int),
        favourite=values.get("favourite") is True,
        rotation=_of_type(values.get("rotation"), int),
        corrected=corrected_date(values.get("taken")),
        trashed=_of_type(values.get("trash"), int),
    )
    copies: list[CopyEntry] = []
    albums: list[tuple[str, float]] = []
    states: dict[str, bool] = {}
    auto: list[tuple[str, bytes]] = []
    for map_name, name, value in raw.parts:
        if not name:
            continue
        if map_name == "copy":
            copy = _copy(name, value)
            if copy is not None:
                copies.append(copy)
        elif map_name == "auto" and isinstance(value, bytes):
            auto.append((name, value))
        elif map_name == "label" and isinstance(value, bool):
            states[_folded(name)] = value
        elif map_name == "album" and isinstance(value, float | int):
            albums.append((name, float(value)))
    entry.copies = tuple(sorted(copies))
    entry.albums = tuple(sorted(albums))
    entry.rejected = tuple(sorted(name for name, added in states.items() if not added))
    entry.labels = _labels(auto, states, entry.rejected, labeller)
    return entry


def _of_type(value: Scalar | None, wanted: type[_Value]) -> _Value | None:
    return value if isinstance(value, wanted) else None


@lru_cache(maxsize=10_000)
def _folded(name: str) -> str:
    try:
        return label_name(name)
    except CrdtError:
        return name


def _labels(
    auto: list[tuple[str, bytes]], states: Mapping[str, bool], rejected: Sequence[str], labeller: Labeller
) -> tuple[LabelEntry, ...]:
    found = [
        LabelEntry(_folded(name), model, min(SCORE_UNIT, max(0, round(score * SCORE_UNIT))))
        for model, packed in auto
        for name, score in _model_labels(model, packed, labeller)
    ]
    given = [name for name, added in states.items() if added]
    found.extend(LabelEntry(name, USER, SCORE_UNIT) for name in given)
    # A beagle is a dog: what the user says of a photo is said of all more general labels too.
    found.extend(LabelEntry(above, IMPLIED, SCORE_UNIT) for name in given for above in labeller.above(name))
    return accepted(found, rejected, labeller)


def _model_labels(model: str, packed: bytes, labeller: Labeller) -> Sequence[tuple[str, float]]:
    try:
        return labeller(model, AutoRecord.unpack(packed).classes())
    except CrdtError:
        return ()


def accepted(labels: Iterable[LabelEntry], rejected: Iterable[str], labeller: Labeller) -> tuple[LabelEntry, ...]:
    """Return the labels that the user did not reject: what is no dog is no beagle either, unless the user said so."""
    refused = set(rejected)
    below = {name for denied in refused for name in labeller.below(denied)}
    strongest: dict[tuple[str, str], LabelEntry] = {}
    for label in labels:
        known = strongest.get((label.name, label.model))
        denied = label.model != USER and (label.name in refused or (label.name in below and label.model != IMPLIED))
        if not denied and (known is None or label.score > known.score):
            strongest[label.name, label.model] = label
    return tuple(strongest[key] for key in sorted(strongest))


def _copy(blob_id: str, value: Scalar) -> CopyEntry | None:
    if not isinstance(value, bytes) or not _BLOB_ID.fullmatch(blob_id):
        return None
    try:
        record = CopyRecord.unpack(value)
    except CrdtError:
        return None
    return CopyEntry(bytes.fromhex(blob_id), record.role == "preview", record.key, record.size, record.file_name)


def _facts(value: Scalar | None) -> FactsEntry | None:
    if not isinstance(value, bytes):
        return None
    try:
        facts = PhotoFacts.unpack(value)
    except CrdtError:
        return None
    taken, source = wall_clock(facts.wall_clock), DateSource.FILE
    if taken is None:
        taken, source = wall_clock(facts.fallback_clock), DateSource.GUESS
    placed = facts.latitude is not None and facts.longitude is not None
    return FactsEntry(
        taken=taken,
        taken_offset=facts.offset_minutes,
        taken_from=source if taken is not None else DateSource.NOWHERE,
        imported=facts.imported_at,
        width=facts.width,
        height=facts.height,
        size=facts.size,
        mime=facts.mime,
        camera=camera_name(facts.make, facts.model),
        lens=facts.lens,
        latitude=round((facts.latitude or 0) * DEGREE_UNIT) if placed else None,
        longitude=round((facts.longitude or 0) * DEGREE_UNIT) if placed else None,
        iso=facts.iso,
        aperture=_thousandths(facts.f_number),
        focal=_thousandths(facts.focal_mm),
        motion=_thousandths(facts.motion_s),
        looks=looks_of(facts),
        brightness=facts.brightness,
        perceptual_hash=_signed(facts.perceptual_hash),
        extra=Extra(
            thumbhash=facts.thumbhash,
            altitude_m=facts.altitude_m,
            exposure_s=facts.exposure_s,
            orientation=facts.orientation,
            date_source=facts.date_source if facts.wall_clock is not None else facts.fallback_source,
        ),
    )


def _signed(packed: bytes | None) -> int | None:
    return None if packed is None else int.from_bytes(packed, "big", signed=True)


def _thousandths(value: float | None) -> int | None:
    return None if value is None else round(value * 1000)


def camera_name(make: str | None, model: str | None) -> str | None:
    """Make and model as one name; a model that begins with its make is not doubled."""
    make, model = (make or "").strip(), (model or "").strip()
    if not model.casefold().startswith(make.casefold().partition(" ")[0]) or not make:
        model = f"{make} {model}".strip()
    return model or make or None


def wall_clock(text: str | None) -> int | None:
    """Return the milliseconds since 1970-01-01T00:00 of a wall clock; ``None`` for a text that names no real time."""
    if text is None:
        return None
    try:
        return wall_clock_ms(datetime.fromisoformat(text).replace(tzinfo=None))
    except ValueError:
        return None


def corrected_date(value: Scalar | None) -> tuple[int, int | None] | None:
    """Wall clock in milliseconds and offset in minutes of a correction; ``None`` if it is none that can be read."""
    found = _CORRECTION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    taken, offset = wall_clock(found[1]), found[2]
    if taken is None:
        return None
    if offset is None:
        return taken, None
    try:
        shift = datetime.fromisoformat(f"2000-01-01T00:00{offset}").utcoffset() or timedelta()
    except ValueError:
        return taken, None
    return taken, round(shift / timedelta(minutes=1))
