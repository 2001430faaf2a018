"""What crosses the pipes between a trial and its parent: frames of a length (4 bytes) and MessagePack."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    import io

_LENGTH: Final = struct.Struct(">I")
_PIECE: Final = 1 << 20

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


class PipeClosed(Exception):
    """The other side is gone, or does not keep to the frames."""


def send(pipe: io.FileIO, message: msgspec.Struct) -> None:
    """Write one message; raises `PipeClosed`."""
    data = msgspec.msgpack.encode(message)
    try:
        for part in (_LENGTH.pack(len(data)), data):
            view = memoryview(part)
            while view:
                view = view[pipe.write(view) or 0 :]
    except (OSError, ValueError) as error:
        raise PipeClosed from error


def receive(pipe: io.FileIO, kind: type[Message]) -> Message:
    """Read one message; raises `PipeClosed`."""
    try:
        (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
        return msgspec.msgpack.decode(_read(pipe, length), type=kind)
    except (OSError, ValueError, struct.error, msgspec.MsgspecError) as error:
        raise PipeClosed from error


def _read(pipe: io.FileIO, length: int) -> bytearray:
    data = bytearray()
    while len(data) < length:
        piece = pipe.read(min(_PIECE, length - len(data)))
        if not piece:
            raise PipeClosed
        data += piece
    return data
