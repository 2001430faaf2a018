"""Blobs on their way between this device and its relays: several at once, resumed where they were cut off.

The library is asked on the caller's thread only; the threads in here read and write the folder of blobs and the
network, nothing else.
"""

from __future__ import annotations

import functools
import io
import os
from collections import OrderedDict
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, TypeVar

from core.blobs import BlobStore, StagedBlob, damaged_in_transit
from core.copy_records import name_writers
from core.errors import BlobDamaged, BlobMissing, CoreError, Forged, RelayQuotaFull, StorageFailed
from core.relay_errors import refusal, relay_errors
from core.sync.alarms import SyncAlarms
from core.sync.named_blobs import NamedBlob, writers_of
from core.sync.patience import Patience
from sync_relay import errors, wire
from sync_relay.client import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from core.library import Library
    from sync_relay.client import RelayClient

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE: Final = 4
"""Transfers at once with one relay, which allows eight to a library."""
MAX_UNKNOWN_BYTES: Final = 1 << 30
"""The largest blob that is fetched where no document says how large it is: bundles and snapshots are far smaller."""
_TOGETHER: Final = 32
_TOGETHER_BYTES: Final = 64 << 20
_WINDOW_BYTES: Final = 256 << 10
_WINDOWS: Final = 8
_HERE: Final = frozenset({"stored", "leaving"})


@dataclass
class Uploaded:
    """What became of blobs that a relay is to have.

    `done` were uploaded now; `lacking` are neither here nor at another relay; `refused` did not fit the quota, and
    `error` says so.
    """

    done: int = 0
    lacking: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    error: RelayQuotaFull | None = None


class Transfers:
    """Moves blobs of one library."""

    def __init__(
        self,
        library: Library,
        clients: Sequence[RelayClient],
        *,
        patience: Patience | None = None,
        progress: Callable[[str, str, int, int, int], None] | None = None,
    ) -> None:
        """Use `clients`, which are signed in, in this order.

        `progress(url, stage, blobs done, blobs in all, bytes)` is called on the caller's thread.
        """
        self.clients = list(clients)
        self.damaged: list[BlobDamaged | Forged] = []
        """Alarms that are new: blobs that came in, or lie here, as something else than they are, or are said to be."""
        self._met: list[BlobDamaged | Forged] = []
        """All of them, also those that the user was told before."""
        self._library = library
        self._store = library.blobs
        self._alarms = SyncAlarms(library)
        self._patience = patience or Patience()
        self._progress = progress or (lambda *_: None)

    def fetch(self, blob_id: bytes) -> None:
        """Bring one blob here from whichever relay has it.

        Raises `BlobMissing` if none has it, `BlobDamaged` if it came in damaged, and `RelayUnreachable` or
        `RelayRefused` where that is why it could not be had.
        """
        failure: CoreError | None = None
        for client in self.clients:
            try:
                with relay_errors(client.url):
                    if self._fetch_from(client, [NamedBlob(blob_id, "original")])[0]:
                        return
            except CoreError as error:
                failure = error
        if self._store.exists(blob_id):
            return
        own = [alarm for alarm in self._met if blob_id.hex() in str(alarm)]
        raise (
            own[-1]
            if own
            else failure
            or BlobMissing(
                f"blob {blob_id.hex()} is neither here nor at a relay",
                hint="The device that imported it may not have synced yet.",
            )
        )

    def fetch_all(self, wanted: Iterable[NamedBlob], *, anew: bool = False) -> tuple[int, list[NamedBlob]]:
        """Bring many blobs here, in this order; return how many came, and those that no relay gave out whole.

        With `anew` also those that are here, in whose place the new ones come once they are whole. Raises what the
        last relay raised where all of them failed before everything had come.
        """
        left = [blob for blob in wanted if anew or not self._store.exists(blob.id)]
        count, failure = 0, None
        for client in self.clients:
            if not left:
                break
            try:
                with relay_errors(client.url):
                    got, left = self._fetch_from(client, left)
                    count += got
            except CoreError as error:
                failure = error
                left = [blob for blob in left if anew or not self._store.exists(blob.id)]
        if left and failure is not None:
            raise failure
        return count, left

    def give(self, client: RelayClient, blobs: Sequence[NamedBlob], *, keep: bool = False) -> Uploaded:
        """Upload those blobs that a relay lacks: from here, or else copied from another relay.

        With `keep`, those that it is about to remove are copied from itself where nobody else has them.

        Raises what the client raises, but for `QuotaFull`.
        """
        outcome = Uploaded()
        states = self._patience.run(lambda: client.blob_states([blob.id for blob in blobs]))
        absent = [blob for blob, state in zip(blobs, states, strict=True) if state.state != "stored"]
        leaving = {state.id for state in states if keep and state.state == "leaving"}
        done_bytes = 0

        def send(blob: NamedBlob) -> int | None:
            return None if outcome.error is not None else self._send(client, blob, blob.id in leaving)

        for blob, result in _at_once(absent, send):
            try:
                size = result()
            except errors.QuotaFull as full:
                outcome.refused.append(blob.id)
                outcome.error = outcome.error or refusal_of_quota(client.url, full)
            except (BlobMissing, BlobDamaged) as error:
                if isinstance(error, BlobDamaged):
                    self._raise(error, None)
                outcome.lacking.append(blob.id)
            else:
                if size is None:
                    outcome.refused.append(blob.id)
                    continue
                outcome.done += 1
                done_bytes += size
                self._progress(client.url, "upload", outcome.done, len(absent), done_bytes)
        return outcome

    def range_reader(self, blob_id: bytes) -> BinaryIO:
        """Return the ciphertext of a blob at a relay as a file, of which only what is read is fetched.

        For `crypto.blob.BlobReader`, which checks every chunk. Raises `BlobMissing` if no relay has it, and what the
        relays that were asked raised; its `read` raises `RelayUnreachable` and `RelayRefused`.
        """
        failure: CoreError | None = None
        for client in self.clients:
            try:
                with relay_errors(client.url):
                    (state,) = self._patience.run(functools.partial(client.blob_states, [blob_id]))
            except CoreError as error:
                failure = error
                continue
            if state.state in _HERE:
                return io.BufferedReader(_RemoteBlob(client, blob_id, state.size, self._patience), _WINDOW_BYTES)
        raise failure or BlobMissing(f"blob {blob_id.hex()} is at no relay")

    def _fetch_from(self, client: RelayClient, wanted: list[NamedBlob]) -> tuple[int, list[NamedBlob]]:
        """Fetch what this relay has; return how many came, and what is left."""
        left: list[NamedBlob] = []
        count = 0
        for start in range(0, len(wanted), wire.MAX_ITEMS):
            some = wanted[start : start + wire.MAX_ITEMS]
            states = self._patience.run(functools.partial(client.blob_states, [blob.id for blob in some]))
            here = []
            for blob, state in zip(some, states, strict=True):
                if state.state not in _HERE:
                    left.append(blob)
                elif state.size > _most(blob):
                    self._raise(damaged_in_transit(blob.id, f"the relay has {state.size} bytes of it"), client.url)
                    left.append(blob)
                else:
                    here.append((blob, state.size))
            came, failed = self._fetch_here(client, here)
            count += came
            left += failed
        return count, left

    def _fetch_here(self, client: RelayClient, here: list[tuple[NamedBlob, int]]) -> tuple[int, list[NamedBlob]]:
        failed: list[NamedBlob] = []
        waiting: list[StagedBlob] = []
        wrong: dict[NamedBlob, int] = {}
        count = size = all_bytes = 0
        with _Publishing(self._store) as publishing:
            try:
                for (blob, _), result in _at_once(here, lambda one: self._receive(client, one[0].id, one[1])):
                    try:
                        staged = result()
                    except BlobDamaged as alarm:
                        self._raise(alarm, client.url)
                        failed.append(blob)
                        continue
                    except errors.NotThere:
                        failed.append(blob)
                        continue
                    if staged.ref.size != (blob.size or staged.ref.size):
                        wrong[blob] = staged.ref.size
                    waiting.append(staged)
                    count += 1
                    size += staged.ref.size
                    all_bytes += staged.ref.size
                    if len(waiting) >= _TOGETHER or size >= _TOGETHER_BYTES:
                        together, waiting, size = waiting, [], 0
                        publishing.begin(together)
                    self._progress(client.url, "download", count, len(here), all_bytes)
            finally:
                publishing.begin(waiting)
                self._name_wrong(wrong)
        return count, failed

    def _name_wrong(self, sizes: Mapping[NamedBlob, int]) -> None:
        """Raise the alarms about blobs that are what their ids say, and have other sizes than records say."""
        writers = writers_of(self._library, sizes)
        for blob, size in sizes.items():
            by = name_writers(self._library, writers.get(blob.id, ()))
            self._raise(_said_wrong(blob, size, by), None)

    def _receive(self, client: RelayClient, blob_id: bytes, size: int) -> StagedBlob:
        """Download one blob, going on after each cut as long as that gets any further."""
        reached = -1

        def once() -> StagedBlob:
            nonlocal reached
            with self._store.receive(blob_id, size) as incoming:
                try:
                    if incoming.offset < size:
                        with client.download(blob_id, incoming.offset) as pieces:
                            if pieces.size != size:
                                raise damaged_in_transit(blob_id, f"{pieces.size} bytes of it were to come")
                            for piece in pieces:
                                incoming.write(piece)
                finally:
                    reached = incoming.offset
                return incoming.staged()

        while True:
            before = reached
            try:
                return self._patience.run(once)
            except Unreachable:
                if reached <= before:
                    raise

    def _send(self, client: RelayClient, blob: NamedBlob, leaving: bool) -> int:
        """Upload one blob, from here or from another relay, or from this one that is about to remove it.

        Returns its size in bytes.
        """
        try:
            source = self._store.ciphertext(blob.id)
        except BlobMissing:
            others = [other for other in self.clients if other is not client]
            return self._copy(client, blob, [*others, client] if leaving else others)
        with source:
            return self._upload(client, blob.id, source)

    def _upload(self, client: RelayClient, blob_id: bytes, source: BinaryIO) -> int:
        size = os.fstat(source.fileno()).st_size
        if not size:
            raise damaged_here(blob_id)
        try:
            state = self._patience.run(lambda: client.upload(blob_id, source, size))
        except errors.BlobDamaged:
            self._store.check(blob_id)
            raise
        except (OSError, EOFError) as error:
            raise StorageFailed(f"blob {blob_id.hex()[:12]} could not be read: {type(error).__name__}") from error
        if state.state not in _HERE:
            raise Unreachable(f"the relay at {client.url} took a blob and says that it is {state.state}")
        return size

    def _copy(self, client: RelayClient, blob: NamedBlob, sources: Iterable[RelayClient]) -> int:
        """Bring a blob from the first of some relays that has it to this one; it does not stay here."""
        for other in sources:
            try:
                (state,) = self._patience.run(functools.partial(other.blob_states, [blob.id]))
                if state.state not in _HERE or state.size > _most(blob):
                    continue
                staged = self._receive(other, blob.id, state.size)
            except (Unreachable, errors.RelayError, BlobDamaged):
                continue  # its own turn tells what is wrong with it
            try:
                with staged.path.open("rb") as source:
                    return self._upload(client, blob.id, source)
            finally:
                self._store.discard([staged])
        raise BlobMissing(f"blob {blob.id.hex()} is neither here nor at another relay")

    def _raise(self, alarm: BlobDamaged | Forged, url: str | None) -> None:
        self._met.append(alarm)
        if self._alarms.raise_(alarm, url):
            self.damaged.append(alarm)


class _Publishing:
    """Makes blobs durable and gives them their names, some at a time, while the next ones come in."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Wait until everything is there; raise `StorageFailed` where something could not be written."""
        with self._thread:
            self._wait()

    def begin(self, staged: list[StagedBlob]) -> None:
        """Publish some more, once those before them are; raises what became of those."""
        try:
            self._wait()
        finally:
            if staged:
                self._under_way = self._thread.submit(self._store.publish, staged)

    def _wait(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()


class _RemoteBlob(io.RawIOBase):
    """A blob at a relay, read by windows; the last few are kept."""

    def __init__(self, client: RelayClient, blob_id: bytes, size: int, patience: Patience) -> None:
        super().__init__()
        self._client = client
        self._blob_id = blob_id
        self._size = size
        self._patience = patience
        self._at = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._at >= self._size or not len(buffer):
            return 0
        number, skip = divmod(self._at, _WINDOW_BYTES)
        data = self._window(number)[skip : skip + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _window(self, number: int) -> bytes:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        start = number * _WINDOW_BYTES
        length = min(_WINDOW_BYTES, self._size - start)

        def once() -> bytes:
            with self._client.download(self._blob_id, start, length) as pieces:
                return b"".join(pieces)

        with relay_errors(self._client.url):
            self._kept[number] = self._patience.run(once)
        if len(self._kept) > _WINDOWS:
            self._kept.popitem(last=False)
        return self._kept[number]


def refusal_of_quota(url: str, full: errors.QuotaFull) -> RelayQuotaFull:
    """Return the error that says by how much a library is over its quota at a relay."""
    error = refusal(url, full)
    if not isinstance(error, RelayQuotaFull):
        raise TypeError("a full quota is a RelayQuotaFull")
    return error


def damaged_here(blob_id: bytes) -> BlobDamaged:
    """Return the alarm of a blob that is empty in this device's folder."""
    return BlobDamaged(
        f"blob {blob_id.hex()} is damaged: it is empty",
        hint="Restore this file from a backup of the library's `blobs` folder; a relay may have it, too.",
    )


def _most(blob: NamedBlob) -> int:
    """Return how many bytes are fetched for a blob: what its record says may be wrong, and its id tells in the end."""
    return max(blob.size or 0, MAX_UNKNOWN_BYTES)


def _said_wrong(blob: NamedBlob, size: int, by: str) -> Forged:
    return Forged(
        f"{by} wrote that blob {blob.id.hex()} has {blob.size} bytes; it has {size}, and its id says that they are "
        "the right ones",
        hint="Nothing is lost. `safelight log` shows what each device did: look at the one that wrote it.",
    )


def _at_once(items: Sequence[Item], work: Callable[[Item], Result]) -> Iterator[tuple[Item, Callable[[], Result]]]:
    """Yield (item, function that returns or raises what the work on it did) as they end, a few at a time."""
    if len(items) == 1:
        (item,) = items
        yield item, lambda: work(item)
        return
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="transfer") as pool:
        waiting: dict[Future[Result], Item] = {}
        try:
            for item in items:
                if len(waiting) >= AT_ONCE:
                    yield from _ended(waiting)
                waiting[pool.submit(work, item)] = item
            while waiting:
                yield from _ended(waiting)
        finally:
            for future in waiting:
                future.cancel()


def _ended(waiting: dict[Future[Result], Item]) -> Iterator[tuple[Item, Callable[[], Result]]]:
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        yield waiting.pop(future), future.result
