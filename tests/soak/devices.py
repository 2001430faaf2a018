"""The soak's first part: the state machine of `tests.soak.machine`, with fresh seeds for as long as it is told."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.soak import machine
from tests.soak.counts import Counts
from tests.soak.ending import Lost

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE: Final = 5
_STEPS: Final = 80
_MOST_FINDINGS: Final = 20
_SHOWN: Final = 12_000


def run(seconds: float, start: int, report: Callable[[str], None]) -> Counts:
    """Take steps for `seconds`, a few runs a seed from `start` on; each failure is shrunk, and told as its steps."""
    until, number, findings, losses = time.monotonic() + seconds, start, list[str](), 0
    before = machine.TRIED.steps
    while time.monotonic() < until and len(findings) < _MOST_FINDINGS:
        try:
            _a_few(number, shrink=False)
        except Exception as found:  # noqa: BLE001 - whatever comes is what this looks for
            losses += isinstance(found, Lost)
            findings.append(_told(number, _shrunk(number, found)))
        number += 1
        report(f"{machine.TRIED.steps - before:,} steps, {len(findings)} findings, seed {number}")
    return Counts(steps=machine.TRIED.steps - before, alarms=machine.TRIED.alarms, losses=losses, findings=findings)


def _a_few(number: int, *, shrink: bool) -> None:
    # A class of its own, because the seed is kept on it.
    seeded = seed(number)(type("Devices", (machine.Devices,), {}))
    run_state_machine_as_test(
        seeded,
        settings=settings(
            max_examples=_AT_ONCE,
            stateful_step_count=_STEPS,
            deadline=None,
            database=None,
            print_blob=False,
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def _shrunk(number: int, found: Exception) -> Exception:
    """Return the same failure after as few steps as can be."""
    try:
        _a_few(number, shrink=True)
    except Exception as smaller:  # noqa: BLE001 - as above
        return smaller
    return found


def _told(number: int, found: Exception) -> str:
    steps = "\n".join(getattr(found, "__notes__", []))
    where = "".join(traceback.format_tb(found.__traceback__)[-3:])
    return f"seed {number}: {type(found).__name__}: {found}\n{where}{steps}"[:_SHOWN]
