"""Replicas that are loaded: the least recently used go first, and the bound is on photos, not on documents.

A replica is its last sealed copy and the changes since; where there is none, or it is older than the checkpoint that
the log builds on, it is that checkpoint's snapshot and the changes since. One that has gathered many changes is saved
when it leaves.
"""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.derived import includes
from core.errors import StorageFailed
from crdt.documents import LIBRARY
from crdt.errors import ChangeInvalid, CrdtError
from crdt.replica import Refusal, Replica, new_actor

if TYPE_CHECKING:
    from core.base import Base
    from core.derived import DerivedFiles
    from core.log import Vector
    from core.rehearsal import Part, Rehearsal

_log = logging.getLogger(__name__)

# About 2 KB of memory a photo in the CRDT engine: some 60 MB at most, and still whole years of photos.
PHOTO_LIMIT = 30_000
# A photo weighs less (`crdt.weight`); a document that weighs more without photos counts for as many.
_PHOTO_WEIGHT = 8_192
# Reading an envelope again costs 0.1 to 1 ms, saving a replica of 1,000 photos about 10 ms.
LONG_TAIL = 32
_DERIVATION = "replica/1"

Tail = Iterable["Part"]
"""The envelopes that touch a document, with their changes to it, in the order of the log."""


@dataclass
class _Loaded:
    replica: Replica
    photos: int
    tail: int

    @property
    def size(self) -> int:
        """What it takes of the bound, in photos."""
        return max(self.photos, self.replica.weight() // _PHOTO_WEIGHT)


class Replicas:
    """The loaded documents of one library."""

    def __init__(
        self,
        derived: DerivedFiles,
        device_id: bytes,
        tail_of: Callable[[str, Vector], Tail],
        vector: Callable[[], Vector],
        base: Base,
        continued_by: Callable[[bytes], Collection[bytes]],
        rehearsal: Rehearsal,
        photo_limit: int = PHOTO_LIMIT,
    ) -> None:
        """Load copies from `derived` and what is missing from `base` and `tail_of(document, vector of the copy)`.

        `vector()` is what every loaded replica includes at the moment it is asked; `continued_by(device)` are the
        devices whose actors that one may use besides its own. What others made is not applied before `rehearsal` has
        seen it.
        """
        self._derived = derived
        self._device_id = device_id
        self._tail_of = tail_of
        self._vector = vector
        self._base = base
        self._continued_by = continued_by
        self._rehearsal = rehearsal
        self._photo_limit = photo_limit
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._held = False
        self.unsaved = False
        """Set while there is an alarm: a copy would claim to include an envelope that could not be read."""
        self.refusals: list[tuple[str, Refusal]] = []
        """Changes that waited for others and then proved invalid, with their documents; for the caller to take out."""
        self.includes_more: set[str] = set()
        """Documents whose copy on disk was ahead of `vector()` when it was loaded."""
        self.incomplete: set[str] = set()
        """Loaded documents that lack a part of the base: edits of them hold, but they are not saved."""

    def get(self, document: str) -> Replica:
        """Return the replica of `document`, loading it if necessary; a document nobody wrote to is empty."""
        loaded = self._loaded.get(document)
        if loaded is None:
            loaded = self._load(document)
            self._loaded[document] = loaded
            self._make_room(document)
        else:
            self._loaded.move_to_end(document)
        return loaded.replica

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no replica leave inside the block: those that are being edited hold what is not committed yet.

        One that left would be saved with it, or come back without it.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def apply(self, document: str, changes: list[bytes], author: bytes) -> set[tuple[str, str]]:
        """Apply another's changes to a document and return the (map, key) pairs they touch.

        A document that lacks a part of the base takes nothing: what these build on may be in that part, and they come
        again when it is loaded anew.
        """
        replica = self.get(document)
        if document in self.incomplete:
            return set()
        loaded = self._loaded[document]
        self._rehearsal.check(changes)
        applied = replica.apply(changes, author=author, continues=self._continued_by(author), bounded=False)
        # They had waited; the envelope that brought what they waited for is not to blame.
        self.refusals.extend((document, refusal) for refusal in applied.refused)
        loaded.tail += 1
        loaded.photos += sum(1 for map_name, _ in applied.touched if map_name == "photo")
        return applied.touched

    def grew(self, document: str, new_photos: int) -> None:
        """Count an edit that was committed to a loaded document."""
        loaded = self._loaded[document]
        loaded.tail += 1
        loaded.photos += new_photos
        self._make_room(document)

    def drop(self, documents: Iterable[str]) -> None:
        """Forget replicas without saving them: they hold changes that were not committed."""
        for document in documents:
            self._loaded.pop(document, None)
            self.includes_more.discard(document)
            self.incomplete.discard(document)

    def drop_all(self) -> None:
        """Forget every replica."""
        self._loaded.clear()
        self.includes_more.clear()
        self.incomplete.clear()

    def put_rebuilt(self, document: str, replica: Replica, envelopes: int) -> None:
        """Save a replica that was made from `envelopes` of the log, if they are many; it is not kept in memory."""
        if envelopes >= LONG_TAIL:
            self._save(document, replica)

    def put_copy(self, document: str, saved: bytes) -> None:
        """Keep what the snapshots of the base, and nothing else, make of a document, if nothing better is there."""
        with contextlib.suppress(StorageFailed):
            self._derived.save(document, _DERIVATION, self._base.vector, saved, durable=False)

    def save_long_tails(self) -> None:
        """Save the replicas that have gathered many changes since they were last saved."""
        for document, loaded in self._loaded.items():
            self._save_if_long(document, loaded)

    def _load(self, document: str) -> _Loaded:
        known = self._vector()
        refused: set[int] = set()
        while True:
            replica, since, tail = self._from_copy_or_base(document)
            if self._rehearsal.is_pending(document) and document not in self.incomplete:
                passed_over = list(self._tail_of(document, since))
                refused_now = self._rehearsal.run(replica, passed_over, everything=True)
                self.refusals.extend((document, refusal) for refusal in refused_now)
            length = self._apply_tail(document, replica, since, refused)
            if length is not None:
                break
        if any(seq > known.get(device, (0, b""))[0] for device, (seq, _) in since.items()):
            self.includes_more.add(document)
        photos = sum(1 for _ in replica.items("photo")) if document != LIBRARY else 0
        return _Loaded(replica, photos, tail + length)

    def _apply_tail(self, document: str, replica: Replica, since: Vector, refused: set[int]) -> int | None:
        """Apply what came after `since`; return how many envelopes that were.

        None if one of them broke the replica: it is among `refused` now, and the replica has to be loaded again.
        Whoever applied these first has raised the alarm over any that were refused.
        """
        length = 0
        for place, (stored, changes) in enumerate(self._tail_of(document, since)):
            length += 1
            if place in refused:
                continue
            author = stored.device
            try:
                self._rehearsal.check(changes)
                replica.apply(changes, author=author, continues=self._continued_by(author), bounded=False)
            except ChangeInvalid:
                continue
            except CrdtError:
                refused.add(place)
                return None
        return length

    def _from_copy_or_base(self, document: str) -> tuple[Replica, Vector, int]:
        """Return a replica, what it includes, and how long its tail already counts."""
        actor = new_actor(self._device_id)
        copy, since = self._copy(document, actor)
        needed = not includes(since, self._base.vector) and bool(self._base.needed(document))
        if copy is not None and not (needed and self._base.is_complete(document)):
            if needed:
                self.incomplete.add(document)
            return copy, since, 0
        replica, complete = self._base.load(lambda: Replica.create(document, actor))
        if not complete:
            self.incomplete.add(document)
            return replica, {}, 0
        # Loading it from the snapshot again would take several times as long as from a copy.
        return replica, dict(self._base.vector), LONG_TAIL if self._base.needed(document) else 0

    def _copy(self, document: str, actor: bytes) -> tuple[Replica | None, Vector]:
        found = self._derived.load(document, _DERIVATION)
        if found is not None:
            try:
                replica = Replica.load(document, found.content, actor)
            except CrdtError as error:
                _log.warning("replica_copy_damaged: %s", type(error).__name__)
            else:
                self._rehearsal.clean(replica)
                return replica, found.vector
        return None, {}

    def _make_room(self, keep: str) -> None:
        photos = sum(loaded.size for loaded in self._loaded.values())
        while not self._held and len(self._loaded) > 1 and photos > self._photo_limit:
            document = next(name for name in self._loaded if name != keep)
            leaving = self._loaded.pop(document)
            photos -= leaving.size
            self._save_if_long(document, leaving)
            self.includes_more.discard(document)
            self.incomplete.discard(document)

    def _save_if_long(self, document: str, loaded: _Loaded) -> None:
        if loaded.tail >= LONG_TAIL and document not in self.includes_more | self.incomplete:
            self._save(document, loaded.replica)
            loaded.tail = 0

    def _save(self, document: str, replica: Replica) -> None:
        if self.unsaved:
            return
        try:
            self._derived.save(document, _DERIVATION, self._vector(), replica.save(), durable=False)
        except (CrdtError, StorageFailed) as error:
            # Derived, so the next reader takes the longer way; what is true is in the log.
            _log.warning("replica_copy_not_saved: %s", type(error).__name__)
