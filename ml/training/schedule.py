"""How far training is, and what that means for learning rate and picture size.

Progress runs from 0 to 1. Each step adds a little of it; how little is planned from the speed seen so far, so that a
run on a busy machine still reaches 1, fully annealed, when its time is up. The log keeps every plan, which makes a
run repeatable: the same seed and the same plans give the same steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_UP = 0.1
SMALL_UNTIL = 0.6
SMALL_SIZE = 48
FULL_SIZE = 64
SOFT_FROM = 0.8358
"""From here on pictures are made as soft as the photos of the app (``dataset.SOFTNESS``)."""

UNCOUNTED_STEPS = 5
"""The first steps compile kernels and say nothing about the speed of the rest."""


def learning_rate(progress: float, peak: float) -> float:
    """Return the one-cycle rate: a linear rise over the first tenth, then half a cosine down to zero."""
    if progress < WARM_UP:
        return peak * (0.05 + 0.95 * progress / WARM_UP)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1.0 - WARM_UP))))


def picture_size(progress: float) -> int:
    """Return the side in pixels to train at: small pictures first (they cost 0.56 of a full one), full size later."""
    return SMALL_SIZE if progress < SMALL_UNTIL else FULL_SIZE


def remaining_cost(progress: float) -> float:
    """Return what is left of the run, in runs at full picture size (1 would be a whole one)."""
    small = max(0.0, SMALL_UNTIL - progress)
    full = 1.0 - max(SMALL_UNTIL, progress)
    return small * (SMALL_SIZE / FULL_SIZE) ** 2 + full


@dataclass
class Planner:
    """Chooses the progress of one step.

    ``steps`` is the length of the run when time allows; ``seconds_per_full_step`` a running mean of the wall-clock time
    of a step at full picture size.
    """

    steps: int
    seconds_per_full_step: float = 0.0
    observed: int = 0

    def observe(self, seconds: float, size: int) -> None:
        """Take in the wall-clock ``seconds`` of one step on pictures of side ``size``."""
        self.observed += 1
        counted = self.observed - UNCOUNTED_STEPS
        if counted <= 0:
            return
        full = seconds * (FULL_SIZE / size) ** 2
        # About the last 200 steps count: long enough to smooth a test run next door, short enough to follow the load.
        self.seconds_per_full_step += max(0.005, 1.0 / counted) * (full - self.seconds_per_full_step)

    def step(self, progress: float, seconds_left: float | None) -> float:
        """Return the progress of the next steps, given the time left (None: no limit)."""
        planned = 1.0 / self.steps
        if seconds_left is None or self.seconds_per_full_step == 0.0:
            return planned
        affordable = max(1.0, seconds_left / self.seconds_per_full_step)
        # `affordable` full-size steps must cover `remaining_cost` of the run.
        return max(planned, remaining_cost(progress) / affordable)
