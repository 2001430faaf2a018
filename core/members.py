"""Who belongs to the library and which keys this device holds, as the log's membership entries say.

Evaluating entries and opening epochs is done when they change, never for an edit: what is asked for in between is
remembered.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING

from core.errors import LogDamaged, NotAMember
from core.log_file import RESTORE
from crypto.epochs import Keyring, must_rotate, open_epochs
from crypto.errors import CryptoError
from crypto.errors import NotAMember as NotAMemberKey
from crypto.membership import Genesis, Membership, entry_hash, evaluate, verify_genesis
from crypto.membership_change import rotate
from crypto.membership_entry import Entry, EntryKind, verify_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from core.log import Log, LogTransaction
    from crypto.keys import DeviceSecrets, EpochKeys


class Members:
    """The membership of one library as one device knows it. Threads may share it."""

    def __init__(
        self, log: Log, library_id: bytes, identities: Sequence[DeviceSecrets], *, reader: DeviceSecrets | None = None
    ) -> None:
        """Read the entries of `log`.

        Of the `identities` this device may have, the newest last, it has the last one that is or was a member's, else
        the first. `reader` (a recovery phrase) opens the epochs until that is a member's. Raises `LogDamaged` for
        entries that do not hold, and `NotAMember` where nothing was ever sealed to these secrets.
        """
        self._log = log
        self._library_id = library_id
        self.secrets = self.root_secrets = identities[0]
        self._reader = reader
        self._lock = log.lock  # not one of its own: entries are added inside transactions
        self._verified: dict[bytes, Entry] = {}
        self._version = -1
        self._uncommitted = False
        self.genesis: Genesis
        self.membership: Membership
        self.keyring: Keyring
        self.must_rotate = False
        """Whether a rotation comes before the next envelope."""
        self._load()
        known = [secrets for secrets in identities if self.is_known(secrets.device_id)]
        self.secrets = known[-1] if known else identities[0]
        self._open_keys()

    @property
    def device_id(self) -> bytes:
        """This device."""
        return self.secrets.device_id

    @property
    def is_member(self) -> bool:
        """Whether this device is a member now."""
        return self.device_id in self.membership.members

    @functools.cached_property
    def current(self) -> EpochKeys:
        """The keys to write under, once `must_rotate` does not hold; until then, the newest this device holds."""
        keys = self.keyring.keys
        return keys.get(self.membership.current) or keys[min(self.keyring.tops)]

    def refresh(self) -> bool:
        """Look for entries that other processes stored; tell whether there are any."""
        with self._lock:
            version = self._log.data_version()
            if version == self._version:
                return False
            known = len(self._verified)
            if self._log.membership_count() == known + 1:
                self._version = version
                return False
            self._read()
            return len(self._verified) != known

    def forget(self) -> None:
        """Read everything again: a transaction in which entries were added did not commit."""
        with self._lock:
            self._uncommitted = False
            self._verified.clear()
            self._read()

    def key_of(self, epoch_id: bytes) -> EpochKeys | None:
        """Return the keys of an epoch, or None if this device holds none that open it."""
        found = self.keyring.keys.get(epoch_id)
        if found is None and self.refresh():
            found = self.keyring.keys.get(epoch_id)
        return found

    def has_entry(self, entry: bytes) -> bool:
        """Tell whether an entry, genesis included, is in the log."""
        name = entry_hash(entry)
        return name in self._verified or name == self._library_id

    def is_known(self, device_id: bytes) -> bool:
        """Tell whether a device is or was a member: envelopes of it may be in the log."""
        return device_id in self.membership.members or device_id in self.membership.departed

    @contextlib.contextmanager
    def transaction(self, log: Log) -> Iterator[LogTransaction]:
        """Hold the write lock of the log; entries that are added inside are forgotten if it does not commit."""
        try:
            with log.transaction() as transaction:
                yield transaction
        except BaseException:
            if self._uncommitted:
                self.forget()
            raise
        self._uncommitted = False

    def rotate_if_due(self, transaction: LogTransaction) -> bool:
        """Make a new epoch if one has to be made before the next envelope; tell whether it was."""
        rotated = False
        while self.must_rotate:  # more than once where more epochs have to be wrapped than one rotation can
            self._rotate(transaction)
            rotated = True
        return rotated

    def has_keys_to_give(self) -> bool:
        """Tell whether another member was not given what it needs to read all that this device can.

        A device is added with the keys that who adds it has: not with that of an epoch made at the same time elsewhere.
        What opens with no other key, each member has to have been given. So after one rotation this holds no more,
        and however many make one at once, none of them is reason for another.
        """
        epochs, members = self.membership.epochs, self.membership.members.keys()
        return self.is_member and any(not members <= epochs[top].holders for top in self.keyring.tops)

    def give_keys(self, transaction: LogTransaction) -> None:
        """Give every member the keys of this device, if one of them lacks some."""
        while self.has_keys_to_give():
            self._rotate(transaction)

    def _rotate(self, transaction: LogTransaction) -> None:
        self.add(transaction, [rotate(self.membership, self.secrets, self.keyring, created_at=int(time.time()))])

    def unacknowledged(self) -> bool:
        """Tell whether this device accepted something of a former member that no member's word says was accepted."""
        heads, base, frontiers = self._log.heads(), self._log.base(), self._log.frontiers()
        for device_id, departure in self.membership.departed.items():
            place = heads.get(device_id)
            if place is None or base.get(device_id) == place:
                continue
            named = any(frontiers.get(author, {}).get(device_id) == place for author in self.membership.members)
            if not named and place not in {(cut.seq, cut.hash) for cut in departure.cuts}:
                return True
        return False

    def add(self, transaction: LogTransaction, entries: Sequence[Entry]) -> None:
        """Store entries inside `transaction`, which is one of `self.transaction`."""
        with self._lock:
            self._uncommitted = True
            for entry in entries:
                transaction.add_membership_entry(entry.hash, entry.data)
                self._verified[entry.hash] = entry
            self.membership = evaluate(self.genesis, self._verified.values())
            self._open_keys()

    def continued_by(self, device_id: bytes) -> tuple[bytes, ...]:
        """Return the devices whose replica actors `device_id` goes on with: those it is a copy of, and so on up."""
        return self._continued.get(device_id) or self._find_continued(device_id)

    def require_member(self) -> None:
        """Raise `NotAMember` unless this device is a member."""
        if not self.is_member:
            raise NotAMember(
                f"device {self.device_id.hex()[:12]} is no member of this library any more: it was revoked",
                hint="Everything here can still be searched and exported. To go on, join the library anew into "
                "another folder.",
            )

    def _find_continued(self, device_id: bytes) -> tuple[bytes, ...]:
        found: dict[bytes, None] = {}
        waiting = [device_id]
        while waiting:
            for entry in self.membership.admissions(waiting.pop()):
                if entry.kind is EntryKind.ADD and entry.admission.continues and entry.author not in found:
                    found[entry.author] = None
                    waiting.append(entry.author)
        found.pop(device_id, None)
        self._continued[device_id] = tuple(found)
        return self._continued[device_id]

    def _read(self) -> None:
        self._load()
        self._open_keys()

    def _load(self) -> None:
        version = self._log.data_version()  # first: what is stored while the rest is read is seen next time
        stored = self._log.membership_entries()
        genesis = stored.pop(self._library_id, None)
        if genesis is None:
            raise LogDamaged("log.db lacks the entry that founded the library", hint=RESTORE)
        try:
            self.genesis = verify_genesis(genesis, self._library_id)
            for name, data in stored.items():
                if name not in self._verified:
                    entry = verify_entry(data, self._library_id)
                    self._verified[entry.hash] = entry
            if stored.keys() != self._verified.keys():
                raise LogDamaged("a membership entry in log.db is not the one it is named as", hint=RESTORE)
        except CryptoError as error:
            raise LogDamaged(f"a membership entry in log.db is altered: {error}", hint=RESTORE) from error
        self.membership = evaluate(self.genesis, self._verified.values())
        self._version = version

    def _open_keys(self) -> None:
        self.keyring = self._open()
        self._continued: dict[bytes, tuple[bytes, ...]] = {}
        self.__dict__.pop("current", None)
        self.must_rotate = self.is_member and must_rotate(self.membership, self.keyring)

    def _open(self) -> Keyring:
        readers: Iterable[DeviceSecrets] = (self.secrets,) if self._reader is None else (self.secrets, self._reader)
        failure: CryptoError | None = None
        for secrets in readers:
            try:
                return open_epochs(self.membership, secrets)
            except CryptoError as error:
                failure = failure or error
        if isinstance(failure, NotAMemberKey):
            raise NotAMember(str(failure), hint=failure.hint) from failure
        raise LogDamaged(f"the keys of the library cannot be opened: {failure}", hint=RESTORE) from failure
