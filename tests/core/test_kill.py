"""The process is killed after every single step that touches the disk: nothing acknowledged is lost, nothing is
half-done.

A child process adds a photo with its blob, rates it, and purges another, and tells after each what it was
acknowledged. It ends itself, without any clean-up, after its k-th step; the test does so for every k there is.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from core import edits
from core.library import Library
from core.verify import verify
from crypto import kdf

if TYPE_CHECKING:
    from collections.abc import Callable

    from crypto.keys import DeviceSecrets
    from tests.core.conftest import Bench

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

WATCHED_SQL = ("BEGIN", "COMMIT", "INSERT INTO envelope", "INSERT INTO chain_head")


class Fuse:
    """Ends the process after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os._exit(9)

    def after(self, function: Callable[..., Any], only: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if only(*args):
                self.step()
            return result

        return run


def child(bench: Bench, secrets: DeviceSecrets, root: Path, steps: int, report: int) -> None:
    fuse = Fuse(steps)
    execute = sa.Connection.exec_driver_sql
    sa.Connection.exec_driver_sql = fuse.after(  # type: ignore[method-assign]
        execute, lambda _, sql, *_rest: sql.startswith(WATCHED_SQL)
    )
    os.fsync = fuse.after(os.fsync)
    Path.replace = fuse.after(Path.replace)  # type: ignore[method-assign]
    Path.unlink = fuse.after(Path.unlink)  # type: ignore[method-assign]
    library = Library.open(root, secrets)
    (pid,) = bench.add_photos(library, 1, month="2024-06", blobs=True)
    os.write(report, b"a")
    edits.set_rating(library, [pid], 5)
    os.write(report, b"r")
    old = library.catalog.pids("date:2024-05")
    edits.purge(library, old)
    os.write(report, b"p")
    library.save_derived()
    library.close()
    os._exit(0)


def run_child(bench: Bench, secrets: DeviceSecrets, root: Path, steps: int) -> tuple[int, bytes]:
    readable, writable = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(readable)
            child(bench, secrets, root, steps, writable)
        except BaseException as error:  # noqa: BLE001  told by the exit code; pytest must not run on in the child
            print(repr(error), file=sys.__stderr__)
        finally:
            os._exit(1)
    os.close(writable)
    with os.fdopen(readable, "rb") as reports:
        acknowledged = reports.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), acknowledged


@pytest.mark.scenario(12, "kill -9 between any two steps")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_after_any_step_the_library_is_whole(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(state))
    base = tmp_path / "base"
    library, _ = Library.create(base, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
    bench.add_photos(library, 1, month="2024-05", blobs=True)
    library.close()
    secrets = Library.unlock(base, b"p")
    base_state = tmp_path / "base state"
    shutil.copytree(state, base_state)
    seen: set[bytes] = set()
    for steps in itertools.count(1):
        root = tmp_path / "library"
        for original, working in ((base, root), (base_state, state)):
            shutil.rmtree(working, ignore_errors=True)
            shutil.copytree(original, working)
        code, acknowledged = run_child(bench, secrets, root, steps)
        assert code in (0, 9), f"the child failed on its own with {steps} steps"
        seen.add(acknowledged)
        check(root, secrets, acknowledged, steps)
        if code == 0:
            break
    assert seen == {b"", b"a", b"ar", b"arp"}
    assert steps > 20


def check(root: Path, secrets: DeviceSecrets, acknowledged: bytes, steps: int) -> None:
    with Library.open(root, secrets) as library:
        assert library.alarms == [], steps
        june = library.catalog.search("date:2024-06")
        may = library.catalog.search("date:2024-05")
        if b"a" in acknowledged:
            assert len(june) == 1, steps
        if b"r" in acknowledged:
            assert june[0].rating == 5, steps
        if b"p" in acknowledged:
            assert may == [], steps
            assert sum(1 for _ in library.blobs.iter_ids()) == 1, steps
        report = verify(library, deep=True)
        assert report.problems == [], steps
        edits.create_album(library, "life goes on")
