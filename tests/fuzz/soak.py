"""The soak's part for parsers: every target in turn, each for its share of the time."""

from __future__ import annotations

import logging
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz import engine
from tests.fuzz.kept_inputs import inputs
from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS
from tests.fuzz.watched import watch
from tests.soak.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_SECONDS = 5
"""In less, hardly more is tried than what is kept."""
_BETWEEN_SECONDS = 1
"""What beginning and ending with a target takes."""
_AT_ONCE = 200


def run(seconds: float, seed: int, report: Callable[[str], None]) -> Counts:
    """Fuzz for `seconds` in all; where too little time is left for every target, chance picks which ones."""
    if not engine.is_there():
        report("atheris is not installed here: seeds are damaged at random, with no coverage to go by")
        counts = _unguided(seconds, seed)
        report(f"{len(TARGETS)} targets, seeds damaged at random, with no coverage to go by")
        return counts
    report("coverage guides, by atheris")
    counts = Counts()
    names = sorted(TARGETS)
    random.Random(seed).shuffle(names)
    ends = time.monotonic() + seconds
    done = 0
    with tempfile.TemporaryDirectory(prefix="safelight-fuzz-") as work, engine.Guided() as guided:
        for name in names:
            left = ends - time.monotonic()
            share = max(_LEAST_SECONDS, int(left / (len(names) - done) - _BETWEEN_SECONDS))
            if done and left < share:
                break
            outcome = guided.fuzz(TARGETS[name], share, seed, Path(work))
            done += 1
            counts.inputs += outcome.inputs
            report(f"{name}: {outcome}")
            counts.findings += [
                f"{name}: {fault.place}: {fault.message}; the input, in hex: {data.hex()[:4000]}"
                for fault, data in outcome.faults
            ]
    report(f"{done} of {len(names)} targets, guided by coverage")
    return counts


def _unguided(seconds: float, seed: int) -> Counts:
    logging.getLogger("core").addHandler(logging.NullHandler())  # a line of every damaged file would bury the counts
    counts = Counts()
    ends = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < ends:
        turn += 1
        for name, target in TARGETS.items():
            seeds = list(inputs(name).values())
            for data in mutations(target, seeds, f"{seed} {turn} {name}", _AT_ONCE):
                counts.inputs += 1
                fault = watch(target, data)
                if fault is not None:
                    counts.findings.append(f"{name}: {fault.place}: {fault.message}; in hex: {data.hex()[:4000]}")
            if time.monotonic() > ends:
                break
    return counts
