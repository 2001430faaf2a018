"""What crosses the pipes between a text encoder's process and its parent."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_REQUEST_BYTES: Final = 4 << 20
MAX_ANSWER_BYTES: Final = 64 << 20
"""The background's hundred prompts at 4,096 numbers are 2 MB."""


class Encode(msgspec.Struct, frozen=True, array_like=True):
    """Turn `texts` into vectors by the image-text pack in `folder`, whose manifest has the bytes `manifest`."""

    folder: str
    manifest: bytes
    threads: int
    texts: list[str]


class Encoded(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """`rows` vectors of float32, little-endian, one after the other."""

    rows: int
    vectors: bytes


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Which of `ml.errors` it is, its message and its hint."""

    error: str
    message: str
    hint: str | None


requests: Final = msgspec.msgpack.Decoder(Encode)
answers: Final[msgspec.msgpack.Decoder[Encoded | Failed]] = msgspec.msgpack.Decoder(Encoded | Failed)
