"""Everything the library can refuse or report, as one tree.

    CoreError
    ├── Refused                     the request cannot be done as asked
    │   ├── NotALibrary, LibraryExists, UnknownFormat
    │   ├── InvalidEdit             a value that no library stores
    │   ├── NoSuchPhoto, AmbiguousPhoto, NoSuchAlbum, NoSuchLabel, NoVector
    │   ├── QueryError              points at a column of the query
    │   ├── NothingToUndo
    │   ├── ImportRefused, ExportRefused, PackRefused
    │   │   └── NoTextEncoder
    │   ├── AgentRefused
    │   ├── NoSuchDevice, NoSuchRelay
    │   └── PairingRefused
    ├── Locked
    │   ├── WrongPassphrase, WrongPhrase
    │   └── AgentNotRunning
    ├── StorageFailed               the operating system said no
    │   ├── DiskFull
    │   └── LibraryBusy
    ├── RelayUnreachable            nobody answers, or not as a relay does
    ├── RelayRefused                the relay said no
    │   ├── RelayQuotaFull
    │   └── NotAMember              this device was revoked, or never added
    └── IntegrityAlarm              something stored is not what was written; always named, never skipped
        ├── LibraryFileDamaged, KdfRefused
        ├── LogDamaged, EnvelopeDamaged, ChainBroken
        ├── LogRolledBack, LibraryCopied
        ├── BlobDamaged, BlobMissing
        ├── SnapshotDamaged
        └── SyncAlarm               a relay, or another device, does what none should; this device works on
            ├── Withheld, Forked, RolledBack
            └── Forged, WriterNotAMember, Contradicted

A message says what happened and to which thing; `hint` says what to do next. Each class carries a stable `name` for
machines (`verify --json`, logs); messages and names never contain anything that came from a photo.
"""

from __future__ import annotations

from typing import ClassVar


class CoreError(Exception):
    """Base of every error of `core`."""

    name: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the message, and the hint that tells the reader what to do next."""
        super().__init__(message)
        self.hint = hint


class Refused(CoreError):
    """The request cannot be carried out as it was made."""

    name = "refused"


class NotALibrary(Refused):
    """The folder holds no library."""

    name = "not-a-library"


class LibraryExists(Refused):
    """A library, or other files, are already in the folder that was to become one."""

    name = "library-exists"


class UnknownFormat(Refused):
    """A file was written by a newer version of the program."""

    name = "unknown-format"


class InvalidEdit(Refused):
    """A label, rating, date, or other value that the library does not store."""

    name = "invalid-edit"


class NoSuchPhoto(Refused):
    """No photo has an id that begins like this."""

    name = "no-such-photo"


class AmbiguousPhoto(Refused):
    """Several photos have ids that begin like this."""

    name = "ambiguous-photo"


class NoSuchAlbum(Refused):
    """No album has this name or id."""

    name = "no-such-album"


class NoSuchLabel(Refused):
    """The photo carries no such label."""

    name = "no-such-label"


class NoVector(Refused):
    """The model in use made no vector of this photo, or of none, so there is nothing to compare or to learn from."""

    name = "no-vector"


class QueryError(Refused):
    """A query that cannot be understood; `length` characters from `column` (from 0) of `query` are why."""

    name = "query"

    def __init__(
        self, message: str, *, column: int = 0, length: int = 1, query: str = "", hint: str | None = None
    ) -> None:
        """Keep the place of the fault beside the message."""
        super().__init__(message, hint=hint)
        self.column = column
        self.length = length
        self.query = query

    def pointed(self) -> str:
        """Return the query and, on a second line, carets under what is wrong."""
        shown = "".join(character if character.isprintable() else " " for character in self.query)
        return f"{shown}\n{' ' * self.column}{'^' * max(1, self.length)}"


class NothingToUndo(Refused):
    """There is no edit that could be undone."""

    name = "nothing-to-undo"


class ImportRefused(Refused):
    """The import cannot start, or one file cannot be taken in."""

    name = "import-refused"


class ExportRefused(Refused):
    """The export cannot write where it was told to."""

    name = "export-refused"


class PackRefused(Refused):
    """A model pack is missing, or not the one the library asks for."""

    name = "pack-refused"


class NoTextEncoder(PackRefused):
    """Photos cannot be found by descriptions: there is no image-text pack, or not the one the library asks for."""

    name = "no-text-encoder"


class AgentRefused(Refused):
    """The agent that keeps the library unlocked did not do what it was asked."""

    name = "agent-refused"


class Locked(CoreError):
    """The library is locked, and nothing at hand opens it."""

    name = "locked"


class WrongPassphrase(Locked):
    """The passphrase does not open this library."""

    name = "wrong-passphrase"


class WrongPhrase(Locked):
    """These words are no recovery phrase, or not the one of this library."""

    name = "wrong-phrase"


class AgentNotRunning(Locked):
    """No agent keeps this library unlocked."""

    name = "agent-not-running"


class StorageFailed(CoreError):
    """The operating system refused a read or a write."""

    name = "storage-failed"


class DiskFull(StorageFailed):
    """The disk, or the user's share of it, is full; nothing was half-written."""

    name = "disk-full"


class LibraryBusy(StorageFailed):
    """Another process has kept the write lock for too long."""

    name = "library-busy"


class IntegrityAlarm(CoreError):
    """Something stored is not what was written. Exit code 4 of the command line."""

    name = "integrity"


class LibraryFileDamaged(IntegrityAlarm):
    """`library.toml` was changed or damaged."""

    name = "library-file-damaged"


class KdfRefused(IntegrityAlarm):
    """`library.toml` asks for key-derivation costs outside the accepted bounds."""

    name = "kdf-refused"


class LogDamaged(IntegrityAlarm):
    """`log.db` cannot be read, or misses what it must hold."""

    name = "log-damaged"


class EnvelopeDamaged(IntegrityAlarm):
    """One envelope of the log is altered: its hash, signature, seal or content does not hold."""

    name = "envelope-damaged"


class ChainBroken(IntegrityAlarm):
    """The envelopes of a device do not form one chain: one is missing, or two claim one place."""

    name = "chain-broken"


class LogRolledBack(IntegrityAlarm):
    """`log.db` is older than what this device has already written."""

    name = "log-rolled-back"


class LibraryCopied(IntegrityAlarm):
    """This folder was last written by another machine, or is a copy of one."""

    name = "library-copied"


class BlobDamaged(IntegrityAlarm):
    """A blob is not the one its id names."""

    name = "blob-damaged"


class BlobMissing(IntegrityAlarm):
    """A blob that the log names is not in the folder."""

    name = "blob-missing"


class SnapshotDamaged(IntegrityAlarm):
    """A snapshot of a checkpoint is not what one is: over its bounds, cut off, or of another document."""

    name = "snapshot-damaged"


class SyncAlarm(IntegrityAlarm):
    """What came from a relay is not what honest devices sent. Nothing of this device is in doubt, and it can write."""

    name = "sync"


class Withheld(SyncAlarm):
    """Envelopes that another device has seen, or that the relay held before, are not given out."""

    name = "withheld"


class Forked(SyncAlarm):
    """One device has two envelopes with one number: a copy of it wrote, or its keys are in other hands."""

    name = "forked"


class RolledBack(SyncAlarm):
    """A relay lacks what it had acknowledged: it was put back from an older backup, or lost data."""

    name = "rolled-back"


class Forged(SyncAlarm):
    """A signature, seal or link does not hold."""

    name = "forged"


class DeletedInUse(SyncAlarm):
    """A relay was asked to remove what photos still use."""

    name = "deleted-in-use"


class WriterNotAMember(SyncAlarm):
    """Something was written by a device that is no member of the library, or by one after it was revoked."""

    name = "not-a-member"


class Contradicted(SyncAlarm):
    """A member made two membership entries, neither knowing of the other."""

    name = "contradiction"


class RelayUnreachable(CoreError):
    """The relay does not answer, or what answers is no relay. Exit code 5."""

    name = "relay-unreachable"


class RelayRefused(CoreError):
    """The relay answered, and refused. Exit code 6."""

    name = "relay-refused"


class RelayQuotaFull(RelayRefused):
    """The library takes more room at the relay than it may."""

    name = "relay-quota-full"


class NotAMember(RelayRefused):
    """This device is no member of the library any more, or never was."""

    name = "no-member"


class NoSuchDevice(Refused):
    """No device of the library has an id or a name that begins like this, or several have."""

    name = "no-such-device"


class NoSuchRelay(Refused):
    """The library uses no such relay, or none at all."""

    name = "no-such-relay"


class PairingRefused(Refused):
    """The code is wrong, used or expired, or the user said no."""

    name = "pairing-refused"
