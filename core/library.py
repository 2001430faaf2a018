"""The library: what commands, the app and the import work with.

    with Library.open(root, Library.unlock(root, passphrase)) as library:
        library.commit({"photos:2024-05": [Put("rating", pid.hex(), 5)]}, action="rate", summary="5 stars")

Several processes may have one library open. An edit is one SQLite transaction: under the write lock the head of this
device's chain is read again, what others appended is applied, the edit is made on top, and the sealed envelope is
stored. A `Library` is used by one thread at a time (a lock makes sure); its `blobs` by as many as like.
"""

from __future__ import annotations

import contextlib
import functools
import secrets as random
import threading
import time
from typing import TYPE_CHECKING, Self, TypeVar

from core.blobs import BlobStore
from core.chain import Chain
from core.commit import CommitReceipt, Touched, split_in_pieces
from core.derived import DerivedFiles
from core.envelope_body import GROUP_BYTES, KIND_CHANGES, EnvelopeBody, acknowledgement
from core.ingest import Ingest
from core.layout import Layout
from core.library_file import LibraryFile
from core.library_folder import make_folder
from core.log import Log
from core.members import Members
from core.replica_process import ReplicaProcess
from core.successor import become_new, copy_name, inherit_derived, is_held_by
from core.unfinished import begin, is_being_published, publish, refuse_unless_free
from core.unshown_phrase import sealed_phrase
from core.view import Progress, View
from core.writer import CURABLE, Writer
from core.writing import Writing
from crdt.documents import LIBRARY
from crdt.operations import Delete, Operation, Put
from crypto.kdf import KdfParameters, new_parameters
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis, entry_hash
from crypto.phrase import new_phrase, phrase_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from core.base import Base
    from core.catalog import Catalog
    from core.catalog.descriptions import Likeness
    from core.errors import IntegrityAlarm, SyncAlarm
    from core.log import Vector
    from crdt.replica import Replica
    from crypto.keys import EpochKeys
    from crypto.membership_entry import Entry

Scalar = str | bytes | int | float | bool
Result = TypeVar("Result")


class Library:
    """One open library."""

    def __init__(self, layout: Layout, log: Log, members: Members) -> None:
        """Use `open` or `create`."""
        self.root = layout.root
        self.library_id = members.genesis.library_id
        self.log = log
        self.guard = threading.RLock()
        """Held by whoever works on catalog, replicas or log in several steps."""
        self.ingest = Ingest(self)
        self._layout = layout
        self._data_version = -1
        self._parts: dict[bytes, int] = {}
        self._became: list[str] = []
        self._closed = False
        self.replica_process = ReplicaProcess()
        """Where what other devices made is applied first; started when there is some, and ended with the library."""
        self._be(members)

    def _be(self, members: Members) -> None:
        """Work as the device that `members` is of."""
        self.members = members
        self.device_id = members.device_id
        self.chain = Chain(members, self.log)
        self._blobs = BlobStore(self._layout.blobs, members.current)
        self._blobs_epoch = members.current
        self.writer = Writer(self.log, self.library_id, self.device_id)
        self.derived = DerivedFiles(self._layout.derived, members.secrets)
        self._view = View(self.log, self.chain, members, self.derived, self._blobs, self.replica_process)
        self._writing = Writing(self.log, members, self.chain, self.writer, self._view)

    @classmethod
    def create(
        cls,
        root: Path,
        passphrase: bytes,
        *,
        device_name: str,
        kdf: KdfParameters | None = None,
        keep_phrase: bool = False,
    ) -> tuple[Library, str]:
        """Make a library in `root` (absent or empty) and return it with its recovery phrase, which is kept nowhere.

        With `keep_phrase` it is kept for this device until it was shown (`core.unshown_phrase`). Raises
        `LibraryExists`, and `StorageFailed` where the folder cannot be written.
        """
        refuse_unless_free(root)
        if is_being_published(root):
            publish(root)
            refuse_unless_free(root)
        secrets = DeviceSecrets.generate()
        phrase = new_phrase()
        genesis = create_genesis(secrets, phrase_secrets(phrase), created_at=int(time.time()))
        library_id = entry_hash(genesis)
        kept = sealed_phrase(phrase, secrets, library_id) if keep_phrase else None
        make_folder(begin(root), passphrase, secrets, library_id, {library_id: genesis}, kdf, kept)
        publish(root)
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
    def open(
        cls,
        root: Path,
        secrets: DeviceSecrets,
        *,
        progress: Progress | None = None,
        reader: DeviceSecrets | None = None,
    ) -> Library:
        """Open the library in `root`; `progress` is called where the catalog has to be made again, which takes a while.

        `secrets` are those that the passphrase unwraps, even if the device has become another one since. `reader` (a
        recovery phrase's) opens the epochs while this device is no member yet. What does not hold, but leaves
        something to read, does not raise: it is in `alarms`, and then nothing can be written. Raises `NotALibrary`,
        `UnknownFormat`, `LibraryFileDamaged`, `NotAMember` for a device that nobody added, and `LogDamaged` when
        nothing can be read.
        """
        layout = Layout(root)
        file = LibraryFile.read(layout.library_file)
        identities = file.resolve(secrets)
        layout.make_folders()
        log = Log(layout.log)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(log.close)
            library = cls(layout, log, Members(log, file.library_id, identities, reader=reader))
            on_failure.callback(library.replica_process.close)
            library.writer.check()
            inherit_derived(log, layout.derived, identities[:-1], library.members.secrets)
            library._data_version = log.data_version()
            library._view.load(progress)
            library._view.rehearsal.save()
            on_failure.pop_all()
        return library

    @staticmethod
    def change_passphrase(root: Path, old: bytes, new: bytes, *, kdf: KdfParameters | None = None) -> None:
        """Wrap this device's secrets under another passphrase.

        Old copies of `library.toml` still open with the old one.
        """
        path = Layout(root).library_file
        file = LibraryFile.read(path)
        secrets = file.unlock(old)
        file.rewrapped(secrets, new, new_parameters() if kdf is None else kdf).write(path)

    @staticmethod
    def claim(root: Path, secrets: DeviceSecrets) -> None:
        """Make this machine the writer of the folder, on the user's word that no other copy of it is in use.

        Raises `LogRolledBack` or `LibraryCopied` where no word helps, because numbers would be used twice.
        """
        with Library.open(root, secrets) as library:
            library.writer.claim()

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
        """The keys that new blobs and envelopes are made with; another object once there is a new epoch."""
        return self.members.current

    @property
    def blobs(self) -> BlobStore:
        """The blobs; new ones are made in `epoch`. Work that spans a change of the epoch keeps the store it has."""
        if self._blobs_epoch is not self.members.current:
            self._blobs_epoch = self.members.current
            self._blobs = BlobStore(self._layout.blobs, self._blobs_epoch)
        return self._blobs

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
        """Make the folder of a library that exists elsewhere, for the device that holds `secrets`, and open it.

        `entries` are membership entries that were verified; the device is a member by them, or `reader` (a recovery
        phrase's secrets) opens the epochs until it is. Raises what `create` does, and `NotAMember`.
        """
        library_id = entry_hash(genesis)
        by_hash = {entry_hash(entry): entry for entry in (genesis, *entries)}
        make_folder(root, passphrase, secrets, library_id, by_hash, kdf)
        return cls.open(root, secrets, reader=reader)

    def add_entries(self, entries: Sequence[Entry]) -> None:
        """Store membership entries that were made with the keys of this device, or of the recovery phrase.

        Raises `DiskFull` or `LibraryBusy`.
        """
        with self.guard:
            with self.members.transaction(self.log) as transaction:
                self.members.refresh()
                self.members.add(transaction, entries)
            self.acknowledge()

    adopt_entries = add_entries

    def rotate_if_due(self) -> bool:
        """Make a new epoch if one has to be made before the next envelope; tell whether it was."""
        with self.guard, self.members.transaction(self.log) as transaction:
            self.members.refresh()
            return self.members.rotate_if_due(transaction)

    def acknowledge(self) -> None:
        """Name in an envelope what this device had accepted of revoked ones, where nobody else did so.

        The others then accept it too. Nothing is written where nothing has to be, nor while there are alarms.
        """
        with self.guard:
            self.refresh()
            self.writer.check()
            if self.members.is_member and not self.doubts and self.members.unacknowledged():
                self.commit_record(acknowledgement(int(time.time())))

    def commit_record(self, body: EnvelopeBody) -> tuple[int, bytes]:
        """Write an envelope that changes no document and return (seq, hash); its frontier is filled in.

        Raises what `commit` does.
        """
        with self.guard:
            self.refresh()
            return self._as_writer(functools.partial(Writing.commit_record, body=body))

    def become_new_device(self) -> None:
        """Go on under a new identity, with which this copy of the library never contradicts another one.

        Nothing happens where nothing stands in the way of writing under the old one. Own envelopes at numbers that
        somebody else used too (`Arrival.forked_self`) are issued again under the new one.
        """
        with self.guard:
            for alarm in self._view.alarms:
                if not isinstance(alarm, CURABLE):
                    raise alarm
            name = self.replica_get(LIBRARY, "device", self.device_id.hex())
            became = become_new(self.log, self.members, self.writer, self._layout.library_file)
            if became is None:
                return
            old = self.members.secrets
            rehearsed = self._view.rehearsal
            self._view.forget()
            self._be(became.members)
            self._view.rehearsal.adopt(rehearsed)
            inherit_derived(self.log, self._layout.derived, [old], self.members.secrets)
            self.writer.check()
            self._view.load()
            if became.is_new:
                own = copy_name(name)
                put = Put("device", self.device_id.hex(), own)
                self.commit({LIBRARY: [put]}, action="device", summary="a copy became a device of its own")
                self._became.append(f"This folder was a copy. It is a device of its own now, called '{own}'.")
            self.ingest.review()

    @property
    def catalog(self) -> Catalog:
        """The catalog as of the last `refresh` or `commit`."""
        catalog = self._view.catalog
        if catalog.describer is None:
            catalog.describer = self._described
        return catalog

    def _described(self, text: str) -> Sequence[Likeness]:
        from core.text_search import rank_by_text

        return rank_by_text(self, text).photos

    @property
    def alarms(self) -> Sequence[IntegrityAlarm]:
        """What was found not to hold; as long as there is anything, the library can be read but not written.

        That the folder is a copy, or its log was put back, is in here only where it cannot become a device of its own.
        """
        found = self.doubts
        return [] if self._becomes_new_with_the_next_edit(found) else found

    @property
    def doubts(self) -> Sequence[IntegrityAlarm]:
        """The alarms, and those that the next edit takes away; with any, nothing is removed or vouched for unasked."""
        return self._writing.alarms

    def take_distrust(self) -> list[SyncAlarm]:
        """Return, once, the alarms about changes of other devices that were left out; they stop nothing here."""
        with self.guard:
            return self._view.take_distrust()

    @property
    def notes(self) -> Sequence[str]:
        """What the user should be told on standard error, once: rebuilt derived files, an update that is needed."""
        doubts = self.doubts
        if self._becomes_new_with_the_next_edit(doubts):
            note = f"With its next edit this folder becomes a device of its own: {doubts[0]}. {doubts[0].hint}"
            return [note, *self._became, *self._view.notes]
        return [*self._became, *self._view.notes]

    def close(self) -> None:
        """Save what has become long to catch up with, and close the files. What was committed is safe without it."""
        with self.guard:
            if self._closed:
                return
            self._closed = True
            try:
                self._view.close()
            finally:
                self.replica_process.close()
                self.log.close()

    def refresh(self) -> bool:
        """Apply what other processes appended since the last look; tell whether there was anything."""
        with self.guard:
            version = self.log.data_version()
            if version == self._data_version:
                return False
            self.members.refresh()
            if not is_held_by(self.log, self._view.vector):
                self._view.forget()  # another process set own envelopes aside, or the log was put back under our hands
            changed = self._view.catch_up()
            self._data_version = version
            self._view.rehearsal.save()
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
        with self.guard:
            self.refresh()
            group = random.token_bytes(GROUP_BYTES) if group is None else group
            touched: Touched = {}
            last: int | None = None
            for piece in split_in_pieces(changes):
                part = self._parts.get(group, 0) + 1
                body = EnvelopeBody(KIND_CHANGES, int(time.time()), [], [], group, action, summary, part, undoes=undoes)
                commit = functools.partial(
                    Writing.commit_piece,
                    piece=piece,
                    body=body,
                    touched=touched,
                    inverse=inverse,
                    purged_blobs=purged_blobs,
                )
                seq = self._as_writer(commit)
                if seq is not None:
                    last, self._parts[group] = seq, part
            self._view.save_if_very_long()
            return CommitReceipt(last, group, touched)

    def expect_changes(self) -> None:
        """Start the process that tries what other devices changed, if there are any: it is ready when that is here."""
        with self.guard:
            self._view.rehearsal.expect()

    def try_refused_again(self) -> None:
        """Let what was refused because no process survived it be tried once more by the `rebuild_view` that follows."""
        with self.guard:
            self._view.rehearsal.try_again()

    def expect_news(self) -> None:
        """Let the next `refresh` look for news: this process itself stored some."""
        self._data_version = -1

    def replica_get(self, document: str, map_name: str, key: str) -> Scalar | None:
        """Return the value of one key, or None."""
        with self.guard:
            return self._view.replicas.get(document).get(map_name, key)

    def replica_items(self, document: str, map_name: str, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
        """Return an iterator over the keys of a map that begin with `prefix`, and their values, in ascending order."""
        with self.guard:
            return iter(list(self._view.replicas.get(document).items(map_name, prefix)))

    def with_replica(self, document: str, use: Callable[[Replica, Vector], Result]) -> Result:
        """Return `use(replica, vector)` of a document as it is now, with the vector of all that is shown."""
        with self.guard:
            return use(self._view.replicas.get(document), dict(self._view.vector))

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
        with self.guard:
            self._view.save()

    @property
    def times_caught_up(self) -> int:
        """How often something was applied that this process had not written: who shows photos compares, and reads anew.

        Whoever asked for it: `refresh` tells one caller alone.
        """
        return self._view.times_caught_up

    @property
    def vector(self) -> Vector:
        """What catalog and replicas include now."""
        with self.guard:
            return dict(self._view.vector)

    @property
    def base(self) -> Base:
        """What the log builds on: checkpoints, and their snapshots."""
        self._view.base.refresh()
        return self._view.base

    def load_base(
        self, documents: Iterable[str], progress: Progress | None = None, copies: Mapping[str, bytes] | None = None
    ) -> None:
        """Show what snapshots of the base that have just been fetched hold; `progress` counts documents.

        `copies` are replicas that a trial has made of snapshots, by document: then they are not applied again.
        """
        with self.guard:
            self._view.load_base(documents, progress, copies or {})

    def rebuild_view(self, progress: Progress | None = None) -> None:
        """Replay the whole log into a new catalog and new replicas."""
        with self.guard:
            self._data_version = self.log.data_version()
            self._view.rebuild(progress)

    def remove_derived(self) -> None:
        """Delete every derived file."""
        with self.guard:
            self._view.remove_derived()

    def _becomes_new_with_the_next_edit(self, doubts: Sequence[IntegrityAlarm]) -> bool:
        return (
            bool(self.writer.alarms) and self.members.is_member and all(isinstance(doubt, CURABLE) for doubt in doubts)
        )

    def _as_writer(self, write: Callable[[Writing], Result]) -> Result:
        """Call `write`; where this copy may not write as the device it is, first become another one."""
        try:
            try:
                self._writing.refuse_while_alarmed()
                return write(self._writing)
            except CURABLE:
                self.become_new_device()
                return write(self._writing)
        except BaseException:
            self.expect_news()
            raise
