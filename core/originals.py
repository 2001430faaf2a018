"""Originals on demand: what is not on this device is fetched from a relay when somebody wants it.

A device keeps what was imported on it. Of the rest it has thumbnails; an original (or preview) is fetched for `open`
and `export`, or by every sync where the device is set to keep every original.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from core.errors import BlobMissing, CoreError, NoSuchPhoto, NoSuchRelay, RelayUnreachable
from core.whereabouts import Whereabouts
from crdt.documents import LIBRARY
from crdt.operations import Delete
from crypto.blob import encrypted_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from core.catalog.records import Copy
    from core.library import Library
    from core.sync.transfers import Transfers
    from sync_relay.client import RelayClient

    Connect = Callable[[str], RelayClient]
    FetchProgress = Callable[[str, str, int, int, int], None]

HOLDS: Final = "holds/"
"""Prefix of the settings in which devices that keep every original say what they have (`core.sync.holdings`)."""
_SETTING: Final = "originals/"
_ALL: Final = "all"

Role = Literal["original", "preview"]


def keeps_every_original(library: Library, device: bytes | None = None) -> bool:
    """Tell whether a device (this one, by default) is to keep every original: a setting that all devices can read."""
    return library.setting(_SETTING + (device or library.device_id).hex()) == _ALL


def keep_every_original(library: Library, *, wanted: bool) -> None:
    """Say whether this device keeps every original from now on; `sync` fetches them then."""
    if wanted == keeps_every_original(library):
        return
    own = library.device_id.hex()
    if wanted:
        from core.sync.fetch import FETCHED

        # What was fetched once and freed since is wanted again.
        with library.log.transaction() as transaction:
            transaction.remove_fact(FETCHED)
        library.set_setting(_SETTING + own, _ALL)
    else:
        gone = [Delete("setting", name + own) for name in (_SETTING, HOLDS)]
        library.commit({LIBRARY: gone}, action="setting", summary="originals on demand")


class Originals:
    """Brings originals and previews of a library into its folder; connects to the relays when the first is wanted.

    To be closed. Used by one thread, the library's.
    """

    def __init__(
        self, library: Library, *, connect: Connect | None = None, progress: FetchProgress | None = None
    ) -> None:
        """Fetch for `library`; `connect` makes the client of a relay's URL; `progress` is as of `Transfers`."""
        self._library = library
        self._connect = connect
        self._progress = progress
        self._open = contextlib.ExitStack()
        self._transfers: Transfers | None = None
        self._failure: CoreError | None = None
        self._unasked: list[CoreError] = []
        self._whereabouts: Whereabouts | None = None
        self._fetched: set[bytes] = set()

    def __enter__(self) -> Self:
        """Return itself; leaving the block closes the connections."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._open.close()

    def copy_here(self, pid: bytes, role: Role = "original") -> Copy | None:
        """Return a copy of a photo whose blob is in the folder, or None.

        Raises:
            NoSuchPhoto: the photo has no such copy.
        """
        return next((copy for copy in self._copies(pid, role) if self._library.blobs.exists(copy.blob_id)), None)

    def ensure(self, pid: bytes, role: Role = "original") -> Copy:
        """Return a copy of a photo whose blob is in the folder, after fetching it if none was.

        Raises:
            NoSuchPhoto: the photo has no such copy.
            RelayUnreachable, RelayRefused: no relay that could be asked has it.
            NoSuchRelay: it is on another device, and there is no relay.
            BlobMissing: it ought to be here, or all relays were asked and none has it.
            BlobDamaged: what came is not what was asked for; nothing of it was kept.
        """
        copy = self.copy_here(pid, role)
        if copy is None:
            self._fetch([pid], role)
            copy = self.copy_here(pid, role)
        if copy is None:
            (first, *_) = self._copies(pid, role)
            try:
                self._connected(first.blob_id).fetch(first.blob_id)  # says why it did not come
            except BlobMissing:
                if self._unasked:
                    raise self._unasked[0] from None  # a relay that did not answer may have it
                raise
            copy = first
        return self._that_opens(pid, copy)

    def fetch_ahead(self, pids: Collection[bytes], role: Role = "original") -> None:
        """Fetch what is not here of these photos, several at once. What cannot be had is for `ensure` to tell."""
        with contextlib.suppress(CoreError):
            self._fetch(list(pids), role)

    def forget_fetched(self, *, keep: bool) -> int:
        """Remove what was fetched since the last call, unless `keep`; return how many blobs had been.

        What this device is to have anyway stays: where it keeps every original, and where a blob was lost here.
        """
        fetched, self._fetched = self._fetched, set()
        if fetched and not keep and not keeps_every_original(self._library):
            if self._whereabouts is None:
                self._whereabouts = Whereabouts.read(self._library)
            for blob_id in sorted(fetched):
                if not self._whereabouts.is_expected_here(blob_id):
                    self._library.blobs.remove(blob_id)
        return len(fetched)

    def _copies(self, pid: bytes, role: Role) -> Sequence[Copy]:
        copies = self._find(pid, role)
        if not copies:
            raise NoSuchPhoto(f"photo {pid.hex()} has no {role}", hint="It may have been purged meanwhile.")
        return copies

    def _that_opens(self, pid: bytes, copy: Copy) -> Copy:
        """Return a copy with the key and size that its blob has, whatever another device wrote of them."""
        from core.copy_records import repair
        from core.sync.alarms import SyncAlarms

        done = repair(self._library, pid, copy.blob_id)
        if done is None:
            return copy
        SyncAlarms(self._library).raise_(done.alarm)
        return msgspec.structs.replace(copy, key=done.record.key, size=done.record.size)

    def _find(self, pid: bytes, role: Role) -> list[Copy]:
        return [copy for copy in self._library.catalog.copies(pid) if copy.role == role]

    def _fetch(self, pids: Sequence[bytes], role: Role) -> None:
        """Fetch the first copy of each photo, and another copy where no relay has that one."""
        from core.sync.named_blobs import NamedBlob

        waiting = {pid: list(self._find(pid, role)) for pid in dict.fromkeys(pids)}
        while True:
            wanted = {pid: it.pop(0) for pid, it in waiting.items() if it and self.copy_here(pid, role) is None}
            if not wanted:
                return
            documents = self._library.catalog.documents_of(wanted)
            blobs = [
                NamedBlob(copy.blob_id, role, encrypted_size(copy.size), documents.get(pid))
                for pid, copy in wanted.items()
            ]
            try:
                self._connected(blobs[0].id).fetch_all(blobs)
            finally:
                self._fetched.update(blob.id for blob in blobs if self._library.blobs.exists(blob.id))

    def _connected(self, blob_id: bytes) -> Transfers:
        """Connect on the first call; a relay that does not answer is not asked again, and if none does, it is said."""
        if self._transfers is None and self._failure is None:
            try:
                self._transfers = self._open.enter_context(
                    transfers(self._library, self._connect, self._progress, self._unasked)
                )
            except CoreError as error:
                self._failure = error
        if self._transfers is not None:
            return self._transfers
        if isinstance(self._failure, NoSuchRelay):
            # Without relays a blob is here, or lost, or on another device that nobody can ask.
            if Whereabouts.read(self._library).is_expected_here(blob_id):
                self._library.blobs.size_on_disk(blob_id)  # raises BlobMissing
            raise NoSuchRelay(
                f"blob {blob_id.hex()[:12]} is on another device, and this library uses no relay to fetch it from",
                hint="`safelight relay use URL` on both devices, then `safelight sync` on the other one.",
            )
        raise self._failure or BlobMissing(f"blob {blob_id.hex()} is not in the library")


@contextlib.contextmanager
def transfers(
    library: Library,
    connect: Connect | None = None,
    progress: FetchProgress | None = None,
    failures: list[CoreError] | None = None,
) -> Iterator[Transfers]:
    """Give what moves blobs between this device and those of its relays that answer; `failures` gets why others do not.

    Raises:
        NoSuchRelay: no relay is in use.
        RelayUnreachable, RelayRefused: none of them lets this device in.
    """
    from core.sync.standing import relays_in_use
    from core.sync.transfers import Transfers

    failures = [] if failures is None else failures
    with contextlib.ExitStack() as stack:
        clients = []
        for url in relays_in_use(library):
            try:
                clients.append(stack.enter_context(signed_in(library, url, connect)))
            except CoreError as error:
                failures.append(error)
        if not clients:
            # A refusal says more than silence.
            raise min(failures, key=lambda error: isinstance(error, RelayUnreachable))
        yield Transfers(library, clients, progress=progress)


@contextlib.contextmanager
def signed_in(library: Library, url: str, connect: Connect | None = None) -> Iterator[RelayClient]:
    """Give the client of one relay, signed in as this device; raises `RelayUnreachable` or `RelayRefused`."""
    from core.relay_errors import relay_errors
    from sync_relay.client import RelayClient

    with relay_errors(url):
        client = (connect or RelayClient)(url)
    try:
        with relay_errors(url):
            client.sign_in(library.members.secrets, library.library_id, int(time.time()))
        yield client
    finally:
        client.close()
