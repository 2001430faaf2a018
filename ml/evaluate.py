"""How good a pack is on photos whose content is known, as ``model eval`` reports it.

``measure`` runs the model and keeps, for each photo, what is right (``ml.truth``) and the classes that a library would
store; everything else is arithmetic on that, so that other thresholds cost no second inference.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from ml.calibration_fit import EXPECTED_PRECISION, LabelledPhoto, fit
from ml.classes import class_table
from ml.errors import NothingToEvaluate
from ml.labels import LabelRules
from ml.session import Classifier, top_classes
from ml.truth import TruthNames, known_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from ml.pack import Pack
    from ml.truth import Truth

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl"}
)
BINS = 15
"""Bins of the calibration error, of equal width; the usual number since Guo et al., 2017."""
PLAIN_THRESHOLD = 0.1
"""What the plain rule asks of the strongest class, the only label it shows."""
ENOUGH_TO_SPLIT = 100
"""Photos from which on a fit on one half says something of the other."""
_TOP = 5
_Z = 1.959964
"""Normal quantile of a two-sided interval of 95 %."""
_UNREADABLE = (OSError, SyntaxError, EOFError, RuntimeError, ValueError, MemoryError, Image.DecompressionBombError)
"""What decoders have been seen to raise on damaged files."""


@dataclass(frozen=True)
class Photo:
    """One photo with a known answer, and what the model said."""

    path: str
    sha256: str
    truth: Truth
    classes: tuple[tuple[int, float], ...]
    """(output, probability) of the strongest classes, as a library stores them."""


@dataclass(frozen=True)
class Measurement:
    """What a model said of every photo of a folder."""

    rules: LabelRules
    photos: tuple[Photo, ...]
    unknown: tuple[str, ...]
    """Names that mean nothing to the pack; their photos are left out."""
    unreadable: tuple[tuple[str, str], ...]
    """(file, reason) of the photos that could not be decoded."""


@dataclass(frozen=True)
class Rate:
    """So many of so many, with Wilson's interval of 95 % (1927)."""

    hits: int
    of: int

    @property
    def share(self) -> float:
        """0-1; 0 of nothing."""
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest share that the numbers allow, 0-1."""
        if not self.of:
            return 0.0, 1.0
        square = _Z * _Z / self.of
        middle = (self.share + square / 2) / (1 + square)
        spread = math.sqrt(self.share * (1 - self.share) * square + square * square / 4) / (1 + square)
        return max(0.0, middle - spread), min(1.0, middle + spread)

    def __add__(self, other: Rate) -> Rate:
        """Count both together."""
        return Rate(self.hits + other.hits, self.of + other.of)


@dataclass(frozen=True)
class LabelFigures:
    """How labels fare on some photos.

    The intervals take labels for independent; two of one photo are not quite.
    """

    precision: Rate
    """Of the narrowest labels shown (those that do not merely stand above another one), the right ones."""
    all_right: Rate
    """Of all labels shown, those above others included, the right ones."""
    coverage: Rate
    """Of the photos, those with any label."""

    def __add__(self, other: LabelFigures) -> LabelFigures:
        """Count both together."""
        return LabelFigures(
            self.precision + other.precision, self.all_right + other.all_right, self.coverage + other.coverage
        )


@dataclass(frozen=True)
class Figures:
    """One way to choose labels, on three sets of photos."""

    known: LabelFigures
    """Photos of something the model has a class for."""
    named: LabelFigures
    """Photos of something there is a word for, though perhaps only a general one: a pigeon, which is a bird."""
    all: LabelFigures
    """All photos, those of things without a word included: there every label is wrong."""

    def __add__(self, other: Figures) -> Figures:
        """Count both together."""
        return Figures(self.known + other.known, self.named + other.named, self.all + other.all)


@dataclass(frozen=True)
class Bin:
    """One bin of the reliability diagram."""

    low: float
    high: float
    photos: int
    confidence: float
    """Mean probability of the strongest class."""
    accuracy: float
    """Share of photos where it is right."""


@dataclass(frozen=True)
class Confusion:
    """What was shown instead."""

    truth: str
    label: str
    photos: int


@dataclass(frozen=True)
class Evaluation:
    """The figures; all but ``photos`` are 0-1, and are of the photos of which the model has a class."""

    photos: int
    """Photos counted: readable, and of something the model has a class for."""
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
    shown: Figures
    """The labels as a library shows them."""
    plain: Figures
    """The plain rule beside it: the strongest class, where its probability is over ``PLAIN_THRESHOLD``."""
    halves: Figures | None
    """With thresholds fitted for a precision of 0.9 on the other half of the photos; None where they are too few."""
    reliability: tuple[Bin, ...]
    confusions: tuple[Confusion, ...]
    """Most frequent first."""


def measure(
    pack: Pack,
    folder: Path,
    *,
    threads: int = 1,
    decode: Callable[[Path], Image.Image] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Measurement:
    """Run ``pack`` over the photos below ``folder``.

    ``decode`` opens a file as an upright picture (Pillow's formats by default); ``progress`` gets (done, all).
    Raises NothingToEvaluate, and what loading and running the model raises.
    """
    rules = LabelRules(class_table(pack))
    table = known_truth(folder, rules)
    truths = table if table is not None else TruthNames(rules, pack.labels())
    photos: list[tuple[Path, Truth]] = []
    unknown: dict[str, None] = {}
    for path in _photos(folder):
        truth = truths.of(path, folder)
        # A table says of every folder what it shows; a name that means nothing says nothing.
        if truth.outputs or table is not None:
            photos.append((path, truth))
        else:
            unknown[truth.name] = None
    if not any(truth.outputs for _, truth in photos):
        raise NothingToEvaluate(
            f"{folder}: no photo there has a name that {pack.model} knows",
            hint="Put photos into folders named by class, label or WordNet id: dog/, tabby/, n02123045/.",
        )
    classifier = Classifier(pack, threads=threads)
    measured: list[Photo] = []
    unreadable: list[tuple[str, str]] = []
    for number, (path, truth) in enumerate(photos, start=1):
        try:
            image = (decode or open_upright)(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except _UNREADABLE as error:
            unreadable.append((str(path), str(error) or type(error).__name__))
        else:
            row = classifier.classify([image]).probabilities[0]
            classes = tuple(top_classes(row, rules.table.background))
            measured.append(Photo(str(path), digest, truth, classes))
        if progress is not None:
            progress(number, len(photos))
    if not any(photo.truth.outputs for photo in measured):
        raise NothingToEvaluate(f"{folder}: none of the {len(photos)} photos there can be read")
    return Measurement(rules, tuple(measured), tuple(unknown), tuple(unreadable))


def evaluate(
    pack: Pack,
    folder: Path,
    *,
    threads: int = 1,
    decode: Callable[[Path], Image.Image] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Evaluation:
    """Run ``pack`` over the photos below ``folder`` and compare; see ``measure``."""
    return figures(measure(pack, folder, threads=threads, decode=decode, progress=progress))


def figures(measurement: Measurement) -> Evaluation:
    """Return the figures of what was measured."""
    rules, photos = measurement.rules, measurement.photos
    known = [photo for photo in photos if photo.truth.outputs]
    first = [bool(photo.classes) and photo.classes[0][0] in photo.truth.outputs for photo in known]
    five = [any(index in photo.truth.outputs for index, _ in photo.classes[:_TOP]) for photo in known]
    answers = [
        (photo.classes[0][1] if photo.classes else 0.0, right) for photo, right in zip(known, first, strict=True)
    ]
    shown = label_figures(rules, photos)
    wrong: Counter[tuple[str, str]] = Counter()
    for photo in photos:
        narrow = rules.most_specific(photo.classes)
        wrong.update((photo.truth.name, label) for label, _ in narrow if label not in photo.truth.labels)
    confusions = [Confusion(truth, label, count) for (truth, label), count in wrong.items()]
    return Evaluation(
        photos=len(known),
        top1=sum(first) / len(known),
        top5=sum(five) / len(known),
        precision=shown.known.precision.share,
        coverage=shown.known.coverage.share,
        ece=calibration_error(answers),
        unknown=measurement.unknown,
        unreadable=measurement.unreadable,
        shown=shown,
        plain=_plain_figures(rules, photos),
        halves=figures_of_halves(rules, photos),
        reliability=tuple(reliability(answers)),
        confusions=tuple(sorted(confusions, key=lambda found: (-found.photos, found.truth, found.label))),
    )


def label_figures(rules: LabelRules, photos: Iterable[Photo]) -> Figures:
    """Return how the labels that ``rules`` choose fare."""
    return _sorted_figures(
        (photo, [label for label, _ in rules.most_specific(photo.classes)], [n for n, _ in rules.choose(photo.classes)])
        for photo in photos
    )


def figures_of_halves(
    rules: LabelRules, photos: Sequence[Photo], precision: float = EXPECTED_PRECISION
) -> Figures | None:
    """Fit thresholds on each half of the photos and measure them on the other; halves by the files' SHA-256.

    No photo is measured by thresholds that have seen it. None where the photos are too few, or no threshold reaches the
    precision on a half of them.
    """
    halves = split(photos)
    if len(photos) < ENOUGH_TO_SPLIT:
        return None
    found: list[Figures] = []
    for fitted_on, measured_on in (halves, halves[::-1]):
        thresholds = fit(rules, labelled(fitted_on), precision=precision)
        if thresholds is None:
            return None
        found.append(label_figures(thresholds.applied_to(rules), measured_on))
    return found[0] + found[1]


def split(photos: Iterable[Photo]) -> tuple[list[Photo], list[Photo]]:
    """Return two halves of the photos, by the first digit of their SHA-256: the same ones everywhere."""
    halves: tuple[list[Photo], list[Photo]] = ([], [])
    for photo in sorted(photos, key=lambda photo: (photo.sha256, photo.path)):
        halves[int(photo.sha256[0], 16) % 2].append(photo)
    return halves


def labelled(photos: Iterable[Photo]) -> list[LabelledPhoto]:
    """Return the photos as a fit takes them."""
    return [LabelledPhoto(photo.classes, photo.truth.labels) for photo in photos]


def open_upright(path: Path) -> Image.Image:
    """Open a photo Pillow can decode, turned as its EXIF orientation says."""
    with Image.open(path) as image:
        upright: Image.Image = ImageOps.exif_transpose(image)
        upright.load()
        return upright


def reliability(answers: list[tuple[float, bool]]) -> list[Bin]:
    """Return ``(confidence 0-1, right)`` pairs counted in ``BINS`` equal bins; empty bins too."""
    confidence = np.array([pair[0] for pair in answers])
    right = np.array([pair[1] for pair in answers], dtype=np.float64)
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        inside = places == number
        count = int(inside.sum())
        mean, share = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (0.0, 0.0)
        bins.append(Bin(number / BINS, (number + 1) / BINS, count, mean, share))
    return bins


def calibration_error(answers: list[tuple[float, bool]]) -> float:
    """Return the expected calibration error of ``(confidence 0-1, right)`` pairs, 0-1, over ``BINS`` equal bins."""
    if not answers:
        return 0.0
    return sum(found.photos * abs(found.confidence - found.accuracy) for found in reliability(answers)) / len(answers)


def _plain_figures(rules: LabelRules, photos: Iterable[Photo]) -> Figures:
    entries = rules.table.entries

    def shown(photo: Photo) -> list[str]:
        over = photo.classes[:1] if photo.classes and photo.classes[0][1] > PLAIN_THRESHOLD else ()
        return [entries[index].name for index, _ in over]

    return _sorted_figures((photo, shown(photo), shown(photo)) for photo in photos)


def _sorted_figures(rows: Iterable[tuple[Photo, list[str], list[str]]]) -> Figures:
    """Count (photo, narrowest labels, all labels) for the three sets of photos."""
    nothing = LabelFigures(Rate(0, 0), Rate(0, 0), Rate(0, 0))
    known = named = rest = nothing
    for photo, narrow, everything in rows:
        right = photo.truth.labels
        one = LabelFigures(
            Rate(sum(label in right for label in narrow), len(narrow)),
            Rate(sum(label in right for label in everything), len(everything)),
            Rate(int(bool(narrow)), 1),
        )
        rest += one
        if photo.truth.outputs:
            known += one
        if right:
            named += one
    return Figures(known, named, rest)


def _photos(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            yield path
