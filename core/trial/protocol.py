"""What crosses the pipes between a trial and its parent: frames of a length (4 bytes) and MessagePack."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from core.confinement import PipeBroken, read_exactly, write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.confinement import Readable

_LENGTH: Final = struct.Struct(">I")
MAX_MESSAGE_BYTES: Final = 3 << 29
"""A snapshot inflates to 1 GiB at most; a replica is smaller than the changes in it."""

Message = TypeVar("Message")


class Merge(msgspec.Struct, frozen=True, array_like=True):
    """Make a replica of `document` from its snapshot, whose changes may be by any of `devices`.

    `memory` bounds what the process may take from now on, in bytes.
    """

    document: str
    snapshot: bytes
    devices: list[bytes]
    memory: int


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The replica as `Replica.save` writes it, or why there is none."""

    saved: bytes = b""
    refused: str = ""


def send(write: Callable[[bytes | memoryview], int | None], message: msgspec.Struct) -> None:
    """Write one message; raises `PipeBroken`."""
    data = msgspec.msgpack.encode(message)
    write_all(write, _LENGTH.pack(len(data)))
    write_all(write, data)


def receive(stream: Readable, kind: type[Message]) -> Message:
    """Read one message; raises `PipeBroken`."""
    (length,) = _LENGTH.unpack(read_exactly(stream, _LENGTH.size))
    if length > MAX_MESSAGE_BYTES:
        raise PipeBroken(f"a message of {length} bytes is over the limit")
    try:
        return msgspec.msgpack.decode(read_exactly(stream, length), type=kind)
    except msgspec.MsgspecError as error:
        raise PipeBroken(str(error)) from error
