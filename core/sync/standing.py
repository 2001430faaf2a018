"""How things stand with each relay of a library: whether it answers, how far it was read, what it holds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import CoreError, NoSuchRelay
from core.relay_errors import relay_errors
from core.sync.relays import Relays
from core.whereabouts import blobs_in_changes
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library

_AT_ONCE = 8
_PAGE = 256


@dataclass(frozen=True)
class RelayStanding:
    """One relay, as this device sees it now.

    `position` is where this device has read its log up to, `newest` where that log ends; `synced_at` is when this
    device was last up to date with it, UTC seconds, 0 for never. What a relay that does not answer knows is None, and
    `error` says why. Sizes are bytes.
    """

    url: str
    error: CoreError | None
    position: int
    synced_at: int
    newest: int | None = None
    used_bytes: int | None = None
    quota_bytes: int | None = None
    used_objects: int | None = None
    quota_objects: int | None = None

    @property
    def reachable(self) -> bool:
        """Whether the relay answered and knows this device."""
        return self.error is None


def standings(library: Library, *, connect: Callable[[str], RelayClient] = RelayClient) -> list[RelayStanding]:
    """Ask every relay in use, all at once. A relay that does not answer is an entry with its error."""
    relays = Relays(library)
    known = {url: relays.state(url) for url in relays.urls()}
    if not known:
        return []

    def ask(url: str) -> RelayStanding:
        state, facts = known[url]
        try:
            with relay_errors(url):
                client = connect(url)
                try:
                    session = client.sign_in(library.members.secrets, library.library_id, int(time.time()))
                    usage = client.usage()
                finally:
                    client.close()
        except CoreError as error:
            return RelayStanding(url, error, state.cursor, facts.at)
        # Positions of another generation mean nothing here: its log is read from the beginning.
        position = state.cursor if session.generation == state.generation else 0
        return RelayStanding(
            url=url,
            error=None,
            position=position,
            synced_at=facts.at,
            newest=session.position,
            used_bytes=usage.bytes,
            quota_bytes=usage.quota_bytes,
            used_objects=usage.objects,
            quota_objects=usage.quota_objects,
        )

    with ThreadPoolExecutor(min(_AT_ONCE, len(known))) as pool:
        return list(pool.map(ask, known))


@dataclass(frozen=True)
class Unsent:
    """What a relay does not have yet, as far as this device knows: edits of this device, and files of anybody."""

    edits: int
    files: int


def unsent(library: Library, url: str) -> Unsent:
    """Return what the next sync with the relay at `url` has to send; nothing is asked."""
    state, facts = Relays(library).state(url)
    own = library.device_id
    edits = library.log.head(own)[0] - facts.vector.get(own, (0, b""))[0]
    files = set(facts.lacking)
    position = state.blobs_position
    while page := library.log.past_position(position, _PAGE):
        for stored in page:
            files.update(blobs_in_changes(library.chain.open(stored)))
        position = page[-1].position
    return Unsent(max(0, edits), len(files))


def relays_in_use(library: Library) -> list[str]:
    """Return the URLs of the relays that a library uses.

    Raises:
        NoSuchRelay: it uses none.
    """
    urls = Relays(library).urls()
    if not urls:
        raise NoSuchRelay("this library uses no relay", hint="`safelight relay use URL` adds one; see docs/sync.md.")
    return urls
