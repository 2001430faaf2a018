"""Kills, power cuts, full and failing disks at random places, for as long as one likes: a part of `make soak`.

Each household goes through every operation, and is then replaced by a new one; one in which something was found wrong
is replaced at once. Everything random comes from the seed, but threads take their steps in an order of their own.
"""

from __future__ import annotations

import gc
import random
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Final

from tests.crash.arrivals import Joining, Recovering
from tests.crash.household import Household, Lost
from tests.crash.migrations import MIGRATIONS, migration
from tests.crash.operations import Checkpointing, Editing, Importing, Pruning, Rotating, Syncing
from tests.crash.relay_operations import Freeing, Serving
from tests.crash.rounds import ERRORS, KILLS, Rounds
from tests.soak.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_KILLS: Final = 200
"""A run goes on until it has made as many, whatever its time."""
OPERATIONS: Final = (
    Editing,
    Importing,
    Syncing,
    Checkpointing,
    Pruning,
    Rotating,
    Joining,
    Recovering,
    Freeing,
    Serving,
)
_MOST_FINDINGS: Final = 20
_STRIKES: Final = (*KILLS, *KILLS, *KILLS, *ERRORS)
"""What an operation meets in one household, in an order that is drawn."""


def run(seconds: float, seed: int, report: Callable[[str], None]) -> Counts:
    """Strike for `seconds`, and at least `LEAST_KILLS` times with a kill or a power cut."""
    warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
    gc.collect()
    gc.freeze()  # else whoever is forked copies all that was loaded
    counts = Counts()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end or counts.kills < LEAST_KILLS:
        known = len(counts.findings)
        _migrations(seed + number, counts)
        _household(seed + number, counts, end)
        number += 1
        for finding in counts.findings[known:]:
            report(f"found: {finding}")
        report(
            f"{counts.kills} kills of {counts.steps} faults, {counts.losses} losses, {len(counts.findings)} findings"
        )
        if len(counts.findings) > _MOST_FINDINGS:
            break
    return counts


def _migrations(seed: int, counts: Counts) -> None:
    """Strike every migration a few times."""
    chance = random.Random(seed)
    what = "a folder to migrate"
    try:
        for kind in MIGRATIONS:
            with migration(kind, chance) as operation:
                rounds = Rounds(operation, chance)
                try:
                    for fault in chance.sample(_STRIKES, len(_STRIKES)):
                        rounds.strike(fault)
                        counts.kills += fault in KILLS
                        counts.steps += 1
                finally:
                    what = rounds.what
                    counts.alarms += rounds.alarms
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        counts.losses += isinstance(error, Lost)
        counts.findings.append(f"migrations {seed}: {what}\n{traceback.format_exc()}")


def _household(seed: int, counts: Counts, end: float) -> None:
    """Lead one household through every operation."""
    chance = random.Random(seed)
    what = "a new household"
    try:
        with Household(chance) as household:
            for kind_of_work in OPERATIONS:
                household.begin_anew()
                operation = kind_of_work(household)
                rounds = Rounds(operation, chance)
                try:
                    for kind in chance.sample(_STRIKES, len(_STRIKES)):
                        if time.monotonic() > end and counts.kills >= LEAST_KILLS:
                            return
                        rounds.strike(kind)
                        counts.kills += kind in KILLS
                        counts.steps += 1
                finally:
                    what = rounds.what
                    counts.alarms += rounds.alarms
                household.settle()
                if isinstance(operation, Pruning):
                    operation.newcomer()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        counts.losses += isinstance(error, Lost)
        counts.findings.append(f"household {seed}: {what}\n{traceback.format_exc()}")
