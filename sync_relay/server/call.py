"""One request, as handlers see it: checked, decoded, and with whoever asks."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from starlette.requests import ClientDisconnect

from sync_relay.errors import Malformed, NoSuchPath, NotSignedIn
from sync_relay.server.blobs import Interrupted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from sync_relay.server.service import Service
    from sync_relay.server.sessions import Caller
    from sync_relay.wire import Struct

_HEX_ID: Final = re.compile("[0-9a-f]{64}", re.ASCII)
_NUMBER: Final = re.compile("[0-9]{1,19}", re.ASCII)
_MOST_MAILBOXES: Final = 1_000_000

Body = TypeVar("Body", bound="Struct")


@dataclass
class Call:
    """A request under way.

    `address` is a key for where it came from (`rates.Addresses`), `numbers` are its query parameters and header
    fields, those that were given; `body_begun` says whether a handler has begun to read the body itself.
    """

    service: Service
    request: Request
    address: bytes = b""
    caller: Caller | None = None
    body: Struct | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    body_begun: bool = False

    @property
    def library_id(self) -> bytes:
        """The library that the caller's token is for: no request names another."""
        if self.caller is None:
            raise NotSignedIn("this needs a token")
        return self.caller.library_id

    def body_as(self, shape: type[Body]) -> Body:
        """Return the decoded body."""
        if not isinstance(self.body, shape):
            raise TypeError(f"this operation was declared without {shape.__name__}")
        return self.body

    @property
    def blob_id(self) -> bytes:
        """The blob that the path names, in the one spelling there is."""
        text = self.request.path_params["blob"]
        if not _HEX_ID.fullmatch(text):
            raise NoSuchPath("a blob's id is 64 hexadecimal digits, in lower case")
        return bytes.fromhex(text)

    @property
    def mailbox(self) -> int:
        """The mailbox that the path names."""
        number = read_number(self.request.path_params["number"], _MOST_MAILBOXES)
        if number is None:
            raise NoSuchPath("a mailbox has a number")
        return number

    @property
    def token(self) -> str | None:
        """The bearer token, of whatever kind."""
        scheme, _, text = self.request.headers.get("authorization", "").partition(" ")
        return text if scheme.lower() == "bearer" else None

    def require_number(self, name: str) -> int:
        """Return a number that has to be given."""
        if name not in self.numbers:
            raise Malformed(f"this needs `{name}`")
        return self.numbers[name]


async def pieces(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    """Yield the body as it comes; raise `Interrupted` if the sender goes, or is silent for too long.

    A sender that holds a connection open and says nothing would otherwise keep others waiting.
    """
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except (TimeoutError, ClientDisconnect):
            raise Interrupted from None
        if piece:
            yield piece


def read_number(text: str, most: int) -> int | None:
    """Return a decimal number from 0 to `most`, or None for anything else."""
    if not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if number <= most else None
