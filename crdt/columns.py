"""Reading the columns of a change: run-length, delta and boolean encodings, in their one canonical form.

Automerge writes a column in exactly one way, and after a save it makes each change's bytes anew from what it kept. A
change that says the same in another way would therefore get another hash when the document is loaded, and the document
would not load. So every deviation is refused: a run of one, two runs that could be one, a literal with equal
neighbours, nulls only, a number not in its shortest form. The number of values is checked before a run is expanded.
"""

from collections.abc import Callable
from typing import TypeVar

from crdt.errors import ChangeMalformed, ChangeTooLarge
from crdt.leb128 import read_signed, read_unsigned

T = TypeVar("T")
_Reader = Callable[[bytes, int], tuple[T, int]]

_NOTHING, _RUN, _LITERAL, _NULLS = range(4)


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """Read a length and that many bytes of UTF-8 at ``at``; returns the text and the position after it."""
    length, at = read_unsigned(data, at)
    end = at + length
    if end > len(data):
        raise ChangeMalformed("a text runs over the end of its column")
    try:
        return data[at:end].decode(), end
    except UnicodeDecodeError as error:
        raise ChangeMalformed("a text is not UTF-8") from error


def read_run_lengths(data: bytes, read: _Reader[T], limit: int) -> list[T | None]:
    """Expand a run-length column.

    Args:
        data: the column.
        read: reads one value.
        limit: how many values it may have.

    Raises:
        ChangeMalformed: if it is not canonical, or ends inside a value.
        ChangeTooLarge: if it has more values than ``limit``; found before they are made.
    """
    values: list[T | None] = []
    at, end = 0, len(data)
    before = _NOTHING
    last: T | None = None
    while at < end:
        count, at = read_signed(data, at)
        if count == 0:
            nulls, at = read_unsigned(data, at)
            if before == _NULLS or nulls == 0:
                raise ChangeMalformed("a run of nulls is split or empty")
            _bound(len(values) + nulls, limit)
            values.extend([None] * nulls)
            before, last = _NULLS, None
        elif count > 0:
            _bound(len(values) + count, limit)
            value, at = read(data, at)
            if count == 1 or value == last:
                raise ChangeMalformed("a run is split, or of one value")
            values.extend([value] * count)
            before, last = _RUN, value
        else:
            if before == _LITERAL:
                raise ChangeMalformed("a literal is split")
            _bound(len(values) - count, limit)
            for _ in range(-count):
                value, at = read(data, at)
                if value == last:
                    raise ChangeMalformed("a literal has equal neighbours")
                values.append(value)
                last = value
            before = _LITERAL
    if values and before == _NULLS and values.count(None) == len(values):
        raise ChangeMalformed("a column of nulls is not left out")
    return values


def read_deltas(data: bytes, limit: int) -> list[int | None]:
    """Expand a column of differences to the numbers themselves."""
    values: list[int | None] = []
    number = 0
    for delta in read_run_lengths(data, read_signed, limit):
        if delta is None:
            values.append(None)
        else:
            number += delta
            values.append(number)
    return values


def _bound(count: int, limit: int) -> None:
    if count > limit:
        raise ChangeTooLarge(f"a column has more than {limit} values")
