"""How right labels are: every pack on Caltech-101, thresholds fitted on one half and measured on the other.

Aim: with mobilenet-v2, at least 90 % of the narrowest labels shown are right at a coverage of 60 % or more. Of which
photos that is said is printed: those of things the model has a class for, those of things there is a word for, and all.
The thresholds that the built-in pack ships have seen half of the photos.
`--pack NAME` measures one pack only, `--svg FOLDER` draws the reliability of each.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measurement import Report
from ml.evaluate import evaluate
from ml.pack import Pack, builtin_pack
from ml.reliability_diagram import reliability_diagram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.evaluate import Figures

REPOSITORY = Path(__file__).resolve().parent.parent
MANIFESTS = REPOSITORY / "tests" / "ml" / "manifests"
AIMED_AT = "mobilenet-v2"
SETS = (("known", "it has a class for"), ("named", "there is a word for"), ("all", "all photos"))


def shared_data() -> Path:
    """Return the folder of the photos and models."""
    return Path(os.environ.get("SAFELIGHT_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


def packs(data: Path, name: str | None = None) -> Iterator[tuple[str, Pack]]:
    """Yield the packs there are, with their names; only the one called `name` if that is given."""
    for manifest in sorted(MANIFESTS.glob("*.toml")):
        folder = data / "models" / manifest.stem
        if folder.is_dir() and name in (None, manifest.stem):
            yield manifest.stem, Pack.open(folder, manifest)
    if name in (None, "safelight-mini"):
        yield "safelight-mini", builtin_pack()


def main(arguments: list[str] | None = None) -> list[str]:
    """Measure and print; return the aims that were missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", help="only this one")
    parser.add_argument("--svg", type=Path, help="a folder for reliability diagrams")
    options = parser.parse_args(arguments)
    data = shared_data()
    photos = data / "labelled" / "caltech101"
    report = Report("Labels on Caltech-101: right (95 % interval), and coverage")
    if not photos.is_dir():
        print(f"skipped: {photos} is not there; SAFELIGHT_TEST_DATA names the folder of the data")
        return []
    for name, pack in packs(data, options.pack):
        result = evaluate(pack, photos, threads=os.cpu_count() or 1)
        facts = f"top-1 {result.top1:.1%}, top-5 {result.top5:.1%}, ECE {result.ece:.3f}"
        print(f"\n{name}: {facts} (of {result.photos} photos)")
        show(report, name, "as shipped", result.shown)
        if result.halves is not None:
            show(report, name, "fitted on the other half", result.halves, aimed_at=name == AIMED_AT)
        show(report, name, "plain: top-1 over 0.1", result.plain)
        if options.svg:
            options.svg.mkdir(parents=True, exist_ok=True)
            (options.svg / f"{name}.svg").write_text(reliability_diagram(result.reliability, name, result.ece))
    return report.missed


def show(report: Report, name: str, what: str, figures: Figures, *, aimed_at: bool = False) -> None:
    """Print one way of choosing labels, on the three sets of photos."""
    for part, says in SETS:
        found = getattr(figures, part)
        low, high = found.precision.interval
        right = f"{found.precision.share:.1%} ({low:.1%} to {high:.1%})"
        line = f"{what}, {says} ({found.coverage.of})"
        if aimed_at and part != "all":
            met = found.precision.share >= 0.9 and found.coverage.share >= 0.6
            report.line(f"{name}: {line}", right, aim=f"{found.coverage.share:.1%}; aim 90 % at 60 %", met=met)
        else:
            report.line(line, right, aim=f"{found.coverage.share:.1%}")


if __name__ == "__main__":
    sys.exit(bool(main()))
