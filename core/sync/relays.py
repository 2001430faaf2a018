"""The relays of a library: which are used, and what this device remembers of each.

URLs stand in the `relay` map of the `library` document, so that all devices use the same ones. Until that document has
arrived (a device that has just joined), a fact sealed in `log.db` stands in for it. What is remembered of a relay is
kept under a keyed hash of its URL, and sealed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from core.errors import Forged, NoSuchRelay, RelayRefused
from core.log import RelayState
from core.relay_errors import relay_errors
from core.sync.introduction import sign_in
from core.sync.membership import in_order
from crdt.documents import LIBRARY
from crdt.operations import Delete, Put
from crypto.errors import CryptoError
from crypto.sealed import open_sealed, seal
from sync_relay import errors
from sync_relay.client import InvalidUrl, RelayClient, relay_url
from sync_relay.wire import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from core.errors import SyncAlarm
    from core.library import Library
    from core.log import Vector

    Connect = Callable[[str], RelayClient]

_PURPOSE: Final = "relays"
_FACT: Final = "relays"
_MAP: Final = "relay"


MAX_RELAYS: Final = 16
"""How many relays one library uses; each is asked by every device, at every sync."""
_SHOWN: Final = 120
_NAMED_BY: Final = (
    "A device of the library named them: `safelight log` shows which. Revoke it if it is not in your hands; `safelight "
    "relay remove` takes them away."
)


class RelayFacts(msgspec.Struct, frozen=True, array_like=True):
    """What a device remembers of a relay beside cursor and generation.

    `acknowledged` is the newest envelope of each device that the relay said it holds: it may never hold less. `entries`
    are the membership entries it holds; `lacking` are blobs that it lacks and nobody had; `purged` is a digest of the
    blobs it was told to delete; `statements` are signed words that it was not given yet. `at` is when it was last
    brought up to date, in UTC seconds; 0: never. `given_out` is the `wire.entries_digest` of what it gave out when all
    its membership entries were last read, if nothing came to `entries` since, which are those that were accepted here.
    `snapshots` is a digest of the names of the snapshots that it was last seen to hold all of.
    """

    acknowledged: list[tuple[bytes, int, bytes]] = []
    entries: list[bytes] = []
    lacking: list[bytes] = []
    purged: bytes = b""
    statements: list[bytes] = []
    at: int = 0
    given_out: bytes = b""
    snapshots: bytes = b""

    @property
    def vector(self) -> Vector:
        """`acknowledged`, by device."""
        return {device: (seq, hashed) for device, seq, hashed in self.acknowledged}


class Relays:
    """The relays of one library."""

    def __init__(self, library: Library, *, connect: Connect = RelayClient) -> None:
        """Remember in the log of `library`; `connect` makes the client of a URL."""
        self._library = library
        self._connect = connect

    @property
    def _key(self) -> bytes:
        return self._library.members.secrets.storage_key(_PURPOSE)  # another one, once this folder is a new device

    def urls(self) -> list[str]:
        """Return the URLs of the relays that are used: those this device was in touch with before come first.

        No more than `MAX_RELAYS`, and none that no relay can have: any device can name relays, for all of them.
        """
        named = {url for url in self._shared() if _is_url(url)} | set(self._own())
        if len(named) <= MAX_RELAYS:
            return sorted(named)
        met = self._library.log.relays()
        return sorted(named, key=lambda url: (self._id(url) not in met, url))[:MAX_RELAYS]

    def left_out(self) -> list[SyncAlarm]:
        """Return alarms for the relays that the document names and `urls` does not."""
        shared = self._shared()
        alarms: list[SyncAlarm] = []
        none = [url for url in shared if not _is_url(url)]
        if none:
            alarms.append(
                Forged(
                    f"the library names {len(none)} relays at addresses that no relay can have; one of them is "
                    f"{ascii(min(none))[:_SHOWN]}",
                    hint=_NAMED_BY,
                )
            )
        if len(shared) - len(none) > MAX_RELAYS:
            alarms.append(
                Forged(
                    f"the library names {len(shared) - len(none)} relays; {MAX_RELAYS} of them are used",
                    hint=_NAMED_BY,
                )
            )
        return alarms

    def use(self, url: str, invite: str | None = None) -> str:
        """Use the relay at `url` from now on, on all devices; return the URL in its normal form.

        Where the library is not at this relay yet, it is founded there with `invite`. Repeating it is no error.
        Raises `InvalidEdit` for what is no URL, `RelayUnreachable`, and `RelayRefused`, also for want of an invite.
        """
        with relay_errors(url):
            url = relay_url(url)
        client = self._connect(url)
        try:
            with relay_errors(url):
                client.about()
                self._enter(client, invite)
        finally:
            client.close()
        self._library.commit({LIBRARY: [Put(_MAP, url, "")]}, action="relay.use", summary=f"uses the relay {url}")
        return url

    def remember(self, urls: Iterable[str]) -> None:
        """Use relays that only this device knows of so far: a device that has just joined has no document yet."""
        known = set(self._own()) | set(urls)
        self._keep(known)

    def remove(self, url: str) -> None:
        """Stop using a relay, on all devices. What it holds stays there. Raises `NoSuchRelay`."""
        if url not in self._shared():
            with relay_errors(url):
                url = relay_url(url)
        if url not in {*self._shared(), *self._own()}:
            raise NoSuchRelay(f"this library uses no relay {url}", hint="`safelight relay list` shows those it uses.")
        self._library.commit({LIBRARY: [Delete(_MAP, url)]}, action="relay.remove", summary=f"left the relay {url}")
        self._keep(set(self._own()) - {url})
        with self._library.log.transaction() as transaction:
            transaction.forget_relay(self._id(url))

    def settle(self) -> None:
        """Leave to the document what it names by now, so that it can also take it away again."""
        own = self._own()
        if own:
            shared = self._shared()
            if shared & set(own):
                self._keep(set(own) - shared)

    def state(self, url: str) -> tuple[RelayState, RelayFacts]:
        """Return what this device remembers of a relay; nothing, of one it has never met."""
        state = self._library.log.relay_state(self._id(url))
        try:
            facts = msgspec.msgpack.decode(open_sealed(state.facts, self._key, _PURPOSE), type=RelayFacts)
        except (CryptoError, msgspec.MsgspecError):
            # Of before this folder became a device of its own, or altered: everything is asked anew.
            return RelayState(), RelayFacts()
        return state, facts

    def set_state(self, url: str, state: RelayState, facts: RelayFacts) -> None:
        """Remember this of a relay."""
        sealed = seal(msgspec.msgpack.encode(facts), self._key, _PURPOSE)
        with self._library.log.transaction() as transaction:
            transaction.set_relay_state(self._id(url), replace(state, facts=sealed))

    def _enter(self, client: RelayClient, invite: str | None) -> None:
        """Sign in, and found the library where it is not there."""
        library = self._library
        try:
            sign_in(library, client)
        except errors.NotAMember as error:
            if invite is None:
                raise RelayRefused(
                    "the relay does not know this library, or this device was revoked there",
                    hint="If the library was never at this relay, name the invite that its owner gave you. If it was, "
                    "`safelight device list` on another device shows who is revoked.",
                ) from error
            membership = library.members.membership
            entries = [entry.data for entry in in_order(membership)]
            client.found(invite, membership.genesis.entry, entries[: MAX_ENTRIES - 1])
            sign_in(library, client)

    def _shared(self) -> set[str]:
        return {url for url, _ in self._library.replica_items(LIBRARY, _MAP)}

    def _id(self, url: str) -> bytes:
        return hashlib.blake2b(url.encode(), digest_size=32, key=self._key).digest()

    def _own(self) -> list[str]:
        sealed = self._library.log.fact(_FACT)
        if sealed is None:
            return []
        try:
            return msgspec.msgpack.decode(open_sealed(sealed, self._key, _PURPOSE), type=list[str])
        except (CryptoError, msgspec.MsgspecError):
            return []

    def _keep(self, urls: set[str]) -> None:
        sealed = seal(msgspec.msgpack.encode(sorted(urls)), self._key, _PURPOSE)
        with self._library.log.transaction() as transaction:
            transaction.set_fact(_FACT, sealed)


def _is_url(text: str) -> bool:
    """Tell whether this is a relay's address in its normal form, as `Relays.use` writes it."""
    try:
        return relay_url(text) == text
    except InvalidUrl:
        return False
