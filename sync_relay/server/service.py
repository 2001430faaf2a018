"""One running relay: its storage, and what lives in memory beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from sync_relay.errors import RelayError, Unavailable
from sync_relay.server import removal
from sync_relay.server.blobs import Blobs
from sync_relay.server.database import Database
from sync_relay.server.logs import cause, relay_log
from sync_relay.server.metrics import Metrics
from sync_relay.server.objects import Objects
from sync_relay.server.parts import Parts, utc_seconds
from sync_relay.server.push import Hub
from sync_relay.server.rates import Addresses, Rate
from sync_relay.server.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from structlog.typing import FilteringBoundLogger

    from sync_relay.server.settings import Settings

_SWEEP_EVERY: Final = 3_600
_CHECK_EVERY: Final = 2.0
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}  # which clients leave out of an origin


class Service:
    """Everything that handlers work with."""

    def __init__(
        self,
        settings: Settings,
        *,
        log: FilteringBoundLogger | None = None,
        clock: Callable[[], int] = utc_seconds,
    ) -> None:
        """Prepare a relay; `running` starts it."""
        limits = settings.limits
        self.settings = settings
        self.parts = Parts(Database(settings.database), Objects(settings.blobs), limits, clock)
        self.sessions = Sessions(self.parts, origins(settings))
        self.blobs = Blobs(self.parts)
        self.hub = Hub(self.parts.database)
        self.addresses = Addresses()
        self.anonymous_rate = Rate(*limits.anonymous_rate, time.monotonic)
        self.pairing_rate = Rate(*limits.pairing_rate, time.monotonic)
        self.library_rate = Rate(*limits.library_rate, time.monotonic)
        self.metrics = Metrics()
        self.log = log or relay_log()
        self.is_ready = False
        self.is_stopping = False
        self.checked_until = 0.0
        self._checking = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Bring the database up to date, run until the block ends, and close everything."""
        copy = await self.parts.database.migrate()
        if copy is not None:
            self.log.info("migrated", copy=copy.name)
        await self.sessions.load()
        tasks = [asyncio.create_task(self._sweep_for_ever())]
        if not self.parts.database.is_sqlite:
            tasks.append(asyncio.create_task(self.hub.watch()))
        self.is_ready = True
        try:
            await self.parts.objects.check()
        except RelayError as error:  # it may come later than this process: `/readyz` says when it has
            self.log.warning("storage", reason=str(error), cause=cause(error))
        try:
            yield
        finally:
            self.is_ready = False
            self.hub.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.parts.database.close()

    def stop(self) -> None:
        """Take no more of what is being uploaded: what came is kept, and its sender goes on at the next start."""
        self.is_stopping = True

    async def check(self) -> None:
        """Raise `Unavailable` unless database and storage answer. Asked often, it looks every other second only."""
        if not self.is_ready:
            raise Unavailable("the relay is starting or shutting down")
        async with self._checking:  # one at a time: anybody may ask, and each look writes an object
            if time.monotonic() >= self.checked_until:
                await self.parts.database.check()
                await self.parts.objects.check()
                self.checked_until = time.monotonic() + _CHECK_EVERY

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                for what, count in (await removal.sweep(self.parts)).items():
                    self.metrics.swept.labels(what).inc(count)
                    self.log.info("swept", what=what, count=count)
            except Exception as error:  # noqa: BLE001 (the relay goes on without; the next sweep tries again)
                self.log.warning("sweep-failed", error=type(error).__name__)
            await asyncio.sleep(_SWEEP_EVERY)


def origins(settings: Settings) -> frozenset[str]:
    """Return the addresses that sign-ins may be made for: those the owner named, and the loopback ones.

    Never one that a request names: somebody who passes requests on would name its own.
    """
    hosts = {"127.0.0.1", "localhost", "[::1]"}
    if settings.host not in {"", "0.0.0.0", "::"}:  # noqa: S104 (nothing is bound here)
        hosts.add(f"[{settings.host}]" if ":" in settings.host else settings.host.lower())
    port = "" if settings.port == _DEFAULT_PORTS[settings.scheme] else f":{settings.port}"
    return frozenset(settings.origins) | {f"{settings.scheme}://{host}{port}" for host in hosts}
