"""Recovering: a library again on a machine that has nothing of it but 24 words (docs/devices.md).

Everything is read with the phrase's own keys first, into a folder of its own inside the one that is to be the library;
so the devices can be shown by name, and what is kept of a revoked one is what was really there to be read. Only then
does the phrase speak: it revokes, changes the key, and adds this machine. The folder becomes a library as the last
step, so a recovery that was interrupted never looks like one; repeating it goes on, or begins anew.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from core.arrival import begin_arriving
from core.devices import device_name, devices, read_phrase
from core.errors import CoreError, Forged, Refused, Withheld, WrongPhrase
from core.joining import first_sync
from core.library import Library
from core.membership_exchange import fetch_entries
from core.relay_errors import relay_errors
from core.sync.patience import Patience
from core.sync.relays import Relays
from core.telling import read_relay, tell_relays
from core.unfinished import begin, discard, is_being_published, publish, refuse_unless_free, unfinished_folder
from crypto import recovery
from crypto.errors import CryptoError, PhraseReplaced
from crypto.errors import NotAMember as NeverAMember
from crypto.genesis import entry_hash
from crypto.keys import DeviceSecrets
from crypto.membership_entry import Cut
from sync_relay import errors as relay
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from core.devices import DeviceRecord
    from core.sync.report import SyncProgress
    from crypto.kdf import KdfParameters
    from crypto.membership_entry import Entry
    from sync_relay import wire


def recover(
    url: str,
    words: str,
    *,
    name: str,
    root: Path,
    passphrase: bytes,
    keep: Callable[[Sequence[DeviceRecord]], Collection[bytes]],
    connect: Callable[[str], RelayClient] = RelayClient,
    progress: Callable[[SyncProgress], None] | None = None,
    kdf: KdfParameters | None = None,
) -> Library:
    """Bring the library of a recovery phrase back from the relay at `url` into the empty folder `root`; return it open.

    `keep` is given the devices of the library and returns the ids of those that stay: all others are revoked. Where an
    earlier attempt in the same folder and with the same passphrase came past that point, it is gone on with and nobody
    is asked. Other relays of the library are told too; one that does not answer hears of it when this machine syncs.

    Raises `WrongPhrase` (no phrase, replaced, or of no library at this relay), `Forged` and `Withheld` where the relay
    lies, `InvalidEdit` for the name or the URL, `LibraryExists`, `RelayUnreachable`, `RelayRefused` with its kinds, and
    what `keep` raises, upon which nothing has changed. Where it raises in the sync at the end, the library is in `root`
    and can be used; its next sync goes on.
    """
    name = device_name(name)
    phrase = read_phrase(words)
    refuse_unless_free(root)
    with relay_errors(url), connect(url) as client:
        if is_being_published(root):
            machine = Library.unlock(unfinished_folder(root), passphrase)
        else:
            machine = _go_on(phrase, root, passphrase) or _take_over(
                client, phrase, root, passphrase, name, keep, progress, kdf
            )
        publish(root)
    library = Library.open(root, machine)
    try:
        tell_relays(library, connect=connect)  # of who is revoked; one that does not answer is told by the next sync
        first_sync(library, client.url, name, connect, progress)
    except BaseException:
        library.close()
        raise
    return library


def _take_over(
    client: RelayClient,
    phrase: DeviceSecrets,
    root: Path,
    passphrase: bytes,
    name: str,
    keep: Callable[[Sequence[DeviceRecord]], Collection[bytes]],
    progress: Callable[[SyncProgress], None] | None,
    kdf: KdfParameters | None,
) -> DeviceSecrets:
    """Read everything, make a machine with new secrets a member, and return these; the library is unfinished still."""
    session = _sign_in(client, phrase)
    genesis, entries = _library_of(phrase, session.library_id, fetch_entries(client), client.url)
    machine = DeviceSecrets.generate()
    folder = begin(root)
    made: list[Entry] = []
    try:
        with Library.create_from(folder, passphrase, machine, genesis, entries, kdf=kdf, reader=phrase) as library:
            Relays(library).remember([client.url])
            begin_arriving(library, name)
            _pull(library, client, phrase, progress)
            kept = keep([one for one in devices(library) if not one.revoked])
            # Somebody may have written, or joined, while the user was thinking.
            _pull(library, client, phrase, None)
            made = _entries(library, phrase, machine, kept)
            library.add_entries(made)
            with relay_errors(client.url):
                Patience().run(lambda: client.append_entries([entry.data for entry in made]))
    except BaseException:
        if not made:
            discard(root)
        raise
    return machine


def _sign_in(client: RelayClient, phrase: DeviceSecrets) -> wire.Session:
    with relay_errors(client.url):
        try:
            return client.sign_in(phrase, None, int(time.time()))
        except relay.NotAMember as error:
            raise WrongPhrase(
                f"no library at the relay {client.url} has this recovery phrase",
                hint="It was replaced by another one, or is of a library that is at another relay.",
            ) from error


def _library_of(
    phrase: DeviceSecrets, library_id: bytes, found: Sequence[bytes], url: str
) -> tuple[bytes, list[bytes]]:
    """Return genesis and the other entries of the library; raises `Withheld`, `Forged` or `WrongPhrase`."""
    by_hash = {entry_hash(entry): entry for entry in found}
    genesis = by_hash.pop(library_id, None)
    if genesis is None:
        raise Withheld(
            f"the relay {url} does not give out the entry that founded the library",
            hint="It lost what it held, or lies. Recover from another relay of the library.",
        )
    try:
        membership = recovery.find_library(genesis, by_hash.values(), phrase)
    except PhraseReplaced as error:
        raise WrongPhrase(str(error), hint=error.hint) from error
    except NeverAMember as error:
        raise Forged(
            f"the relay {url} shows a library that this recovery phrase never signed",
            hint="It is not yours, whatever is in it. Recover from another relay of the library.",
        ) from error
    except CryptoError as error:
        raise Forged(
            f"the relay {url} gives out a membership entry that does not hold: {error}",
            hint="It was altered there or on its way. Recover from another relay of the library.",
        ) from error
    return genesis, [entry for name, entry in by_hash.items() if name in membership.entries]


class _AsPhrase:
    """A relay's client that signs in as the phrase, whoever is asked for: the machine is no member yet."""

    def __init__(self, client: RelayClient, phrase: DeviceSecrets) -> None:
        self._client = client
        self._phrase = phrase

    def sign_in(
        self, _secrets: DeviceSecrets, library_id: bytes | None, now: int, _entries: Sequence[bytes] = ()
    ) -> wire.Session:
        return self._client.sign_in(self._phrase, library_id, now)

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)


def _pull(
    library: Library, client: RelayClient, phrase: DeviceSecrets, progress: Callable[[SyncProgress], None] | None
) -> None:
    read_relay(library, cast("RelayClient", _AsPhrase(client, phrase)), progress)


def _entries(library: Library, phrase: DeviceSecrets, machine: DeviceSecrets, kept: Collection[bytes]) -> list[Entry]:
    library.members.refresh()
    accepted = {device: Cut(seq, head) for device, (seq, head) in library.log.heads().items()}
    try:
        made, _ = recovery.recover(
            library.members.membership, phrase, machine, keep=kept, accepted=accepted, created_at=int(time.time())
        )
    except PhraseReplaced as error:
        raise WrongPhrase(str(error), hint=error.hint) from error
    except CryptoError as error:
        raise Refused(str(error), hint=error.hint) from error
    return made


def _go_on(phrase: DeviceSecrets, root: Path, passphrase: bytes) -> DeviceSecrets | None:
    """Go on with a recovery that was interrupted, if it came so far that this machine is a member; return its secrets.

    What did not come so far is left to be removed: everything in it came from the relay.
    """
    unfinished = unfinished_folder(root)
    if not unfinished.is_dir():
        return None
    try:
        machine = Library.unlock(unfinished, passphrase)
        library = Library.open(unfinished, machine)
    except CoreError:
        return None
    with library:
        membership = library.members.membership
        if not library.members.is_member or phrase.device_id not in membership.phrases:
            return None
    return machine
