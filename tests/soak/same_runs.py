"""A few runs of the state machine, the same every time: what `test_devices` starts.

The examples are derived from the machine itself (`derandomize`), and whoever starts this fixes `PYTHONHASHSEED`, by
which the order of sets goes: a run that failed by chance, on a change that has nothing to do with it, would have to be
found out about by whoever made that change.
"""

from __future__ import annotations

import sys
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.soak.machine import Devices

RUNS: Final = 12
STEPS: Final = 160


def main() -> int:
    """Take the runs, and print what was done; a failure is raised with its steps."""
    run_state_machine_as_test(
        Devices,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            # Shrinking takes minutes, which the test command has not: `make soak PART=devices` shrinks what it finds.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    sys.stdout.write(f"{Devices.counts.steps} steps, {Devices.counts.alarms} alarms\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
