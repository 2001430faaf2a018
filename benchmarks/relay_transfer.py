"""How fast blobs go to a relay and come back, beside the same bytes through nothing but the HTTP stack, and at what
memory.

    python benchmarks/relay_transfer.py [--blobs N] [--rounds N] [--threads N] [--large BYTES]

The relay runs as a process of its own, on SQLite and a folder, over plain http on loopback. Beside it runs a bare
Starlette application that writes what it is sent to a file and sends files back, asked by a bare httpx2 client: no
tokens, no hashes, no database, no fsync. Blobs have the sizes of photos (1.5 to 6 MB), each side reads them from files
and writes what comes back to files. Relay and bare copy take turns in one run; the best round of each counts. Last, one
large blob goes up and comes down while the memory of both processes is watched.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import msgspec
import psutil

from benchmarks.measurement import Report, seconds_of
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis, verify_genesis
from crypto.phrase import new_phrase, phrase_secrets
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.requests import Request

PIECE = 1 << 20
AIM_OF_STACK = 0.6
AIM_MEMORY = 64 << 20


def main() -> bool:
    """Measure and print; tell whether every aim was reached."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="safelight-relay-transfer-") as folder:
        root = Path(folder)
        blobs = _make_blobs(root / "blobs", options.blobs)
        total = sum(path.stat().st_size for path in blobs)
        report = Report(f"Relay: {len(blobs)} blobs, {total / 1e6:.0f} MB, {options.threads} at once")
        (root / "back").mkdir()
        pushed, pulled, bare_up, bare_down = ([float("inf")] for _ in range(4))
        for turn in range(options.rounds):
            with _bare(root / f"bare-{turn}") as url, httpx2.Client(base_url=url, trust_env=False, timeout=60) as http:
                _best(bare_up, lambda http=http: _each(options.threads, blobs, lambda path: _bare_put(http, path)))
                _best(
                    bare_down,
                    lambda http=http: _each(options.threads, blobs, lambda path: _bare_get(http, path, root / "back")),
                )
            with _relay(root / f"relay-{turn}") as (client, _):
                _best(pushed, lambda client=client: _each(options.threads, blobs, lambda path: _push(client, path)))
                _best(
                    pulled,
                    lambda client=client: _each(
                        options.threads, blobs, lambda path: _pull(client, path, root / "back")
                    ),
                )
        for what, ours, bare in (("pushed", pushed[0], bare_up[0]), ("pulled", pulled[0], bare_down[0])):
            ratio = bare / ours
            report.line(f"{what} through the relay", f"{total / ours / 1e6:.0f} MB/s")
            report.line(f"{what} through the bare HTTP stack", f"{total / bare / 1e6:.0f} MB/s")
            aim = f">= {AIM_OF_STACK} of the stack"
            report.line(f"{what}: relay to bare stack", f"{ratio:.2f}", aim=aim, met=ratio >= AIM_OF_STACK)
        if options.large:
            _large(root, options.large, report)
    return not report.missed


def _large(root: Path, size: int, report: Report) -> None:
    path = root / "large"
    hasher = hashlib.blake2b(digest_size=32)
    piece = random.Random(1).randbytes(PIECE)
    with path.open("wb") as file:
        for at in range(0, size, PIECE):
            part = piece[: min(PIECE, size - at)]
            file.write(part)
            hasher.update(part)
    path = path.rename(root / hasher.hexdigest())
    with _relay(root / "relay-large") as (client, process):
        for what, action in (
            ("pushing", lambda: _push(client, path)),
            ("pulling", lambda: _pull(client, path, root / "back")),
        ):
            ours, theirs = _Peak(psutil.Process()), _Peak(process)
            with ours, theirs:
                seconds = seconds_of(action)[0]
            gigabytes = f"{size / 1e9:.1f} GB"
            report.line(f"{what} one blob of {gigabytes}", f"{size / seconds / 1e6:.0f} MB/s")
            for who, peak in (("this device", ours), ("the relay", theirs)):
                report.line(
                    f"{what} {gigabytes}: memory more than before, {who}",
                    f"{peak.more / 1e6:.0f} MB",
                    aim=f"<= {AIM_MEMORY / 1e6:.0f} MB",
                    met=peak.more <= AIM_MEMORY,
                )


def _make_blobs(folder: Path, count: int) -> list[Path]:
    """Write random bytes, named by their hash, of the sizes that photos of 12 megapixels have."""
    folder.mkdir()
    chosen = random.Random(7)
    paths = []
    for _ in range(count):
        content = os.urandom(chosen.randint(1_500_000, 6_000_000))
        paths.append(folder / hashlib.blake2b(content, digest_size=32).hexdigest())
        paths[-1].write_bytes(content)
    return paths


def _push(client: RelayClient, path: Path) -> None:
    with path.open("rb") as file:
        state = client.upload(bytes.fromhex(path.name), file, path.stat().st_size)
    if state.state != "stored":
        raise RuntimeError(f"the relay has the blob {state.state}")


def _pull(client: RelayClient, path: Path, back: Path) -> None:
    with client.download(bytes.fromhex(path.name)) as pieces, (back / path.name).open("wb") as file:
        for piece in pieces:
            file.write(piece)


def _bare_put(http: httpx2.Client, path: Path) -> None:
    with path.open("rb") as file:
        http.put(f"/{path.name}", content=file).raise_for_status()


def _bare_get(http: httpx2.Client, path: Path, back: Path) -> None:
    with http.stream("GET", f"/{path.name}") as response, (back / path.name).open("wb") as file:
        for piece in response.raise_for_status().iter_raw():
            file.write(piece)


def _each(threads: int, paths: Sequence[Path], action: Callable[[Path], None]) -> None:
    if threads == 1:
        for path in paths:
            action(path)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(action, paths):
            pass


def _best(best: list[float], action: Callable[[], None]) -> None:
    best[0] = min(best[0], *seconds_of(action))


@contextlib.contextmanager
def _relay(data: Path) -> Iterator[tuple[RelayClient, psutil.Process]]:
    """Run a relay with one library, and give a client that is signed in, and the relay's process."""
    port = _free_port()
    command = [sys.executable, "-P", "-m", "sync_relay.server"]
    with _process([*command, "serve", "--data", str(data), "--port", str(port)], port) as process:
        made = subprocess.run([*command, "invite", "--data", str(data), "--json"], check=True, stdout=subprocess.PIPE)
        device = DeviceSecrets.generate()
        genesis = create_genesis(device, phrase_secrets(new_phrase()))
        with RelayClient(f"http://127.0.0.1:{port}") as client:
            client.found(msgspec.json.decode(made.stdout)["invite"], genesis)
            client.sign_in(device, verify_genesis(genesis).library_id, int(time.time()))
            yield client, process


@contextlib.contextmanager
def _bare(data: Path) -> Iterator[str]:
    data.mkdir()
    port = _free_port()
    with _process([sys.executable, "-P", "-m", "benchmarks.relay_transfer", "--bare", str(data), str(port)], port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[psutil.Process]:
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Peak:
    """The most memory that a process takes beyond what it has at the beginning of a block."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._over = threading.Event()
        self.more = 0

    def __enter__(self) -> None:
        self._before = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.more = max(self.more, self._process.memory_info().rss - self._before)


def _serve_bare(data: Path, port: int) -> None:
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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blobs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", type=int, default=2_000_000_000)
    parser.add_argument("--bare", nargs=2, metavar=("DIR", "PORT"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = _options()
    if given.bare:
        _serve_bare(Path(given.bare[0]), int(given.bare[1]))
    else:
        sys.exit(not main())
