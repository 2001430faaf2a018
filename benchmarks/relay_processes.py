"""What benchmarks of sync run beside themselves: a relay, and the bare HTTP stack it stands on, each a process of its
own on loopback; and a look at what a process takes in memory and processor time meanwhile.

The bare stack is a Starlette application that writes what it is sent to a file and sends files back, asked by a bare
httpx2 client: no tokens, no hashes, no database, no fsync.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import httpx2
    from starlette.requests import Request

PIECE = 1 << 20
_RELAY = [sys.executable, "-P", "-m", "sync_relay.server"]


@contextlib.contextmanager
def relay_process(data: Path, *more: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run a relay on SQLite and a folder, with `more` arguments to `serve`; give its URL and its process."""
    port = free_port()
    with running([*_RELAY, "serve", "--data", str(data), "--port", str(port), *more], port) as process:
        yield f"http://127.0.0.1:{port}", process


def new_invite(data: Path) -> str:
    """Return an invite of the relay that keeps its things in `data`."""
    command = [*_RELAY, "invite", "--data", str(data), "--json"]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return str(msgspec.json.decode(made.stdout)["invite"])


@contextlib.contextmanager
def bare_process(data: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run the bare stack; give its URL and its process."""
    data.mkdir()
    port = free_port()
    with running([sys.executable, "-P", "-m", "benchmarks.relay_processes", str(data), str(port)], port) as process:
        yield f"http://127.0.0.1:{port}", process


def bare_put(http: httpx2.Client, path: Path) -> None:
    """Send a file to the bare stack."""
    with path.open("rb") as file:
        http.put(f"/{path.name}", content=file).raise_for_status()


def bare_get(http: httpx2.Client, path: Path, back: Path) -> None:
    """Take a file from the bare stack into the folder `back`."""
    with http.stream("GET", f"/{path.name}") as response, (back / path.name).open("wb") as file:
        for piece in response.raise_for_status().iter_raw():
            file.write(piece)


def each(threads: int, paths: Sequence[Path], action: Callable[[Path], None]) -> None:
    """Do something with every file, so many at a time."""
    if threads == 1:
        for path in paths:
            action(path)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(action, paths):
            pass


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[psutil.Process]:
    """Run a command until the block ends; give its process once somebody listens on `port`."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peak:
    """The most memory that a process takes beyond what it has at the beginning of a block."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._over = threading.Event()
        self.more = 0

    def __enter__(self) -> Self:
        self._before = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.more = max(self.more, self._process.memory_info().rss - self._before)


class Processor:
    """The processor time, in seconds, that some processes take during a block: what a machine with other work hides."""

    def __init__(self, *processes: psutil.Process) -> None:
        self._processes = processes
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._before = self._sum()
        return self

    def __exit__(self, *_error: object) -> None:
        self.seconds = self._sum() - self._before

    def _sum(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return sum(one.user + one.system for one in times)


def serve_bare(data: Path, port: int) -> None:
    """Run the bare application: files in, files out."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def put(request: Request) -> Response:
        with (data / request.path_params["name"]).open("wb") as file:
            async for piece in request.stream():
                file.write(piece)
        return Response()

    async def get(request: Request) -> Response:
        path = data / request.path_params["name"]

        def pieces() -> Iterator[bytes]:
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    yield piece

        return StreamingResponse(pieces(), headers={"content-length": str(path.stat().st_size)})

    app = Starlette(routes=[Route("/{name}", put, methods=["PUT"]), Route("/{name}", get, methods=["GET"])])
    uvicorn.run(app, host="127.0.0.1", port=port, http="h11", log_config=None, access_log=False)


if __name__ == "__main__":
    serve_bare(Path(sys.argv[1]), int(sys.argv[2]))
