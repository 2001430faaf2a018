"""The CRDT engine (Automerge 1.0.0rc1 through its Python binding), behind a surface that cannot be misused.

What the binding does and this module makes up for:

- There is no call to apply changes. They go in as a hand-written sync message, and what the engine cannot use vanishes
  without a word; the caller compares heads afterwards.
- A transaction left empty, then a foreign change, then a rollback: the engine panics and the document is poisoned.
  Transactions here are made of at least one effective operation and are never rolled back on purpose.
- A panic is a ``BaseException``. After one, and after any other failure while writing, the engine refuses to go on.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import automerge.core as automerge

from crdt.errors import ChangeNotApplied
from crdt.leb128 import read_unsigned, write_unsigned
from crdt.operations import Scalar

ROOT: bytes = automerge.ROOT

_PLAIN_TYPES = (str, bytes, int, float)

_SYNC_MESSAGE_HEAD = b"\x42\x00\x00\x00"
"""Type of message, then no heads, no need, no have."""

OperationId = tuple[int, bytes]
"""Counter and actor; their order is the order in which Automerge lists the operations that one overwrites."""


@dataclass(frozen=True, slots=True)
class Made:
    """A change the engine holds: what the history needs of it."""

    hash: bytes
    actor: bytes
    sequence: int
    start: int
    last: int
    dependencies: tuple[bytes, ...]
    raw: bytes


class Engine:
    """One Automerge document."""

    def __init__(self, document: Any) -> None:
        """Use :meth:`new` or :meth:`load`."""
        self._document = document
        self._failure: str | None = None
        self.before_each: Callable[[bytes], object] | None = None
        """Called with each raw change before it is handed over; changes then go in one at a time, which is slower."""

    @classmethod
    def new(cls, actor: bytes) -> Self:
        """Make an empty document."""
        return cls(automerge.Document(actor))

    @classmethod
    def load(cls, saved: bytes, actor: bytes) -> Self:
        """Load a saved document, to be written to by ``actor``.

        Raises:
            ValueError: if it does not load.
        """
        try:
            document = automerge.Document.load(saved)
            document.set_actor(actor)
        except BaseException as error:
            if not _is_engine_failure(error):
                raise
            raise ValueError(str(error)) from error
        return cls(document)

    @property
    def actor(self) -> bytes:
        """Who makes the edits."""
        return bytes(self._document.get_actor())

    def save(self) -> bytes:
        """Return the document as bytes."""
        self.check_usable()
        return bytes(self._document.save())

    def heads(self) -> list[bytes]:
        """Hashes of the changes no other builds on, ascending."""
        return sorted(map(bytes, self._document.get_heads()))

    def history(self) -> Iterator[Made]:
        """Yield all changes, each after what it builds on."""
        for change in self._document.get_changes([]):
            yield Made(
                bytes(change.hash),
                bytes(change.actor_id),
                change.seq,
                change.start_op,
                change.max_op,
                tuple(map(bytes, change.deps)),
                bytes(change.raw_bytes),
            )

    def changes(self) -> list[tuple[bytes, tuple[bytes, ...], bytes]]:
        """List all changes: hash, hashes of those it builds on, raw bytes; each after what it builds on."""
        return [
            (bytes(change.hash), tuple(map(bytes, change.deps)), bytes(change.raw_bytes))
            for change in self._document.get_changes([])
        ]

    def changes_since(self, heads: Sequence[bytes]) -> list[bytes]:
        """List the raw bytes of the changes that are neither `heads`, which must be here, nor below them."""
        return [bytes(change.raw_bytes) for change in self._document.get_changes(list(heads))]

    def raw_changes(self, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the raw bytes of some changes the document holds, by hash."""
        made = ((bytes(change.hash), change) for change in self._document.get_changes([]))
        return {change_hash: bytes(change.raw_bytes) for change_hash, change in made if change_hash in hashes}

    def value(self, object_id: bytes, key: str) -> Scalar | None:
        """Read the value at a key of a map; ``None`` if there is none, or it is no plain value."""
        found = self._document.get(object_id, key)
        return None if found is None else _plain(found[0])

    def operation(self, object_id: bytes, key: str, at: bytes | None = None) -> OperationId | None:
        """Find the operation seen at a key, now or right after the change ``at``, which the document must hold."""
        found = self._document.get(object_id, key, None if at is None else [at])
        if found is None:
            return None
        # A type byte; the actor behind its length; an index, which is only a hint; the counter. Numbers are LEB128.
        written = bytes(found[1])
        end = 2 + written[1]
        _, after_index = read_unsigned(written, end)
        return read_unsigned(written, after_index)[0], written[2:end]

    def keys(self, object_id: bytes) -> list[str]:
        """List the keys of a map, in order of their UTF-8."""
        return list(self._document.keys(object_id))

    def length(self, object_id: bytes) -> int:
        """Count the keys of a map."""
        return int(self._document.length(object_id))

    def items(self, object_id: bytes) -> list[tuple[str, Scalar]]:
        """List keys and values of a map, in order of the keys' UTF-8."""
        pairs = zip(self._document.keys(object_id), self._document.values(object_id), strict=True)
        found = ((key, _plain(value)) for key, (value, _) in pairs)
        return [(key, value) for key, value in found if value is not None]

    def transact(self, writes: Sequence[tuple[bytes, str, Scalar | None]]) -> bytes:
        """Make one change that puts a value at, or with ``None`` deletes, a key of a map each.

        Args:
            writes: object id, key and value; at least one, and each one that makes a difference.

        Returns:
            The change's raw, uncompressed bytes.

        Raises:
            ChangeNotApplied: if the engine fails.
        """
        self.check_usable()
        before = self._document.get_heads()
        try:
            with self._document.transaction() as transaction:
                for object_id, key, value in writes:
                    if value is None:
                        transaction.delete(object_id, key)
                    else:
                        transaction.put(object_id, key, _scalar_type(value), value)
            (made,) = self._document.get_changes(before)
            return bytes(made.raw_bytes)
        except BaseException as error:
            raise self._failed("making an edit", error) from error

    def receive(self, changes: Iterable[bytes]) -> None:
        """Hand over raw changes, each after what it builds on. What the engine made of them shows in its heads.

        Raises:
            ChangeNotApplied: if the engine fails.
        """
        self.check_usable()
        listed = list(changes)
        if self.before_each is None:
            self._receive(listed)
            return
        for change in listed:
            self.before_each(change)
            self._receive([change])

    def _receive(self, listed: Sequence[bytes]) -> None:
        parts = [_SYNC_MESSAGE_HEAD, write_unsigned(len(listed))]
        for change in listed:
            parts += (write_unsigned(len(change)), change)
        try:
            message = automerge.Message.decode(b"".join(parts))
            self._document.receive_sync_message(automerge.SyncState(), message)
        except BaseException as error:
            raise self._failed("taking changes in", error) from error

    def give_up(self, reason: str) -> ChangeNotApplied:
        """Refuse all further writing, because the document is not what it should be; returns the error to raise."""
        self._failure = reason
        return ChangeNotApplied(reason)

    def check_usable(self) -> None:
        """Raise :class:`ChangeNotApplied` if writing has failed before."""
        if self._failure is not None:
            raise ChangeNotApplied(self._failure)

    def _failed(self, doing: str, error: BaseException) -> BaseException:
        """Close the engine after a failure; returns what to raise: an interrupt stays what it is."""
        given_up = self.give_up(f"the CRDT engine failed while {doing}: {error!r}")
        return given_up if _is_engine_failure(error) else error


def _is_engine_failure(error: BaseException) -> bool:
    """Whether an error comes from the engine: an ordinary one, or a panic, which is no ``Exception``."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _plain(value: Any) -> Scalar | None:
    """Unwrap the binding's (type, value) pair; ``None`` for an object or a value maps do not hold."""
    if not isinstance(value, tuple):
        return None
    plain = value[1]
    if isinstance(plain, list):  # how the binding gives bytes
        return bytes(plain)
    return plain if isinstance(plain, _PLAIN_TYPES) else None


def _scalar_type(value: Scalar) -> Any:
    if isinstance(value, bool):
        return automerge.ScalarType.Boolean
    if isinstance(value, int):
        return automerge.ScalarType.Int
    if isinstance(value, float):
        return automerge.ScalarType.F64
    return automerge.ScalarType.Str if isinstance(value, str) else automerge.ScalarType.Bytes
