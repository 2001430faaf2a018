"""What a part of the soak has done: the counts that `make soak` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Part(Protocol):
        """A module of the soak: it runs for `seconds`, from `seed`, and says how far it is by calling `report`."""

        run: Callable[[float, int, Callable[[str], None]], Counts]


@dataclass
class Counts:
    """How much was tried, and what came of it. Counts of several runs are added with `+=`."""

    steps: int = 0
    """Rules of a state machine that were taken."""
    kills: int = 0
    """Processes that were killed, or whose disk failed, between two steps."""
    inputs: int = 0
    """Inputs given to a parser."""
    alarms: int = 0
    """Named alarms that were raised, as they should be."""
    losses: int = 0
    """Edits, photos or files that were lost: any is a failure."""
    findings: list[str] = field(default_factory=list)
    """What is wrong, each with how to repeat it: any is a failure."""

    def __iadd__(self, other: Counts) -> Self:
        """Add another run's counts."""
        self.steps += other.steps
        self.kills += other.kills
        self.inputs += other.inputs
        self.alarms += other.alarms
        self.losses += other.losses
        self.findings += other.findings
        return self

    @property
    def failed(self) -> bool:
        """Whether anything was lost or found wrong."""
        return self.losses > 0 or bool(self.findings)
