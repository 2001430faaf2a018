"""What crosses the pipes between a replica worker and its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from core.frames import receive_frame, send_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.confinement import Readable

MAX_MESSAGE_BYTES: Final = 3 << 29
"""A snapshot inflates to 1 GiB at most; a replica is smaller than the changes in it."""


class Merge(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Make a replica of `document` from its snapshot, whose changes may be by any of `devices`.

    `memory` bounds what the process may take from now on, in bytes.
    """

    document: str
    snapshot: bytes
    devices: list[bytes]
    memory: int


class Step(msgspec.Struct, frozen=True, array_like=True):
    """The changes of one envelope to the document, which may be by any of `devices`, its author first."""

    devices: list[bytes]
    changes: list[bytes]


class Rehearse(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Apply `steps` to the document as it is in `state` (`Replica.state`).

    `start` is the document in that state as `Replica.save` writes it; None where the worker may have it still, but for
    `since`, raw changes that are past what it has. `careful`: say what is tried, before each change. `memory` as in
    `Merge`.
    """

    document: str
    state: bytes
    start: bytes | None
    since: list[bytes]
    steps: list[Step]
    careful: bool
    memory: int


class Merged(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The replica as `Replica.save` writes it, or why there is none."""

    saved: bytes = b""
    refused: str = ""


class Trying(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Step `step` is begun, or in the course of it a change goes to the engine, which has `change` as its hash."""

    step: Annotated[int, msgspec.Meta(ge=0)]
    change: bytes = b""


class Wanted(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The document is not here in that state; its heads are `heads`, none if it is not here at all."""

    heads: list[bytes]


class Survived(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Every step was applied, or refused by name, as it will be again."""


class Broken(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The engine failed, or memory ran out; the process lives."""

    reason: str


Request = Merge | Rehearse
Answer = Merged | Trying | Wanted | Survived | Broken

_requests: Final = msgspec.msgpack.Decoder(Request)
_answers: Final = msgspec.msgpack.Decoder(Answer)


def send(write: Callable[[bytes | memoryview], int | None], message: Request | Answer) -> None:
    """Write one message; raises `PipeBroken`."""
    send_frame(write, message)


def receive_request(stream: Readable) -> Request:
    """Read one request; raises `PipeBroken`."""
    request: Request = receive_frame(stream, _requests, MAX_MESSAGE_BYTES)
    return request


def receive_answer(stream: Readable) -> Answer:
    """Read one answer; raises `PipeBroken`."""
    answer: Answer = receive_frame(stream, _answers, MAX_MESSAGE_BYTES)
    return answer
