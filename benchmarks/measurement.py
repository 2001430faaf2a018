"""How every benchmark measures and prints: medians, percentiles, peak memory, ratios to a floor of the same run."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def seconds_of(action: Callable[[], object], repeat: int = 1, warm_up: int = 0) -> list[float]:
    """Return the wall-clock seconds of each of `repeat` runs of `action`, after `warm_up` runs that do not count."""
    for _ in range(warm_up):
        action()
    taken = []
    for _ in range(repeat):
        begin = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begin)
    return taken


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the smallest value that `fraction` (0..1) of `values` do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the median of `values`."""
    return statistics.median(values)


def resident_bytes(process: psutil.Process | None = None) -> int:
    """Return the resident memory of a process (default: this one) and of its children, in bytes."""
    process = process or psutil.Process()
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


@dataclass
class Report:
    """Lines of one benchmark: what was measured, against what, and whether the aim was met."""

    title: str
    missed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        print(f"\n{self.title}\n{'-' * len(self.title)}")

    def line(self, what: str, value: str, *, aim: str = "", met: bool | None = None) -> None:
        """Print one figure; `aim` says what was hoped for and `met` whether it was reached."""
        verdict = "" if met is None else ("  reached" if met else "  MISSED")
        print(f"{what:<58} {value:>18}  {aim}{verdict}", flush=True)
        if met is False:
            self.missed.append(what)
