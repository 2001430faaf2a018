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
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import psutil

from benchmarks.measurement import Report, seconds_of
from benchmarks.relay_processes import (
    PIECE,
    Peak,
    bare_get,
    bare_process,
    bare_put,
    each,
    new_invite,
    relay_process,
)
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis, verify_genesis
from crypto.phrase import new_phrase, phrase_secrets
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
        back = root / "back"
        back.mkdir()
        run = partial(each, options.threads, blobs)
        pushed, pulled, bare_up, bare_down = ([float("inf")] for _ in range(4))
        for turn in range(options.rounds):
            with (
                bare_process(root / f"bare-{turn}") as (url, _),
                httpx2.Client(base_url=url, trust_env=False, timeout=60) as http,
            ):
                _best(bare_up, partial(run, partial(bare_put, http)))
                _best(bare_down, partial(run, partial(bare_get, http, back=back)))
            with _relay(root / f"relay-{turn}") as (client, _):
                _best(pushed, partial(run, partial(_push, client)))
                _best(pulled, partial(run, partial(_pull, client, back=back)))
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
            ours, theirs = Peak(psutil.Process()), Peak(process)
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


def _best(best: list[float], action: Callable[[], None]) -> None:
    best[0] = min(best[0], *seconds_of(action))


@contextlib.contextmanager
def _relay(data: Path) -> Iterator[tuple[RelayClient, psutil.Process]]:
    """Run a relay with one library, and give a client that is signed in, and the relay's process."""
    with relay_process(data) as (url, process), RelayClient(url) as client:
        device = DeviceSecrets.generate()
        genesis = create_genesis(device, phrase_secrets(new_phrase()))
        client.found(new_invite(data), genesis)
        client.sign_in(device, verify_genesis(genesis).library_id, int(time.time()))
        yield client, process


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blobs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", type=int, default=2_000_000_000)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(not main())
