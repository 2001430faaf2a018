"""Labels that the user teaches by examples: what they were learnt from, which photos they are of, and why.

The examples are a fact of the library and sync: photos that show the thing, and photos that do not. What is learnt from
them is derived, by each device for itself, from the vectors of the model in use (`core.taught_label`): it changes with
the examples, with the user's later corrections of that label, with the photos and with the model, and is worked out
again by `refresh`. The photos that a label is of then stand in the catalog, which takes it like any other.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.active_model import active_model
from core.catalog.library_document import TAUGHT_MAP
from core.errors import InvalidEdit, NoSuchLabel, NoSuchPhoto, PackRefused
from crdt.documents import LIBRARY
from crdt.errors import CrdtError
from crdt.operations import Delete, Operation, Put
from crdt.records import MAX_EXAMPLES, TaughtRecord, listed_pids
from crdt.schema import label_key, label_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library
    from core.taught_label import Examples, Learnt
    from core.vectors import Vectors

_log = logging.getLogger(__name__)
_NEAREST = 3
MAX_LABELS = 256
"""Taught labels that are worked out; each is compared with all photos. Of more, the first by name."""
_LOOKED_THROUGH = 4
"""How many times more photos are looked through than asked for: some are in the trash."""


@dataclass(frozen=True)
class TaughtLabel:
    """A label that was taught."""

    name: str
    positive: int
    """Photos that show it: named as examples, or given the label since."""
    negative: int
    """Photos that do not: named, or the label was taken away."""
    photos: int
    """Photos outside the trash that have the label now."""
    without_vector: int
    """Examples that nothing is learnt from, because the model in use made no vector of them."""


@dataclass(frozen=True)
class Asked:
    """Photos to say yes or no to, each once, with their scores (0 to 1; the label holds from 0.5); no examples."""

    most_certain: list[tuple[bytes, float]]
    """Best first."""
    least_certain: list[tuple[bytes, float]]
    """Nearest to 0.5 first."""


@dataclass(frozen=True)
class TaughtReason:
    """Why a photo has a taught label, or has not."""

    label: str
    model: str
    """Whose vectors it was learnt on."""
    score: float | None
    """0 to 1; the label holds from 0.5. None where the photo has no vector, or nothing could be learnt."""
    shown: bool
    positive: int
    negative: int
    example: Literal["positive", "negative"] | None
    """Whether the photo is one of the examples itself."""
    nearest: tuple[tuple[bytes, float], ...]
    """The positive examples that are most like it, and their cosines."""


def teach(library: Library, name: str, positive: Sequence[bytes], negative: Sequence[bytes] = ()) -> TaughtLabel:
    """Teach the label `name` by photos that show it and photos that do not, and apply it to the whole library.

    A label that was taught already learns from these too. What is said last counts, also where the photo had been given
    the label, or it had been taken away.

    Raises `InvalidEdit` for examples that contradict each other, none or too many, `NoSuchPhoto`, `NoVector` where no
    positive example has a vector of the model in use, and `PackRefused` where no model is in use.
    """
    from core import taught_label
    from core.similar import no_vector
    from core.vectors import open_vectors

    label = _label(name)
    library.refresh()
    documents = _documents(library, [*positive, *negative])
    if both := set(positive) & set(negative):
        raise InvalidEdit(
            f"{len(both)} of the photos are named both as examples of '{label}' and as photos that do not show it",
            hint=f"Name each on one side; the first is {min(both).hex()}.",
        )
    if label not in (taught := library.catalog.library_values(TAUGHT_MAP)) and len(taught) >= MAX_LABELS:
        raise InvalidEdit(f"{MAX_LABELS} labels are taught already", hint="Forget one: safelight teach LABEL --forget.")
    record = _merged(taught_label.stored_record(library, label) or TaughtRecord(), label, positive, negative)
    given, refused = library.catalog.decisions(label)
    taken_back = (set(refused) & set(positive)) | (set(given) & set(negative))
    examples = taught_label.Examples.of(record, set(given) - taken_back, set(refused) - taken_back)
    vectors = open_vectors(library)
    if not any(pid in vectors for pid in examples.positive):
        raise no_vector(library, vectors.model)
    learnt = _fit(vectors, examples, "", taught_label.sources_state(library, vectors.model))
    packed = record.pack()
    changes: dict[str, list[Operation]] = {LIBRARY: [Put(TAUGHT_MAP, label, packed)]}
    if name.strip() != label:
        changes[LIBRARY].append(Put("vocabulary", label, name.strip()))
    for pid in sorted(taken_back):
        changes.setdefault(documents[pid], []).append(Delete("label", label_key(pid, label)))
    library.commit(changes, action="teach", summary=f"label {label} by {len(examples.positive)} examples")
    if _examples(library, label) == examples:
        learnt.examples = taught_label.examples_state(library, label, vectors.model)
        _apply(library, label, learnt)
        library.save_derived()
    else:  # another process corrected something meanwhile
        refresh(library)
    return _described(library, label, examples, vectors)


def taught_labels(library: Library) -> list[TaughtLabel]:
    """Return the labels that were taught, by name, as of the last refresh."""
    from core.taught_label import Examples, stored_record
    from core.vectors import open_vectors

    names = _names(library)
    vectors = open_vectors(library) if names and active_model(library.setting) is not None else None
    found = []
    for name in names:
        examples = Examples.of(stored_record(library, name) or TaughtRecord(), *library.catalog.decisions(name))
        found.append(_described(library, name, examples, vectors))
    return found


def uncertain(library: Library, name: str, count: int = 12) -> Asked:
    """Return photos of which to ask whether they show what the label means.

    Raises `NoSuchLabel` for a label that was not taught, and what `teach` does where nothing can be learnt.
    """
    from core import taught_label
    from core.vectors import open_vectors

    label = _require(library, name)
    examples, learnt = _current(library, label)
    vectors = open_vectors(library)
    scores = taught_label.probabilities(vectors, learnt)
    decided = {*examples.positive, *examples.negative}

    def first(order: Sequence[int], decided: set[bytes]) -> list[tuple[bytes, float]]:
        near = [(vectors.pids[place], float(scores[place])) for place in order if vectors.pids[place] not in decided]
        shown = {photo.pid for photo in library.catalog.photos([pid for pid, _ in near]) if photo.trashed_at is None}
        return [(pid, score) for pid, score in near if pid in shown][:count]

    many = min(len(scores), count * _LOOKED_THROUGH + len(decided))
    best, doubtful = (-scores).argsort(kind="stable")[:many], abs(scores - taught_label.SHOWN).argsort(kind="stable")
    certain = first(best.tolist(), decided)
    return Asked(certain, first(doubtful[:many].tolist(), decided | {pid for pid, _ in certain}))


def forget(library: Library, name: str) -> None:
    """Forget a taught label, on all devices: photos lose it unless the user gave it to them, or a model does.

    Raises `NoSuchLabel` for a label that was not taught.
    """
    from core.taught_label import remove_learnt

    label = _require(library, name)
    library.commit({LIBRARY: [Delete(TAUGHT_MAP, label)]}, action="teach.forget", summary=f"label {label} forgotten")
    if (model := active_model(library.setting)) is not None:
        remove_learnt(library, label, model)
    library.save_derived()


def refresh(library: Library, *, learn: bool = True) -> int:
    """Bring the photos of all taught labels up to date; return of how many labels they changed.

    What has not changed costs some look-ups in the catalog. Without `learn` only what another process worked out
    already is taken over: no vector is read. A label that cannot be learnt here (no vectors, no model) is of no photo.
    """
    names = _names(library)
    model = active_model(library.setting) if names else None
    if model is None:
        return 0
    from core import taught_label

    changed = 0
    sources = taught_label.sources_state(library, model)
    for name in names:
        state = taught_label.examples_state(library, name, model)
        if library.catalog.taught_state(name) == _state(state, sources):
            continue
        learnt = taught_label.load_learnt(library, name, model)
        if learn and (learnt is None or (learnt.examples, learnt.sources) != (state, sources)):
            learnt = _learn_again(library, name, learnt, state, sources)
        elif not learn and (learnt is None or library.catalog.taught_state(name) == _state_of(learnt)):
            continue
        if learnt is None:
            library.catalog.set_taught(name, {}, _state(state, sources))
        else:
            _apply(library, name, learnt)
        changed += 1
    if changed:
        library.save_derived()
    return changed


def reasons(library: Library, pid: bytes, label: str | None = None) -> list[TaughtReason]:
    """Return how a photo fared with the labels that were taught, or with one of them; best first."""
    names = _names(library)
    wanted = None if label is None else _label(label)
    if not names or (wanted is not None and wanted not in names):
        return []
    from core.vectors import open_vectors

    vectors = open_vectors(library)
    photo = library.catalog.photo(pid)
    has = {given.name for given in photo.labels if given.source == "taught"} if photo is not None else set()
    found = [
        _reason(library, vectors, pid, name, shown=name in has) for name in names if wanted is None or name == wanted
    ]
    return sorted(found, key=lambda reason: (-(reason.score or 0), reason.label))


def _reason(library: Library, vectors: Vectors, pid: bytes, name: str, *, shown: bool) -> TaughtReason:
    from core import taught_label

    score = None
    try:
        examples, learnt = _current(library, name)
        if pid in vectors:
            score = float(taught_label.probabilities(vectors, learnt)[vectors.places([pid])[0]])
    except InvalidEdit:
        examples = _examples(library, name)
    side: Literal["positive", "negative"] | None = None
    if pid in examples.positive or pid in examples.negative:
        side = "positive" if pid in examples.positive else "negative"
    others, rows = vectors.of([other for other in examples.positive if other != pid])
    _, own = vectors.of([pid])
    near = sorted(zip(others, (rows @ own[0]).tolist(), strict=True), key=lambda item: -item[1]) if len(own) else []
    counts = (len(examples.positive), len(examples.negative))
    return TaughtReason(name, vectors.model, score, shown, *counts, side, tuple(near[:_NEAREST]))


def _examples(library: Library, name: str) -> Examples:
    from core.taught_label import Examples, stored_record

    return Examples.of(stored_record(library, name) or TaughtRecord(), *library.catalog.decisions(name))


def _current(library: Library, name: str) -> tuple[Examples, Learnt]:
    """Return the examples of a label, and what is learnt from them now."""
    from core import taught_label
    from core.vectors import open_vectors

    examples = _examples(library, name)
    vectors = open_vectors(library)
    state = taught_label.examples_state(library, name, vectors.model)
    sources = taught_label.sources_state(library, vectors.model)
    learnt = taught_label.load_learnt(library, name, vectors.model)
    if learnt is None or (learnt.examples, learnt.sources) != (state, sources):
        learnt = _fit(vectors, examples, state, sources)
        _apply(library, name, learnt)
    return examples, learnt


def _learn_again(library: Library, name: str, known: Learnt | None, state: str, sources: str) -> Learnt | None:
    """Return what is learnt from the examples now, or None where nothing is."""
    from core import taught_label
    from core.vectors import open_vectors

    examples, vectors = _examples(library, name), open_vectors(library)
    try:
        if known is not None and known.examples == state and len(known.weights) == 4 * vectors.dimensions:
            return taught_label.applied(vectors, known, examples, sources)
        return _fit(vectors, examples, state, sources)
    except (InvalidEdit, PackRefused) as error:
        _log.info("label_not_learnt: %s", type(error).__name__)
        return None


def _fit(vectors: Vectors, examples: Examples, state: str, sources: str) -> Learnt:
    from core import taught_label
    from ml.errors import NothingToLearn

    try:
        return taught_label.fit(vectors, examples, state, sources)
    except NothingToLearn as error:
        raise InvalidEdit(str(error), hint=error.hint) from error


def _apply(library: Library, name: str, learnt: Learnt) -> None:
    from core.taught_label import save_learnt

    save_learnt(library, name, learnt)
    library.catalog.set_taught(name, learnt.labelled(), _state_of(learnt))


def _state(examples: str, sources: str) -> str:
    return f"{examples} {sources}"


def _state_of(learnt: Learnt) -> str:
    return _state(learnt.examples, learnt.sources)


def _described(library: Library, name: str, examples: Examples, vectors: Vectors | None) -> TaughtLabel:
    both = (*examples.positive, *examples.negative)
    without = len(both) if vectors is None else sum(pid not in vectors for pid in both)
    photos = library.catalog.label_counts().get(name, 0)
    return TaughtLabel(name, len(examples.positive), len(examples.negative), photos, without)


def _merged(record: TaughtRecord, label: str, positive: Sequence[bytes], negative: Sequence[bytes]) -> TaughtRecord:
    """Return the examples with these beside them; what is said last counts."""
    right = (set(listed_pids(record.positive)) - set(negative)) | set(positive)
    wrong = (set(listed_pids(record.negative)) - set(positive)) | set(negative)
    if not right:
        raise InvalidEdit(
            f"no photo shows what '{label}' means", hint="Name at least one: safelight teach LABEL --from PHOTO…"
        )
    if max(len(right), len(wrong)) > MAX_EXAMPLES:
        raise InvalidEdit(
            f"a label is taught by at most {MAX_EXAMPLES:,} photos that show it and as many that do not,"
            f" not by {max(len(right), len(wrong)):,}",
            hint="Some dozens that differ from each other teach as well: name fewer.",
        )
    merged = TaughtRecord.of(right, wrong, at=int(time.time()))
    merged.unknown = record.unknown
    return merged


def _documents(library: Library, pids: Sequence[bytes]) -> dict[bytes, str]:
    found = library.catalog.documents_of(pids)
    for pid in pids:
        if pid not in found:
            raise NoSuchPhoto(
                f"the library holds no photo {pid.hex()}", hint="`safelight search` lists the photos and their ids."
            )
    return found


def _require(library: Library, name: str) -> str:
    """Return the label's key; raises `NoSuchLabel` where it was not taught."""
    label = _label(name)
    library.refresh()
    if label not in _names(library):
        raise NoSuchLabel(f"'{label}' was not taught", hint="`safelight teach --list` shows the labels that were.")
    return label


def _names(library: Library) -> list[str]:
    """Return the taught labels, sorted; what another device wrote under a name that is no label is left out."""
    return [name for name in sorted(library.catalog.library_values(TAUGHT_MAP)) if _is_label(name)][:MAX_LABELS]


def _is_label(name: str) -> bool:
    try:
        return label_name(name) == name
    except CrdtError:
        return False


def _label(name: str) -> str:
    try:
        return label_name(name)
    except CrdtError as error:
        raise InvalidEdit(str(error), hint=error.hint) from error
