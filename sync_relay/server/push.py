"""Telling devices that a library's log has moved on: a position, and nothing else, over a WebSocket.

A subscriber that is slow gets the newest position, not all of them. Within a worker a change is known at once; of
what other workers took, the hub learns by asking the database a few times a second, for the libraries that somebody
listens to.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from sync_relay.errors import RelayError, TooManyRequests
from sync_relay.server import tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sync_relay.server.database import Database

MOST: Final = 20_000
MOST_OF_ONE_LIBRARY: Final = 100
_ASK_EVERY: Final = 0.25
_AT_ONCE: Final = 500


class Subscriber:
    """One WebSocket's view of its library's position."""

    def __init__(self, library_id: bytes) -> None:
        """Know no position yet."""
        self.library_id = library_id
        self.closed = False
        self._position = 0
        self._moved = asyncio.Event()

    def tell(self, position: int) -> None:
        """Note that the log has come to `position`."""
        if position > self._position:
            self._position = position
            self._moved.set()

    def close(self) -> None:
        """End `wait`: the relay is shutting down."""
        self.closed = True
        self._moved.set()

    async def wait(self) -> int:
        """Return the newest position once it is another than the last one returned."""
        await self._moved.wait()
        self._moved.clear()
        return self._position


class Hub:
    """All subscribers of one worker."""

    def __init__(self, database: Database) -> None:
        """Ask `database` about what other workers took."""
        self._database = database
        self._subscribers: dict[bytes, set[Subscriber]] = {}
        self._members: dict[bytes, tuple[int, asyncio.Task[frozenset[bytes]]]] = {}

    @property
    def count(self) -> int:
        """How many subscribers there are."""
        return sum(map(len, self._subscribers.values()))

    @contextlib.asynccontextmanager
    async def subscribe(self, library_id: bytes) -> AsyncIterator[Subscriber]:
        """Give a subscriber of a library, which has been told where the library stands."""
        if len(self._subscribers.get(library_id, ())) >= MOST_OF_ONE_LIBRARY or self.count >= MOST:
            raise TooManyRequests("too many devices are listening", hint="Close one, or ask again from time to time.")
        subscriber = Subscriber(library_id)
        self._subscribers.setdefault(library_id, set()).add(subscriber)
        try:
            for found, position in await self._positions([library_id]):
                self.notify(found, position)
            yield subscriber
        finally:
            others = self._subscribers[library_id]
            others.discard(subscriber)
            if not others:
                del self._subscribers[library_id]
                self._members.pop(library_id, None)

    def notify(self, library_id: bytes, position: int) -> None:
        """Tell the subscribers of a library where its log stands now."""
        for subscriber in self._subscribers.get(library_id, ()):
            subscriber.tell(position)

    async def members(self, library_id: bytes, position: int) -> frozenset[bytes]:
        """Return the devices that belong to a library once its log has come to `position`.

        Asked of the database once, however many are listening: all of them are told at the same moment.
        """
        known = self._members.get(library_id)
        if known is None or known[0] < position or (known[1].done() and known[1].exception() is not None):
            known = (position, asyncio.create_task(self._active(library_id)))
            self._members[library_id] = known
        return await asyncio.shield(known[1])

    def close(self) -> None:
        """Let every subscriber go."""
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                subscriber.close()

    async def watch(self) -> None:
        """Ask for ever what other workers took."""
        while True:
            await asyncio.sleep(_ASK_EVERY)
            with contextlib.suppress(RelayError):  # an outage of the database: asked again soon
                libraries = list(self._subscribers)
                for start in range(0, len(libraries), _AT_ONCE):
                    for library_id, position in await self._positions(libraries[start : start + _AT_ONCE]):
                        self.notify(library_id, position)

    async def _active(self, library_id: bytes) -> frozenset[bytes]:
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(tables.member.c.device_id).where(
                    tables.member.c.library_id == library_id, tables.member.c.active
                )
            )
            return frozenset(rows.scalars())

    async def _positions(self, libraries: list[bytes]) -> list[tuple[bytes, int]]:
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(tables.library.c.id, tables.library.c.position).where(tables.library.c.id.in_(libraries))
            )
            return [(row.id, row.position) for row in rows]
