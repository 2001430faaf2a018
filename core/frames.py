"""Messages between a process and its confined child: a length of four bytes, and MessagePack."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import msgspec

from core.confinement import PipeBroken, read_exactly, write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.confinement import Readable

_LENGTH: Final = struct.Struct(">I")


def send_frame(write: Callable[[bytes | memoryview], int | None], message: msgspec.Struct) -> None:
    """Write one message; raises `PipeBroken`."""
    data = msgspec.msgpack.encode(message)
    write_all(write, _LENGTH.pack(len(data)))
    write_all(write, data)


def receive_frame(stream: Readable, decoder: msgspec.msgpack.Decoder[Any], most: int) -> Any:
    """Read one message of at most `most` bytes, as `decoder` understands it; raises `PipeBroken`."""
    (length,) = _LENGTH.unpack(read_exactly(stream, _LENGTH.size))
    if length > most:
        raise PipeBroken(f"a message of {length} bytes is over the limit")
    try:
        return decoder.decode(read_exactly(stream, length))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PipeBroken(str(error)) from error
