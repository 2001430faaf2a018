"""The vectors of a whole library: what one model's embeddings say of every photo, ready to be compared.

Vectors travel in bundles (`core.bundles`). All that one model made are kept together in one sealed derived file, which
is brought up to the library's bundles whenever it is opened: bundles that are new are read, bundles that are gone take
their vectors along. A bundle that is not on this device yet is read once it is; until then its photos have no vector,
which is no error. What a hostile or damaged bundle says is left out and counted.

In the file and in memory a vector is normalised and has one byte a number: half of float16, and with NumPy a tenth of
its time, because a row of bytes is quicker to read and to widen than a row of floats (`benchmarks/vectors.py`; what it
costs in accuracy is in docs/formats.md).
"""

from __future__ import annotations

import logging
import struct
import threading
import weakref
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from core import bundles
from core.active_model import active_model
from core.errors import BlobDamaged, BlobMissing, PackRefused, StorageFailed
from crdt.documents import PID_BYTES
from crdt.errors import CrdtError
from crdt.records import BundleRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from core.library import Library
    from crypto.blob import BlobReader

_log = logging.getLogger(__name__)

_DERIVATION = "vectors 1"
_STEPS = 127
_ROWS = 512
"""Rows widened at once: at 512 numbers each they stay in the processor's own memory."""
_LENGTH = struct.Struct("<I")
_FEW = 2_048
"""New vectors up to this number, and to a fiftieth of all, are read again at the next opening rather than saved."""
_FEW_OF = 50

Source = tuple[str, bytes]
"""A bundle as one document names it: document, blob id."""


class Vectors:
    """Normalised embeddings of one model, in memory; never changed, so threads may share one."""

    def __init__(
        self,
        model: str,
        pids: Sequence[bytes],
        steps: NDArray[np.int8],
        scales: NDArray[np.float32],
        *,
        skipped: int = 0,
    ) -> None:
        """Hold vectors.

        Args:
            model: ``name@version``.
            pids: N photos, each once.
            steps: [N, D], in -127 to 127.
            scales: [N]; a vector is its steps times its scale, and has the length 1.
            skipped: how many vectors were left out, because they could be none.
        """
        self.model = model
        self.pids = list(pids)
        self._steps = steps
        self.skipped = skipped
        self._scales = scales
        self._places = {pid: place for place, pid in enumerate(self.pids)}

    def __len__(self) -> int:
        """Return how many photos have a vector."""
        return len(self.pids)

    def __contains__(self, pid: object) -> bool:
        """Tell whether a photo has a vector."""
        return pid in self._places

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has; 0 where there is none."""
        return int(self._steps.shape[1])

    def similar(self, pid: bytes, count: int = 50) -> list[tuple[bytes, float]]:
        """Return the photos most like one: (pid, cosine), best first, without itself; none if it has no vector."""
        place = self._places.get(pid)
        if place is None:
            return []
        found = self.nearest(self._rows([place])[0], count + 1)
        return [(other, score) for other, score in found if other != pid][:count]

    def nearest(self, query: NDArray[np.float32], count: int) -> list[tuple[bytes, float]]:
        """Return the photos whose vectors are most like `query` [D]: (pid, product), best first, equals by pid."""
        _, scores = self.scores(query)
        count = min(count, len(scores))
        if count <= 0:
            return []
        best = np.argpartition(-scores, count - 1)[:count]
        return sorted(((self.pids[i], float(scores[i])) for i in best.tolist()), key=lambda item: (-item[1], item[0]))

    def scores(self, weights: NDArray[np.float32], bias: float = 0.0) -> tuple[list[bytes], NDArray[np.float32]]:
        """Return the product of every vector with `weights` [D], plus `bias`: all pids, and [N] in their order.

        Raises:
            ValueError: `weights` are not as many as a vector has.
        """
        scores = np.empty(len(self.pids), dtype=np.float32)
        if not self.pids:
            return [], scores
        weights = np.ascontiguousarray(weights, dtype=np.float32)
        if weights.shape != (self.dimensions,):
            raise ValueError(f"weights of the shape {weights.shape} for vectors of {self.dimensions} numbers")
        wide = np.empty((min(_ROWS, len(self.pids)), self.dimensions), dtype=np.float32)
        for start in range(0, len(self.pids), _ROWS):
            part = self._steps[start : start + _ROWS]
            rows = wide[: len(part)]
            np.copyto(rows, part)
            np.dot(rows, weights, out=scores[start : start + _ROWS])
        scores *= self._scales
        scores += np.float32(bias)
        return self.pids, scores

    def of(self, pids: Sequence[bytes]) -> tuple[list[bytes], NDArray[np.float32]]:
        """Return those of `pids` that have a vector, and the vectors, [n, D], in the same order."""
        known = [pid for pid in pids if pid in self._places]
        return known, self._rows([self._places[pid] for pid in known])

    def places(self, pids: Sequence[bytes]) -> NDArray[np.intp]:
        """Return where the vectors of `pids` stand among all, for those that have one."""
        return np.asarray([self._places[pid] for pid in pids if pid in self._places], dtype=np.intp)

    def _rows(self, places: Sequence[int]) -> NDArray[np.float32]:
        chosen = np.asarray(places, dtype=np.intp)
        rows: NDArray[np.float32] = self._steps[chosen].astype(np.float32)
        rows *= self._scales[chosen, None]
        return rows


def open_vectors(library: Library, model: str | None = None) -> Vectors:
    """Return the vectors that `model` (``name@version``; the one in use by default) made of the library's photos.

    They are as of the library's last refresh. The next call returns the same object as long as nothing has changed.
    Raises `PackRefused` where no model is in use.
    """
    model = active_model(library.setting) if model is None else model
    if model is None:
        raise PackRefused("no model is in use, so no photo has a vector", hint="Choose one: safelight model use NAME.")
    # No lock is held while bundles are read: whoever holds the library's guard may ask here too.
    with _OPENED_LOCK:
        opened = _OPENED.setdefault(library, {}).get(model)
    now = _up_to_date(library, model, opened)
    with _OPENED_LOCK:
        _OPENED.setdefault(library, {})[model] = now
    return now.vectors


class _Part(msgspec.Struct, array_like=True, frozen=True):
    """Some vectors in a row, from one bundle as one document names it."""

    document: str
    blob_id: bytes
    count: int
    whole: bool
    """False where vectors of this bundle were left out, such as those of photos that another bundle has too."""

    @property
    def source(self) -> Source:
        """Where they come from."""
        return self.document, self.blob_id


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """Begins the derived file; behind it lie the pids, the scales (float32) and the steps (int8) of all vectors."""

    model: str
    dimensions: int
    parts: list[_Part]


@dataclass(frozen=True)
class _Table:
    """Vectors in the order of the bundles they come from."""

    dimensions: int = 0
    parts: tuple[_Part, ...] = ()
    pids: tuple[bytes, ...] = ()
    steps: NDArray[np.int8] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int8))
    scales: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))


@dataclass(frozen=True)
class _Opened:
    """What this process holds of one model's vectors."""

    vectors: Vectors
    table: _Table
    named: list[Source]
    missing: list[Source]


_OPENED: weakref.WeakKeyDictionary[Library, dict[str, _Opened]] = weakref.WeakKeyDictionary()
_OPENED_LOCK = threading.Lock()


def _up_to_date(library: Library, model: str, opened: _Opened | None) -> _Opened:
    named = library.catalog.vector_bundles(model)
    arrived = opened is not None and any(library.blobs.exists(blob_id) for _, blob_id in opened.missing)
    if opened is not None and named == opened.named and not arrived:
        return opened
    vector = library.vector
    name = f"vectors:{model}"
    if opened is None:
        saved = library.derived.load(name, _DERIVATION)
        before = _Table() if saved is None else _unpacked(saved.content, model)
    else:
        before = opened.table
    gone = {part.source for part in before.parts} - set(named)
    # What was left out for the sake of a bundle that is gone has to be looked at again.
    kept = _only(before, [not gone or (part.whole and part.source not in gone) for part in before.parts])
    reading = _Reading(library, model, kept)
    reading.read(named)
    table = reading.joined()
    if table is None:
        reading = _Reading(library, model, _Table())
        reading.read(named)
        table = reading.joined() or _Table()
    if reading.skipped:
        _log.warning("vectors_skipped: %d of %s", reading.skipped, model)
    added = len(table.pids) - len(kept.pids)
    if gone or added > min(_FEW, len(kept.pids) // _FEW_OF):
        try:
            library.derived.save(name, _DERIVATION, vector, _packed(table, model), durable=False)
        except StorageFailed as error:  # a full disk is no reason to show nothing
            _log.warning("vectors_not_saved: %s", type(error).__name__)
    vectors = Vectors(model, table.pids, table.steps, table.scales, skipped=reading.skipped)
    return _Opened(vectors, table, named, reading.missing)


class _Reading:
    """Reads bundles into rows behind those of a table."""

    def __init__(self, library: Library, model: str, table: _Table) -> None:
        self._library = library
        self._model = model
        self._table = table
        self._rows: list[tuple[Source, bool, list[bytes], NDArray[np.float32]]] = []
        self.missing: list[Source] = []
        self.skipped = 0
        """Vectors that are none."""

    def read(self, sources: Sequence[Source]) -> None:
        """Read those bundles that the table lacks; what is not here yet is in `missing`."""
        known = {part.source for part in self._table.parts}
        by_blob: dict[tuple[bytes, bytes], list[tuple[Source, BundleRecord]]] = {}
        for source in sources:
            if source in known:
                continue
            if not self._library.blobs.exists(source[1]):
                self.missing.append(source)
            elif (record := self._record(source)) is not None:
                by_blob.setdefault((source[1], record.key), []).append((source, record))
        for (blob_id, key), records in by_blob.items():
            try:
                with self._library.blobs.open(blob_id, key) as bundle:
                    self._rows.extend((source, *self._vectors(bundle, record)) for source, record in records)
            except (BlobMissing, BlobDamaged):
                self.skipped += sum(len(record.entries) for _, record in records)

    def _record(self, source: Source) -> BundleRecord | None:
        document, blob_id = source
        value = self._library.replica_get(document, "bundle", blob_id.hex())
        try:
            record = BundleRecord.unpack(value) if isinstance(value, bytes) else None
        except CrdtError:
            record = None
        if record is None or record.kind != "vector" or record.model != self._model:
            return None
        if record.dimensions is None or record.dimensions > bundles.MAX_DIMENSIONS:
            self.skipped += max(1, len(record.entries))
            return None
        return record

    def _vectors(self, bundle: BlobReader, record: BundleRecord) -> tuple[bool, list[bytes], NDArray[np.float32]]:
        """Return whether all vectors of a record are some, the photos of those that are, and these, normalised."""
        dimensions = record.dimensions or 0
        length = dimensions * bundles.VECTOR_ITEM_BYTES
        # Most records name all of a bundle, and then one reading is quicker than one a photo.
        whole = bundle.read(0) if bundle.size <= 2 * bundles.MAX_BUNDLE_BYTES else None
        pids: list[bytes] = []
        parts: list[bytes] = []
        for entry in record.entries:
            if entry.length != length or entry.offset + length > bundle.size:
                self.skipped += 1
            else:
                at = entry.offset
                pids.append(entry.pid)
                parts.append(bundles.read_part(bundle, at, length) if whole is None else whole[at : at + length])
        if not pids:
            return not record.entries, [], np.zeros((0, dimensions), dtype=np.float32)
        rows = bundles.read_vectors(b"".join(parts), dimensions)
        # The root of a sum of squares cannot overflow: float16 ends at 65,504.
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
        good = np.isfinite(lengths) & (lengths > 0)
        self.skipped += int(np.count_nonzero(~good))
        pids = [pid for pid, is_good in zip(pids, good, strict=True) if is_good]
        return len(pids) == len(record.entries), pids, rows[good] / lengths[good, None]

    def joined(self) -> _Table | None:
        """Return the table with what was read behind it.

        None where more vectors of another length were read than the table holds: a model's vectors have one length,
        and a device that writes others does not decide which.
        """
        table = self._table
        lengths = Counter({table.dimensions: len(table.pids)})
        for _, _, own, rows in self._rows:
            lengths[rows.shape[1]] += len(own)
        dimensions = max(lengths, key=lambda length: (lengths[length], -length))
        if table.pids and dimensions != table.dimensions:
            return None
        seen = set(table.pids)
        parts, pids = list(table.parts), list(table.pids)
        steps, scales = [table.steps] if table.pids else [], [table.scales]
        for (document, blob_id), whole, own, rows in self._rows:
            if own and rows.shape[1] != dimensions:
                self.skipped += len(own)
                parts.append(_Part(document, blob_id, 0, whole=False))
                continue
            # Two devices may have labelled one photo: their vectors say the same.
            first: dict[bytes, int] = {}
            for place, pid in enumerate(own):
                if pid not in seen:
                    first.setdefault(pid, place)
            seen.update(first)
            parts.append(_Part(document, blob_id, len(first), whole and len(first) == len(own)))
            if first:
                own_steps, own_scales = quantise(rows[list(first.values())])
                pids.extend(first)
                steps.append(own_steps)
                scales.append(own_scales)
        joined = np.concatenate(steps) if steps else np.zeros((0, 0), dtype=np.int8)
        return _Table(joined.shape[1], tuple(parts), tuple(pids), joined, np.concatenate(scales))


def quantise(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return vectors [N, D] of the length 1 as steps [N, D] and scales [N]; steps times scale have the length 1."""
    largest = np.abs(rows).max(axis=1)
    steps: NDArray[np.int8] = np.rint(rows * (_STEPS / largest)[:, None]).astype(np.int8)
    wide = steps.astype(np.float32)
    scales: NDArray[np.float32] = (1 / np.sqrt(np.einsum("nd,nd->n", wide, wide))).astype(np.float32)
    return steps, scales


def _only(table: _Table, wanted: Sequence[bool]) -> _Table:
    """Return a table of some of its parts."""
    if all(wanted):
        return table
    rows = np.repeat(np.asarray(wanted, dtype=bool), [part.count for part in table.parts])
    return _Table(
        table.dimensions if rows.any() else 0,
        tuple(part for part, is_wanted in zip(table.parts, wanted, strict=True) if is_wanted),
        tuple(pid for pid, is_wanted in zip(table.pids, rows.tolist(), strict=True) if is_wanted),
        table.steps[rows],
        table.scales[rows],
    )


def _packed(table: _Table, model: str) -> bytes:
    head = msgspec.msgpack.encode(_Head(model, table.dimensions, list(table.parts)))
    scales = table.scales.astype("<f4").tobytes()
    return b"".join((_LENGTH.pack(len(head)), head, b"".join(table.pids), scales, table.steps.tobytes()))


def _unpacked(content: bytes, model: str) -> _Table:
    """Read what `_packed` wrote; an empty table where it is none of this model."""
    try:
        (length,) = _LENGTH.unpack_from(content)
        start = _LENGTH.size + length
        head = msgspec.msgpack.decode(content[_LENGTH.size : start], type=_Head)
    except (struct.error, msgspec.MsgspecError) as error:
        _log.warning("vectors_unreadable: %s", type(error).__name__)
        return _Table()
    count = sum(part.count for part in head.parts)
    scales_at = start + count * PID_BYTES
    steps_at = scales_at + 4 * count
    if head.model != model or len(content) != steps_at + count * head.dimensions:
        _log.warning("vectors_unreadable: the parts do not fit together")
        return _Table()
    pids = tuple(content[at : at + PID_BYTES] for at in range(start, scales_at, PID_BYTES))
    scales = np.frombuffer(content, dtype="<f4", count=count, offset=scales_at).astype(np.float32)
    steps = np.frombuffer(content, dtype=np.int8, count=count * head.dimensions, offset=steps_at)
    return _Table(head.dimensions, tuple(head.parts), pids, steps.reshape(count, head.dimensions), scales)
