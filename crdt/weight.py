"""What a change costs every device that holds its document, and how much of that one device may write to a document.

Each change may be in order, and all of them together take a device's memory: a few dozen envelopes of ten kilobytes,
which deflate a thousandfold, made a document that no process within its bounds loads. So the changes of one device to
one document may weigh so much and no more. What a device has of another's is a part of that one's chain up to some
envelope, with what waits; it is the same for all who are there, whether it came in envelopes or in a snapshot. So all
decide alike, and the other devices' edits do not depend on anything that some of them refuse.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from crdt.change import ACTOR_BYTES, DEVICE_PREFIX_BYTES, HASH_BYTES, MAX_OPERATIONS, MAX_PREDECESSORS, Change
from crdt.errors import ChangeMalformed, DocumentFull
from crdt.leb128 import read_signed, read_unsigned

MAX_DEVICE_WEIGHT = 256 << 20
"""What the changes of one device to one document may weigh: a hundred thousand photos of one month."""
LAST_EDIT_WEIGHT = 16 << 20
"""More than one change can weigh: an edit that is begun below the bound less this ends below it."""
CHANGE_WEIGHT = 4096
OPERATION_WEIGHT = 128
PREDECESSOR_WEIGHT = 32

_HEADER_BYTES = 9
_ACTIONS, _PREDECESSORS = 0x42, 0x70
_MOST_COLUMNS = 16


def change_weight(change: Change) -> int:
    """Weigh a change: at least a quarter of the bytes of memory that it takes in a document.

    Its length alone says little: run-length columns hold twenty thousand operations in a few kilobytes.
    """
    return _weight(len(change.raw), len(change.writes), sum(len(write.predecessors) for write in change.writes))


def raw_weight(raw: bytes) -> int:
    """Weigh a change by its bytes alone: as :func:`change_weight`, of bytes that may be no change at all."""
    try:
        actions, predecessors = _actions_and_predecessors(raw)
        operations = min(_add_up(actions)[0], MAX_OPERATIONS)
        return _weight(len(raw), operations, min(_add_up(predecessors)[1], MAX_PREDECESSORS))
    except (ChangeMalformed, IndexError):
        return _weight(len(raw), 0, 0)


def check_weight(document: str, arriving: Iterable[Change], weight_of: Callable[[bytes], int]) -> None:
    """Refuse changes that make those of one device too heavy; `weight_of` weighs what is there, by prefix of actors.

    Raises:
        DocumentFull: if they do.
    """
    added: Counter[bytes] = Counter()
    for change in arriving:
        added[change.actor[:DEVICE_PREFIX_BYTES]] += change_weight(change)
    for device, weight in added.items():
        if weight_of(device) + weight > MAX_DEVICE_WEIGHT:
            raise _full(document, device)


def check_room_for_edit(document: str, device: bytes, weight: int) -> None:
    """Refuse an edit where the changes of its device, which weigh `weight`, leave no room for the largest change.

    Raises:
        DocumentFull: if they do.
    """
    if weight > MAX_DEVICE_WEIGHT - LAST_EDIT_WEIGHT:
        raise _full(document, device)


def _weight(size: int, operations: int, predecessors: int) -> int:
    return CHANGE_WEIGHT + size + OPERATION_WEIGHT * operations + PREDECESSOR_WEIGHT * predecessors


def _actions_and_predecessors(raw: bytes) -> tuple[bytes, bytes]:
    """Find the column of what operations do, and that of how many others each overwrites."""
    at = _HEADER_BYTES
    for _ in range(2):  # length of the chunk, number of dependencies
        dependencies, at = read_unsigned(raw, at)
    at += dependencies * HASH_BYTES + 1 + ACTOR_BYTES
    for _ in range(4):  # sequence number, first counter, time, length of the message
        _, at = read_unsigned(raw, at)
    others, at = read_unsigned(raw, at)
    columns, at = read_unsigned(raw, at + others * (1 + ACTOR_BYTES))
    places = {}
    place = 0
    for _ in range(min(columns, _MOST_COLUMNS)):
        number, at = read_unsigned(raw, at)
        size, at = read_unsigned(raw, at)
        places[number] = (place, place + size)
        place += size
    (first, last), (start, end) = places.get(_ACTIONS, (0, 0)), places.get(_PREDECESSORS, (0, 0))
    return raw[at + first : at + last], raw[at + start : at + end]


def _add_up(column: bytes) -> tuple[int, int]:
    """Return how many numbers a run-length column has, and their sum; it is read as far as a change may be long."""
    numbers = total = at = 0
    while at < len(column) and numbers < MAX_OPERATIONS:
        count, at = read_signed(column, at)
        if count > 0:
            number, at = read_unsigned(column, at)
            total += count * number
        elif count == 0:
            count, at = read_unsigned(column, at)
        else:
            for _ in range(min(-count, MAX_OPERATIONS)):
                number, at = read_unsigned(column, at)
                total += number
        numbers += max(1, abs(count))
    return numbers, total


def _full(document: str, device: bytes) -> DocumentFull:
    return DocumentFull(f"the device with actors {device.hex()}… has written as much to {document} as one device may")
