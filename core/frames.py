"""Messages between a process and its confined child: a length of four bytes, and MessagePack or plain bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import msgspec

from core.confinement import PipeBroken, read_exactly, write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.confinement import Readable

_LENGTH: Final = struct.Struct(">I")
_AT_ONCE: Final = 1 << 16
"""Bytes up to which a copy of them behind their length costs less than a second write."""


def send_frame(write: Callable[[bytes | memoryview], int | None], message: msgspec.Struct) -> None:
    """Write one message; raises `PipeBroken`."""
    send_bytes(write, msgspec.msgpack.encode(message))


def receive_frame(stream: Readable, decoder: msgspec.msgpack.Decoder[Any], most: int) -> Any:
    """Read one message of at most `most` bytes, as `decoder` understands it; raises `PipeBroken`."""
    try:
        return decoder.decode(receive_bytes(stream, most))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PipeBroken(str(error)) from error


def send_bytes(write: Callable[[bytes | memoryview], int | None], data: bytes | memoryview) -> None:
    """Write plain bytes with their length; raises `PipeBroken`."""
    if len(data) <= _AT_ONCE:
        write_all(write, _LENGTH.pack(len(data)) + data)
    else:
        write_all(write, _LENGTH.pack(len(data)))
        write_all(write, data)


def receive_bytes(stream: Readable, most: int) -> bytearray:
    """Read at most `most` plain bytes that were sent with their length; raises `PipeBroken`."""
    (length,) = _LENGTH.unpack(read_exactly(stream, _LENGTH.size))
    if length > most:
        raise PipeBroken(f"a message of {length} bytes is over the limit")
    return read_exactly(stream, length)
