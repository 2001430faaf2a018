"""What is interrupted while a library comes to a machine: a device joins, or the phrase brings everything back."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from core.errors import CoreError, LibraryExists
from core.joining import join, read_code, refuse_unless_joinable
from core.library import Library
from core.mailbox import Pace
from core.pairing import invite_at
from core.recovering import recover
from tests.core.empty_library import empty_library
from tests.core.sync.conftest import COSTS, PASSPHRASE, Device
from tests.crash.forked import Running
from tests.crash.household import MARK, Household, Lost, Prepared, examine, expect
from tests.crash.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from core.devices import DeviceRecord
    from tests.crash.forked import Ended, Session

_PACE = Pace(first=0.005, longest=0.05, unreachable=5.0, arrival=5.0)
"""As patient as a test has to be."""
_NAME = f"{MARK} newcomer"


class Recovering(Operation):
    """The library comes back onto a machine that has nothing of it; the other devices stay."""

    name = "recover"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._prepared = Prepared(household, self._give)
        self._root = household.folder / "new"

    def prepare(self) -> list[Path]:
        self._prepared.again()
        return [self._root, self._household.state]

    def _give(self) -> None:
        household = self._household
        plan = household.plan()
        plan.add()
        plan.several(2)
        plan.make(household.first.library)
        household.model = plan.models[-1]
        household.first.sync()

    def work(self, session: Session) -> None:
        def run() -> None:
            self.arrive().close()
            session.tell("arrived")

        session.attempt(run)

    def arrive(self) -> Library:
        """Do it, or what is left of it."""
        phrase = empty_library(PASSPHRASE, "device 0").phrase
        url = self._household.relay.url
        return recover(url, phrase, name=_NAME, root=self._root, passphrase=PASSPHRASE, keep=_everybody, kdf=COSTS)

    def check(self, ended: Ended) -> None:
        household = self._household
        if "arrived" in ended.done and not (self._root / "library.toml").exists():
            raise Lost("a library was acknowledged, and is not there")
        self.finish()
        secrets = Library.unlock(self._root, PASSPHRASE)
        newcomer = Device(self._root, secrets, Library.open(self._root, secrets))
        household.home.devices.append(newcomer)
        household.open()
        newcomer.sync(originals=True)
        expect(newcomer.library, household.model)
        examine(newcomer.library, household.folder)
        household.settle(thoroughly=False)

    def finish(self) -> None:
        """Do what is left of it, undisturbed."""
        with contextlib.suppress(LibraryExists):
            self.arrive().close()


def _everybody(found: Sequence[DeviceRecord]) -> Collection[bytes]:
    return [one.device_id for one in found]


class Joining(Recovering):
    """A device joins; the one that invites it is killed with it, or wherever it is then."""

    name = "join"

    def __init__(self, household: Household) -> None:
        super().__init__(household)
        self._code = ""
        self._inviting: Running | None = None

    def prepare(self) -> list[Path]:
        folders = super().prepare()
        self._invite()
        return folders

    def _invite(self) -> None:
        first = self._household.first

        def invite(session: Session) -> None:
            with Library.open(first.root, first.secrets) as library:
                try:
                    invite_at(
                        library,
                        on_code=lambda _url, code: session.tell(str(code)),
                        confirm=lambda _newcomer: True,
                        stop=threading.Event(),
                        pace=_PACE,
                    )
                except CoreError as error:
                    session.tell(error.name)
                else:
                    session.tell("invited")

        self._inviting = Running(invite, self._household.roots(first))
        self._code = self._inviting.acknowledged()

    def arrive(self) -> Library:
        url, code = self._household.relay.url, read_code(self._code)
        return join(url, code, name=_NAME, root=self._root, passphrase=PASSPHRASE, pace=_PACE, kdf=COSTS)

    def check(self, ended: Ended) -> None:
        assert self._inviting is not None
        if ended.done:
            assert self._inviting.end().done == ["invited"]
        else:
            self._inviting.kill()
        super().check(ended)

    def finish(self) -> None:
        with contextlib.suppress(LibraryExists):
            refuse_unless_joinable(self._root)
        if not (self._root / "library.toml").exists():
            self._invite()
            self.arrive().close()
            assert self._inviting is not None
            assert self._inviting.end().done == ["invited"]
