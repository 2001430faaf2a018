"""How good a pack is on photos whose content is known, as ``model eval`` reports it.

What a photo shows is said by the name of the folder it lies in, or by its own name: a WordNet id
(``n02123045_tabby.jpeg``), a class of the pack, or a label of its taxonomy. A label stands for all classes it holds, so
``dog/`` may hold any breed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from ml.classes import class_table
from ml.errors import NothingToEvaluate
from ml.labels import LabelRules
from ml.session import Classifier, top_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ml.pack import Pack

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl"}
)
BINS = 15
"""Bins of the calibration error, of equal width; the usual number since Guo et al., 2017."""
_TOP = 5
_UNREADABLE = (OSError, SyntaxError, EOFError, RuntimeError, ValueError, MemoryError, Image.DecompressionBombError)
"""What decoders have been seen to raise on damaged files."""

_WORDNET_ID = re.compile(r"n\d{8}")
_COUNTER = re.compile(r"[\s_-]*\(?\d+\)?$")


@dataclass(frozen=True)
class Evaluation:
    """The figures; all but ``photos`` are 0-1."""

    photos: int
    """Photos counted: readable, and with a name the pack knows."""
    top1: float
    """Share of photos whose strongest class is right."""
    top5: float
    """Share of photos with a right class among the five strongest."""
    precision: float
    """Of the labels shown, those not counted that merely stand above another one, the share that is right."""
    coverage: float
    """Share of photos that get any label."""
    ece: float
    """Expected calibration error of the strongest class: mean distance of confidence from accuracy."""
    unknown: tuple[str, ...]
    """Names that mean nothing to the pack; their photos are left out."""
    unreadable: tuple[tuple[str, str], ...]
    """(file, reason) of the photos that could not be decoded."""


@dataclass(frozen=True)
class _Outcome:
    confidence: float
    first: bool
    among_five: bool
    labels: int
    right_labels: int


def evaluate(
    pack: Pack,
    folder: Path,
    *,
    threads: int = 1,
    decode: Callable[[Path], Image.Image] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Evaluation:
    """Run ``pack`` over the photos below ``folder`` and compare.

    ``decode`` opens a file as an upright picture (Pillow's formats by default); ``progress`` gets (done, all).
    Raises NothingToEvaluate, and what loading and running the model raises.
    """
    names = TruthNames(LabelRules(class_table(pack)), pack.labels())
    photos: list[tuple[Path, frozenset[int]]] = []
    unknown: dict[str, None] = {}
    for path in _photos(folder):
        name, truth = names.of(path, folder)
        if truth:
            photos.append((path, truth))
        else:
            unknown[name] = None
    if not photos:
        raise NothingToEvaluate(
            f"{folder}: no photo there has a name that {pack.model} knows",
            hint="Put photos into folders named by class, label or WordNet id: dog/, tabby/, n02123045/.",
        )
    classifier = Classifier(pack, threads=threads)
    outcomes: list[_Outcome] = []
    unreadable: list[tuple[str, str]] = []
    for number, (path, truth) in enumerate(photos, start=1):
        try:
            image = (decode or open_upright)(path)
        except _UNREADABLE as error:
            unreadable.append((str(path), str(error) or type(error).__name__))
        else:
            outcomes.append(_outcome(classifier, names, image, truth))
        if progress is not None:
            progress(number, len(photos))
    if not outcomes:
        raise NothingToEvaluate(f"{folder}: none of the {len(photos)} photos there can be read")
    labels = sum(outcome.labels for outcome in outcomes)
    return Evaluation(
        photos=len(outcomes),
        top1=_share(outcome.first for outcome in outcomes),
        top5=_share(outcome.among_five for outcome in outcomes),
        precision=sum(outcome.right_labels for outcome in outcomes) / labels if labels else 0.0,
        coverage=_share(outcome.labels > 0 for outcome in outcomes),
        ece=calibration_error([(outcome.confidence, outcome.first) for outcome in outcomes]),
        unknown=tuple(unknown),
        unreadable=tuple(unreadable),
    )


def open_upright(path: Path) -> Image.Image:
    """Open a photo Pillow can decode, turned as its EXIF orientation says."""
    with Image.open(path) as image:
        upright: Image.Image = ImageOps.exif_transpose(image)
        upright.load()
        return upright


def calibration_error(answers: list[tuple[float, bool]]) -> float:
    """Return the expected calibration error of ``(confidence 0-1, right)`` pairs, 0-1, over ``BINS`` equal bins."""
    if not answers:
        return 0.0
    confidence = np.array([pair[0] for pair in answers])
    right = np.array([pair[1] for pair in answers], dtype=np.float64)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return float(sum(abs((confidence - right)[bins == number].sum()) for number in range(BINS)) / len(answers))


class TruthNames:
    """What names of folders and files mean to a pack: sets of its outputs."""

    def __init__(self, rules: LabelRules, lines: tuple[str, ...] = ()) -> None:
        """Collect every name: ids, the classes' names, their synonyms in the labels file's ``lines``, the labels."""
        self.rules = rules
        self.held: dict[str, frozenset[int]] = rules.held_classes()
        self._outputs: dict[str, frozenset[int]] = {}
        for index, entry in enumerate(rules.table.entries):
            if index != rules.table.background:
                synonyms = lines[index].split(",") if lines else []
                for name in (entry.class_id, entry.name, *synonyms):
                    if name:
                        self._add(name, frozenset({index}))
        for label, outputs in self.held.items():
            self._add(label, outputs)

    def of(self, path: Path, root: Path) -> tuple[str, frozenset[int]]:
        """Return the name that says what the photo shows, and the outputs it means; none when that is unknown."""
        folders = path.relative_to(root).parts[:-1]
        # A folder given by itself, model eval photos/dog, says it with its own name.
        names = list(folders) or [path.stem, root.absolute().name]
        for name in names:
            outputs = self.outputs(name)
            if outputs:
                return name, outputs
        return names[0], frozenset()

    def outputs(self, name: str) -> frozenset[int]:
        """Return the outputs that ``name`` means."""
        wordnet = _WORDNET_ID.match(name)
        if wordnet:
            return self._outputs.get(wordnet[0], frozenset())
        plain = _plain(name)
        for candidate in (plain, _COUNTER.sub("", plain)):
            for form in (candidate, candidate.removesuffix("s"), candidate.removesuffix("es")):
                if form in self._outputs:
                    return self._outputs[form]
        return frozenset()

    def _add(self, name: str, outputs: frozenset[int]) -> None:
        plain = _plain(name)
        self._outputs[plain] = self._outputs.get(plain, frozenset()) | outputs


def _outcome(classifier: Classifier, names: TruthNames, image: Image.Image, truth: frozenset[int]) -> _Outcome:
    probabilities = classifier.classify([image]).probabilities[0]
    top = top_classes(probabilities, names.rules.table.background)
    labels = [label for label, _ in names.rules.most_specific(top)]
    # A folder called dog says nothing against terrier, nor against animal: a label is wrong when no class is common.
    right = sum(1 for label in labels if names.held[label] & truth)
    return _Outcome(
        confidence=top[0][1] if top else 0.0,
        first=bool(top) and top[0][0] in truth,
        among_five=any(index in truth for index, _ in top[:_TOP]),
        labels=len(labels),
        right_labels=right,
    )


def _photos(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            yield path


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFC", name).casefold()
    return re.sub(r"[\s_-]+", " ", text).strip()


def _share(flags: Iterator[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values)
