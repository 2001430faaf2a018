"""What parent and worker say to each other over the worker's pipes.

A message is two frames (`core.frames`): a MessagePack head that says what it is, and a body of plain bytes: the file on
the way in, the preview on the way out. The worker is never trusted with more than this: the parent bounds every length
and validates every head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from core.frames import receive_bytes, receive_frame, send_bytes, send_frame
from core.importing.facts import FileFacts, Looks  # noqa: TC001  msgspec reads the annotations
from core.importing.limits import Limits  # noqa: TC001  as above

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.confinement import Readable

MAX_HEAD_BYTES = 2 << 20
MAX_BODY_BYTES = 64 << 20


class Model(msgspec.Struct, frozen=True):
    """Where the pack lies, and its manifest, which names the SHA-256 of everything else in it."""

    folder: str
    manifest: bytes


class Start(msgspec.Struct, frozen=True, tag="start"):
    """The first request: bounds, the pack to label with, and the image-text pack that pictures become vectors by."""

    limits: Limits
    model: Model | None
    image_text: Model | None = None


class Photo(msgspec.Struct, frozen=True, tag="photo"):
    """Decode the file in the body, or for a large one the file at `path`; its name tells raws apart."""

    name: str
    size: int
    path: bytes | None = None


class Preview(msgspec.Struct, frozen=True, tag="preview"):
    """Run the models over the preview in the body; `labels` and `vector` say which."""

    labels: bool = True
    vector: bool = True


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The answer to `Start`."""


class Heavy(msgspec.Struct, frozen=True, tag="heavy"):
    """The file needs much memory: the worker waits for `Go`, which it gets while no other one works on such a file."""


class Go(msgspec.Struct, frozen=True, tag="go"):
    """The answer to `Heavy`."""


class Labels(msgspec.Struct, frozen=True):
    """What the model said: (class, probability) of the strongest, strongest first; the embedding as float16, if any."""

    classes: list[tuple[int, float]]
    embedding: bytes | None = None


class Done(msgspec.Struct, frozen=True, tag="done"):
    """A file became a photo; the preview is in the body.

    `digest` is the BLAKE2b-256 of a file read by path; `vector` the image-text pack's, as float16.
    """

    facts: FileFacts
    preview_size: tuple[int, int]
    thumbnail: bytes
    thumbhash: bytes
    looks: Looks
    labels: Labels | None
    digest: bytes | None = None
    vector: bytes | None = None


class Labelled(msgspec.Struct, frozen=True, tag="labelled"):
    """The answer to `Preview`."""

    labels: Labels | None
    vector: bytes | None = None


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The file cannot become a photo, for this reason."""

    reason: str


Request = Start | Photo | Preview | Go
Answer = Ready | Heavy | Done | Labelled | Refused

_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def send(
    write: Callable[[bytes | memoryview], int | None], head: Request | Answer, body: bytes | memoryview = b""
) -> None:
    """Send one message through `write`, which may take less than it is given; raises `PipeBroken`."""
    send_frame(write, head)
    send_bytes(write, body)


def receive_request(stream: Readable) -> tuple[Request, bytearray]:
    """Return the next request and its body; raises `PipeBroken`."""
    return receive_frame(stream, _requests, MAX_HEAD_BYTES), receive_bytes(stream, MAX_BODY_BYTES)


def receive_answer(stream: Readable) -> tuple[Answer, bytearray]:
    """Return the next answer and its body.

    Raises:
        PipeBroken: the worker is gone, or its answer is none.
    """
    return receive_frame(stream, _answers, MAX_HEAD_BYTES), receive_bytes(stream, MAX_BODY_BYTES)
