"""Making room on a device: originals that are safe elsewhere are dropped here, and fetched again when wanted.

**When an original may go.** All of this has to hold, and is looked at in this order:

1. It is here, whole: its bytes have the hash that is its id.
2. Every relay in use has an envelope that names it. Without that nobody else could find or open it.
3. Every relay in use has just answered, for a random nonce made for this one question, the BLAKE2b-256 keyed with it
   over the whole ciphertext, and the answer is what this device computes from its own bytes. So each relay has read
   every byte of it a moment ago; nothing a relay said earlier counts.
4. Two hold it once this device does not: two relays that answered so, or one, and a device that keeps every original
   and has said that it has those of the envelope that names this one (`core.sync.holdings`). That such a device put
   the file once proves nothing: it may have freed it since. With `single_copy` one relay is enough.

A device's word (4) is believed where a relay's is not, because devices are the user's own; but it is never enough
alone. So whatever devices free at the same time, the relays' copies remain.

What is freed is durably recorded before it is removed: then `verify` does not miss it. Only originals are freed;
previews and bundles are small, and are what one browses with.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from core.errors import BlobDamaged, BlobMissing, CoreError, Refused
from core.log import BLOB_FREED
from core.originals import keeps_every_original, signed_in
from core.relay_errors import relay_errors
from core.sync.alarms import SyncAlarms
from core.sync.fetch import FETCHED
from core.sync.holdings import HELD, holders
from core.sync.standing import relays_in_use
from core.whereabouts import Whereabouts
from sync_relay import errors
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from core.library import Library
    from core.log import Vector

_NONCE_BYTES = 32
_READ_BYTES = 1 << 20
_AT_ONCE = 4
_A_COMMIT = 64
_NEEDED = 2

NOT_SENT = "a relay has not been sent it yet; `safelight sync` does that"
ONE_COPY = "one relay alone would hold it; --single-copy frees it all the same, or use a second relay"
DAMAGED = "it is damaged here; `safelight verify` names it"
WRONG = "a relay holds other bytes than it should; `safelight relay status` says which"


@dataclass(frozen=True)
class FreeEvent:
    """What became of one original; `bytes` on disk; `reason` says why it was kept."""

    event: Literal["freed", "kept"]
    photo: bytes
    bytes: int
    reason: str | None = None


@dataclass
class FreeReport:
    """How many originals were freed (or would be), their bytes on disk, how many were kept, and why."""

    freed: int = 0
    bytes: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


@dataclass(frozen=True)
class _Candidate:
    """One original that is here, and the envelopes that name it."""

    pid: bytes
    blob_id: bytes
    size: int
    places: Sequence[tuple[bytes, int]]


def free(
    library: Library,
    pids: Sequence[bytes] | None = None,
    *,
    single_copy: bool = False,
    dry_run: bool = False,
    progress: Callable[[FreeEvent, int, int], None] = lambda _event, _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
    connect: Callable[[str], RelayClient] = RelayClient,
) -> FreeReport:
    """Drop the originals of photos (all, by default) that are safe elsewhere; see above for when they are.

    With `dry_run` everything is asked and nothing dropped. `progress` gets each event, how many are done, and how many
    there are. Stopped half-way, what is told as freed is freed.

    Raises:
        NoSuchRelay: no relay is in use.
        Refused: this device is to keep every original.
        RelayUnreachable, RelayRefused: any of the relays in use; nothing more is freed then.
    """
    library.refresh()
    urls = relays_in_use(library)
    if keeps_every_original(library):
        raise Refused(
            "this device keeps every original", hint="`safelight sync --no-originals` ends that; then free them."
        )
    report = FreeReport()
    candidates = list(_candidates(library, pids))
    with contextlib.ExitStack() as stack:
        clients = {url: stack.enter_context(signed_in(library, url, connect)) for url in urls}
        judge = _Judge(library, clients, single_copy=single_copy)
        done = 0
        for start in range(0, len(candidates), _A_COMMIT):
            if should_stop():
                report.stopped = True
                break
            some = candidates[start : start + _A_COMMIT]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                reasons = list(pool.map(judge.reason_to_keep, some))
            judge.raise_alarms()
            if not dry_run:
                _drop(library, [one for one, reason in zip(some, reasons, strict=True) if reason is None])
            for one, reason in zip(some, reasons, strict=True):
                done += 1
                _count(report, one, reason)
                event = FreeEvent("freed" if reason is None else "kept", one.pid, one.size, reason)
                progress(event, done, len(candidates))
    return report


def _candidates(library: Library, pids: Sequence[bytes] | None) -> Iterator[_Candidate]:
    chosen = [*library.catalog.pids(), *library.catalog.pids("is:trash")] if pids is None else pids
    here: dict[bytes, tuple[bytes, int]] = {}
    for pid in dict.fromkeys(chosen):
        for copy in library.catalog.copies(pid):
            if copy.role == "original" and library.blobs.exists(copy.blob_id):
                here.setdefault(copy.blob_id, (pid, library.blobs.size_on_disk(copy.blob_id)))
    places = Whereabouts.read(library, here).places if here else {}
    for blob_id, (pid, size) in here.items():
        yield _Candidate(pid, blob_id, size, places[blob_id])


def _count(report: FreeReport, one: _Candidate, reason: str | None) -> None:
    if reason is None:
        report.freed += 1
        report.bytes += one.size
    else:
        report.kept += 1
        report.reasons[reason] += 1


def _drop(library: Library, freed: Sequence[_Candidate]) -> None:
    if not freed:
        return
    with library.log.transaction() as transaction:
        transaction.set_blob_states([one.blob_id for one in freed], BLOB_FREED)
        transaction.remove_fact(HELD)
        transaction.remove_fact(FETCHED)
    for one in freed:
        library.blobs.remove(one.blob_id)


class _Judge:
    """Says of each original whether it may go. Used by several threads."""

    def __init__(self, library: Library, clients: Mapping[str, RelayClient], *, single_copy: bool) -> None:
        self._library = library
        self._clients = clients
        self._single_copy = single_copy
        self._accused: list[tuple[str, bytes]] = []
        self._vectors: list[Vector] = []
        for url, client in clients.items():
            with relay_errors(url):
                heads = client.heads().heads
            self._vectors.append({head.device_id: (head.seq, head.hash) for head in heads})
        self._base = library.log.base()
        self._holders = holders(library)

    def reason_to_keep(self, one: _Candidate) -> str | None:
        """Return why an original stays here, or None if it may go."""
        if not all(self._names(vector, one) for vector in self._vectors):
            return NOT_SENT
        if not self._single_copy and self._holders_of(one) < _NEEDED:
            return ONE_COPY
        nonces = {url: secrets.token_bytes(_NONCE_BYTES) for url in self._clients}
        expected = self._read(one.blob_id, nonces)
        if expected is None:
            return DAMAGED
        for url, client in self._clients.items():
            try:
                with relay_errors(url):
                    proof = self._prove(client, one.blob_id, nonces[url])
            except BlobMissing:
                return NOT_SENT
            if not secrets.compare_digest(proof, expected[url]):
                self._accused.append((url, one.blob_id))
                return WRONG
        return None

    def raise_alarms(self) -> None:
        """Keep an alarm for each wrong answer; called on the library's thread."""
        alarms = SyncAlarms(self._library)
        for url, blob_id in self._accused:
            alarm = BlobDamaged(
                f"the relay {url} holds other bytes for blob {blob_id.hex()} than this device",
                hint="The original was kept here. Ask the relay's owner to run `safelight-relay doctor --deep "
                "--forget-lost`; the next sync then uploads it again.",
            )
            alarms.raise_(alarm, url)
        self._accused.clear()

    def _names(self, vector: Vector, one: _Candidate) -> bool:
        """Tell whether a relay that has `vector` has an envelope that names the original, or a checkpoint of it."""
        if any(vector.get(device, (0, b""))[0] >= seq for device, seq in one.places):
            return True
        covered = self._base.items()
        return not one.places and bool(covered) and all(vector.get(d, (0, b""))[0] >= seq for d, (seq, _) in covered)

    def _holders_of(self, one: _Candidate) -> int:
        return len(self._clients) + sum(holder.has(one.places, self._base) for holder in self._holders)

    def _prove(self, client: RelayClient, blob_id: bytes, nonce: bytes) -> bytes:
        try:
            return client.prove(blob_id, nonce)
        except errors.NoSuchBlob as error:
            raise BlobMissing(f"blob {blob_id.hex()} is not at the relay") from error

    def _read(self, blob_id: bytes, nonces: Mapping[str, bytes]) -> Mapping[str, bytes] | None:
        """Return what each relay has to answer; None if the bytes here are not what the id says."""
        plain = hashlib.blake2b(digest_size=32)
        keyed = {url: hashlib.blake2b(digest_size=32, key=nonce) for url, nonce in nonces.items()}
        try:
            with self._library.blobs.ciphertext(blob_id) as file:
                while piece := file.read(_READ_BYTES):
                    plain.update(piece)
                    for hasher in keyed.values():
                        hasher.update(piece)
        except CoreError:
            return None
        if plain.digest() != blob_id:
            return None
        return {url: hasher.digest() for url, hasher in keyed.items()}
