"""A run: the steps of a world, and what must hold at their end. It goes the same way each time it is taken."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.soak.beginning import beginning
from tests.soak.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.steps import Step

_NUMBERS = re.compile(r"[0-9a-f]{8,}|\d+")
_FRAMES = 2
_WORDS = 100


@dataclass(frozen=True)
class Run:
    """The steps of one run; as text they are what can be written into a test."""

    seed: int
    steps: Sequence[Step]

    @staticmethod
    def of(world: World) -> Run:
        """Return the run that a world has gone through, without what its end did by itself."""
        methods = [step.method for step in world.log]
        return Run(world.seed, world.log[: methods.index("check")] if "check" in methods else world.log[:])

    def __str__(self) -> str:
        """Return it as the body of a test."""
        return "\n".join([f"world = World(beginning(), {self.seed})", *map(str, self.steps), "world.check()"])


@dataclass(frozen=True)
class Failure:
    """A run that fails, and how."""

    run: Run
    error: Exception

    @property
    def place(self) -> tuple[object, ...]:
        """Where it fails: two runs that fail in one place are taken to show one fault.

        The kind of error, the lines that raised it, and how its message begins, whatever numbers that names.
        """
        frames = [(Path(one.filename).name, one.lineno) for one in traceback.extract_tb(self.error.__traceback__)]
        # What is above the world is whoever took its steps.
        names = [name for name, _ in frames]
        inside = frames[names.index("world.py") :] if "world.py" in names else frames[-1:]
        return type(self.error), _NUMBERS.sub("#", str(self.error))[:_WORDS], *inside[-_FRAMES:]


def take(run: Run) -> Failure | None:
    """Take a run's steps, and assert what must hold at the end; return how that failed, with the steps up to there."""
    world = World(beginning(), run.seed)
    try:
        for step in run.steps:
            step.take(world)
        world.check()
    except Exception as error:  # noqa: BLE001 - whatever comes is what this looks for
        return Failure(Run.of(world), error)
    finally:
        world.close()
    return None
