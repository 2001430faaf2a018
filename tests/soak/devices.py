"""The soak's first part: devices and a relay, with fresh seeds for as long as it is told.

Half of the time goes to the state machine of `tests.soak.machine`, whose runs Hypothesis draws, and half to runs that
chance draws in swarms (`tests.soak.drawn`). In the same time both go through as many branches of what syncs.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.soak import drawn
from tests.soak.counts import Counts
from tests.soak.ending import Lost
from tests.soak.machine import Devices
from tests.soak.runs import Failure
from tests.soak.shrinking import shrink

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE: Final = 5
_STEPS: Final = 80
_DRAWN_EACH: Final = 6
"""Runs that are drawn by chance for each few of Hypothesis: they take as long."""
_MOST_FINDINGS: Final = 20
_SHRUNK_S: Final = 120.0
"""At most so long to make one finding small."""
_SHOWN: Final = 12_000


def run(seconds: float, start: int, report: Callable[[str], None]) -> Counts:
    """Take steps for `seconds`, with seeds from `start` on; each failure is shrunk, and told as its steps.

    What fails in a place where an earlier run failed is not told again, and counts where it is a loss.
    """
    logging.getLogger("core").addHandler(logging.NullHandler())  # alarms are what is wanted, and counted
    until, number, counts, known = time.monotonic() + seconds, start, Counts(), set[tuple[object, ...]]()
    while time.monotonic() < until and len(known) < _MOST_FINDINGS:
        failure = drawn.run(number, counts) if number % (_DRAWN_EACH + 1) else _a_few(number, counts)
        if failure is not None:
            counts.losses += isinstance(failure.error, Lost)
            if failure.place not in known:
                known.add(failure.place)
                counts.findings.append(_told(number, shrink(failure, _SHRUNK_S)))
        number += 1
        report(f"{counts.steps:,} steps, {len(counts.findings)} findings, seed {number}")
    return counts


def _a_few(number: int, counts: Counts) -> Failure | None:
    """Take a few runs that Hypothesis draws."""
    kind: type[Devices] = type("Devices", (Devices,), {"counts": counts})
    try:
        run_state_machine_as_test(
            seed(number)(kind),
            settings=settings(
                max_examples=_AT_ONCE,
                stateful_step_count=_STEPS,
                deadline=None,
                database=None,
                print_blob=False,
                report_multiple_bugs=False,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Exception as found:
        if kind.last is None:
            raise
        return Failure(kind.last, found)
    return None


def _told(number: int, failure: Failure) -> str:
    where = "".join(traceback.format_tb(failure.error.__traceback__)[-3:])
    told = f"{type(failure.error).__name__}: {failure.error}"[:_SHOWN]
    return f"seed {number}: {told}\n{where}{failure.run}"
