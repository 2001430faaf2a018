"""Everything the package raises: one tree, each error with a hint of what to do next."""


class CrdtError(Exception):
    """Base of this package's errors. The message says what happened and to what; ``hint`` says what to do next."""

    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class DocumentNameInvalid(CrdtError):
    """A document name is neither ``library`` nor a shard name."""


class OperationInvalid(CrdtError):
    """An edit of this device's own making names an unknown map, or has a key or value the schema does not allow."""


class ChangeInvalid(CrdtError):
    """A change cannot be accepted. Nothing of the call that brought it has been applied."""

    hint = "the device that sent it runs a damaged or hostile program: look at its envelope, and revoke the device"


class ChangeMalformed(ChangeInvalid):
    """The bytes are no change chunk, or not the one canonical encoding of what they say."""


class ChangeChecksum(ChangeInvalid):
    """The first bytes of the chunk's SHA-256 are not those in its header."""


class CompressedChangeRefused(ChangeInvalid):
    """The chunk is deflated (type 2): a megabyte can unpack to gigabytes."""


class ChangeTooLarge(ChangeInvalid):
    """A change is over the limit on bytes or operations."""


class OperationRefused(ChangeInvalid):
    """A change makes an object, touches the root, counts, marks, or overwrites an operation that is not there."""


class ValueRefused(ChangeInvalid):
    """A key or value is not of the shape its map holds."""


class ActorRefused(ChangeInvalid):
    """A change's actor is not its author's, or is the reserved one."""


class DuplicateSequence(ChangeInvalid):
    """Two different changes claim one (actor, sequence number)."""


class DocumentFull(ChangeInvalid):
    """The changes of one device to one document weigh more than one device's may; other devices go on."""

    hint = (
        "what it wrote there before stays, and all else goes on. If that device is not yours, or runs wild, revoke it "
        "(`safelight device revoke`); if it is yours, join it anew into another folder: a new device begins at nothing"
    )


class DependencyMissing(ChangeInvalid):
    """A change that came as part of a whole builds on one that is neither in the document nor part of it."""


class ChangeNotSurvived(ChangeInvalid):
    """The process in which a change was applied first ended, or took too long, or too much memory."""

    hint = (
        "the device that sent it runs a damaged or hostile program: look at it, and revoke it. If it is yours, and "
        "this machine was short of memory or time, `safelight rebuild` tries again"
    )


class ChangeNotApplied(CrdtError):
    """The CRDT engine failed, or dropped a change that passed every check. The replica must be loaded again."""

    hint = "reload the document from its log; if it happens again, report it with the change"


class OrphanLimit(CrdtError):
    """Too many changes of one device wait for changes that have not arrived."""

    hint = "fetch the missing envelopes first (`safelight sync`), or rebuild"


class SnapshotInvalid(CrdtError):
    """A saved document does not load, is not of this kind, or does not load back to the same heads."""

    hint = "run `safelight rebuild`: snapshots are derived from the log"


class RecordInvalid(CrdtError):
    """A packed record does not decode to what it should hold."""
