"""Make a run that fails as short as can be.

Delta debugging: A. Zeller and R. Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE Transactions on
Software Engineering 28(2), 2002: the algorithm ddmin, over the list of steps, and then over what goes wrong in a step.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from tests.soak.runs import Run, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.soak.runs import Failure
    from tests.soak.steps import Step

    Fails = Callable[[Sequence[Step]], list[Step] | None]


def ddmin(steps: Sequence[Step], fails: Fails) -> list[Step]:
    """Return steps that still fail, and that would not if any one of them were left out.

    `fails` tells of a list whether it fails, by returning it, or as much of it as is enough; None where it does not.
    """
    kept, parts = list(steps), 2
    while kept:
        size = -(-len(kept) // parts)
        for begin in range(0, len(kept), size):
            without = fails(kept[:begin] + kept[begin + size :])
            if without is not None:
                kept, parts = without, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), 2 * parts)
    return kept


def _plainer(step: Step) -> Iterator[Step]:
    """Return the same step with one thing less in it."""
    if step.method != "sync":
        return
    number, plan, named = step.arguments[0], list(step.arguments[1]), step.named  # type: ignore[call-overload]
    for at in range(len(plan)):
        yield dataclasses.replace(step, arguments=(number, plan[:at] + plan[at + 1 :]))
    if named.get("originals") is not None:
        yield dataclasses.replace(step, named=named | {"originals": None})  # type: ignore[operator]


def _plain(steps: Sequence[Step], fails: Fails) -> list[Step]:
    """Return the steps with as little in each as still fails."""
    kept, at = list(steps), 0
    while at < len(kept):
        for plainer in _plainer(kept[at]):
            failing = fails([*kept[:at], plainer, *kept[at + 1 :]])
            if failing is not None:
                kept = failing
                break
        else:
            at += 1
    return kept


def shrink(failure: Failure, seconds: float) -> Failure:
    """Return a failure in the same place after as few steps as are found in `seconds`."""
    until, smallest, tried = time.monotonic() + seconds, failure, set[str]()

    def fails(steps: Sequence[Step]) -> list[Step] | None:
        nonlocal smallest
        run = Run(failure.run.seed, steps)
        if str(run) in tried or time.monotonic() > until:
            return None
        tried.add(str(run))
        found = take(run)
        if found is None or found.place != failure.place:
            return None
        smallest = found
        return list(found.run.steps)

    steps = ddmin(failure.run.steps, fails)
    plain = _plain(steps, fails)
    if plain != steps:
        ddmin(plain, fails)
    return smallest
