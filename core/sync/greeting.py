"""Who answers: every relay that this process is not connected to is asked at once, and nobody waits for the slowest.

Any member can name relays for all devices, and one of them may take connections and never say a word. So those that
this device was brought up to date with before, and that answer soon, are synced with first; the others follow.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Final

from core.errors import CoreError
from core.relay_errors import relay_errors
from core.sync.patience import Stopped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from core.sync.link import Link

ANSWER_S: Final = 10.0
"""How long a relay may take to say what it is; then it is asked once more, as patiently as the run is."""
_SOON_S: Final = 2.0


class Greeting:
    """The first words with the relays of one run. A known one alone is not asked: there is nobody to wait."""

    def __init__(self, links: Sequence[Link]) -> None:
        """Begin to ask `links`."""
        self._links = list(links)
        self._news = threading.Condition()
        self._given_up = False
        self._errors: dict[str, CoreError | None] = {}
        for link in links:
            if link.is_connected or (len(links) == 1 and link.facts.at):
                self._errors[link.url] = None
            else:
                # A process that is to end does not wait for a machine that says nothing.
                threading.Thread(target=self._ask, args=(link,), name="greeting", daemon=True).start()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for nobody any more."""
        with self._news:
            self._given_up = True

    def first(self) -> list[Link]:
        """Return those to sync with at once: of those known from before, or else of all, which answer within 2 s."""
        known = [link for link in self._links if link.is_connected or link.facts.at]
        asked = known or self._links
        self._wait(asked, _SOON_S)
        with self._news:
            return [link for link in asked if self._errors.get(link.url, link) is None]

    def later(self, first: Sequence[Link]) -> list[Link]:
        """Return the others that answer, once all have answered or failed; what failed is in their reports."""
        others = [link for link in self._links if link not in first]
        self._wait(others, None)
        for link in others:
            link.report.error = link.report.error or self._errors[link.url]
        return [link for link in others if self._errors[link.url] is None]

    def _wait(self, links: Sequence[Link], seconds: float | None) -> None:
        until = None if seconds is None else time.monotonic() + seconds
        with self._news:
            while any(link.url not in self._errors for link in links):
                if not self._news.wait(None if until is None else max(0.0, until - time.monotonic())):
                    return

    def _ask(self, link: Link) -> None:
        failure: CoreError | None = None
        try:
            with relay_errors(link.url):
                link.ask(functools.partial(link.client.about, timeout_s=ANSWER_S))
        except CoreError as error:
            failure = error
        except Stopped:
            pass  # the thread that runs the sync notices by itself
        with self._news:
            if not self._given_up:
                self._errors[link.url] = failure
                self._news.notify_all()
