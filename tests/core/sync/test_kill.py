"""A process that syncs is killed after every step that touches the disk or the network: the next one goes on.

The child syncs one device and ends itself, without any clean-up, after its k-th step; the test does so for a sample of
all k there are, on the same library, with new edits each time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from core import edits
from core.library import Library
from core.sync.engine import SyncEngine
from core.verify import verify
from sync_relay import client_http
from tests.core.sync.conftest import converged, patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.sync.conftest import Device

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SAMPLE = 9


class Fuse:
    """Ends the process after a number of steps, or counts them."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.taken = 0

    def step(self) -> None:
        self.taken += 1
        self.left -= 1
        if self.left == 0:
            os._exit(9)

    def around(self, function: Callable[..., Any], only: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            counts = only(*args)
            if counts:
                self.step()
            result = function(*args, **kwargs)
            if counts:
                self.step()
            return result

        return run


def child(device: Device, steps: int, report: int, *, originals: bool) -> None:
    fuse = Fuse(steps)
    sa.Connection.exec_driver_sql = fuse.around(  # type: ignore[method-assign]
        sa.Connection.exec_driver_sql, lambda _, sql, *_rest: sql.startswith(("BEGIN", "COMMIT"))
    )
    os.fsync = fuse.around(os.fsync)
    Path.replace = fuse.around(Path.replace)  # type: ignore[method-assign]
    client_http.Line.open = fuse.around(client_http.Line.open)  # type: ignore[method-assign]
    with Library.open(device.root, device.secrets) as library:
        engine = SyncEngine(library, patience=patience)
        error = engine.run(originals=originals).worst_error
        engine.close()
    if error is not None:
        raise error
    os.write(report, str(fuse.taken).encode())
    os._exit(0)


def run_child(device: Device, steps: int, *, originals: bool) -> tuple[int, bytes]:
    readable, writable = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(readable)
            child(device, steps, writable, originals=originals)
        except BaseException as error:  # noqa: BLE001  told by the exit code; pytest must not run on in the child
            print(repr(error), file=sys.__stderr__)
        finally:
            os._exit(1)
    os.close(writable)
    with os.fdopen(readable, "rb") as reports:
        told = reports.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), told


def edit(first: Device, second: Device, number: int) -> None:
    for device in (first, second):
        device.library.refresh()
    old = first.library.catalog.pids()
    pids = first.photos(1, month=f"20{number % 80:02}-05")
    edits.add_label(first.library, pids, f"label {number}")
    second.photos(1, month=f"19{number % 80:02}-06")
    if len(old) > 4:
        edits.purge(first.library, old[:1])
    second.sync()


@pytest.mark.scenario(12, "kill -9 between any two steps")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_after_any_step_the_next_process_goes_on(pair: tuple[Device, Device]) -> None:
    first, second = pair
    first.sync()
    second.sync()
    edit(first, second, 0)
    first.close()
    code, told = run_child(first, 0, originals=True)
    assert code == 0
    steps = int(told)
    assert steps > SAMPLE
    first.reopen()
    for number, step in enumerate(range(1, steps + 1, max(1, steps // SAMPLE)), 1):
        edit(first, second, number)
        first.close()
        code, _ = run_child(first, step, originals=number % 2 == 0)
        assert code in (0, 9), f"the child failed on its own with {step} steps"
        first.reopen()
        for device in (first, second, first):
            device.sync()
        converged(first, second)
        assert first.engine.alarms.list() == second.engine.alarms.list() == []
        assert verify(first.library, deep=True).problems == []
