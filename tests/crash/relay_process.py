"""A relay in a process of its own, forked by one that has loaded everything: one that is killed costs no start.

That one runs `main` here, apart from the tests' process, which then has no thread of a relay when it forks, nor has it
used the store's own threads, which do not outlive a fork.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import functools
import gc
import importlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tests.crash.disk import Cut, Disk, Fault, Nothing
from tests.crash.power import PowerCut, scramble_shared_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from sync_relay.server.settings import Settings

_STOP: Final = b"stop\n"
_KILL: Final = b"kill\n"
_USED: Final = (
    *(f"sync_relay.server.{name}" for name in ("__main__", "condition", "maintenance", "running")),
    *("aiosqlite", "alembic.command", "tests.crash.file_steps", "tests.crash.sqlite_steps"),
)
"""What relays and their commands load: whoever is forked has it."""


@dataclass(frozen=True)
class _Serve:
    """Have a relay answer at a port, at a time that stands still, with a disk that may fail."""

    settings: Settings
    now: int
    fault: Fault
    log: Path


@dataclass(frozen=True)
class _Command:
    """Run `safelight-relay` with these arguments."""

    arguments: list[str]


@dataclass(frozen=True)
class Served:
    """How a relay ended: `steps` is how many it had taken on its disk, where it came to its end.

    `struck` tells whether it met its fault.
    """

    killed: bool
    struck: bool
    steps: int


class _Forks:
    """The process that forks, one at a time, as the tests see it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.crash.relay_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders = self._process.stdin
        self._told = os.fdopen(os.dup(self._process.stdout.fileno()), "rb")

    def order(self, order: _Serve | _Command) -> None:
        self.tell(base64.b64encode(pickle.dumps(order)) + b"\n")

    def tell(self, line: bytes) -> None:
        self._orders.write(line)

    def line(self) -> tuple[str, str]:
        """Return what it tells next; ("over", exit code) is the last of one process."""
        told = self._told.readline()
        assert told, "the process that forks relays is gone"
        kind, _, rest = told.decode().rstrip("\n").partition(" ")
        return kind, rest

    def close(self) -> None:
        self._orders.close()
        self._process.wait(60)
        self._told.close()


@functools.cache
def _forks() -> _Forks:
    forks = _Forks()
    atexit.register(forks.close)
    return forks


class RelayProcess:
    """One relay; `start` again after `stop`, or after it was killed, to have it restarted on the same storage."""

    def __init__(self, settings: Settings, clock: Callable[[], int], log: Path) -> None:
        """Reserve a port; `clock` is asked at each start, and the time stands still until the next."""
        self.clock = clock
        self._log = log
        self._kept = _reuse(socket.socket())
        self._kept.bind(("127.0.0.1", 0))  # never listens: others may, and nobody else gets it meanwhile
        self.settings = replace(settings, port=self._kept.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self._runs = False

    def start(self, fault: Fault | None = None) -> bool:
        """Have it answer; tell whether it does. It does not where it met its fault already, and then it has ended."""
        assert not self._runs
        _forks().order(_Serve(self.settings, self.clock(), fault or Nothing(), self._log))
        self._fault = fault
        told: list[tuple[str, str]] = []
        while (line := _forks().line())[0] not in {"ready", "over"}:
            told.append(line)
        self._runs = line[0] == "ready"
        if not self._runs:
            self._ended = self._over(told, line[1])
        return self._runs

    def stop(self) -> Served:
        """End it as its owner does, unless it has ended; return how it ended."""
        return self._end(_STOP)

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self._end(_KILL)

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._kept.close()

    def run(self, *arguments: str) -> str:
        """Run a command of `safelight-relay` on its folder, and return what it prints."""
        assert not self._runs
        command, *more = arguments
        return "\n".join(_told_after(_Command([command, "--data", str(self.settings.data), *more])))

    def invite(self) -> str:
        """Return an invite, as its owner gets one."""
        return str(json.loads(self.run("invite", "--json"))["invite"])

    def expect_sound(self) -> None:
        """Expect that `doctor`, which reads every blob, finds nothing wrong but how much room this machine has."""
        found = json.loads(self.run("doctor", "--deep", "--json"))
        wrong = [one for one in found["findings"] if not one["ok"] and one["check"] != "disk"]
        assert not wrong, wrong
        assert not found["lost"], found

    def _end(self, how: bytes) -> Served:
        if self._runs:
            self._runs = False
            _forks().tell(how)
            told: list[tuple[str, str]] = []
            while (line := _forks().line())[0] != "over":
                told.append(line)
            self._ended = self._over(told, line[1])
        return self._ended

    def _over(self, told: Sequence[tuple[str, str]], code: str) -> Served:
        killed = int(code) == -signal.SIGKILL
        steps = next((int(rest) for kind, rest in told if kind == "steps"), 0)
        struck = killed or ("struck", "") in told
        log = self._log.read_text() if self._log.exists() else ""
        # One whose disk fails while it starts says so, and does not start.
        assert int(code) == 0 or killed or (struck and not steps), f"the relay failed by itself ({code}): {told}\n{log}"
        assert '"broken"' not in log, log
        if killed and isinstance(self._fault, Cut):
            scramble_shared_memory([self.settings.data], self._fault.seed)
        return Served(killed, struck, steps)


def _told_after(order: _Command) -> list[str]:
    _forks().order(order)
    told: list[tuple[str, str]] = []
    while (line := _forks().line())[0] != "over":
        told.append(line)
    return [" ".join(one) for one in told]


def _reuse(made: socket.socket) -> socket.socket:
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        made.setsockopt(socket.SOL_SOCKET, option, 1)
    return made


class _Log:
    """A relay's log in a file, which also tells when it is ready."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)

    def write(self, text: str) -> None:
        self._file.write(text)
        if '"event": "ready"' in text:
            _tell("ready")

    def flush(self) -> None:
        self._file.flush()


def _tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main(orders: BinaryIO) -> None:
    """Fork a process for each order, one after the other, and tell how each ended."""
    from sync_relay.server import openapi

    for name in _USED:
        importlib.import_module(name)
    openapi.document()  # made once a process, and the most of a start
    gc.collect()
    gc.freeze()
    while line := orders.readline():
        if line in {_STOP, _KILL}:
            continue  # for one that had ended
        order = pickle.loads(base64.b64decode(line))  # noqa: S301 (of our own parent)
        process = os.fork()
        if process == 0:
            _carry_out(order)
        _, status = os.waitpid(process, 0)
        _tell(f"over {os.waitstatus_to_exitcode(status)}")


def _carry_out(order: _Serve | _Command) -> NoReturn:
    code = 1
    try:
        if isinstance(order, _Command):
            from sync_relay.server.__main__ import run

            code = run(order.arguments)
        else:
            _serve(order)
            code = 0
    except BaseException:  # noqa: BLE001 - told, and what forked it must not run on in this process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve(order: _Serve) -> None:
    from sync_relay.server.logs import relay_log
    from sync_relay.server.running import serve
    from sync_relay.server.service import Service
    from tests.crash import file_steps, sqlite_steps

    disk = Disk([order.settings.data], order.fault, PowerCut() if isinstance(order.fault, Cut) else None)
    order.settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    file_steps.install(disk)
    sqlite_steps.install(disk)
    listening = _reuse(socket.socket())
    listening.bind((order.settings.host, order.settings.port))

    async def run() -> None:
        asyncio.get_running_loop().add_reader(0, _obey)
        log: Any = _Log(order.log)
        service = Service(order.settings, log=relay_log(log), clock=lambda: order.now)
        await serve(order.settings, service=service, listening=listening)

    try:
        asyncio.run(run())
    finally:
        if getattr(order.fault, "met", False):
            _tell("struck")
    _tell(f"steps {disk.taken}")


def _obey() -> None:
    """Do what is said to a relay that runs; where nobody is there any more to say anything, end."""
    os.kill(os.getpid(), signal.SIGTERM if os.read(0, len(_STOP)) == _STOP else signal.SIGKILL)


if __name__ == "__main__":
    from tests.crash.relay_process import main as forking  # orders are of that module's classes, not of this one's

    with contextlib.suppress(KeyboardInterrupt):
        forking(sys.stdin.buffer)
