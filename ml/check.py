"""A trial run of a pack on generated pictures: whether it loads, runs, and answers as its manifest says.

``ml.trial`` does it in a process of its own: whatever a model makes the runtime do, it does it there.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ml.calibration import calibration_of
from ml.classes import ClassTable, class_table
from ml.errors import CalibrationInvalid, OutputInvalid
from ml.labels import LabelRules
from ml.reference_pictures import reference_pictures
from ml.session import Classifier, top_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml.pack import Pack

_SIDE = 160
_ENOUGH_DRAWINGS = 3
_AMONG = 10
"""A drawing is recognised when its class is among so many: photos are what models know."""
_LITTLE = 1e-4
"""Added to probabilities before they are compared, so that those of nothing weigh nothing."""
_MUCH = 1.0
"""Logarithm of the odds from which on the other order of colours is more than chance."""
_ENOUGH_NAMES = 20
"""Labels that must be names of known classes before their order says anything."""


@dataclass(frozen=True)
class CheckReport:
    """What ``model test`` says of a pack that runs."""

    model: str
    pictures: int
    classes: int
    embedding: int | None
    """Length of the embedding, or None."""
    load_ms: float
    preprocess_ms: float
    """Median for one picture."""
    inference_ms: float
    """Median for one picture on one thread."""
    labels: tuple[str, ...]
    """The strongest class of each picture, for the eye: the pictures show nothing real."""
    recognised: int
    """How many of the reference drawings it names rightly."""
    references: int
    """How many of them it has a class for."""
    warnings: tuple[str, ...]


def sample_pictures() -> list[Image.Image]:
    """Five small pictures, the same everywhere: flat grey, a gradient, a chessboard, a red disc, noise."""
    across, down = np.meshgrid(np.arange(_SIDE), np.arange(_SIDE))
    flat = np.full((_SIDE, _SIDE, 3), 128)
    gradient = np.stack([across, down, across + down], axis=2) * 255 // (2 * _SIDE)
    board = np.repeat(((across // 20 + down // 20) % 2 * 255)[:, :, None], 3, axis=2)
    disc = np.where(((across - 80) ** 2 + (down - 80) ** 2 < 60**2)[:, :, None], [220, 30, 40], [250, 250, 245])
    noise = np.random.default_rng(1).integers(0, 256, (_SIDE, 2 * _SIDE, 3))
    return [Image.fromarray(pixels.astype(np.uint8)) for pixels in (flat, gradient, board, disc, noise)]


def check_pack(pack: Pack, *, repeats: int = 5) -> CheckReport:
    """Load the pack's model and run it; raises the MlError that says what is wrong.

    What is merely suspicious is in the report's warnings. ``repeats``: how often each picture is run for the timing.
    """
    started = time.perf_counter()
    classifier = Classifier(pack)
    loaded = time.perf_counter()
    rules = LabelRules(class_table(pack))
    pictures = sample_pictures()
    tensors = []
    preprocess: list[float] = []
    for picture in pictures:
        start = time.perf_counter()
        tensors.append(classifier.tensor(picture))
        preprocess.append(time.perf_counter() - start)
    batch = np.stack(tensors)
    _check_kind(classifier, batch)
    answers = classifier.run(batch)
    inference: list[float] = []
    for part in tensors * repeats:
        start = time.perf_counter()
        classifier.run(part[None])
        inference.append(time.perf_counter() - start)
    warnings = []
    if np.ptp(answers.probabilities, axis=0).max() < 1e-6:  # noqa: PLR2004  # not even rounding differs
        warnings.append("every picture gets the same answer: is the input rule right, and is this the trained model?")
    if _in_another_order(pack, rules.table):
        warnings.append(
            "labels.txt names known classes in another order than their ids: is background, or wordnet, right?"
        )
    background = pack.manifest.output.background
    try:
        calibration_of(pack)
    except CalibrationInvalid as error:
        warnings.append(f"{error}; the thresholds of the manifest are used")
    recognised, references, doubts = _look_at_references(classifier, rules.table)
    warnings += doubts
    return CheckReport(
        model=pack.model,
        pictures=len(pictures),
        classes=pack.manifest.output.classes,
        embedding=None if answers.embeddings is None else answers.embeddings.shape[1],
        load_ms=(loaded - started) * 1000,
        preprocess_ms=median(preprocess) * 1000,
        inference_ms=median(inference) * 1000,
        labels=tuple(
            rules.table.entries[top[0][0]].name if (top := top_classes(row, background, 1)) else ""
            for row in answers.probabilities
        ),
        recognised=recognised,
        references=references,
        warnings=tuple(warnings),
    )


def _look_at_references(classifier: Classifier, table: ClassTable) -> tuple[int, int, list[str]]:
    """Return how many drawings are named rightly, of how many, and what is suspicious about that."""
    outputs = {entry.class_id: index for index, entry in enumerate(table.entries) if entry.class_id is not None}
    recognised = references = 0
    for_declared = 0.0
    for picture in reference_pictures():
        right = [outputs[class_id] for class_id in picture.class_ids if class_id in outputs]
        if not right:
            continue
        references += 1
        image = picture.draw()
        row = classifier.classify([image]).probabilities[0]
        recognised += int((row > row[right].max()).sum()) < _AMONG
        if picture.coloured:
            swapped = Image.fromarray(np.asarray(image)[:, :, ::-1].copy())
            other = classifier.classify([swapped]).probabilities[0]
            for_declared += math.log((row[right].sum() + _LITTLE) / (other[right].sum() + _LITTLE))
    doubts = []
    if references >= _ENOUGH_DRAWINGS and recognised <= references / 2:
        doubts.append(
            f"of {references} drawings of things it should know it recognises {recognised}: "
            "labels in another order, or a wrong input rule?"
        )
    if for_declared < -_MUCH:
        doubts.append("it recognises drawings better with red and blue exchanged: is colour right?")
    return recognised, references, doubts


def _in_another_order(pack: Pack, table: ClassTable) -> bool:
    """Tell whether the labels are names of the taxonomy's classes, but mostly not of those beside them."""
    names = {class_id: name.casefold() for class_id, name in table.open_taxonomy().class_names.items()}
    known = set(names.values())
    anywhere = in_place = 0
    for entry, line in zip(table.entries, pack.labels(), strict=True):
        synonyms = {part.strip().casefold() for part in line.split(",")}
        anywhere += not synonyms.isdisjoint(known)
        in_place += entry.class_id is not None and names.get(entry.class_id) in synonyms
    return anywhere >= _ENOUGH_NAMES and in_place < anywhere / 2


def _check_kind(classifier: Classifier, batch: NDArray[Any]) -> None:
    """Refuse "logits" that are probabilities: a second softmax would make every photo look like nothing."""
    output = classifier.pack.manifest.output
    if output.kind != "logits":
        return
    raw = classifier.raw(batch)
    if raw.min() >= 0 and np.abs(raw.sum(axis=1) - 1).max() < 0.01:  # noqa: PLR2004  # all rows, of several pictures
        raise OutputInvalid(
            f'{classifier.pack.model}: output "{output.name}" is declared as logits, and its values are probabilities',
            hint='Write kind = "probabilities" under [output].',
        )
