"""Targets for what is shown of documents: what other devices wrote becomes rows, lists and queries that are run."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, cast

import msgspec

from core.catalog import Catalog
from core.catalog.connection import empty_database
from core.catalog.entry import PART_MAPS, PHOTO_MAPS, PhotoEntry, join, read_entries
from core.catalog.labels import LibraryLabeller, NoLabeller
from core.devices import device_names
from core.errors import QueryError
from core.export_names import Layout, Wish, plan, safe_name, viewable_name
from core.places import places
from core.query import parse
from core.query.nodes import quoted
from core.vocabulary import _known
from crdt.documents import LIBRARY, DocumentKind
from crdt.errors import ValueRefused
from crdt.records import AutoRecord, BundleEntry, BundleRecord, CopyRecord, PhotoFacts
from crdt.schema import SHAPES
from tests.fuzz.target import same, target, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection

    from core.catalog.labels import Labeller
    from core.catalog.records import PhotoRecord
    from core.library import Library
    from crdt.operations import Scalar

MONTH = "photos:2024-05"
PID, OTHER_PID = "ab" * 16, "cd" * 16
BLOB = "12" * 32
PHOTO_MAPS_AND_PARTS = (*PHOTO_MAPS, *PART_MAPS)
SHARD_MAPS = (*PHOTO_MAPS_AND_PARTS, "bundle")
LIBRARY_MAPS = tuple(SHAPES[DocumentKind.LIBRARY])
_NO_DOCUMENT = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_LONGEST_NAME = 256
_FIELDS = ("label", "album", "camera", "lens")


class Document:
    """A document to the catalog: maps of keys and values that its schema lets pass."""

    def __init__(self, kind: DocumentKind) -> None:
        self._shapes = SHAPES[kind]
        self.maps: dict[str, dict[str, Scalar]] = {}

    def put(self, map_name: str, key: str, value: Scalar) -> None:
        if self._shapes[map_name].accepts(value):
            self.maps.setdefault(map_name, {})[key] = value

    def items(self, map_name: str, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
        found = sorted(self.maps.get(map_name, {}).items())
        return iter([(key, value) for key, value in found if key.startswith(prefix)])

    def get(self, map_name: str, key: str) -> Scalar | None:
        return self.maps.get(map_name, {}).get(key)

    @property
    def keys(self) -> list[tuple[str, str]]:
        return [(map_name, key) for map_name, values in self.maps.items() for key in values]


def document(kind: DocumentKind, maps: Sequence[str], data: bytes) -> Document:
    """Return the document that `data` says, in MessagePack: a list of lists of a map's number, a key and a value.

    A value that is a mapping stands for its MessagePack, as the packed records of a document are.
    """
    made = Document(kind)
    found = msgspec.msgpack.decode(data)
    for one in found if isinstance(found, list) else ():
        match one:
            case [int(number), str(key), dict(fields)]:
                made.put(maps[number % len(maps)], key, msgspec.msgpack.encode(fields))
            case [int(number), str(key), (bool() | int() | float() | str() | bytes()) as value]:
                made.put(maps[number % len(maps)], key, value)
            case _:
                continue
    return made


@cache
def _connection() -> Connection:
    return empty_database()


def _catalog(content: bytes, labeller: Labeller | None = None) -> Catalog:
    """Return a catalog of this content, in place of the one before: its statements are compiled once a connection."""
    connection = _connection()
    connection.rollback()
    sqlite = connection.connection.driver_connection
    assert sqlite is not None
    _opened(content).backup(sqlite)
    return Catalog(connection, labeller)


@cache
def _opened(content: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    return connection


@cache
def _no_photos() -> bytes:
    return Catalog.empty(NoLabeller()).serialise()


@cache
def _labeller() -> Labeller:
    return LibraryLabeller(lambda _: None)


def _ask(catalog: Catalog) -> list[PhotoRecord]:
    """Ask whatever the app asks about all photos; return those outside the trash."""
    found = catalog.search("")
    catalog.search("is:trash", sort="name")
    catalog.months()
    catalog.positions()
    catalog.hashed_photos()
    catalog.label_counts()
    named = [(field, one.text) for field in _FIELDS for one in catalog.suggestions(field)]
    for album in catalog.albums():
        catalog.album_pids(album.id)
        named.append(("album", album.name))
    for field, name in named:
        with suppress(QueryError):  # a name without a word
            catalog.count(f"{field}:{quoted(name)}")
    for photo in found:
        catalog.copies(photo.pid)
        catalog.thumbnail(photo.pid)
    return found


@target(ValueRefused, covers=("core.catalog.entry", "crdt.records", "crdt.schema"), values=3)
def catalog_value(data: bytes) -> None:
    """A value of each map of a shard, which passed the schema's bounds: what makes no sense is left out."""
    head, data = data[:3].ljust(3, b"\0"), data[3:]
    map_name = PHOTO_MAPS_AND_PARTS[head[0] % len(PHOTO_MAPS_AND_PARTS)]
    value: Scalar = data
    if head[1] % 4 == 1:
        value = text(data)
    elif head[1] % 4 == 2:
        value = int.from_bytes(data[:8], "little", signed=True)
    elif head[1] % 4 == 3:
        value = head[2] % 2 == 0
    key = PID
    if map_name in PART_MAPS:
        key += "/" + ("cd" * 32 if head[2] % 2 else text(data[:60]))
    month = Document(DocumentKind.SHARD)
    month.put(map_name, key, value)
    if not month.keys:
        raise ValueRefused("no value of this map")
    for one in read_entries(month, NoLabeller()).values():
        joined = join({MONTH: one, "photos:2024-06": one}, NoLabeller())
        packed = msgspec.msgpack.encode(joined)
        same(msgspec.msgpack.encode(msgspec.msgpack.decode(packed, type=PhotoEntry)), packed, "an entry of the catalog")


@target(*_NO_DOCUMENT, covers=("core.catalog.entry", "crdt.records", "core.catalog.bundles"), values=0)
def shown_month(data: bytes) -> None:
    """A month that hostile members wrote, through the schema's bounds: rows, and all that is asked of them."""
    month = document(DocumentKind.SHARD, SHARD_MAPS, data)
    catalog = _catalog(_no_photos(), _labeller())
    catalog.load_document(MONTH, month)
    found = _ask(catalog)
    again = _catalog(_no_photos(), _labeller())
    again.update(MONTH, month.keys, month)
    same(again.search(""), found, "a month that was read by its edits, and at once")


class _Shared:
    """As much of a library as those take who read the `library` document."""

    def __init__(self, shared: Document, catalog: Catalog) -> None:
        self._document, self.catalog = shared, catalog

    def replica_items(self, _document: str, map_name: str, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
        return self._document.items(map_name, prefix)

    def setting(self, name: str) -> str | None:
        return self.catalog.setting(name)


@target(
    *_NO_DOCUMENT, covers=("core.catalog.library_document", "core.vocabulary", "core.places", "core.devices"), values=0
)
def shown_library(data: bytes) -> None:
    """The `library` document: names of albums and devices, saved searches, settings, labels; and who reads them."""
    shared = document(DocumentKind.LIBRARY, LIBRARY_MAPS, data)
    catalog = _catalog(_some_photos())
    catalog.load_document(LIBRARY, shared)
    library = cast("Library", _Shared(shared, catalog))
    _ask(catalog)
    device_names(library)
    places(library, most=5)
    _known(library)
    for query in catalog.library_values("search").values():
        with suppress(QueryError):
            catalog.count(query)


def text(data: bytes) -> str:
    """Return text as Automerge holds it: UTF-8, whatever was written."""
    return data.decode("utf-8", "replace")


@cache
def _some_photos() -> bytes:
    """Return a catalog of two photos with something in every column, and one with next to nothing."""
    month = Document(DocumentKind.SHARD)
    for pid, facts in ((PID, _FACTS), (OTHER_PID, _FEW_FACTS)):
        month.put("photo", pid, facts.pack())
        month.put("copy", f"{pid}/{BLOB}", COPY.pack())
    for map_name, value in (("caption", "a dog on a beach"), ("rating", 4), ("favourite", True), ("rotation", 90)):
        month.put(map_name, PID, value)
    month.put("auto", f"{PID}/a@1", AutoRecord.of([(3, 0.9)]).pack())
    month.put("label", f"{PID}/dog", value=True)
    month.put("album", f"{PID}/lisbon", 0.5)
    month.put("trash", OTHER_PID, 5)
    month.put("bundle", BLOB, BUNDLE.pack())
    catalog = Catalog.empty()
    catalog.load_document(MONTH, month)
    made = catalog.serialise()
    catalog.close()
    return made


_FACTS = PhotoFacts(
    width=64, height=48, size=1000, mime="image/jpeg", wall_clock="2024-05-12T13:45:01", offset_minutes=120,
    date_source="exif.DateTimeOriginal", latitude=38.7, longitude=-9.1, make="Google", model="Pixel 8", lens="wide",
    iso=100, f_number=1.8, exposure_s=0.01, focal_mm=24.0, thumbhash=bytes(24), motion_s=2.0, imported_at=1_715_600_000,
    brightness=500, sharpness=3, colourfulness=10, flatness=20, perceptual_hash=bytes(range(8)), screenshot=False,
)  # fmt: skip
COPY = CopyRecord(role="original", key=bytes(32), size=9, file_name="a.jpg")
_FEW_FACTS = PhotoFacts(width=1, height=1, size=0, mime="image/png")
BUNDLE = BundleRecord(kind="thumb", key=bytes(32), entries=[BundleEntry(bytes.fromhex(PID), 0, 500)], size=500)
FACTS = (_FACTS, _FEW_FACTS)


@cache
def _asked() -> Catalog:
    return Catalog.deserialise(_some_photos())


@target(QueryError, covers=("core.catalog.query_sql", "core.query.fields", "core.query.values", "core.query.words"))
def query_run(data: bytes) -> None:
    """A query of anybody's, run: what can be understood can be answered, and what it prints finds the same."""
    query = parse(text_of(data))
    found = _asked().search(query)
    same(_asked().count(query), len(found), "the number of photos that a query finds")
    same([one.pid for one in _asked().search(str(query))], [one.pid for one in found], "what a printed query finds")


@target(covers=("core.export_names",), longest=1024)
def export_name(data: bytes) -> None:
    """Names of a file and of an album that other devices wrote: each is one component of a path, and no other's."""
    name, album = (*text_of(data).split("\n"), "", "")[:2]
    names = [safe_name(name, windows=windows) for windows in (False, True)]
    wishes = [Wish(bytes([at]) * 16, name, "2024-05-12T13:45:01", (album,)) for at in range(2)]
    for layout in Layout:
        paths = [(*one.folder, one.names[0].casefold()) for one in plan(wishes, layout)]
        same(len(set(paths)), len(wishes), "the number of files")
        names += [part for path in paths for part in path]
    for part in (*names, viewable_name(names[0], "image/png")):
        same(_is_component(part), True, f"{part!r} as a component of a path")


def _is_component(part: str) -> bool:
    size = len(part.encode("utf-8", "surrogateescape"))
    return part not in {"", ".", ".."} and not set(part) & {"/", "\0"} and size < _LONGEST_NAME
