"""What one taught label was learnt to be on this device, and which photos it is of: a sealed derived file for each.

The file holds the classifier, as of which examples and vectors it was made, and the photos it labels, so that another
process, or a catalog that was built anew, takes these from it without reading a vector.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from core.catalog.library_document import TAUGHT_MAP, value_digest
from core.errors import StorageFailed
from crdt.documents import LIBRARY
from crdt.errors import CrdtError
from crdt.records import TaughtRecord, listed_pids
from ml.linear_classifier import LinearClassifier, learn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from core.library import Library
    from core.vectors import Vectors

_log = logging.getLogger(__name__)

SHOWN = 0.5
"""The score from which a photo has a taught label."""
_DERIVATION = "taught 1"
_BACKGROUND = 1_000
"""Photos that stand for the rest of the library."""
_LEARNT_FROM = 500
"""Examples of either side that are learnt from; more hardly change anything and take their time."""


@dataclass(frozen=True)
class Examples:
    """The photos by which a label is learnt: those that were named, and later corrections, which overrule them."""

    positive: tuple[bytes, ...]
    negative: tuple[bytes, ...]

    @classmethod
    def of(cls, record: TaughtRecord, given: Iterable[bytes], refused: Iterable[bytes]) -> Examples:
        """Join what was named with the photos that the user gave the label, or took it from."""
        right, wrong = set(given), set(refused)
        positive = (set(listed_pids(record.positive)) | right) - wrong
        negative = (set(listed_pids(record.negative)) | wrong) - right
        return cls(tuple(sorted(positive)), tuple(sorted(negative)))


class Learnt(msgspec.Struct, array_like=True):
    """What a derived file holds; vectors are little-endian float32, ids stand one after another."""

    model: str
    examples: str
    """As of which examples it was learnt."""
    sources: str
    """As of which vectors it was applied."""
    centre: bytes
    weights: bytes
    bias: float
    slope: float
    threshold: float
    background: bytes
    """Photos that stood for the rest; their decision values are of classifiers that did not see them."""
    background_decisions: bytes
    photos: bytes
    """Those that the label is of."""
    scores: bytes

    @property
    def classifier(self) -> LinearClassifier:
        """What was learnt."""
        return LinearClassifier(_floats(self.centre), _floats(self.weights), self.bias, self.slope, self.threshold)

    def labelled(self) -> dict[bytes, float]:
        """Return the photos that the label is of, and their scores."""
        return dict(zip(listed_pids(self.photos), _floats(self.scores).tolist(), strict=True))


def examples_state(library: Library, name: str, model: str, *, record: bytes | None = None) -> str:
    """Return a text that changes with the examples of a label; of the packed `record` if it is to be stored yet."""
    fact = library.catalog.library_values(TAUGHT_MAP).get(name, "") if record is None else value_digest(record)
    given, refused = library.catalog.decisions(name)
    return _digest([model.encode(), fact.encode(), b"".join(given), b"".join(refused)])


def sources_state(library: Library, model: str) -> str:
    """Return a text that changes with the vectors that are on this device."""
    here = ((name, blob) for name, blob in library.catalog.vector_bundles(model) if library.blobs.exists(blob))
    return _digest(part for name, blob in here for part in (name.encode(), blob))


def stored_record(library: Library, name: str) -> TaughtRecord | None:
    """Return the examples that were named; None where there are none that can be read."""
    value = library.replica_get(LIBRARY, TAUGHT_MAP, name)
    try:
        return TaughtRecord.unpack(value) if isinstance(value, bytes) else None
    except CrdtError as error:
        _log.warning("taught_unreadable: %s", type(error).__name__)
        return None


def load_learnt(library: Library, name: str, model: str) -> Learnt | None:
    """Return what was learnt from earlier examples, if anything was."""
    saved = library.derived.load(_file_name(name, model), _DERIVATION)
    try:
        return None if saved is None else msgspec.msgpack.decode(saved.content, type=Learnt)
    except msgspec.MsgspecError:
        return None


def save_learnt(library: Library, name: str, learnt: Learnt) -> None:
    """Keep what was learnt for other processes, and for the next time."""
    content = msgspec.msgpack.encode(learnt)
    try:
        library.derived.save(_file_name(name, learnt.model), _DERIVATION, library.vector, content, durable=False)
    except StorageFailed as error:
        _log.warning("learnt_not_saved: %s", type(error).__name__)


def remove_learnt(library: Library, name: str, model: str) -> None:
    """Remove what was learnt."""
    library.derived.remove(_file_name(name, model))


def fit(vectors: Vectors, examples: Examples, examples_state: str, sources: str) -> Learnt:
    """Learn a label, and apply it to all photos.

    Raises `ml.errors.NothingToLearn`.
    """
    _, positive = vectors.of(examples.positive[:_LEARNT_FROM])
    _, negative = vectors.of(examples.negative[:_LEARNT_FROM])
    taken = {*examples.positive, *examples.negative}
    # Ids are keyed hashes of the files: the smallest are as good as drawn by lot, and the same on every device.
    others = heapq.nsmallest(_BACKGROUND, (pid for pid in vectors.pids if pid not in taken))
    background, rows = vectors.of(others)
    found = learn(positive, negative, rows)
    learnt = Learnt(
        model=vectors.model,
        examples=examples_state,
        sources="",
        centre=_bytes(found.classifier.centre),
        weights=_bytes(found.classifier.weights),
        bias=found.classifier.bias,
        slope=found.classifier.slope,
        threshold=found.classifier.threshold,
        background=b"".join(background),
        background_decisions=_bytes(found.background),
        photos=b"",
        scores=b"",
    )
    return applied(vectors, learnt, examples, sources)


def applied(vectors: Vectors, learnt: Learnt, examples: Examples, sources: str) -> Learnt:
    """Return what was learnt with the photos among `vectors` that it labels. Examples have the user's own word."""
    scores = probabilities(vectors, learnt)
    places = np.flatnonzero(scores >= SHOWN)
    found = dict(zip((vectors.pids[place] for place in places.tolist()), scores[places].tolist(), strict=True))
    for pid in examples.positive:
        found[pid] = max(SHOWN, found.get(pid, SHOWN))
    for pid in examples.negative:
        found.pop(pid, None)
    return msgspec.structs.replace(
        learnt,
        sources=sources,
        photos=b"".join(found),
        scores=_bytes(np.asarray(list(found.values()), dtype=np.float32)),
    )


def probabilities(vectors: Vectors, learnt: Learnt) -> NDArray[np.float32]:
    """Return the scores of all photos with a vector, 0 to 1, in the order of `vectors.pids`."""
    classifier = learnt.classifier
    _, by_weights = vectors.scores(classifier.weights)
    _, by_centre = vectors.scores(classifier.centre)
    decisions = classifier.decisions(by_weights, by_centre)
    # These were learnt as photos of other things, some of them wrongly: what counts is what others make of them.
    background: Mapping[bytes, float] = dict(
        zip(listed_pids(learnt.background), _floats(learnt.background_decisions).tolist(), strict=True)
    )
    known = [pid for pid in background if pid in vectors]
    decisions[vectors.places(known)] = [background[pid] for pid in known]
    return classifier.probabilities(decisions)


def _file_name(name: str, model: str) -> str:
    return f"taught:{model}/{name}"


def _digest(parts: Iterable[bytes]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.hexdigest()


def _floats(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def _bytes(values: NDArray[np.float32] | Sequence[float]) -> bytes:
    return np.asarray(values, dtype="<f4").tobytes()
