"""One side of a pairing mailbox, over a network that fails and a relay that may lie.

Letters come one by one and in order. A letter is left again where nobody knows whether it arrived; the other side sees
the same bytes twice and passes over the second. What is in a letter is none of this module's business.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeVar

from core.errors import PairingRefused
from core.relay_errors import relay_errors
from sync_relay.client import Unreachable
from sync_relay.errors import NoSuchMailbox, RelayError, TooManyRequests, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sync_relay.client import RelayClient
    from sync_relay.wire import MailboxSide

Answer = TypeVar("Answer")

_LONGEST_LIFE_S: Final = 3_600.0
_GROWTH: Final = 1.4


@dataclass(frozen=True)
class Pace:
    """How patient a pairing is, in seconds.

    Between two looks into the mailbox `first` to `longest` pass; a relay that cannot be reached is tried again for
    `unreachable`; and the newcomer waits for `arrival` until the relay has been told of it.
    """

    first: float = 0.15
    longest: float = 2.0
    unreachable: float = 20.0
    arrival: float = 60.0


PACE: Final = Pace()


class Mailbox:
    """A claimed or opened side. Leaving the block by an error closes the mailbox, which ends the code for both."""

    def __init__(
        self,
        client: RelayClient,
        side: MailboxSide,
        *,
        ended: Callable[[], PairingRefused],
        stop: threading.Event | None = None,
        pace: Pace = PACE,
    ) -> None:
        """Use `side`; `ended` makes the error for a mailbox that is gone, and setting `stop` ends all waiting."""
        self._client = client
        self._side = side
        self._ended = ended
        self._stop = stop or threading.Event()
        self._pace = pace
        self._deadline = time.monotonic() + min(max(side.expires_in, 0), _LONGEST_LIFE_S)
        self._taken = 0
        self._last = b""

    def __enter__(self) -> Self:
        """Return the mailbox."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Close it if something went wrong: the other side learns at once, and not when the code expires."""
        if kind is not None:
            self.close()

    def leave(self, letter: bytes) -> None:
        """Leave a letter for the other side.

        Raises what `ended` makes, `PairingRefused` where `stop` was set, `RelayUnreachable` and `RelayRefused`.
        """
        self._persist(lambda: self._client.leave_letter(self._side, letter))

    def receive(self) -> bytes:
        """Return the other side's next letter; waits for it until the mailbox expires. Raises what `leave` raises."""
        pause = self._pace.first
        while True:
            found = self._persist(lambda: self._client.collect_letters(self._side, self._taken)).letters
            for letter in found:
                self._taken += 1
                if letter != self._last:
                    self._last = letter
                    return letter
            self._wait(pause)
            pause = min(pause * _GROWTH, self._pace.longest)

    def close(self) -> None:
        """Remove the mailbox; that it cannot be, because the relay is gone or has done it, is no matter."""
        with contextlib.suppress(Unreachable, RelayError):
            self._client.close_mailbox(self._side)

    def _persist(self, request: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer, or the patience for a relay that is out of reach is at its end."""
        patience = time.monotonic() + self._pace.unreachable
        pause = self._pace.first
        while True:
            if self._stop.is_set():
                raise stopped()
            with relay_errors(self._client.url):
                try:
                    return request()
                except NoSuchMailbox:
                    raise self._ended() from None
                except (Unreachable, Unavailable, TooManyRequests) as error:
                    if time.monotonic() >= patience:
                        raise
                    details = error.details if isinstance(error, RelayError) else None
                    asked = details.retry_after if details is not None else None
            self._wait(max(pause, min(asked or 0, self._pace.unreachable)))
            pause = min(pause * _GROWTH, self._pace.longest)

    def _wait(self, seconds: float) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._ended()
        if self._stop.wait(min(seconds, left)):
            raise stopped()


def stopped() -> PairingRefused:
    """Return the error of a pairing that the user stopped."""
    return PairingRefused("pairing was stopped; the code cannot be used any more")
