"""`log.db` made whole again: what can be read is kept, what is missing is asked of the relays, and nothing is invented.

An envelope counts only if it links to the one after it (or is the one its chain is known to end with), carries its
author's signature and opens. So no relay can put anything in, and the chain of this device is put together from the
same envelopes it was made of: no number is used twice. Where this machine's right to write cannot be read any more, or
the end of its own chain is lost, the library says so when it is opened, and goes on as a new device (`core.successor`).

The new log is written beside the old one, of which a copy is set aside; nothing is deleted.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from core import log_schema as schema
from core.chain import Chain
from core.envelope_body import vector_of
from core.errors import CoreError, IntegrityAlarm, LogDamaged, NotAMember
from core.layout import Layout, state_folder
from core.library_file import LibraryFile
from core.log import Log, StoredEnvelope, Vector, name_envelope
from core.log_salvage import DamagedLog, copy_aside
from core.machine_state import MachineState
from core.members import Members
from core.relay_errors import relay_errors
from core.sync.patience import Patience
from core.sync.relays import MAX_RELAYS
from crdt.change import parse_change
from crdt.documents import LIBRARY, document_kind
from crdt.errors import CrdtError
from crypto.envelope import envelope_hash, read_header, verify_envelope
from crypto.errors import CryptoError
from crypto.membership import entry_hash, verify_genesis
from crypto.membership_entry import verify_entry
from sync_relay import wire
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from core.envelope_body import EnvelopeBody
    from crypto.keys import DeviceSecrets

    Connect = Callable[[str], RelayClient]

_NEW: Final = "log.db.repair"
_MACHINE: Final = "machine"
# What was looked at up to a position of the log: positions are given anew.
_BY_POSITION: Final = frozenset({"sync.fetched", "purges finished", "originals held", "checkpoints"})
_AS_THEY_ARE: Final = (
    schema.bases,
    schema.frontiers,
    schema.named,
    schema.held,
    schema.superseded,
    schema.alarms,
    schema.blob_states,
)
_MOST_ONE_BY_ONE: Final = 256
"""How many envelopes are asked for one by one, where a sync can fetch them in the relay's order."""
_MOST_MISSING: Final = 1_000_000
"""A chain that is said to go on for more than this past what can be read is not: its number is damaged."""
_NO_ENTRIES: Final = (
    "Name a relay of this library, which log.db cannot do any more: `safelight verify --repair --relay URL`. Or "
    "restore log.db from a backup, or join the library anew into another folder, by another device of yours or by the "
    "recovery phrase."
)


@dataclass
class LogRepair:
    """What became of the log. Envelopes `missing` are in no relay that answered; `refused` is what relays gave instead.

    With `needs_sync`, the end of a chain is to be fetched by a sync, as relays hold all of it. `unreachable` are the
    relays that could not be asked, `asked` says whether there were any to ask. `set_aside` is the copy of the old log;
    None: nothing was changed.
    """

    kept: int = 0
    fetched: int = 0
    entries: int = 0
    missing: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unreachable: list[CoreError] = field(default_factory=list)
    needs_sync: bool = False
    asked: bool = False
    stopped: bool = False
    set_aside: Path | None = None


@dataclass(frozen=True)
class _Link:
    """An envelope that holds: where it was, and how it links. `data` only of one that was fetched."""

    order: tuple[float, int]
    hash: bytes
    previous: bytes
    epoch: bytes
    frontier: Vector
    data: bytes | None = None


def repair_log(
    root: Path,
    secrets: DeviceSecrets,
    *,
    urls: Iterable[str] = (),
    connect: Connect = RelayClient,
    progress: Callable[[str, int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> LogRepair:
    """Repair the log of the library in `root`, which nobody may have open, with the help of the relays at `urls`.

    `progress("log", envelopes done, envelopes in all)`. Once `should_stop` says so, everything stays as it was. Raises
    `LibraryBusy`, `DiskFull`, and `LogDamaged` where neither the log nor a relay has the entry that founded the
    library.
    """
    layout, report = Layout(root), LogRepair()
    identities = LibraryFile.read(layout.library_file).resolve(secrets)
    target = unused_name(layout.set_aside / time.strftime("log-%Y%m%d-%H%M%S.db", time.gmtime()))
    copies = copy_aside(layout.log, target)
    fresh = root / _NEW
    _remove(fresh)
    try:
        with DamagedLog(layout.log) as old, contextlib.ExitStack() as stack:

            def sign_in(urls: Iterable[str]) -> list[RelayClient]:
                return list(_signed_in(stack, urls, identities, layout, connect, report))

            repair = _Repair(old, layout, identities, urls, sign_in, report, progress, should_stop or (lambda: False))
            if repair.write(fresh):
                old.replace(fresh)
                report.set_aside = target if copies else None
    finally:
        _remove(fresh)
        if report.set_aside is None:
            for copy in copies:
                copy.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                layout.set_aside.rmdir()
    return report


class _Repair:
    """The repair of one log."""

    def __init__(
        self,
        old: DamagedLog,
        layout: Layout,
        identities: Sequence[DeviceSecrets],
        urls: Iterable[str],
        sign_in: Callable[[Iterable[str]], list[RelayClient]],
        report: LogRepair,
        progress: Callable[[str, int, int], None] | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self._old = old
        self._library_id = LibraryFile.read(layout.library_file).library_id
        self._identities = identities
        self._sign_in = sign_in
        self._tried = frozenset(urls)
        self._clients = sign_in(self._tried)
        self._named: dict[str, None] = {}
        self._report = report
        self._progress = progress or (lambda *_: None)
        self._should_stop = should_stop
        self._patience = Patience()
        self._chains: dict[bytes, dict[int, _Link]] = {}
        self._held: list[tuple[bytes, int, _Link]] = []
        self._heads: Vector = {}
        self._base: Vector = {}

    def write(self, fresh: Path) -> bool:
        """Write the new log; tell whether it is better than the old one."""
        report = self._report
        facts = {name: value for name, value in self._old.rows(schema.facts) if name not in _BY_POSITION}
        log = Log.create(fresh, self._entries(), facts)
        try:
            try:
                chain = Chain(members := Members(log, self._library_id, self._identities), log)
            except NotAMember as error:
                raise LogDamaged(
                    f"log.db does not say that this device is a member: {error}", hint=_NO_ENTRIES
                ) from error
            self._read_chains(chain)
            self._clients = self._clients or self._sign_in(
                [url for url in self._named if url not in self._tried][:MAX_RELAYS]
            )
            report.asked = bool(self._clients or report.unreachable)
            self._read_ends(members.device_id, facts.get(_MACHINE))
            if not report.stopped:
                self._fill(chain, members.device_id)
            if report.stopped:
                return False
            self._store(log)
        finally:
            log.close()
        # What could not be read may have been the end of a chain that nothing else names.
        report.needs_sync = report.needs_sync or (self._old.damaged and bool(self._clients))
        return self._old.damaged or bool(report.fetched or report.entries or report.needs_sync)

    def _entries(self) -> dict[bytes, bytes]:
        """Return the membership entries that hold, the genesis among them, those at relays too where any is damaged."""
        found: dict[bytes, bytes] = {}
        stored = [entry for _, entry in self._old.rows(schema.membership)]
        self._take_entries(stored, found)
        if self._old.damaged or len(found) < len(stored) or self._library_id not in found:
            before = len(found)
            for client in self._clients:
                with self._asking(client):
                    self._take_entries(_entries_at(client), found)
            self._report.entries = len(found) - before
        if self._library_id not in found:
            asked = "no relay that was asked has it" if self._tried else "no relay was asked for it"
            raise LogDamaged(f"log.db lacks the entry that founded the library, and {asked}", hint=_NO_ENTRIES)
        return found

    def _take_entries(self, entries: Iterable[bytes], found: dict[bytes, bytes]) -> None:
        for data in entries:
            with contextlib.suppress(CryptoError):
                if entry_hash(data) == self._library_id:
                    found[verify_genesis(data, self._library_id).library_id] = data
                else:
                    found[verify_entry(data, self._library_id).hash] = data

    def _read_chains(self, chain: Chain) -> None:
        """Read every envelope that holds."""
        done = 0
        for position, _, _, _, data in self._old.rows(schema.envelopes):
            done += 1
            self._progress("log", done, 0)
            if self._should_stop():
                self._report.stopped = True
                return
            try:
                header = read_header(data)
                verify_envelope(data, library_id=self._library_id, device_id=header.device_id)
            except CryptoError:
                continue
            try:
                body, link = _opened(chain, header.device_id, header.seq, data, order=(position, 0))
                self._note_relays(body)
            except IntegrityAlarm:
                # Its author signed it; the key that opens it may be in a membership entry that is still to come.
                link = _Link((position, 0), envelope_hash(data), header.previous, header.epoch_id, {})
            self._chains.setdefault(header.device_id, {}).setdefault(header.seq, link)
            self._report.kept += 1

    def _note_relays(self, body: EnvelopeBody) -> None:
        """Take note of the relays that are used, as envelopes say: for a library whose documents cannot be read."""
        for part in body.payload:
            for raw in part.changes if part.document == LIBRARY else ():
                with contextlib.suppress(CrdtError):
                    for write in parse_change(raw, document_kind(LIBRARY)).writes:
                        if write.map == "relay" and write.value is None:
                            self._named.pop(write.key, None)
                        elif write.map == "relay":
                            self._named[write.key] = None

    def _read_ends(self, own: bytes, token: bytes | None) -> None:
        """Read where chains begin and end: by the log, and of the own one, by what this machine remembers."""
        self._heads = {device: (seq, hashed) for device, seq, hashed in self._old.rows(schema.heads)}
        self._base = {device: (seq, hashed) for device, seq, hashed in self._old.rows(schema.bases)}
        memory = MachineState(state_folder(), self._library_id, own).read()
        if memory is not None and memory.token == token and memory.seq > self._heads.get(own, (0, b""))[0]:
            self._heads[own] = (memory.seq, memory.hash)

    def _fill(self, chain: Chain, own: bytes) -> None:
        """Fetch what is missing, one by one; of chains that relays hold whole, leave the rest to a sync."""
        missing = {device: gaps for device in {*self._chains, *self._heads} if (gaps := self._gaps(device))}
        count = sum(map(len, missing.values()))
        for device, gaps in missing.items():
            # Own envelopes that a sync brings beside some that are held look as if a copy had written them.
            if count > _MOST_ONE_BY_ONE and device != own and self._leave_to_sync(device):
                continue
            lost = [seq for done, seq in enumerate(gaps) if not self._fetch(chain, device, seq, done, count)]
            if self._report.stopped:
                return
            if lost and not (self._is_pruned(device, lost[-1]) and self._leave_to_sync(device)):
                self._report.missing += [name_envelope(device, seq) for seq in reversed(lost)]

    def _gaps(self, device: bytes) -> list[int]:
        """Return the numbers that are missing of a chain, the last one first."""
        links = self._chains.get(device, {})
        first = self._base.get(device, (0, b""))[0] + 1
        # What a checkpoint covers need not be here; what does not follow from the beginning is of no use.
        lowest = next(seq for seq in itertools.count(1) if seq not in links)
        for seq in [seq for seq in links if lowest < seq < first]:
            del links[seq]
        last, end = max(links, default=first - 1), self._heads.get(device, (0, b""))[0]
        if end - last > _MOST_MISSING:
            self._report.missing.append(name_envelope(device, end))
            end = last
        return [seq for seq in range(max(last, end), first - 1, -1) if seq not in links]

    def _fetch(self, chain: Chain, device: bytes, seq: int, done: int, count: int) -> bool:
        """Fetch one envelope that the one after it, or the end of its chain, names; tell whether it is here."""
        links = self._chains.setdefault(device, {})
        end, end_hash = self._heads.get(device, (0, b""))
        wanted = links[seq + 1].previous if seq + 1 in links else end_hash if seq == end else None
        for client in self._clients if wanted is not None else ():
            if self._should_stop():
                self._report.stopped = True
                return False
            with self._asking(client):
                data = self._patience.run(functools.partial(client.envelope, device, seq))
                if data is None:
                    continue
                try:
                    _, link = _opened(chain, device, seq, data, order=self._place(links, seq), keep=True)
                except IntegrityAlarm as alarm:
                    self._refuse(client, str(alarm))
                    continue
                if link.hash != wanted:
                    self._refuse(
                        client, f"{name_envelope(device, seq)} is another one there than the one after it names"
                    )
                    continue
                links[seq] = link
                self._report.fetched += 1
                self._progress("log", done + 1, count)
                return True
        return False

    def _is_pruned(self, device: bytes, seq: int) -> bool:
        """Tell whether a relay says of an envelope that a checkpoint stands for it: then a sync brings that."""
        for client in self._clients:
            with self._asking(client):
                heads = {head.device_id: (head.seq, head.hash) for head in client.heads().heads}
                page = client.past({**heads, device: (seq - 1, b"")}, limit=1)
                if any((item.device_id, item.seq, item.body) == (device, seq, None) for item in page.items):
                    return True
        return False

    def _leave_to_sync(self, device: bytes) -> bool:
        """Hold what follows the first gap of a chain until a sync has filled it, if a relay says that it can.

        Tells whether one does. Nothing goes: what is held is accepted once what it follows is here.
        """
        links = self._chains.setdefault(device, {})
        last = max([*links, self._heads.get(device, (0, b""))[0]])
        held = 0
        for client in self._clients:
            with self._asking(client):
                held = max([held, *(head.seq for head in client.heads().heads if head.device_id == device)])
        if held < last:
            return False
        base = self._base.get(device)
        first = 1 if base is None else base[0] + 1
        gap = next(seq for seq in itertools.count(first) if seq not in links)
        self._held += [(device, seq, links.pop(seq)) for seq in sorted(links) if seq > gap]
        self._heads.pop(device, None)
        self._report.needs_sync = True
        return True

    def _store(self, log: Log) -> None:
        """Write everything into the new log, in the order in which it came in."""
        in_order = sorted(
            (link.order, device, seq, link) for device, links in self._chains.items() for seq, link in links.items()
        )
        with log.transaction() as transaction:
            for table in _AS_THEY_ARE:
                for row in self._old.rows(table):
                    transaction.copy_row(table, row)
            for relay, _, generation, _, facts in self._old.rows(schema.relays):
                transaction.copy_row(schema.relays, (relay, 0, generation, 0, facts))
            for _, device, seq, link in in_order:
                transaction.append(device, seq, link.hash, self._data(link), link.frontier)
                transaction.account_for(device, seq, link.hash)
            for device, seq, link in self._held:
                transaction.hold(device, seq, link.hash, (link.previous, link.epoch), self._data(link))
            transaction.raise_heads(self._base)
            transaction.raise_heads(self._heads)

    def _data(self, link: _Link) -> bytes:
        if link.data is not None:
            return link.data
        return self._old.value(schema.envelopes, "envelope", int(link.order[0]))

    @staticmethod
    def _place(links: dict[int, _Link], seq: int) -> tuple[float, int]:
        """Return where in the order an envelope goes that was fetched: between its neighbours."""
        stored = {number: link.order[0] for number, link in links.items() if link.data is None}
        before = [number for number in stored if number < seq]
        if before:
            return stored[max(before)], seq
        return (min(stored.values()) - 0.5 if stored else float("inf")), seq

    @contextlib.contextmanager
    def _asking(self, client: RelayClient) -> Iterator[None]:
        try:
            with relay_errors(client.url):
                yield
        except CoreError as error:
            self._report.unreachable.append(error)
            self._clients = [other for other in self._clients if other is not client]

    def _refuse(self, client: RelayClient, fault: str) -> None:
        self._report.refused.append(f"the relay {client.url} gives out what does not hold: {fault}")


def _opened(
    chain: Chain, device: bytes, seq: int, data: bytes, *, order: tuple[float, int], keep: bool = False
) -> tuple[EnvelopeBody, _Link]:
    """Return what is in an envelope and how it links, after everything was checked. Raises `EnvelopeDamaged`."""
    hashed = envelope_hash(data)
    body, previous = chain.open_linked(StoredEnvelope(0, device, seq, hashed, data))
    frontier = vector_of(body.frontier)
    frontier.pop(device, None)
    return body, _Link(order, hashed, previous, read_header(data).epoch_id, frontier, data if keep else None)


def _entries_at(client: RelayClient) -> Iterator[bytes]:
    after = 0
    while True:
        page = client.log(after, kinds=(wire.KIND_MEMBERSHIP,))
        yield from (item.body for item in page.items if item.body is not None)
        if not page.more:
            return
        after = page.position


def _signed_in(
    stack: contextlib.ExitStack,
    urls: Iterable[str],
    identities: Sequence[DeviceSecrets],
    layout: Layout,
    connect: Connect,
    report: LogRepair,
) -> Iterator[RelayClient]:
    """Yield a client of each relay that lets one of this device's identities in, the newest first."""
    library_id = LibraryFile.read(layout.library_file).library_id
    for url in urls:
        try:
            with relay_errors(url):
                client = connect(url)
            stack.callback(client.close)
            for identity in reversed(identities):
                try:
                    with relay_errors(url):
                        client.sign_in(identity, library_id, int(time.time()))
                    break
                except NotAMember:
                    if identity is identities[0]:
                        raise
        except CoreError as error:
            report.unreachable.append(error)
            continue
        yield client


def unused_name(path: Path) -> Path:
    """Return `path`, or one like it where something is there already."""
    names = itertools.chain([path], (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2)))
    return next(name for name in names if not name.exists())


def _remove(log: Path) -> None:
    for side in ("", "-wal", "-shm"):
        log.with_name(log.name + side).unlink(missing_ok=True)
