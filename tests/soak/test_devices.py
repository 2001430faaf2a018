"""The state machine in the test command: the same runs every time; `make soak` tries others for as long as one likes.

The examples are derived from the machine itself (`derandomize`), because a run that fails by chance, on a change that
has nothing to do with it, would have to be found out about by whoever made that change.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.soak.machine import TRIED, Devices

RUNS = 10
STEPS = 80


def test_nothing_is_lost_whatever_happens_between_devices_and_their_relay() -> None:
    run_state_machine_as_test(
        Devices,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            # Shrinking takes minutes, which the test command has not: the failing steps are printed as they were, and
            # `make soak PART=devices` shrinks what it finds.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert TRIED.steps > RUNS * STEPS // 4
