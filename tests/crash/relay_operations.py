"""What is interrupted between a device and its relay: originals that make room, and a relay that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import CoreError
from core.library import Library
from core.sync.free import FreeEvent, free
from tests.crash.forked import Ended
from tests.crash.household import Household, Lost, Prepared, content, examine, shown
from tests.crash.operation import Operation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.disk import Fault
    from tests.crash.forked import Session


class Freeing(Operation):
    """Originals that a relay holds are removed from a device."""

    name = "free"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._prepared = Prepared(household, self._give)
        self._names: list[str] = []

    def prepare(self) -> list[Path]:
        self._prepared.again()
        return self._household.roots(self._household.first)

    def _give(self) -> None:
        household = self._household
        plan = household.plan()
        plan.add(4)
        plan.make(household.first.library)
        household.model = plan.models[-1]
        self._names = list(household.model)
        household.first.sync()

    def work(self, session: Session) -> None:
        first = self._household.first

        def run() -> None:
            with Library.open(first.root, first.secrets) as library:
                session.insist(lambda: self._free(library, session))

        session.insist(run)

    @staticmethod
    def _free(library: Library, session: Session) -> None:
        def tell(event: FreeEvent, _done: int, _all: int) -> None:
            assert event.event == "freed", event.reason
            session.tell(event.photo.hex())

        free(library, single_copy=True, progress=tell)

    def check(self, ended: Ended) -> None:
        household = self._household
        household.open()
        library = household.first.library
        examine(library, household.folder)
        left = [one for one in map(bytes.fromhex, ended.done) if library.blobs.exists(_original(library, one)[0])]
        if left and not ended.cut:
            raise Lost(f"{len(left)} originals were told as freed, and are here")
        free(library, single_copy=True)
        household.first.sync(originals=True)
        for photo in library.catalog.search(""):
            assert photo.filename is not None
            if library.blobs.read(*_original(library, photo.pid)) != content(photo.filename):
                raise Lost(f"the original of {photo.filename} is another one")
        household.settle(thoroughly=False)


def _original(library: Library, pid: bytes) -> tuple[bytes, bytes]:
    (copy,) = [copy for copy in library.catalog.copies(pid) if copy.role == "original"]
    return copy.blob_id, copy.key


class Serving(Operation):
    """A relay that is killed, or whose disk fails, while it starts and while two devices give and take."""

    name = "serve"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._prepared = Prepared(household, self._write)

    def prepare(self) -> list[Path]:
        self._prepared.again()
        self._household.open()
        self._household.relay.stop()
        return [self._household.relay.settings.data]

    def _write(self) -> None:
        household = self._household
        plan = household.plan()
        plan.add(3)
        plan.several(3)
        plan.make(household.first.library)
        household.model = plan.models[-1]

    def work(self, session: Session) -> None:
        """Nothing in a process of the tests: the relay has its own."""

    def run(self, fault: Fault | None = None) -> Ended:
        household = self._household
        self.prepare()
        household.relay.start(fault)
        done = []
        for device, word in ((household.first, "given"), (household.second, "taken")):
            try:
                device.sync(originals=True)
            except CoreError:
                if fault is None:
                    raise
            else:
                done.append(word)
        served = household.relay.stop()
        return Ended(served.killed, served.struck, done, [], served.steps)

    def check(self, ended: Ended) -> None:
        household = self._household
        household.relay.expect_sound()
        household.relay.start()
        if "given" in ended.done:
            # What a relay has acknowledged is there, whatever becomes of the device that gave it.
            household.second.sync(originals=True)
            if shown(household.second.library) != household.model:
                raise Lost("a relay has acknowledged what it does not give out")
            for photo in household.second.library.catalog.search(""):
                found = household.second.library.blobs.read(*_original(household.second.library, photo.pid))
                if found != content(photo.filename or ""):
                    raise Lost(f"a relay has acknowledged the original of {photo.filename}, and gives out another one")
        household.settle()
