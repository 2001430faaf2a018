"""What an edit amounts to, checked before the engine is touched: a transaction once begun is never rolled back."""

from collections.abc import Callable, Iterable

from crdt.change import MAX_CHANGE_BYTES, MAX_OPERATIONS
from crdt.documents import DocumentKind
from crdt.errors import ChangeTooLarge, OperationInvalid
from crdt.operations import Delete, Operation, Put, Scalar
from crdt.schema import MAX_KEY_BYTES, SHAPES

_OVERHEAD_BYTES = 64
"""More than an operation takes in a change beside its key and value, unless it overwrites many conflicting ones."""


def effective_writes(
    operations: Iterable[Operation], kind: DocumentKind, current: Callable[[str, str], Scalar | None]
) -> list[tuple[str, str, Scalar | None]]:
    """Map, key and value (``None`` to delete) of what makes a difference; the last operation at each key holds.

    Args:
        operations: the edit as asked for.
        kind: of the document.
        current: the value at a key of a map, ``None`` if there is none.

    Raises:
        OperationInvalid: if a map, key or value is not what the schema allows.
        ChangeTooLarge: if the rest is more than one change may hold.
    """
    wanted: dict[tuple[str, str], Scalar | None] = {}
    for operation in operations:
        _check(operation, kind)
        wanted[operation.map, operation.key] = None if isinstance(operation, Delete) else operation.value
    writes = []
    size = 0
    for (map_name, key), value in wanted.items():
        now = current(map_name, key)
        if type(now) is type(value) and now == value:
            continue
        writes.append((map_name, key, value))
        size += len(key.encode()) + _OVERHEAD_BYTES
        if isinstance(value, str | bytes):
            size += len(value.encode() if isinstance(value, str) else value)
    if len(writes) > MAX_OPERATIONS or size > MAX_CHANGE_BYTES:
        raise ChangeTooLarge(
            f"{len(writes)} operations of {size} bytes are more than one change may hold",
            hint=f"make several changes of at most {MAX_OPERATIONS} operations and {MAX_CHANGE_BYTES} bytes",
        )
    return writes


def _check(operation: Operation, kind: DocumentKind) -> None:
    shape = SHAPES[kind].get(operation.map)
    if shape is None:
        raise OperationInvalid(f"a {kind.value} document has no map {operation.map!r}")
    try:
        key_length = len(operation.key.encode())
        accepted = not isinstance(operation, Put) or shape.accepts(operation.value)
    except UnicodeEncodeError as error:
        raise OperationInvalid(f"a key or value for the map {operation.map!r} is no valid text") from error
    if not 0 < key_length <= MAX_KEY_BYTES:
        raise OperationInvalid(f"a key of the map {operation.map!r} is empty or over {MAX_KEY_BYTES} bytes")
    if not accepted:
        raise OperationInvalid(f"the map {operation.map!r} holds {shape.value}: another value was given")
