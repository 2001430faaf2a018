"""The library: what commands, the app and the import work with.

    with Library.open(root, Library.unlock(root, passphrase)) as library:
        library.commit({"photos:2024-05": [Put("rating", pid.hex(), 5)]}, action="rate", summary="5 stars")

Several processes may have one library open. An edit is one SQLite transaction: under the write lock the head of this
device's chain is read again, what others appended is applied, the edit is made on top, and the sealed envelope is
stored. A `Library` is used by one thread at a time (a lock makes sure); its `blobs` by as many as like.
"""

from __future__ import annotations

import logging
import secrets as random
import threading
import time
from typing import TYPE_CHECKING, Self

import msgspec

from core.blobs import BlobStore
from core.chain import Chain
from core.commit import CommitReceipt, Made, Touched, make_changes, split_in_pieces
from core.derived import DerivedFiles
from core.envelope_body import GROUP_BYTES, KIND_CHANGES, EnvelopeBody
from core.errors import (
    IntegrityAlarm,
    LibraryCopied,
    LibraryExists,
    LogDamaged,
    LogRolledBack,
    StorageFailed,
)
from core.ingest import Ingest
from core.layout import Layout, state_folder
from core.library_file import LibraryFile
from core.log import BLOB_PURGED, NO_HASH, Log, name_envelope
from core.machine_state import TOKEN_BYTES, MachineHead, MachineState
from core.members import Members
from core.private_files import storage_errors
from core.view import Progress, View
from crdt.documents import LIBRARY
from crdt.operations import Delete, Operation, Put
from crypto.kdf import KdfParameters, new_parameters
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis, entry_hash
from crypto.phrase import new_phrase, phrase_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from core.base import Base
    from core.catalog import Catalog
    from crypto.keys import EpochKeys
    from crypto.membership_entry import Entry

_log = logging.getLogger(__name__)

_MACHINE_FACT = "machine"
Scalar = str | bytes | int | float | bool


class Library:
    """One open library."""

    def __init__(self, layout: Layout, log: Log, members: Members) -> None:
        """Use `open` or `create`."""
        secrets = members.secrets
        self.root = layout.root
        self.library_id = members.genesis.library_id
        self.device_id = secrets.device_id
        self.members = members
        self.blobs = BlobStore(layout.blobs, members.current)
        self.log = log
        self.chain = Chain(members, log)
        self.ingest = Ingest(self)
        self._guard = threading.RLock()
        self._machine = MachineState(state_folder(), self.library_id, self.device_id)
        self._token = b""
        self._own_alarms: list[IntegrityAlarm] = []
        self._view = View(log, self.chain, members, DerivedFiles(layout.derived, secrets), self.blobs)
        self._data_version = -1
        self._parts: dict[bytes, int] = {}
        self._closed = False

    @classmethod
    def create(
        cls, root: Path, passphrase: bytes, *, device_name: str, kdf: KdfParameters | None = None
    ) -> tuple[Library, str]:
        """Make a library in `root` (absent or empty) and return it with its recovery phrase, which is kept nowhere.

        Raises `LibraryExists`, and `StorageFailed` where the folder cannot be written.
        """
        layout = Layout(root)
        _refuse_used_folder(root)
        secrets = DeviceSecrets.generate()
        phrase = new_phrase()
        genesis = create_genesis(secrets, phrase_secrets(phrase), created_at=int(time.time()))
        library_id = entry_hash(genesis)
        file = LibraryFile.make(library_id, secrets, passphrase, new_parameters() if kdf is None else kdf)
        token = random.token_bytes(TOKEN_BYTES)
        layout.make_folders()
        Log.create(layout.log, {library_id: genesis}, {_MACHINE_FACT: token}).close()
        MachineState(state_folder(), library_id, secrets.device_id).advance(MachineHead(0, NO_HASH, token))
        # Last, because it is this file that makes the folder a library.
        file.write(layout.library_file)
        library = cls.open(root, secrets)
        try:
            name = Put("device", secrets.device_id.hex(), device_name)
            library.commit({LIBRARY: [name]}, action="init", summary="library created", inverse=False)
        except BaseException:
            library.close()
            raise
        return library, phrase

    @staticmethod
    def unlock(root: Path, passphrase: bytes) -> DeviceSecrets:
        """Return this device's secrets; takes the time and memory that `library.toml` asks for, within the ceiling.

        Raises `WrongPassphrase`, `NotALibrary`, `UnknownFormat`, `LibraryFileDamaged`, `KdfRefused`.
        """
        return LibraryFile.read(Layout(root).library_file).unlock(passphrase)

    @classmethod
    def open(cls, root: Path, secrets: DeviceSecrets, *, progress: Progress | None = None) -> Library:
        """Open the library in `root`; `progress` is called where the catalog has to be made again, which takes a while.

        What does not hold, but leaves something to read, does not raise: it is in `alarms`, and then nothing can be
        written. Raises `NotALibrary`, `UnknownFormat`, `LibraryFileDamaged`, and `LogDamaged` when nothing can be read.
        """
        layout = Layout(root)
        file = LibraryFile.read(layout.library_file)
        file.check_seal(secrets)
        layout.make_folders()
        log = Log(layout.log)
        try:
            library = cls(layout, log, Members(log, file.library_id, secrets))
            library._check_machine()
            library._data_version = log.data_version()
            library._view.load(progress)
        except BaseException:
            log.close()
            raise
        return library

    @staticmethod
    def change_passphrase(root: Path, old: bytes, new: bytes, *, kdf: KdfParameters | None = None) -> None:
        """Wrap this device's secrets under another passphrase.

        Old copies of `library.toml` still open with the old one.
        """
        path = Layout(root).library_file
        file = LibraryFile.read(path)
        secrets = file.unlock(old)
        LibraryFile.make(file.library_id, secrets, new, new_parameters() if kdf is None else kdf).write(path)

    @staticmethod
    def claim(root: Path, secrets: DeviceSecrets) -> None:
        """Make this machine the writer of the folder, on the user's word that no other copy of it is in use.

        Raises `LogRolledBack` where this machine itself remembers more than the log holds: no word helps there,
        because sequence numbers would be used twice.
        """
        with Library.open(root, secrets) as library:
            library._become_writer()  # noqa: SLF001  its own class

    def _become_writer(self) -> None:
        remembered = self._machine.read()
        if remembered is not None and not self._continues(remembered):
            raise self._rolled_back(remembered)
        token = random.token_bytes(TOKEN_BYTES)
        with self.log.transaction() as transaction:
            transaction.set_fact(_MACHINE_FACT, token)
        self._token = token
        self._machine.advance(MachineHead(*self.log.head(self.device_id), token))
        self._check_machine()

    def __enter__(self) -> Self:
        """Return the library; leaving the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the library."""
        self.close()

    @property
    def epoch(self) -> EpochKeys:
        """The keys that new blobs and envelopes are made with."""
        return self.members.current

    @classmethod
    def create_from(
        cls,
        root: Path,
        passphrase: bytes,
        secrets: DeviceSecrets,
        genesis: bytes,
        entries: Sequence[bytes],
        *,
        kdf: KdfParameters | None = None,
        reader: DeviceSecrets | None = None,
    ) -> Library:
        """Make the folder of a library that exists elsewhere, on a device that has just become a member of it.

        `reader` (a recovery phrase's secrets) opens the epochs while this device is no member yet.
        """
        raise NotImplementedError

    def add_entries(self, entries: Sequence[Entry]) -> None:
        """Store membership entries of this device's own making; raises `DiskFull` or `LibraryBusy`."""
        raise NotImplementedError

    def rotate_if_due(self) -> bool:
        """Make a new epoch if one has to be made before the next envelope; tell whether it was."""
        raise NotImplementedError

    def acknowledge(self) -> None:
        """Tell the others, by an envelope, what this device had accepted of revoked ones, if they cannot know."""
        raise NotImplementedError

    def commit_record(self, body: EnvelopeBody) -> tuple[int, bytes]:
        """Write an envelope that changes no document and return (seq, hash); its frontier is filled in."""
        raise NotImplementedError

    def become_new_device(self, fork: int | None = None) -> None:
        """Go on under a new identity, with which this copy of the library never contradicts another one.

        `fork` is the first own number that somebody else used too: own envelopes from there on are issued anew.
        """
        raise NotImplementedError

    @property
    def catalog(self) -> Catalog:
        """The catalog as of the last `refresh` or `commit`."""
        return self._view.catalog

    @property
    def alarms(self) -> Sequence[IntegrityAlarm]:
        """What was found not to hold; as long as there is anything, the library can be read but not written."""
        return [*self._own_alarms, *self._view.alarms]

    @property
    def notes(self) -> Sequence[str]:
        """What the user should be told on standard error, once: rebuilt derived files, an update that is needed."""
        return list(self._view.notes)

    def close(self) -> None:
        """Save what has become long to catch up with, and close the files. What was committed is safe without it."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            try:
                self._view.close()
            finally:
                self.log.close()

    def refresh(self) -> bool:
        """Apply what other processes appended since the last look; tell whether there was anything."""
        with self._guard:
            version = self.log.data_version()
            if version == self._data_version:
                return False
            changed = self._view.catch_up()
            self._data_version = version
            return changed

    def commit(
        self,
        changes: Mapping[str, Sequence[Operation]],
        *,
        action: str,
        summary: str,
        group: bytes | None = None,
        inverse: bool = True,
        undoes: bytes | None = None,
        purged_blobs: Sequence[bytes] = (),
    ) -> CommitReceipt:
        """Make an edit durable and visible, or raise and leave everything as it was.

        `changes` are operations by document; what changes nothing is left out. `group` (16 bytes, random by default)
        is the unit that `undo` takes back; with `inverse` the values before are kept for it. More than about 8,000
        operations become several envelopes, each of which is whole by itself; a crash between them leaves the earlier
        ones, under the same group. `purged_blobs` are remembered as purged together with the first envelope.

        Raises `InvalidEdit`, `DiskFull`, `LibraryBusy`, and the first of `alarms` if there are any.
        """
        with self._guard:
            self._refuse_while_alarmed()
            self.refresh()
            group = random.token_bytes(GROUP_BYTES) if group is None else group
            touched: Touched = {}
            last: int | None = None
            for piece in split_in_pieces(changes):
                part = self._parts.get(group, 0) + 1
                body = EnvelopeBody(KIND_CHANGES, int(time.time()), [], [], group, action, summary, part, undoes=undoes)
                seq = self._commit_piece(piece, body, touched, inverse=inverse, purged_blobs=purged_blobs)
                if seq is not None:
                    last, self._parts[group] = seq, part
            self._view.save_if_very_long()
            return CommitReceipt(last, group, touched)

    def replica_get(self, document: str, map_name: str, key: str) -> Scalar | None:
        """Return the value of one key, or None."""
        with self._guard:
            return self._view.replicas.get(document).get(map_name, key)

    def replica_items(self, document: str, map_name: str, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
        """Return an iterator over the keys of a map that begin with `prefix`, and their values, in ascending order."""
        with self._guard:
            return iter(list(self._view.replicas.get(document).items(map_name, prefix)))

    def setting(self, name: str) -> str | None:
        """Return a setting of the library (the same on all its devices), or None."""
        value = self.replica_get(LIBRARY, "setting", name)
        return value if isinstance(value, str) else None

    def set_setting(self, name: str, value: str | None) -> None:
        """Set a setting, or remove it with None."""
        operation = Delete("setting", name) if value is None else Put("setting", name, value)
        self.commit({LIBRARY: [operation]}, action="setting", summary=f"setting {name}")

    def raise_alarm(self, alarm: IntegrityAlarm) -> None:
        """Keep an alarm that was met while reading on."""
        self._view.raise_alarm(alarm)

    def save_derived(self) -> None:
        """Save catalog and long replicas now (at the end of an import)."""
        with self._guard:
            self._view.save()

    @property
    def base(self) -> Base:
        """What the log builds on: checkpoints, and their snapshots."""
        self._view.base.refresh()
        return self._view.base

    def load_base(self, documents: Iterable[str], progress: Progress | None = None) -> None:
        """Show what snapshots of the base that have just been fetched hold; `progress` counts documents."""
        with self._guard:
            self._view.load_base(documents, progress)

    def rebuild_view(self, progress: Progress | None = None) -> None:
        """Replay the whole log into a new catalog and new replicas."""
        with self._guard:
            self._data_version = self.log.data_version()
            self._view.rebuild(progress)

    def remove_derived(self) -> None:
        """Delete every derived file."""
        with self._guard:
            self._view.remove_derived()

    def _commit_piece(
        self,
        piece: dict[str, list[Operation]],
        body: EnvelopeBody,
        touched: Touched,
        *,
        inverse: bool,
        purged_blobs: Sequence[bytes],
    ) -> int | None:
        replicas = self._view.replicas
        try:
            for document in piece:
                replicas.get(document)  # loaded before the lock is taken, as far as they fit
            with replicas.held(), self.log.transaction() as transaction:
                self._view.catch_up()
                self._check_machine()
                self._refuse_while_alarmed()
                made = make_changes(replicas, piece, inverse=inverse)
                self._refuse_while_alarmed()  # a replica that was loaded again may lack what could not be read
                if purged_blobs:
                    transaction.set_blob_states(list(purged_blobs), BLOB_PURGED)
                if made.payload:
                    seq, envelope_hash, envelope = self.chain.seal(
                        self.log.head(self.device_id), _with_content(body, made)
                    )
                    transaction.append(self.device_id, seq, envelope_hash, envelope)
        except BaseException:
            # The replicas hold an edit that is not in the log, or of which we cannot say whether it is.
            replicas.drop(piece)
            self._data_version = -1
            raise
        if not made.payload:
            return None
        try:
            self._show_committed(seq, envelope_hash, made, touched)
        except BaseException:
            # The edit is durable; what this process shows is read again from what is on disk.
            self._view.forget()
            self._data_version = -1
            raise
        return seq

    def _show_committed(self, seq: int, envelope_hash: bytes, made: Made, touched: Touched) -> None:
        try:
            self._machine.advance(MachineHead(seq, envelope_hash, self._token))
        except StorageFailed as error:
            # The edit is durable, and a memory that lags only notices less.
            _log.warning("machine_state_not_written: %s", error.name)
        self._view.committed(self.device_id, seq, envelope_hash, made.touched)
        for document, places in made.touched.items():
            touched.setdefault(document, set()).update(places)

    def _is_ours(self, token: bytes) -> bool:
        """Tell whether the log holds `token`; it is read again where it seems not to, as another process may claim."""
        if token != self._token:
            self._token = self.log.fact(_MACHINE_FACT) or b""
        return token == self._token

    def _refuse_while_alarmed(self) -> None:
        alarms = self.alarms
        if alarms:
            raise alarms[0]

    def _check_machine(self) -> None:
        """Compare what this machine remembers with the log."""
        # The memory is read first: another process may commit in between, and the memory never runs ahead of the log.
        remembered = self._machine.read()
        self._own_alarms = [] if self.log.damage is None else [self.log.damage]
        try:
            if remembered is None or not self._is_ours(remembered.token):
                self._own_alarms.append(_copied())
            elif not self._continues(remembered):
                self._own_alarms.append(self._rolled_back(remembered))
        except LogDamaged as damage:
            self._own_alarms.append(damage)

    def _continues(self, remembered: MachineHead) -> bool:
        """Tell whether the log holds what this machine remembers, and perhaps more."""
        seq, head_hash = self.log.head(self.device_id)
        if remembered.seq >= seq:
            return remembered.seq == seq and remembered.hash == head_hash
        return remembered.seq == 0 or self.log.hash_at(self.device_id, remembered.seq) == remembered.hash

    def _rolled_back(self, remembered: MachineHead) -> LogRolledBack:
        return LogRolledBack(
            f"log.db ends before, or differs from, {name_envelope(self.device_id, remembered.seq)}, which this machine "
            "wrote: it was put back from an older backup, or another copy of the folder was written to",
            hint="It can be searched and exported, but not changed. Put the newest copy of the folder back.",
        )


def _copied() -> LibraryCopied:
    return LibraryCopied(
        "this machine has not written to this folder before: it is a copy, was moved here from another machine, or "
        "this machine's own memory of it was deleted",
        hint="It can be searched and exported, but not changed: two copies that both write would contradict each "
        "other. If no other copy is in use, `safelight doctor --claim` makes this machine its writer.",
    )


def _refuse_used_folder(root: Path) -> None:
    with storage_errors("the folder of the new library"):
        if (root / "library.toml").exists():
            raise LibraryExists(f"there is a library in {root} already", hint="Open it, or name another folder.")
        if root.is_dir():
            _remove_unfinished(root)
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise LibraryExists(f"{root} is not an empty folder", hint="Name a new or an empty folder.")


def _remove_unfinished(root: Path) -> None:
    """Remove what an `init` left that was killed before it wrote `library.toml`: a log without a single envelope."""
    layout = Layout(root)
    ours = {"log.db", "log.db-wal", "log.db-shm", "blobs", "derived"}
    names = {path.name for path in root.iterdir()}
    if not names or not names <= ours or any((root / name).is_dir() and any((root / name).iterdir()) for name in names):
        return
    try:
        log = Log(layout.log)
    except LogDamaged:
        # Killed before the first transaction: SQLite has written nothing, or not all, of an empty log.
        if layout.log.is_file() and layout.log.stat().st_size:
            return
    else:
        empty = log.count() == 0 and not log.damage
        log.close()
        if not empty:
            return
    for path in list(root.iterdir()):
        path.rmdir() if path.is_dir() else path.unlink()


def _with_content(body: EnvelopeBody, made: Made) -> EnvelopeBody:
    return msgspec.structs.replace(body, payload=made.payload, inverse=made.inverse, added=made.added)
