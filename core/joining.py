"""Joining: what a new device does with a code (docs/pairing.md).

Until the library's entries are here and have been found to lead to what the inviting device said, nothing is on the
disk: a join that ends before leaves no trace of it, and one that ends after leaves a library whose next sync goes on.
What the relay says counts for nothing: library and heads come from the sealed offer, and everything has to fit them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.arrival import begin_arriving
from core.devices import device_name, name_new_device
from core.errors import Forged, NotAMember, PairingRefused, RelayRefused, RelayUnreachable, Withheld
from core.library import Library
from core.mailbox import PACE, Mailbox, Pace, stopped
from core.membership_exchange import fetch_entries
from core.pairing import altered_letters
from core.relay_errors import relay_errors
from core.sync.engine import SyncEngine
from core.sync.relays import Relays
from core.unfinished import begin, is_being_published, publish, refuse_unless_free
from crypto.errors import CryptoError, PairingCodeInvalid
from crypto.fingerprint import fingerprint
from crypto.genesis import entry_hash, verify_genesis
from crypto.keys import DeviceSecrets
from crypto.membership import Membership, evaluate
from crypto.membership_entry import verify_entry
from crypto.pairing import Newcomer, Offer
from crypto.pairing_code import PairingCode, parse_code
from sync_relay import errors as relay
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from core.sync.report import SyncProgress
    from crypto.kdf import KdfParameters
    from crypto.membership_entry import Entry

_AGAIN: Final = "Make a new code on the device that is in the library: safelight device add"
_SYNC: Final = "The library is here, but not everything of it: `safelight sync` goes on."
_GROWTH: Final = 1.4


@dataclass(frozen=True)
class Meeting:
    """Who meets: the library, and the fingerprints that people compare, of the inviting device and of this one."""

    library_id: bytes
    inviter_fingerprint: str
    own_fingerprint: str


def read_code(text: str) -> PairingCode:
    """Return the code that somebody typed; raises `PairingRefused`, with the words perhaps meant, at no cost."""
    try:
        return parse_code(text)
    except PairingCodeInvalid as error:
        near = f" Perhaps {' or '.join(error.suggestions)}?" if error.suggestions else ""
        raise PairingRefused(str(error), hint=f"{error.hint or ''}{near}".strip()) from None


def join(
    url: str,
    code: PairingCode,
    *,
    name: str,
    root: Path,
    passphrase: bytes,
    connect: Callable[[str], RelayClient] = RelayClient,
    on_meeting: Callable[[Meeting], None] = lambda _meeting: None,
    progress: Callable[[SyncProgress], None] | None = None,
    stop: threading.Event | None = None,
    pace: Pace = PACE,
    kdf: KdfParameters | None = None,
) -> Library:
    """Become a device of the library into which `code` invites, in the empty folder `root`; return it, open.

    `on_meeting` is called as soon as the other side is known to be the right one, before it has said yes. `progress`
    is that of the first sync. Raises `PairingRefused` (wrong, used or expired code; a no; nobody there), `Forged` and
    `Withheld` where the relay lies, `NotAMember` where the inviting device was revoked meanwhile, `InvalidEdit` for
    the name or the URL, `LibraryExists`, `RelayUnreachable`, and `RelayRefused` with its kinds. Where it raises in the
    first sync, the library is in `root` and can be used; its next sync goes on.
    """
    name = device_name(name)
    refuse_unless_joinable(root)
    stop = stop or threading.Event()
    secrets = DeviceSecrets.generate()
    with relay_errors(url):
        client = connect(url)
    try:
        offer, entry = _meet(client, code, Newcomer(code, secrets, name), secrets, on_meeting, stop, pace)
        _sign_in(client, secrets, offer, stop, pace)
        genesis, entries = _held_to(offer, fetch_entries(client), entry, client.url)
    finally:
        client.close()
    folder = begin(root)
    with Library.create_from(folder, passphrase, secrets, genesis, entries, kdf=kdf) as library:
        Relays(library).remember([client.url])
        begin_arriving(library, name)
    publish(root)
    library = Library.open(root, secrets)
    try:
        first_sync(library, client.url, name, connect, progress)
    except BaseException:
        library.close()
        raise
    return library


def refuse_unless_joinable(root: Path) -> None:
    """Raise `LibraryExists` where `root` is neither empty nor what a join left that was cut off before it mattered."""
    refuse_unless_free(root)
    if is_being_published(root):
        publish(root)
        refuse_unless_free(root)


def first_sync(
    library: Library,
    url: str,
    name: str,
    connect: Callable[[str], RelayClient],
    progress: Callable[[SyncProgress], None] | None,
) -> None:
    """Bring everything here that one relay has, and write down what this device is called; raises what the sync met.

    Other relays of the library wait for the next sync: one that is gone for good must not be in the way.
    """
    sent = library.log.head(library.device_id)
    with contextlib.closing(SyncEngine(library, connect=connect, progress=progress)) as engine:
        _require_done(engine, url)
        name_new_device(library, library.device_id, name)
        if library.log.head(library.device_id) != sent:
            _require_done(engine, url)


def _require_done(engine: SyncEngine, url: str) -> None:
    error = engine.run(only=[url]).worst_error
    if error is None:
        return
    if isinstance(error, RelayUnreachable | RelayRefused):
        raise type(error)(str(error), hint=_SYNC) from error
    raise error


def _meet(
    client: RelayClient,
    code: PairingCode,
    newcomer: Newcomer,
    secrets: DeviceSecrets,
    on_meeting: Callable[[Meeting], None],
    stop: threading.Event,
    pace: Pace,
) -> tuple[Offer, Entry]:
    """Go through the six messages; return what was offered, and the entry that adds this device."""
    with relay_errors(client.url):
        try:
            side = client.claim_mailbox(code.mailbox)
        except relay.NoSuchMailbox:
            raise PairingRefused(
                "there is no such code at this relay: it has expired, was used, or is of another relay", hint=_AGAIN
            ) from None
        except relay.MailboxClaimed:
            raise PairingRefused(
                "this code was used already: if it was not you who used it, somebody tried to guess", hint=_AGAIN
            ) from None
    said = "the code has expired, or the other device gave up"

    def ended() -> PairingRefused:
        return PairingRefused(f"not joined: {said}", hint=_AGAIN)

    with Mailbox(client, side, ended=ended, stop=stop, pace=pace) as box:
        hello = box.receive()
        with _wrong_code():
            answer = newcomer.answer(hello)
        said = "the code is wrong, or has expired"
        box.leave(answer)
        offer = box.receive()
        with _wrong_code():
            introduction = newcomer.introduce(offer)
        offered = newcomer.library
        if offered is None:
            raise PairingRefused("not joined: there was no offer", hint=_AGAIN)
        own = fingerprint(secrets.device_id, secrets.exchange_public)
        on_meeting(Meeting(offered.library_id, offered.fingerprint, own))
        said = "somebody said no on the other device, or the code has expired"
        box.leave(introduction)
        grant = box.receive()
        with altered_letters(client.url):
            acceptance, entry = newcomer.accept(grant)
        try:
            box.leave(acceptance)
        except PairingRefused:
            if stop.is_set():
                raise
            # It arrived at the first try, and the other side, done, has removed the mailbox before the second.
    return offered, entry


def _sign_in(client: RelayClient, secrets: DeviceSecrets, offer: Offer, stop: threading.Event, pace: Pace) -> None:
    """Sign in, as soon as the relay has been told by the other device that this one belongs to the library."""
    patience = time.monotonic() + pace.arrival
    pause = pace.first
    while True:
        try:
            with relay_errors(client.url):
                client.sign_in(secrets, offer.library_id, int(time.time()))
        except NotAMember as error:
            if time.monotonic() >= patience:
                raise PairingRefused(
                    "not joined: the other device did not tell the relay that this one was added",
                    hint="It may have lost its connection: take this device out there (`safelight device revoke`), and "
                    "make a new code.",
                ) from error
        except RelayUnreachable:
            if time.monotonic() >= patience:
                raise
        else:
            return
        if stop.wait(pause):
            raise stopped()
        pause = min(pause * _GROWTH, pace.longest)


def _held_to(offer: Offer, found: Iterable[bytes], entry: Entry, url: str) -> tuple[bytes, list[bytes]]:
    """Return genesis and the other entries, once they are what the inviting device spoke of.

    Raises `Forged` for another library or entries whose signatures do not hold, `Withheld` where some are missing, and
    `NotAMember` where they say that this device does not belong.
    """
    by_hash = {entry_hash(one): one for one in found} | {entry.hash: entry.data}
    genesis = by_hash.pop(offer.library_id, None)
    if genesis is None:
        raise Withheld(
            f"the relay {url} does not give out the entry that founded the library",
            hint="It shows another library, or lost what it held. Pair by way of another relay.",
        )
    membership = checked_membership(genesis, by_hash.values(), offer.library_id, url)
    missing = [
        head for head in (*offer.heads, entry.hash) if head not in membership.entries and head != offer.library_id
    ]
    if missing:
        raise Withheld(
            f"the relay {url} withholds membership entry {missing[0].hex()[:12]}, which the inviting device knows",
            hint="It shows an older state of the library, or another. Pair by way of another relay.",
        )
    member = membership.members.get(offer.device_id)
    if entry.admission.device_id not in membership.members or member is None:
        raise NotAMember(
            "not joined: the device that added this one was revoked at the same time, so the add does not count",
            hint="Make a new code on a device that is in the library.",
        )
    if member.exchange != offer.exchange:
        raise Forged(f"the relay {url} shows another key of the inviting device", hint="Pair by way of another relay.")
    return genesis, [one for name, one in by_hash.items() if name in membership.entries]


def checked_membership(genesis: bytes, entries: Iterable[bytes], library_id: bytes, url: str) -> Membership:
    """Return what entries that a relay gave out amount to; raises `Forged` where one does not hold."""
    try:
        founded = verify_genesis(genesis, library_id)
        return evaluate(founded, [verify_entry(entry, library_id) for entry in entries])
    except CryptoError as error:
        raise Forged(
            f"the relay {url} gives out a membership entry that does not hold: {error}",
            hint="It was altered there or on its way. Use another relay, and tell the owner of this one.",
        ) from error


@contextlib.contextmanager
def _wrong_code() -> Iterator[None]:
    try:
        yield
    except CryptoError as error:
        raise PairingRefused(f"not joined: {error}", hint=_AGAIN) from error
