"""What a commit is made of: operations sorted into envelopes, and the changes and inverses each envelope carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from core.envelope_body import AddedPhotos, DocumentChanges, EnvelopeBody, Inverse
from core.errors import InvalidEdit
from crdt.errors import CrdtError
from crdt.operations import Operation, Put
from crdt.schema import key_pid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from core.replicas import Replicas

# A change may hold 20,000 operations and an envelope 16 MiB; a piece stays well below both, inverses included.
PIECE_OPERATIONS = 8_000
PIECE_BYTES = 4 << 20
_OPERATION_OVERHEAD_BYTES = 24

Touched = dict[str, set[tuple[str, str]]]
"""Document -> the (map, key) pairs that an edit changed."""


@dataclass(frozen=True)
class CommitReceipt:
    """What a commit did.

    `seq` is the number of the last envelope that was written, None when nothing differed; `group` is the unit that
    `undo` takes back; `touched` is what changed.
    """

    seq: int | None
    group: bytes
    touched: Touched


@dataclass
class Made:
    """The content of one envelope, and what it touched."""

    payload: list[DocumentChanges] = field(default_factory=list)
    inverse: list[Inverse] = field(default_factory=list)
    added: list[AddedPhotos] = field(default_factory=list)
    touched: Touched = field(default_factory=dict)

    def put_into(self, body: EnvelopeBody) -> EnvelopeBody:
        """Return `body` with this content."""
        return msgspec.structs.replace(body, payload=self.payload, inverse=self.inverse, added=self.added)


def split_in_pieces(changes: Mapping[str, Sequence[Operation]]) -> Iterator[dict[str, list[Operation]]]:
    """Yield the operations in parts that each fit one envelope, in their order."""
    piece: dict[str, list[Operation]] = {}
    operations = size = 0
    for document, wanted in changes.items():
        for operation in wanted:
            cost = _cost(operation)
            if piece and (operations >= PIECE_OPERATIONS or size + cost > PIECE_BYTES):
                yield piece
                piece, operations, size = {}, 0, 0
            piece.setdefault(document, []).append(operation)
            operations += 1
            size += cost
    if piece:
        yield piece


def make_changes(replicas: Replicas, piece: Mapping[str, Sequence[Operation]], *, inverse: bool) -> Made:
    """Edit the replicas and return what an envelope must carry. Raises `InvalidEdit` for a value no document holds.

    Operations that change nothing are left out: they would grow the log for ever. The caller drops the replicas if
    the envelope is not committed.
    """
    made = Made()
    for document, operations in piece.items():
        replica = replicas.get(document)
        differing: dict[tuple[str, str], Operation] = {}
        before: dict[tuple[str, str], str | bytes | int | float | bool | None] = {}
        try:
            for operation in operations:
                place = (operation.map, operation.key)
                if place not in before:
                    before[place] = replica.get(operation.map, operation.key)
                differing.pop(place, None)
                if not _same(before[place], _value(operation)):
                    differing[place] = operation
            change = replica.edit(list(differing.values())) if differing else None
        except CrdtError as error:
            raise InvalidEdit(str(error), hint=error.hint) from error
        if change is None:
            continue
        made.payload.append(DocumentChanges(document, [change]))
        made.touched[document] = set(differing)
        new = {key_pid(key) for map_name, key in differing if map_name == "photo" and before[map_name, key] is None} - {
            None
        }
        if new:
            made.added.append(AddedPhotos(document, b"".join(sorted(pid for pid in new if pid is not None))))
        if inverse:
            # What comes with a new photo is not taken back key by key: undoing an import puts its photos into the
            # trash.
            made.inverse.extend(
                Inverse(document, place[0], place[1], before[place], _value(operation))
                for place, operation in differing.items()
                if key_pid(place[1]) not in new
            )
    return made


def _value(operation: Operation) -> str | bytes | int | float | bool | None:
    return operation.value if isinstance(operation, Put) else None


def _same(left: object, right: object) -> bool:
    # True == 1 == 1.0 in Python, but they are three different values in a document.
    return type(left) is type(right) and left == right


def _cost(operation: Operation) -> int:
    value = _value(operation)
    size = len(value) if isinstance(value, str | bytes) else 8
    return _OPERATION_OVERHEAD_BYTES + 2 * (len(operation.key) + size)
