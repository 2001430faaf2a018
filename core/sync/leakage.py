"""What one relay could infer of one library: everything it holds and is told, as far as this device can know it.

The relay is asked for all of its log and for the state of every blob that any envelope here ever named; what it sees
without storing it (addresses, the times at which things arrive) is said in words, or taken from the envelopes' own
clocks, which are those of the devices that wrote them. `STORED` has every column of a relay's database; a test holds
it against the database itself.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from core.devices import device_names
from core.errors import IntegrityAlarm
from core.log import BLOB_FREED
from core.relay_errors import relay_errors
from core.whereabouts import blobs_in_changes
from crypto.blob import encrypted_size
from crypto.envelope import read_header
from crypto.errors import CryptoError
from crypto.membership import entry_hash
from sync_relay import wire
from sync_relay.client import RelayClient
from sync_relay.statements import Delete, Prune, read_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from core.library import Library
    from core.sync.relays import Connect

STORED: Final = {
    "library.id": "your library's name there, a random-looking number",
    "library.position": "how many things were ever added",
    "library.used_bytes": "how much room your library takes",
    "library.used_objects": "of how many things",
    "library.quota_bytes": "what it may take (the owner's own choice)",
    "library.quota_objects": "what it may take (the owner's own choice)",
    "library.created_at": "when your library came to this relay",
    "invite.hash": "that an invite of the owner's was used (the owner's own)",
    "invite.quota_bytes": "what the invite allowed (the owner's own choice)",
    "invite.quota_objects": "what the invite allowed (the owner's own choice)",
    "invite.expires_at": "until when it was good (the owner's own choice)",
    "invite.library_id": "which invite founded your library: the owner knows whom it was given to",
    "member.library_id": "which keys belong together",
    "member.device_id": "each device's public key, and the recovery phrase's",
    "member.active": "which of them were revoked",
    "item.library_id": "which things belong together",
    "item.position": "the order in which things came",
    "item.kind": "whether it is an edit, a change of the membership, a delete or a prune",
    "item.device_id": "which device wrote an edit",
    "item.seq": "its number in that device's chain of edits",
    "item.hash": "its name",
    "item.size": "its size, padded to 256 bytes at least",
    "item.body": "the edit itself, encrypted; in the clear before it: library, device, number, the edit before it, the "
    "epoch of its key, and which membership its author knew. Of membership entries, deletes and prunes everything: "
    "public keys, times by the author's clock, ids",
    "head.library_id": "which heads belong together",
    "head.device_id": "whose newest edit it is",
    "head.seq": "how many edits each device has written",
    "head.hash": "the name of each device's newest edit",
    "prune.library_id": "whose edits are to go",
    "prune.device_id": "of which device",
    "prune.seq": "up to which one a checkpoint stands for them",
    "prune.due_at": "when they go",
    "blob.library_id": "which files belong together",
    "blob.id": "each file's name, the hash of its encrypted bytes",
    "blob.attempt": "the relay's own name for the upload",
    "blob.stored": "whether all of it has come",
    "blob.size": "its size, padded",
    "blob.received": "how much of it has come",
    "blob.updated_at": "when it was uploaded, to the second: files uploaded together belong together",
    "blob.gone_at": "when it was deleted",
    "part.attempt": "pieces of an upload under way (the relay's own)",
    "part.start": "pieces of an upload under way (the relay's own)",
    "part.object": "pieces of an upload under way (the relay's own)",
    "session.selector": "the relay's own name for a sign-in",
    "session.hash": "a token's hash (the relay's own)",
    "session.library_id": "which library a device signed in to",
    "session.device_id": "which device signed in",
    "session.expires_at": "when it signed in, an hour before that",
    "used_nonce.hash": "that a sign-in happened (forgotten after minutes)",
    "used_nonce.expires_at": "when it happened (forgotten after minutes)",
    "mailbox.number": "that a device is being added",
    "mailbox.library_id": "to which library",
    "mailbox.owner": "a token's hash (the relay's own)",
    "mailbox.joiner": "a token's hash (the relay's own)",
    "mailbox.expires_at": "when it was begun, ten minutes before that",
    "letter.number": "how many messages the pairing took",
    "letter.owner": "which side wrote each",
    "letter.index": "in which order",
    "letter.body": "each message, encrypted, and its size",
    "relay.name": "nothing of yours: the relay's own keys",
    "relay.value": "nothing of yours: the relay's own keys",
}
"""Every column that a relay keeps, and what it tells its owner of a library."""

SEEN: Final = (
    "the address that each device connects from, and hence roughly where it is",
    "when each device connects, how long it stays (`sync --watch` stays), and how much goes either way",
    "which files a device fetches, and when: what is opened or exported that was not on that device",
    "for which files a device asks for proof (`free` does), and hence which it is about to remove",
)
"""What a relay is told besides, and need not store."""

HIDDEN: Final = (
    "no picture, thumbnail, file name, label, caption, date, place, camera, album, rating or search",
    "which edit or file is of which photo, and what a file is, but by its size and what came with it",
    "the names of devices, and that a photo is the same as one in another library",
)
_TOGETHER_S: Final = 600
_Together = dict[bytes, list[tuple[int, set[bytes]]]]
"""By device: when (UTC seconds) it named which blobs for the first time."""


@dataclass(frozen=True)
class Item:
    """One thing in a relay's log. `device`, `seq` and `epoch` are of envelopes; `size` in bytes, 0 once pruned."""

    position: int
    kind: str
    size: int
    hash: str
    device: str | None = None
    seq: int | None = None
    epoch: str | None = None


@dataclass(frozen=True)
class File:
    """One blob: its name and padded size. `like` is how many of the library's originals have just that size."""

    id: str
    size: int
    state: str
    like: int = 0


@dataclass
class Device:
    """One key that belongs to the library. `name` is yours: the relay does not know it."""

    id: str
    name: str
    active: bool
    edits: int = 0
    bytes: int = 0
    newest: str | None = None


@dataclass(frozen=True)
class Burst:
    """Files that one device uploaded together; `at` by its own clock (UTC seconds), sizes in bytes."""

    device: str
    at: int
    files: int
    bytes: int


@dataclass(frozen=True)
class Word:
    """A delete or prune entry, in the clear: who, when by its clock (UTC seconds), and how many things it names."""

    kind: str
    device: str
    at: int
    names: tuple[str, ...]


@dataclass
class Leakage:
    """All that one relay holds of one library, and what follows from it.

    `hours` are edits by hour of the day, UTC; `precision` is to within how much of itself a padded size tells a file's
    own, for the median original; `alone` is how many originals share their padded size with no other one.
    """

    url: str
    library: str
    position: int
    bytes: int
    objects: int
    quota_bytes: int
    quota_objects: int
    devices: list[Device] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    bursts: list[Burst] = field(default_factory=list)
    hours: list[int] = field(default_factory=lambda: [0] * 24)
    epochs: int = 0
    originals: int = 0
    alone: int = 0
    precision: float = 0.0
    freed: int = 0

    def sentences(self) -> Iterator[str]:
        """Yield what follows, in plain words."""
        active = sum(device.active for device in self.devices)
        yield (
            f"{self.url} knows that {len(self.devices)} keys belong to one library, your recovery phrase's among them: "
            f"{active} now, and {len(self.devices) - active} that were revoked."
        )
        edits = [item for item in self.items if item.kind == "edit"]
        sizes = Counter(item.size for item in edits if item.size)
        yield (
            f"It can count {len(edits):,} edits, sees the order in which they came and which device wrote each, and "
            f"{len(sizes):,} different padded sizes; {sizes.most_common(1)[0][1] if sizes else 0:,} edits have the "
            "most common one."
        )
        busiest = max(range(24), key=lambda hour: self.hours[hour])
        quiet = sum(not count for count in self.hours)
        if edits:
            yield (
                f"It sees when edits arrive. If you sync as you edit: most between {busiest:02}:00 and "
                f"{busiest + 1:02}:00 UTC, none in {quiet} hours of the day: your time zone, and your habits."
            )
        yield (
            f"It holds {len(self.files):,} files, {self.bytes:,} bytes with the edits. Files that came together, "
            f"{len(self.bursts):,} times, look like an import"
            + (f", the largest of {max(burst.files for burst in self.bursts):,} files." if self.bursts else ".")
        )
        if self.originals:
            yield (
                f"A padded size tells an original's own to within {self.precision:.1%}. {self.alone:,} of "
                f"{self.originals:,} originals have a padded size that no other one has: who has the very same files "
                "may recognise them, as a set, by these sizes."
            )
        if self.epochs > 1:
            yield f"It sees {self.epochs} epochs of keys, and so that keys were changed {self.epochs - 1} times."
        deletes = [word for word in self.words if word.kind == "delete"]
        if deletes:
            count = sum(len(word.names) for word in deletes)
            yield f"It was told {len(deletes):,} times to delete files, {count:,} in all: it knows which, and when."
        prunes = len(self.words) - len(deletes)
        if prunes:
            yield f"It was told {prunes:,} times that a checkpoint stands for older edits, and up to which."
        if self.freed:
            yield f"This device asked it for proof of at least {self.freed:,} files, and then removed them here."
        yield "It sees without having to store it: " + "; ".join(SEEN) + "."
        yield "It does not learn: " + "; ".join(HIDDEN) + "."


def leakage(
    library: Library,
    url: str,
    *,
    connect: Connect = RelayClient,
    progress: Callable[[int, int], None] | None = None,
) -> Leakage:
    """Ask the relay at `url` for all it holds of the library, and say what follows.

    All of its log is read, `progress(things read, things in all)`. Raises `RelayUnreachable` or `RelayRefused`.
    """
    library.refresh()
    with relay_errors(url):
        client = connect(url)
        try:
            session = client.sign_in(library.members.secrets, library.library_id, int(time.time()))
            usage = client.usage()
            found = Leakage(
                url=url,
                library=library.library_id.hex(),
                position=session.position,
                bytes=usage.bytes,
                objects=usage.objects,
                quota_bytes=usage.quota_bytes,
                quota_objects=usage.quota_objects,
            )
            deleted = _read_log(library, client, found, progress)
            named, together = _read_own(library, found)
            held = _read_files(library, client, found, named | deleted)
        finally:
            client.close()
    for device, listed in together.items():
        found.bursts += _bursts(device.hex(), listed, held)
    _read_devices(library, found)
    found.freed = len(library.log.blobs_in_state(BLOB_FREED))
    return found


def _read_log(
    library: Library, client: RelayClient, found: Leakage, progress: Callable[[int, int], None] | None
) -> set[bytes]:
    """Take everything in the relay's log, and return the blobs that deletes name."""
    named: set[bytes] = set()
    epochs: set[str] = set()
    after = 0
    while True:
        page = client.log(after)
        for item in page.items:
            epoch = None
            if item.kind == wire.KIND_ENVELOPE and item.body is not None:
                epoch = _epoch(item.body)
                epochs |= {epoch} if epoch else set()
            elif item.kind in {wire.KIND_DELETE, wire.KIND_PRUNE} and item.body is not None:
                named |= _read_word(library, item.body, found)
            found.items.append(_item(item, epoch))
        after = page.position
        if progress is not None:
            progress(len(found.items), max(len(found.items), found.position))
        if not page.more:
            found.epochs = len(epochs)
            return named


def _item(item: wire.Item, epoch: str | None) -> Item:
    kinds = {wire.KIND_ENVELOPE: "edit", wire.KIND_MEMBERSHIP: "membership", wire.KIND_DELETE: "delete"}
    body = item.body or b""
    # Envelopes come with their names; of the rest the name is the hash of what they are.
    hashed = item.hash or (
        entry_hash(body) if item.kind == wire.KIND_MEMBERSHIP else hashlib.blake2b(body, digest_size=32).digest()
    )
    return Item(
        position=item.position,
        kind=kinds.get(item.kind, "prune"),
        size=len(body),
        hash=hashed.hex(),
        device=None if item.device_id is None else item.device_id.hex(),
        seq=item.seq,
        epoch=epoch,
    )


def _epoch(envelope: bytes) -> str | None:
    try:
        return read_header(envelope).epoch_id.hex()
    except CryptoError:
        return None


def _read_word(library: Library, statement: bytes, found: Leakage) -> set[bytes]:
    try:
        word = read_statement(statement, library.library_id)
    except CryptoError:
        return set()
    match word:
        case Delete():
            names = tuple(blob.hex() for blob in word.blobs)
            found.words.append(Word("delete", word.device_id.hex(), word.time, names))
            return set(word.blobs)
        case Prune():
            places = tuple(f"{place.device_id.hex()}:{place.seq}" for place in word.covered)
            found.words.append(Word("prune", word.device_id.hex(), word.time, places))
    return set()


def _read_own(library: Library, found: Leakage) -> tuple[set[bytes], _Together]:
    """Take times from the envelopes here, which the relay has seen come; return the blobs they name, and with what."""
    named: set[bytes] = {*library.blobs.iter_ids(), *library.base.blobs()}
    seen: set[bytes] = set()
    together: _Together = defaultdict(list)
    for stored in library.log.after({}, library.raise_alarm):
        try:
            body = library.chain.open(stored)
        except IntegrityAlarm:
            continue
        found.hours[time.gmtime(body.at).tm_hour] += 1
        fresh = {*blobs_in_changes(body), *(snapshot.blob for snapshot in body.snapshots)} - seen
        if fresh:
            seen |= fresh
            together[stored.device].append((body.at, fresh))
    return named | seen, together


def _read_files(library: Library, client: RelayClient, found: Leakage, named: set[bytes]) -> dict[bytes, int]:
    """Ask for every blob that was ever named; return the sizes of those that are there."""
    sizes = {
        copy.blob_id: encrypted_size(copy.size)
        for pid in (*library.catalog.pids(), *library.catalog.pids("is:trash"))
        for copy in library.catalog.copies(pid)
        if copy.role == "original"
    }
    alike = Counter(sizes.values())
    held: dict[bytes, int] = {}
    for state in client.blob_states(sorted(named)):
        if state.state != "absent":
            held[state.id] = state.size
            like = alike[state.size] if state.id in sizes else 0
            found.files.append(File(state.id.hex(), state.size, state.state, like))
    there = [file for file in found.files if file.like]
    found.originals, found.alone = len(there), sum(file.like == 1 for file in there)
    if there:
        found.precision = _precision(sorted(file.size for file in there)[len(there) // 2])
    return held


def _precision(size: int) -> float:
    """Return how much of itself a blob of `size` bytes may be less than that before it is padded to another size."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if encrypted_size(middle) >= size else (middle + 1, high)
    return (size - low) / size


def _bursts(device: str, listed: list[tuple[int, set[bytes]]], held: dict[bytes, int]) -> Iterator[Burst]:
    """Yield the files of one device that came within ten minutes of each other, as far as the relay has them."""
    begun = last = 0
    blobs: set[bytes] = set()
    for at, fresh in [*sorted(listed, key=lambda one: one[0]), (1 << 62, set[bytes]())]:
        if at - last > _TOGETHER_S:
            if blobs:
                yield Burst(device, begun, len(blobs), sum(held[blob] for blob in blobs))
            begun, blobs = at, set()
        blobs |= fresh & held.keys()
        last = at


def _read_devices(library: Library, found: Leakage) -> None:
    membership, names = library.members.membership, device_names(library)
    phrases = {*membership.phrases, library.members.genesis.phrase_id}
    traces = {
        device: Device(
            id=device.hex(),
            name="recovery phrase" if device in phrases else names.get(device, ""),
            active=device in membership.members,
        )
        for device in (*membership.members, *membership.departed)
    }
    for item in found.items:
        trace = traces.get(bytes.fromhex(item.device)) if item.device else None
        if trace is not None:
            trace.edits += 1
            trace.bytes += item.size
            trace.newest = item.hash
    found.devices = list(traces.values())
