"""One fault in one operation: where it strikes is drawn from the steps of an undisturbed run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.crash import sqlite_steps
from tests.crash.disk import Broken, Cut, Fault, Full, Kill

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.crash.forked import Ended
    from tests.crash.operation import Operation

KILLS: Final = ("kill", "cut")
ERRORS: Final = ("full", "broken")
_TRIES: Final = 8
NAMES: Final = {"full": {"disk-full", "storage-failed", "unavailable"}, "broken": {"storage-failed", "unavailable"}}
"""The named errors that a full disk, and a failing one, may lead to."""


def can_cut() -> bool:
    """Tell whether SQLite's own steps are seen here: without them nobody knows what a power cut leaves of its files."""
    return sqlite_steps.library() is not None


class Rounds:
    """Rounds of one operation."""

    def __init__(self, operation: Operation, chance: random.Random) -> None:
        """Run the operation once, undisturbed, and count its steps."""
        self._operation = operation
        self._chance = chance
        self.alarms = 0
        """Named errors that were met."""
        self.what = f"{operation.name}, undisturbed"
        """What is being done, for whoever has to repeat it."""
        ended = operation.run()
        assert not ended.killed
        operation.check(ended)
        self.steps = ended.steps

    def strike(self, kind: str) -> Ended:
        """Let the operation meet a fault of a kind, and expect what has to hold afterwards."""
        operation = self._operation
        highest = self.steps
        for _ in range(_TRIES):
            at = self._chance.randint(1, max(1, highest))
            fault = self._fault(kind, at)
            self.what = f"{operation.name}, {kind} at step {at} of {self.steps}"
            ended = operation.run(fault)
            self._expect_names(kind, ended)
            operation.check(ended)
            if ended.struck:
                return ended
            highest = min(highest, ended.steps)  # it took fewer steps this time
        raise AssertionError(f"{operation.name} was never struck in {self.steps} steps")

    def _fault(self, kind: str, at: int) -> Fault:
        seed = self._chance.getrandbits(32)
        made: dict[str, Callable[[], Fault]] = {
            "kill": lambda: Kill(at, seed),
            "cut": lambda: Cut(at, seed) if can_cut() else Kill(at, seed),
            "full": lambda: Full(at),
            "broken": lambda: Broken(at),
        }
        return made[kind]()

    def _expect_names(self, kind: str, ended: Ended) -> None:
        for name, hint in ended.refusals:
            self.alarms += 1
            assert name in NAMES[kind], f"{self.what} is {name}"
            assert hint, f"{self.what} is {name}, and nothing says what to do"
