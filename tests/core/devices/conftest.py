"""Libraries on a real relay, and a second device that joins over real sockets."""

from __future__ import annotations

import contextlib
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from core.devices import devices
from core.joining import join, read_code
from core.library import Library
from core.mailbox import Pace
from core.pairing import Introduction, PairingCode, invite_at
from core.sync.checkpoints import make_checkpoint
from core.sync.engine import SyncEngine
from core.sync.relays import Relays
from core.sync.seen_checkpoints import look
from crypto import kdf
from sync_relay.client import RelayClient
from sync_relay.server.removal import sweep
from sync_relay.server.settings import Limits, Settings
from tests.core.conftest import PASSPHRASE, Bench
from tests.core.one_worker import _one_worker
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from core.errors import CoreError

__all__ = ["_one_worker"]

QUICK = Pace(first=0.005, longest=0.05, unreachable=0.4, arrival=0.8)
"""As patient as a test has to be."""


def yes(_introduction: Introduction) -> bool:
    return True


@dataclass
class Invitation:
    """`device add`, at work in a thread of its own."""

    code: PairingCode
    done: Future[Introduction]
    stop: threading.Event
    asked: list[Introduction] = field(default_factory=list)

    def result(self) -> Introduction:
        return self.done.result(60)

    def error(self) -> BaseException | None:
        return self.done.exception(60)


@dataclass
class Pairing:
    """One relay, the library of the fixture, and devices that come to it."""

    relay: Relay
    library: Library
    folder: Path
    threads: ThreadPoolExecutor

    def invite(
        self,
        library: Library | None = None,
        *,
        confirm: Callable[[Introduction], bool] = yes,
        connect: Callable[[str], RelayClient] = RelayClient,
        pace: Pace = QUICK,
    ) -> Invitation:
        """Begin to invite, and return once there is a code."""
        codes: queue.Queue[PairingCode] = queue.Queue()
        stop = threading.Event()
        done = self.threads.submit(
            invite_at,
            library or self.library,
            on_code=lambda _url, code: codes.put(code),
            confirm=confirm,
            stop=stop,
            connect=connect,
            pace=pace,
        )
        while True:
            with contextlib.suppress(queue.Empty):
                return Invitation(codes.get(timeout=0.05), done, stop)
            if done.done():
                done.result()

    def join(self, code: PairingCode | str, name: str = "laptop", **more: Any) -> Library:
        how: dict[str, Any] = {"pace": QUICK, "root": self.folder / name} | more
        return join(
            how.pop("url", self.relay.url),
            read_code(code) if isinstance(code, str) else code,
            name=name,
            passphrase=PASSPHRASE,
            kdf=kdf.new_parameters(*kdf.FLOOR),
            **how,
        )

    def add(self, name: str, library: Library | None = None) -> Library:
        """Have a device join, and return its library."""
        invitation = self.invite(library)
        joined = self.join(invitation.code, name)
        assert invitation.result().name == name
        return joined


def members(library: Library) -> set[bytes]:
    return {one.device_id for one in devices(library) if not one.revoked}


def no_trace(root: Path) -> bool:
    return not root.exists() or not any(root.iterdir())


def prune(library: Library, relay: Relay) -> None:
    """Have the only device of a library make a checkpoint, and the relay drop what it covers."""
    assert make_checkpoint(library, look(library))
    sync(library)
    sync(library)
    relay.clock.now += 31 * 86_400  # type: ignore[attr-defined]
    dropped = relay.run(sweep(relay.service.parts))
    assert dropped["envelopes"]


def sync(*libraries: Library) -> None:
    """Sync each, without anything going wrong."""
    for library in libraries:
        error = sync_error(library)
        if error is not None:
            raise error


def sync_error(library: Library) -> CoreError | None:
    """Sync, and return the worst that happened."""
    with contextlib.closing(SyncEngine(library)) as engine:
        return engine.run().worst_error


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return an empty library made for this test alone: copies of one would be forks at the relay of the module."""
    root = tmp_path / "library"
    library, phrase = Library.create(root, PASSPHRASE, device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
    library.close()
    return Bench(root, library.members.secrets, phrase)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Relay]:
    """One relay for all libraries of a file; it lets tests pair faster than people could."""
    limits = Limits(pairing_rate=(1e6, 1e6), anonymous_rate=(1e6, 1e6))
    running = Relay(Settings(data=tmp_path_factory.mktemp("relay"), limits=limits), clock)
    yield running
    running.stop()
    assert '"broken"' not in running.log.getvalue(), running.log.getvalue()


@pytest.fixture
def pairing(bench: Bench, relay: Relay, tmp_path: Path) -> Iterator[Pairing]:
    """A library that uses the relay, open."""
    with bench.open() as library, ThreadPoolExecutor(4) as threads:
        Relays(library).use(relay.url, relay.invite())
        yield Pairing(relay, library, tmp_path / "devices", threads)


class CuttingTransport(httpx2.BaseTransport):
    """A line that breaks once, at the `count`-th request whose method and path contain `what`.

    Before it goes out; or, if `answered`, after the relay did what was asked, so that nobody hears of it.
    """

    def __init__(self, what: str, count: int, *, answered: bool) -> None:
        # What TLS needs is dear to load, and nothing here speaks it.
        self._line = httpx2.HTTPTransport(verify=False)
        self._what = what
        self._left = count
        self._answered = answered

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self._left -= self._what in f"{request.method} {request.url.path}."
        if self._left:
            return self._line.handle_request(request)
        self._left = -1
        if self._answered:
            self._line.handle_request(request).read()
        raise httpx2.ConnectError("cut")

    def close(self) -> None:
        self._line.close()
        # It was to be tried, and if the request is not made any more, nothing was.
        assert self._left < 0, f"no request '{self._what}' was made"


def cut_once(what: str, count: int, *, answered: bool) -> Callable[[str], RelayClient]:
    """Return a `connect` whose first client has a `CuttingTransport`; all later ones are sound."""
    made: list[RelayClient] = []

    def connect(url: str) -> RelayClient:
        transport = None if made else CuttingTransport(what, count, answered=answered)
        made.append(RelayClient(url, transport=transport))
        return made[-1]

    return connect


LOST_OR_ANSWERED = pytest.mark.parametrize("answered", [False, True], ids=["lost", "answered"])
