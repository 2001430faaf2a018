"""How much a relay carries: appends of 50 libraries at once, and 2,000 idle WebSockets, on PostgreSQL and on SQLite.

    python -P -m benchmarks.relay_load [--libraries N] [--envelopes N] [--sockets N]

The relay is a process of its own, as `safelight-relay serve` starts it; this one makes the load, on the same cores.
The floors of the same run: inserts of the same bytes into the same PostgreSQL by psycopg, and a bare Starlette that
answers the same requests without looking at them.

Aim: the last of 2,000 sockets is told within a second, of one append and of 50 at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil
import psycopg

from benchmarks.measurement import Report, median, percentile
from sync_relay import wire
from sync_relay.server import libraries as relay_libraries
from sync_relay.server.database import Database
from sync_relay.server.objects import Objects
from sync_relay.server.parts import Parts
from sync_relay.server.running import raise_file_limit
from sync_relay.server.settings import Settings
from tests.sync_relay.conftest import new_library
from tests.sync_relay.real_servers import postgresql
from tests.sync_relay.running_relay import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sync_relay.conftest import Library

BATCHES = 4
BATCH = 50
AT_ONCE = 100
LETTER = b"x" * 200
ECHO = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from sync_relay.server.running import bind

async def echo(request):
    await request.body()
    return Response(b'{"position":1,"stored":1}', media_type="application/json")

listening = bind("127.0.0.1", 0)
print(listening.getsockname()[1], flush=True)
app = Starlette(routes=[Route("/v1/envelopes", echo, methods=["POST"])])
config = uvicorn.Config(app, http="h11", log_config=None, access_log=False, backlog=1024)
uvicorn.Server(config).run(sockets=[listening])
"""


@dataclass(frozen=True)
class Load:
    """So many libraries at once, each with so many envelopes of one request each; and so many WebSockets in all."""

    libraries: int
    envelopes: int
    sockets: int


@dataclass
class Sender:
    """One device of one library, with its requests written out beforehand."""

    library: Library
    token: str = ""
    alone: list[bytes] = field(default_factory=list)
    batches: list[bytes] = field(default_factory=list)
    last: list[bytes] = field(default_factory=list)


def main() -> list[str]:
    """Measure and print; return the aims that were missed."""
    raise_file_limit()
    load = _options()
    report = Report(f"A relay under {load.libraries} libraries at once, and {load.sockets:,} idle WebSockets")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with postgresql(durable=True) as url:
            inserts = asyncio.run(_bare_inserts(load, url))
            with _process([sys.executable, "-P", "-c", ECHO]) as (process, port):
                assert process.is_running()
                senders = [Sender(new_library(), token="x" * 43) for _ in range(load.libraries)]
                _write(load, senders)
                echo = asyncio.run(_send(port, [sender.alone for sender in senders]))
            _line(report, "psycopg: bare inserts, one a transaction (floor)", inserts)
            _line(report, "Starlette: the same requests, unread (floor)", echo)
            floor = min(_rate(inserts), _rate(echo))
            _relay(report, load, folder / "postgresql", url, floor)
        _relay(report, load, folder / "sqlite", "", floor)
    return report.missed


def _relay(report: Report, load: Load, data: Path, database_url: str, floor: float) -> None:
    name = "PostgreSQL" if database_url else "SQLite"
    more = ("--database-url", database_url) if database_url else ()
    command = [sys.executable, "-P", "-m", "sync_relay.server", "serve", "--data", str(data), "--port", "0", *more]
    with _process(command) as (process, port):
        senders = [Sender(new_library()) for _ in range(load.libraries)]
        asyncio.run(_found(Settings(data=data, database_url=database_url), senders, port))
        _write(load, senders)
        taken = asyncio.run(_send(port, [sender.alone for sender in senders]))
        _line(report, f"relay on {name}: one envelope a request", taken)
        ratio = _rate(taken) / floor
        report.line("  … of the slower floor", f"{ratio:.2f}")
        batched = asyncio.run(_send(port, [sender.batches for sender in senders]))
        _line(report, f"relay on {name}: {BATCH} envelopes a request", batched, BATCH)
        asyncio.run(_listen(report, load, process, port, senders))


def _line(report: Report, what: str, taken: tuple[float, list[float]], envelopes: int = 1) -> None:
    """Report how many envelopes a second went in, at so many a request."""
    _, each = taken
    report.line(what, f"{envelopes * _rate(taken):,.0f} /s")
    report.line(
        "  … latency of a request, median and 99 %",
        f"{median(each) * 1000:.1f} / {percentile(each, 0.99) * 1000:.1f} ms",
    )


def _rate(taken: tuple[float, list[float]]) -> float:
    return len(taken[1]) / taken[0]


async def _found(settings: Settings, senders: list[Sender], port: int) -> None:
    """Found every library, and sign its device in, as any client does."""
    parts = Parts(Database(settings.database), Objects(settings.blobs), settings.limits)
    invites = [await relay_libraries.make_invite(parts, quota_bytes=10**10, quota_objects=10**6) for _ in senders]
    await parts.database.close()

    def found() -> None:
        client = Client(f"http://127.0.0.1:{port}")
        for sender, invite in zip(senders, invites, strict=True):
            genesis = sender.library.genesis
            client.ask("POST", "/v1/libraries", wire.CreateLibrary(invite=invite, genesis=genesis.entry), wire.Usage)
            client.sign_in(sender.library.founder.secrets, genesis.library_id)
            sender.token, client.token = client.token, ""
        client.http.close()

    await asyncio.to_thread(found)


def _write(load: Load, senders: list[Sender]) -> None:
    for sender in senders:
        device = sender.library.founder
        sender.alone = [_append(sender, [device.write(LETTER)]) for _ in range(load.envelopes)]
        sender.batches = [_append(sender, [device.write(LETTER) for _ in range(BATCH)]) for _ in range(BATCHES)]
        sender.last = [_append(sender, [device.write(LETTER)]) for _ in range(2)]


def _append(sender: Sender, envelopes: list[bytes]) -> bytes:
    body = msgspec.msgpack.encode(wire.Append(envelopes=envelopes))
    head = (
        f"POST /v1/envelopes HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {sender.token}\r\n"
        f"content-type: {wire.MSGPACK}\r\naccept: {wire.JSON}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _send(port: int, requests: list[list[bytes]]) -> tuple[float, list[float]]:
    """Send each list over a connection of its own, one request after the other; return all seconds, and of each."""
    each: list[float] = []

    async def one(mine: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in mine:
            begin = time.perf_counter()
            writer.write(request)
            answer = await _answer(reader)
            each.append(time.perf_counter() - begin)
            assert answer.startswith(b"HTTP/1.1 200"), answer
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(one(mine) for mine in requests))
    return time.perf_counter() - begin, each


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head + await reader.readexactly(length)


async def _bare_inserts(load: Load, url: str) -> tuple[float, list[float]]:
    """Insert as many rows of an envelope's size, each in a transaction of its own, over ten connections."""
    body = new_library().founder.write(LETTER)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
        await owner.execute(
            "CREATE TABLE floor (library int, position bigint, body bytea, PRIMARY KEY (library, position))"
        )
    each: list[float] = []

    async def one(libraries: list[int]) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for position in range(load.envelopes):
                for library in libraries:
                    begin = time.perf_counter()
                    await connection.execute("INSERT INTO floor VALUES (%s, %s, %s)", (library, position, body))
                    each.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(one(list(range(first, load.libraries, 10))) for first in range(10)))
    return time.perf_counter() - begin, each


async def _listen(report: Report, load: Load, process: psutil.Process, port: int, senders: list[Sender]) -> None:
    """Open idle sockets, then append: to one library, and to all at once."""
    before = process.memory_info().rss
    sockets = []
    begin = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        for start in range(0, load.sockets, AT_ONCE):
            some = range(start, min(start + AT_ONCE, load.sockets))
            opened = await asyncio.gather(*(_Socket.open(port, senders[index % len(senders)]) for index in some))
            for socket in opened:
                stack.callback(socket.close)
            sockets += opened
        await asyncio.gather(*(socket.told() for socket in sockets))  # where the library stands
        report.line(
            f"  {load.sockets:,} WebSockets opened and told where they stand", f"{time.perf_counter() - begin:.1f} s"
        )
        report.line(
            "  … memory of the relay for each", f"{(process.memory_info().rss - before) / load.sockets / 1024:.1f} KiB"
        )
        for what, chosen in (("one library", senders[:1]), (f"all {load.libraries} libraries", senders)):
            libraries = {id(sender) for sender in chosen}
            listening = [socket for socket in sockets if id(socket.sender) in libraries]
            waiting = [asyncio.create_task(socket.told()) for socket in listening]
            begin = time.perf_counter()
            await _send(port, [[sender.last.pop(0)] for sender in chosen])
            await asyncio.gather(*waiting)
            seconds = time.perf_counter() - begin
            met = seconds < 1
            report.line(
                f"  append to {what} … last of {len(listening):,} told",
                f"{seconds * 1000:.0f} ms",
                aim="< 1 s",
                met=met,
            )


class _Socket:
    """A WebSocket that only reads, and answers pings as they come: who is silent for 20 seconds is let go."""

    def __init__(self, sender: Sender, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sender = sender
        self._reader = reader
        self._writer = writer
        self._positions: asyncio.Queue[int] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, sender: Sender) -> _Socket:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
        writer.write(
            b"GET /v1/events HTTP/1.1\r\nhost: relay\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n"
            b"authorization: Bearer " + sender.token.encode() + b"\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return cls(sender, reader, writer)

    async def told(self) -> int:
        """Return the next position."""
        return await self._positions.get()

    def close(self) -> None:
        self._reading.cancel()
        self._writer.close()

    async def _read(self) -> None:
        while True:
            kind, length = await self._reader.readexactly(2)
            content = await self._reader.readexactly(length)
            if kind == 0x81:
                self._positions.put_nowait(int(json.loads(content)["position"]))
            else:
                assert kind == 0x89, kind
                self._writer.write(bytes([0x8A, 0x80 | length]) + bytes(4) + content)


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[tuple[psutil.Process, int]]:
    """Run a server until the end of the block; give its process and the port it tells."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            if "-c" in command:
                assert process.stdout is not None
                yield psutil.Process(process.pid), int(process.stdout.readline())
                return
            assert process.stderr is not None
            for line in process.stderr:
                told = json.loads(line)
                if told["event"] == "ready":
                    break
            # It writes a line for every answer: a pipe that nobody reads would stop it.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield psutil.Process(process.pid), int(told["port"])
        finally:
            process.terminate()
            process.wait(60)


def _options() -> Load:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", type=int, default=50)
    parser.add_argument("--envelopes", type=int, default=60, help="of each library, one a request")
    parser.add_argument("--sockets", type=int, default=2_000)
    return Load(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(bool(main()))
