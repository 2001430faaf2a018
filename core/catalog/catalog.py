"""The catalog's public face: kept up to date by the library, asked by everything else."""

from __future__ import annotations

import functools
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Concatenate, ParamSpec, Self, TypeVar

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError

from core.catalog import holding, listing, reading
from core.catalog.bundles import BUNDLE_MAP, BundleWriter
from core.catalog.connection import empty_database, open_database, write_database
from core.catalog.descriptions import answer, with_likeness
from core.catalog.entry import PART_MAPS, PHOTO_MAPS, PhotoEntry, read_entries, read_entry
from core.catalog.labels import LibraryLabeller
from core.catalog.library_document import TAUGHT_MAP, LibraryWriter
from core.catalog.selection import ASCENDING_BY_DEFAULT, Selector, sort_key
from core.catalog.tables import (
    VERSION,
    envelope,
    library_value,
    vector,
)
from core.catalog.taught import TaughtWriter
from core.catalog.terms import Terms
from core.catalog.writer import PhotoWriter
from core.errors import AmbiguousPhoto, NoSuchPhoto, UnknownFormat
from core.label_derivation import label_derivation
from core.query import Query, parse
from crdt.documents import LIBRARY, PID_BYTES
from crdt.schema import key_pid, label_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from core.catalog.descriptions import Describer
    from core.catalog.entry import ReplicaReader
    from core.catalog.labels import Labeller
    from core.catalog.listing import HashedPhoto, Suggestion
    from core.catalog.records import AlbumRecord, Copy, PhotoRecord, ThumbRef
    from core.catalog.sequence import PhotoSequence, SequenceMaker

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_PART = 1_000
"""How many photos are written while others wait to ask: about a third of a second."""
_TURN_S = 0.001
"""A thread that waits for a lock gets it only if whoever lets it go does not take it again at once."""
_OF_SHARDS = frozenset({*PHOTO_MAPS, *PART_MAPS})


def _alone(
    method: Callable[Concatenate[Catalog, _Arguments], _Result],
) -> Callable[Concatenate[Catalog, _Arguments], _Result]:
    """Let one thread at a time use the catalog: it has one connection."""

    @functools.wraps(method)
    def run(self: Catalog, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with self._guard:
            return method(self, *args, **kwargs)

    return run


class Catalog:
    """All that is known of the photos. Threads may share one; they take turns."""

    DERIVATION: ClassVar[str] = f"catalog {VERSION}, labels {label_derivation()}"
    """Names how catalogs are made: one made otherwise is of no use."""

    def __init__(self, connection: Connection, labeller: Labeller | None = None) -> None:
        """Wrap an open database; use :meth:`empty` or :meth:`deserialise`."""
        self._guard = threading.RLock()
        self._connection = connection
        self._labeller = LibraryLabeller(self.setting) if labeller is None else labeller
        self.describer: Describer | None = None
        """Who knows which photos a text describes; whoever opens a library says so."""
        self._counted_labels: dict[str, int] | None = None
        self._sequences: SequenceMaker | None = None
        self._prepare()

    @classmethod
    def empty(cls, labeller: Labeller | None = None) -> Self:
        """Return a catalog without photos.

        Args:
            labeller: turns what models said into labels; by default, the models installed here.
        """
        return cls(empty_database(), labeller)

    @classmethod
    def deserialise(cls, data: bytes, labeller: Labeller | None = None) -> Self:
        """Return the catalog that :meth:`serialise` wrote.

        Raises:
            UnknownFormat: another version wrote it, or it is none; the caller builds the catalog anew.
        """
        connection = open_database(data)
        try:
            return cls(connection, labeller)
        except DBAPIError as error:
            connection.close()
            raise UnknownFormat("the catalog cannot be read", hint="`safelight rebuild` makes it anew") from error

    @_alone
    def serialise(self) -> bytes:
        """Return the whole catalog as bytes, to be sealed: it is in the clear."""
        return write_database(self._connection)

    @_alone
    def close(self) -> None:
        """Free the memory."""
        self._connection.close()
        self._connection.engine.dispose()

    # What it includes

    @property
    @_alone
    def vector(self) -> dict[bytes, tuple[int, bytes]]:
        """The newest envelope of each device that it includes: number and hash."""
        rows = self._connection.execute(select(vector))
        return {row.device: (row.seq, row.hash) for row in rows}

    @vector.setter
    @_alone
    def vector(self, value: Mapping[bytes, tuple[int, bytes]]) -> None:
        with self._writing():
            self._connection.execute(delete(vector))
            rows = [{"device": device, "seq": seq, "hash": digest} for device, (seq, digest) in value.items()]
            if rows:
                self._connection.execute(insert(vector), rows)

    @_alone
    def note_envelope(self, device: bytes, seq: int, documents: Iterable[str]) -> None:
        """Remember that an envelope touched these documents."""
        with self._writing(forget=False):
            device_number = self._terms.require("device", device.hex())
            rows = [
                {"document": self._terms.require("touched", document), "device": device_number, "seq": seq}
                for document in dict.fromkeys(documents)
            ]
            if rows:
                self._connection.execute(sqlite_insert(envelope).on_conflict_do_nothing(), rows)

    @_alone
    def documents_touched_since(self, document: str, since: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
        """Return the envelopes (device, number) past ``since`` that touched a document, as they arrived."""
        rows = self._connection.execute(
            select(envelope.c.device, envelope.c.seq)
            .where(envelope.c.document == self._terms.known("touched", document))
            .order_by(envelope.c.id)
        )
        places = ((bytes.fromhex(self._terms.text(device) or ""), seq) for device, seq in rows)
        return [(device, seq) for device, seq in places if seq > since.get(device, 0)]

    # Keeping it up to date

    @_alone
    def update(self, document: str, touched: Collection[tuple[str, str]], read: ReplicaReader) -> None:
        """Read again what an edit touched.

        Args:
            document: the document that was edited.
            touched: its maps and keys that changed.
            read: the document after the edit.
        """
        if document == LIBRARY:
            with self._writing():
                self._library.update(touched, read)
                maps = {map_name for map_name, _ in touched}
                if not maps.isdisjoint({TAUGHT_MAP, "setting"}):
                    self._taught.forget_others(self._labeller)
                if "setting" in maps:
                    self._labeller.forget()
            return
        with self._writing(forget=False):
            pids = {key_pid(key) for map_name, key in touched if map_name in _OF_SHARDS}
            entries = {pid: read_entry(read, pid, self._labeller) for pid in pids if pid is not None}
            rewritten = self._photos.put(document, entries, self._labeller)
            bundles = [key for map_name, key in touched if map_name == BUNDLE_MAP]
            if bundles:
                self._bundles.update(document, bundles, read)
        self._selector.rewritten(rewritten)
        self._counted_labels = None

    @_alone
    def load_document(self, document: str, read: ReplicaReader) -> None:
        """Read a whole document, in place of what was known from it."""
        with self._writing():
            if document == LIBRARY:
                self._library.load(read)
                self._taught.forget_others(self._labeller)
                self._labeller.forget()
                return
            entries = read_entries(read, self._labeller)
            if self._terms.known("document", document) is not None:
                # What it no longer speaks of goes; a document met for the first time needs no search for that.
                entries = dict.fromkeys(self._photos.pids_of(document), PhotoEntry()) | entries
                self._bundles.forget(document)
            self._photos.put(document, entries, self._labeller)
            self._bundles.load(document, read)

    def load_in_parts(self, document: str, read: ReplicaReader) -> None:
        """Read a whole document, the newest photos first; between its parts other threads' questions are answered.

        Whoever is interrupted in the middle loads it again, or throws the catalog away.
        """
        with self._guard:
            if document == LIBRARY or self._terms.known("document", document) is not None:
                self.load_document(document, read)
                return
            with self._writing():
                self._bundles.load(document, read)
                entries = read_entries(read, self._labeller)
        newest = sorted(entries, key=lambda pid: -(facts.taken or 0) if (facts := entries[pid].facts) else 0)
        for start in range(0, max(1, len(newest)), _PART):
            part = newest[start : start + _PART]
            with self._guard, self._writing():
                self._photos.put(document, {pid: entries[pid] for pid in part}, self._labeller)
            time.sleep(_TURN_S)

    # Finding photos

    def search(
        self,
        query: Query | str = "",
        sort: str = "taken",
        *,
        descending: bool | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[PhotoRecord]:
        """Return the photos a query finds.

        Args:
            query: as typed, or parsed; by default the one that finds all photos outside the trash.
            sort: what they are ordered by, one of `SORT_KEYS`; photos that lack it come last.
            descending: largest, newest, best first; by default so for everything but names.
            limit: how many at most; all by default.
            offset: how many to pass over.

        Raises:
            QueryError: the query cannot be understood, or asks for what this library cannot answer.
        """
        with self._asked(query) as asked:
            numbers = self._numbers(asked, sort, descending=descending, limit=limit, offset=offset)
            scoring = self._selector.scoring(asked)
            found = reading.records(self._connection, self._terms, numbers, self._selector.models(), scoring)
            return with_likeness(found, self._selector.likeness(asked))

    def pids(
        self,
        query: Query | str = "",
        sort: str = "taken",
        *,
        descending: bool | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[bytes]:
        """Return the ids of the photos a query finds; arguments and errors as for :meth:`search`."""
        with self._asked(query) as asked:
            numbers = self._numbers(asked, sort, descending=descending, limit=limit, offset=offset)
            return listing.pids_of(self._connection, numbers)

    def sequence(
        self, query: Query | str = "", sort: str = "taken", *, descending: bool | None = None
    ) -> PhotoSequence:
        """Return all photos a query finds, with their days, for scrolling; arguments as for :meth:`search`."""
        with self._asked(query) as asked:
            if self._sequences is None or not self._sequences.is_current():
                from core.catalog.sequence import SequenceMaker  # numpy: no command needs it to search

                self._sequences = SequenceMaker(self._connection)
            numbers = self._numbers(asked, sort, descending=descending, limit=None, offset=0)
            return self._sequences.sequence(numbers)

    def count(self, query: Query | str = "") -> int:
        """How many photos a query finds; errors as for :meth:`search`."""
        with self._asked(query) as asked:
            return self._selector.find(asked).bit_count()

    @_alone
    def photo(self, pid: bytes) -> PhotoRecord | None:
        """Return all that is known of one photo, in the trash or not; ``None`` if there is none with this id."""
        return next(iter(self.photos([pid])), None)

    @_alone
    def photos(self, pids: Sequence[bytes]) -> list[PhotoRecord]:
        """Return all that is known of photos, in their order; ids that no photo has are passed over."""
        numbers = listing.numbers_of(self._connection, pids)
        wanted = [numbers[pid] for pid in pids if pid in numbers]
        return reading.records(self._connection, self._terms, wanted, self._selector.models())

    @_alone
    def resolve(self, prefix: str) -> bytes:
        """Return the id of the one photo whose id begins so.

        Args:
            prefix: hex digits, in upper or lower case.

        Raises:
            NoSuchPhoto: no photo's id begins so, or these are no hex digits.
            AmbiguousPhoto: several do.
        """
        found = listing.pids_with_prefix(self._connection, prefix.strip().lower())
        if len(found) == 1:
            return found[0]
        shown = prefix[: 2 * PID_BYTES]
        if not found:
            raise NoSuchPhoto(
                f"there is no photo {shown!r}", hint="`safelight search` lists the photos, each with its id."
            )
        raise AmbiguousPhoto(
            f"more than one photo's id begins with {shown!r}",
            hint=f"Use more digits: {', '.join(pid.hex()[: len(prefix) + 4] for pid in found)}, …",
        )

    # Single photos

    @_alone
    def copies(self, pid: bytes) -> list[Copy]:
        """Return the blobs that hold a photo: originals first."""
        return reading.copies(self._connection, pid)

    @_alone
    def thumbnail(self, pid: bytes) -> ThumbRef | None:
        """Where a photo's thumbnail lies; ``None`` if it has none."""
        return reading.thumbnail_of(self._connection, pid)

    @_alone
    def thumbnails(self, pids: Iterable[bytes]) -> dict[bytes, ThumbRef]:
        """Where photos' thumbnails lie, for those that have one."""
        return reading.thumbnails_of(self._connection, pids)

    @_alone
    def set_taught(self, name: str, scores: Mapping[bytes, float], state: str) -> None:
        """Label exactly these photos (pid: score, 0 to 1) with a label that was taught, as ``state`` of its making."""
        with self._writing():
            self._taught.put(name, scores, state, self._labeller)

    @_alone
    def taught_state(self, name: str) -> str | None:
        """Return the state as of which a taught label's photos are known here; ``None`` if they are not."""
        return self._taught.state(name)

    @_alone
    def decisions(self, name: str) -> tuple[list[bytes], list[bytes]]:
        """Return the photos to which the user gave a label, and those of which he took it away, each sorted."""
        return self._taught.decisions(label_name(name))

    @_alone
    def vector_bundles(self, model: str) -> list[tuple[str, bytes]]:
        """Return which bundles hold vectors of a model: document that says so and blob id, sorted."""
        return holding.vector_bundles(self._connection, self._terms, model)

    @_alone
    def documents_of(self, pids: Collection[bytes]) -> dict[bytes, str]:
        """Return the shard that holds each photo's facts; ids that no photo has are left out."""
        return listing.documents_of(self._connection, self._terms, pids)

    @_alone
    def has_automatic_label(self, pid: bytes, name: str) -> bool:
        """Whether a photo has a label on another word than the user's own: taking it away then needs a rejection."""
        return reading.has_automatic_label(self._connection, self._terms, pid, name)

    @_alone
    def purged(self, pids: Collection[bytes]) -> dict[bytes, str]:
        """Those of these photos that were purged, with the document that says so."""
        return holding.purged(self._connection, pids)

    @_alone
    def blobs_of_others(self, pids: Collection[bytes]) -> set[bytes]:
        """Those blobs of these photos that other photos have too."""
        return holding.blobs_of_others(self._connection, pids)

    @_alone
    def blobs_in_use(self, blob_ids: Collection[bytes]) -> set[bytes]:
        """Those of these blobs that hold a photo which is not purged, or a thumbnail of one."""
        return holding.blobs_in_use(self._connection, blob_ids)

    # Listings

    @_alone
    def hashed_photos(self) -> list[HashedPhoto]:
        """Return the photos outside the trash that have a perceptual hash, the best of near-duplicates first."""
        return listing.hashed_photos(self._connection)

    @_alone
    def label_counts(self) -> dict[str, int]:
        """Return every label in use, with the number of photos outside the trash that have it; most used first."""
        if self._counted_labels is None:
            self._counted_labels = listing.label_counts(self._connection, self._terms, self._selector.believed())
        return dict(self._counted_labels)

    @_alone
    def albums(self) -> list[AlbumRecord]:
        """Return every album, empty ones too, by name."""
        return listing.albums(self._connection)

    @_alone
    def album_pids(self, album_id: str) -> list[bytes]:
        """Return the photos of an album, those in the trash too, in the album's order."""
        return listing.album_pids(self._connection, self._terms, album_id)

    @_alone
    def months(self) -> list[tuple[str, int]]:
        """Return the months (``YYYY-MM``, wall clock) of photos outside the trash, newest first, and their numbers."""
        return listing.months(self._connection)

    @_alone
    def positions(self) -> tuple[list[int], list[int]]:
        """Return latitudes and longitudes of the photos outside the trash that have them, in parts of `DEGREE_UNIT`."""
        return listing.positions(self._connection)

    @_alone
    def suggestions(self, field: str, prefix: str = "", limit: int = 20) -> list[Suggestion]:
        """Values of a field of the query language that a word of begins so, most used first.

        Args:
            field: ``label``, ``album``, ``camera`` or ``lens``; other fields have none.
            prefix: what was typed so far, in any case.
            limit: how many at most.
        """
        return listing.suggestions(self._connection, self._terms, self.label_counts, field, prefix, limit)

    @_alone
    def setting(self, name: str) -> str | None:
        """Return a setting of the library, ``None`` if it is not set."""
        return self.library_values("setting").get(name)

    @_alone
    def library_values(self, map_name: str) -> dict[str, str]:
        """Return the texts of a map of the `library` document: ``device``, ``relay``, ``search``, ``setting`` …."""
        rows = self._connection.execute(
            select(library_value.c.key, library_value.c.value)
            .where(library_value.c.map == map_name)
            .order_by(library_value.c.key)
        )
        return {row.key: row.value for row in rows}

    def _numbers(
        self, query: Query, sort: str, *, descending: bool | None, limit: int | None, offset: int
    ) -> list[int]:
        key = sort_key(sort)
        downwards = key not in ASCENDING_BY_DEFAULT if descending is None else descending
        found = self._selector.find(query)
        return self._selector.pick(found, query, key, descending=downwards, limit=limit, offset=offset)

    def _prepare(self) -> None:
        self._terms = Terms(self._connection)
        self._photos = PhotoWriter(self._connection, self._terms)
        self._bundles = BundleWriter(self._connection, self._terms)
        self._library = LibraryWriter(self._connection, self._terms)
        self._taught = TaughtWriter(self._connection, self._terms)
        self._selector = Selector(self._connection, self._terms, self._labeller.active)
        self._counted_labels = None

    @contextmanager
    def _asked(self, query: Query | str) -> Iterator[Query]:
        """Read the query, find out what its descriptions describe, and only then be alone with the catalog.

        Whoever describes asks the library, and another thread may hold that and wait for the catalog.
        """
        asked = parse(query) if isinstance(query, str) else query
        answers = answer(asked, self.describer)
        with self._guard:
            self._selector.told(answers)
            yield asked

    @contextmanager
    def _writing(self, *, forget: bool = True) -> Iterator[None]:
        """All of a change, or nothing of it."""
        try:
            yield
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            # Terms may have been given numbers that are rolled back now.
            self._prepare()
            raise
        if forget:
            self._selector.forget()
            self._counted_labels = None


def _with_likeness(record: PhotoRecord, score: float, sure: bool) -> PhotoRecord:
    return msgspec.structs.replace(record, score=score, sure=sure)
