"""Temperature and threshold of the pack, fitted on validation pictures; and thresholds for photos of other things, too.

``python -P -m ml.training.calibrate PHOTOS KNOWN`` fits the latter.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ml.builtin import builtin_folder
from ml.calibration import CALIBRATION_NAME, Calibration
from ml.calibration_fit import fit
from ml.classes import DEFAULT_THRESHOLD, ClassEntry, ClassTable
from ml.evaluate import label_figures, labelled, measure, split
from ml.labels import LabelRules
from ml.manifest import MANIFEST_NAME
from ml.pack import Pack
from ml.session import top_classes
from ml.taxonomy import BUILTIN, Taxonomy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ml.evaluate import Figures
    from ml.evaluate import LabelFigures as Shown

PRECISION = 0.9
"""Share of the labels shown that are to be right."""

GOLDEN = (5**0.5 - 1) / 2


def softmax(logits: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float64]:
    """Return probabilities ``[N, C]`` of ``logits / temperature``."""
    values = logits.astype(np.float64) / temperature
    values = np.exp(values - values.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = values / values.sum(axis=1, keepdims=True)
    return result


def fit_temperature(logits: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]) -> float:
    """Return the temperature of the least negative log-likelihood (Guo et al. 2017), by golden-section search."""

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits, float(np.exp(log_temperature)))[np.arange(len(targets)), targets]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    low, high = np.log(0.2), np.log(5.0)
    for _ in range(40):
        span = (high - low) * GOLDEN
        if loss(high - span) < loss(low + span):
            high = low + span
        else:
            low = high - span
    return float(np.exp((low + high) / 2))


def calibration_error(probabilities: npt.NDArray[np.float64], targets: npt.NDArray[np.int64], bins: int = 15) -> float:
    """Return the expected calibration error of the strongest class, as a share of 1, over equally wide bins."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    places = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    total = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            total += float(inside.mean()) * abs(float(right[inside].mean()) - float(confidence[inside].mean()))
    return total


@dataclass(frozen=True)
class LabelFigures:
    """How the labels shown fare; shares of 1, over N photos."""

    precision: float
    """Of all labels shown, those that are true."""
    specific_precision: float
    """Of the most specific labels shown, those that are true."""
    coverage: float
    """Photos with any label."""
    specific_coverage: float
    """Photos whose own class, or a label directly above it, is shown."""
    per_photo: float
    """Labels shown per photo."""


class LabelEvaluation:
    """Labels of the photos of one split under any threshold."""

    def __init__(
        self, wnids: Sequence[str], probabilities: npt.NDArray[np.float64], targets: npt.NDArray[np.int64]
    ) -> None:
        """``probabilities`` is ``[N, C]`` after the temperature, ``wnids`` names the C classes."""
        taxonomy = Taxonomy.load(BUILTIN)
        entries = tuple(ClassEntry(wnid, taxonomy.class_names[wnid]) for wnid in wnids)
        self._table = ClassTable(model="", entries=entries, background=-1, threshold=0.5, taxonomy=BUILTIN)
        self._classes = [top_classes(row.astype(np.float32)) for row in probabilities]
        self._targets = targets
        self._true = [taxonomy.labels_of(wnid) | {taxonomy.class_names[wnid]} for wnid in wnids]
        self._near = [{*taxonomy.holders(wnid), taxonomy.class_names[wnid]} for wnid in wnids]

    def at(self, threshold: float, rows: slice = slice(None)) -> LabelFigures:
        """Return the figures of the photos ``rows`` under ``threshold``."""
        rules = LabelRules(msgspec.structs.replace(self._table, threshold=threshold))
        shown = right = specific = specific_right = covered = near = 0
        photos = list(zip(self._classes, self._targets, strict=True))[rows]
        for classes, target in photos:
            labels = {name for name, _ in rules.choose(classes)}
            narrow = {name for name, _ in rules.most_specific(classes)}
            shown += len(labels)
            right += len(labels & self._true[target])
            specific += len(narrow)
            specific_right += len(narrow & self._true[target])
            covered += bool(labels)
            near += bool(labels & self._near[target])
        return LabelFigures(
            precision=right / max(1, shown),
            specific_precision=specific_right / max(1, specific),
            coverage=covered / len(photos),
            specific_coverage=near / len(photos),
            per_photo=shown / len(photos),
        )

    def fit(self, rows: slice = slice(None)) -> float:
        """Return the lowest threshold, to 0.01, at which the labels of ``rows`` reach the wanted precision."""
        low, high = 5, 99
        while low < high:
            middle = (low + high) // 2
            if self.at(middle / 100, rows).precision >= PRECISION:
                high = middle
            else:
                low = middle + 1
        return low / 100


def calibrate_among_strangers(folder: Path, photos: Path, known: Path) -> dict[str, tuple[Figures, Figures]]:
    """Fit the pack's thresholds on photos of all kinds of things and as many of things it knows; write and pin them.

    Half of the ``photos`` are fitted on, by their SHA-256, and the same number of one half of the ``known``: with
    photos of strange things alone, labels that none of them shows would need to be all but certain. Returns the figures
    of the other halves: by the one threshold of the manifest, and by these.
    """
    pack = Pack.open(folder)
    mixed, familiar = measure(pack, photos), measure(pack, known)
    table = msgspec.structs.replace(
        mixed.rules.table,
        threshold=pack.manifest.output.threshold or DEFAULT_THRESHOLD,
        class_threshold=None,
        label_thresholds={},
        class_thresholds={},
    )
    rules = LabelRules(table)
    fitted_on, others = split(mixed.photos)
    friends, other_friends = split(familiar.photos)
    together = sorted([*fitted_on, *friends[: len(fitted_on)]], key=lambda photo: photo.sha256)
    thresholds = fit(rules, labelled(together), precision=PRECISION)
    if thresholds is None:
        raise SystemExit(f"no threshold makes {PRECISION:.0%} of the labels right")
    text = Calibration.of(thresholds, pack, PRECISION, shipped=True).toml()
    (folder / CALIBRATION_NAME).write_text(text, encoding="utf-8")
    pin(folder, CALIBRATION_NAME)
    fitted = thresholds.applied_to(rules)
    sets = {"photos": others, "known": other_friends, "as many of both": others + other_friends[: len(others)]}
    return {name: (label_figures(rules, some), label_figures(fitted, some)) for name, some in sets.items()}


def pin(folder: Path, name: str) -> None:
    """Write the SHA-256 of the pack's file ``name`` into its manifest."""
    manifest = folder / MANIFEST_NAME
    line = f'"{name}" = "{hashlib.sha256((folder / name).read_bytes()).hexdigest()}"'
    text = manifest.read_text(encoding="utf-8")
    changed, count = re.subn(rf'(?m)^"{re.escape(name)}" = ".*"$', line, text)
    manifest.write_text(changed if count else text.replace("[files]\n", f"[files]\n{line}\n"), encoding="utf-8")


def main() -> None:
    """Calibrate a pack, print what came of it, and pin its README, which is written by hand from that."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("photos", type=Path, help="folders of photos of all kinds of things, such as caltech101")
    parser.add_argument("known", type=Path, help="folders of photos of the classes, such as an unpacked val.zip")
    parser.add_argument("--pack", type=Path, default=builtin_folder())
    options = parser.parse_args()
    for name, both in calibrate_among_strangers(options.pack, options.photos, options.known).items():
        for what, figures in zip(("before", "fitted"), both, strict=True):
            for part in ("known", "all"):
                found: Shown = getattr(figures, part)
                low, high = found.precision.interval
                right = f"{found.precision.share:.1%} right ({low:.1%} to {high:.1%}; all {found.all_right.share:.1%})"
                print(f"{name}, {part}, {what}: {right}, {found.coverage.share:.1%} of {found.coverage.of} get a label")
    pin(options.pack, "README.md")


if __name__ == "__main__":
    main()
