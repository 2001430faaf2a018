"""LEB128 numbers as Automerge writes them: groups of seven bits, low first, at most 64 bits, in the shortest form."""

from crdt.errors import ChangeMalformed

MAX_BYTES = 10
_U64 = 1 << 64
_GROUP, _MORE = 0x7F, 0x80
_I63 = 1 << 63


def write_unsigned(number: int) -> bytes:
    """Write a number from 0 up as unsigned LEB128."""
    out = bytearray()
    while number > _GROUP:
        out.append(number & _GROUP | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned number below 2**64 at ``at``; returns it and the position after it.

    Raises:
        ChangeMalformed: if the bytes end, the number is too big, or is not in its shortest form.
    """
    end = len(data)
    if at < end and data[at] < _MORE:
        return data[at], at + 1
    number = shift = 0
    start = at
    while at < end:
        byte = data[at]
        at += 1
        number |= (byte & _GROUP) << shift
        if byte < _MORE:
            if number >= _U64 or (byte == 0 and at - start > 1):
                break
            return number, at
        shift += 7
        if at - start == MAX_BYTES:
            break
    raise ChangeMalformed(f"no well-formed LEB128 number at byte {start}")


def read_signed(data: bytes, at: int) -> tuple[int, int]:
    """Read a signed 64-bit number at ``at``; returns it and the position after it.

    Raises:
        ChangeMalformed: if the bytes end, the number is too big, or is not in its shortest form.
    """
    number = shift = 0
    start = at
    end = len(data)
    before = 0
    while at < end:
        byte = data[at]
        at += 1
        number |= (byte & _GROUP) << shift
        shift += 7
        if byte < _MORE:
            if at - start > 1 and (byte, before & 0x40) in {(0x00, 0), (0x7F, 0x40)}:
                break
            if byte & 0x40:
                number -= 1 << shift
            if not -_I63 <= number < _I63:
                break
            return number, at
        before = byte
        if at - start == MAX_BYTES:
            break
    raise ChangeMalformed(f"no well-formed signed LEB128 number at byte {start}")
