"""What every operation that is interrupted has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tests.crash.forked import Ended, Session, fork

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.disk import Fault


class Operation(ABC):
    """One kind of work that is interrupted."""

    name: str

    def run(self, fault: Fault | None = None) -> Ended:
        """Bring about something to do, and do it in a process that meets a fault."""
        return fork(self.work, self.prepare(), fault)

    @abstractmethod
    def prepare(self) -> list[Path]:
        """Bring about something to do; return the folders in which it is done."""

    @abstractmethod
    def work(self, session: Session) -> None:
        """Do it, in a forked process, and tell what was acknowledged."""

    @abstractmethod
    def check(self, ended: Ended) -> None:
        """Expect that everything acknowledged is there and nothing in part, and do the rest."""
