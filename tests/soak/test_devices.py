"""The state machine in the test command; `make soak` takes other runs for as long as one likes."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPOSITORY


def test_nothing_is_lost_whatever_happens_between_devices_and_their_relay() -> None:
    """In a process of its own, in which even the order of sets is the same each time (`tests.soak.same_runs`)."""
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.soak.same_runs"],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-20_000:]
    steps = int(done.stdout.split(maxsplit=1)[0])
    assert steps > 1_000, "the machine stands still"
