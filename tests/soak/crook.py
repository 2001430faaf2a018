"""The crook between devices and their relay: it drops, repeats, holds back, alters, and shows one thing to each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx2

from sync_relay.client import RelayClient
from tests.soak.in_process import URL, Answered, Asked, InProcessRelay
from tests.soak.mischief import (
    ON_THE_WAY,
    UNTIL_THE_END,
    Fault,
    as_request,
    as_response,
    flipped,
    items_of,
    keep_back,
    lie,
    path_of,
    refusal,
    with_body,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_relay import wire

MOST_KNOWN = 60
WORD = "plaintext"
PLANTED = WORD.encode()
"""Stands in every name, label, caption and file that the devices are given."""


class Killed(BaseException):
    """The process ends here, as by `kill -9`: no code of the program expects it."""


class Crook:
    """Passes requests on, or not. It belongs to one world, whose devices have numbers."""

    def __init__(self, relay: InProcessRelay) -> None:
        """Let everything through."""
        self.relays: dict[int, InProcessRelay] = {0: relay}
        """The histories that there are; a device is shown one of them."""
        self.shows: dict[int, int] = {}
        self.hidden: dict[int, dict[bytes, tuple[int, bytes]]] = {}
        """What is kept back from a device: of each author, all past (seq, hash)."""
        self.happened: set[str] = set()
        self.requests = 0
        self._plan: list[Fault] = []
        self._meanwhile: tuple[int, Callable[[], object]] | None = None
        self._count = 0
        self._ended = ""
        self._held: list[tuple[int, Asked]] = []
        self._old: dict[tuple[int, str, str], Answered] = {}
        self._known: list[wire.Item] = []

    def connect(self, number: int) -> Callable[[str], RelayClient]:
        """Return how a device gets at its relay."""
        return lambda url: RelayClient(url, transport=_Line(self, number, is_known=url == URL))

    def relay_of(self, number: int) -> InProcessRelay:
        """Return the relay that a device is shown."""
        return self.relays[self.shows.get(number, min(self.relays))]

    def begin(self, plan: Sequence[Fault], meanwhile: tuple[int, Callable[[], object]] | None = None) -> None:
        """Begin a run of sync: `plan` is what goes wrong, `meanwhile` what happens before its n-th request."""
        self._plan, self._meanwhile, self._count, self._ended = list(plan), meanwhile, 0, ""

    def end(self) -> None:
        """End the run."""
        self._plan, self._meanwhile, self._ended = [], None, ""

    def release(self) -> None:
        """Let what was held on the way arrive after all."""
        held, self._held = self._held, []
        for number, asked in held:
            if number in self.relays:
                self.relays[number].ask(asked)

    @property
    def holds_something(self) -> bool:
        """Whether there is anything to release."""
        return bool(self._held)

    def make_peace(self) -> None:
        """Do nothing wrong any more; what is held is lost."""
        self.end()
        self.hidden.clear()
        self._held.clear()

    def pass_on(self, number: int, asked: Asked) -> Answered:
        """Answer a device's request; raises what a broken connection does."""
        assert PLANTED not in asked.body
        assert PLANTED not in asked.path.encode()
        self.requests += 1
        at, self._count = self._count, self._count + 1
        if self._meanwhile and at >= self._meanwhile[0] and threading.current_thread() is threading.main_thread():
            self._interrupt(self._meanwhile[1])
        if self._ended == "gone":
            raise httpx2.ConnectError("nothing listens there")
        if self._ended == "deaf":
            self._tell(number, asked)
            raise httpx2.ReadError("the connection was reset")
        due = [fault for fault in self._plan if fault.at <= at]
        for fault in due:
            if fault.kind == "refuse":
                self._happens(fault)
                return refusal(fault.amount)
            asked = self._on_the_way_there(fault, number, asked)
        answered = keep_back(asked, self._tell(number, asked), self.hidden.get(number, {}))
        self._remember(number, asked, answered)
        for fault in due:
            answered = self._on_the_way_back(fault, number, asked, answered)
        return answered

    def _on_the_way_there(self, fault: Fault, number: int, asked: Asked) -> Asked:
        """Return the request as it arrives, if it does."""
        if fault.kind == "hold":
            self._held.append((self.shows.get(number, min(self.relays)), asked))
        if fault.kind in {"gone", "drop", "hold"}:
            self._happens(fault)
            raise httpx2.ConnectError("the connection was reset")
        if fault.kind == "garble" and asked.body:
            self._happens(fault)
            return Asked(asked.method, asked.path, asked.headers, flipped(asked.body, fault.amount))
        return asked

    def _on_the_way_back(self, fault: Fault, number: int, asked: Asked, answered: Answered) -> Answered:
        """Return the answer as it arrives, if it does."""
        if fault.kind in {"deaf", "lose"}:
            self._happens(fault)
            raise httpx2.ReadError("the connection was reset")
        if fault.kind == "repeat":
            self._happens(fault)
            return self._tell(number, asked)
        changed = self._altered(fault, number, asked, answered)
        if changed is None or changed == answered:
            return answered
        self._happens(fault)
        return changed

    def _interrupt(self, what: Callable[[], object]) -> None:
        """Have something else happen, which may be another device's own run."""
        self._meanwhile = None
        kept = (self._plan, self._count, self._ended)
        self._plan, self._count, self._ended = [], 0, ""
        try:
            what()
        finally:
            self._plan, self._count, self._ended = kept

    def _tell(self, number: int, asked: Asked) -> Answered:
        return self.relay_of(number).ask(asked)

    def _happens(self, fault: Fault) -> None:
        self.happened.add(fault.kind)
        if fault in self._plan:
            self._plan.remove(fault)
        if fault.kind in UNTIL_THE_END:
            self._ended = fault.kind

    def _altered(self, fault: Fault, number: int, asked: Asked, answered: Answered) -> Answered | None:
        if fault.kind == "stale":
            return self._old.get((number, asked.method, path_of(asked)))
        if fault.kind == "flip":
            return with_body(answered, flipped(answered.body, fault.amount))
        if fault.kind == "cut":
            return with_body(answered, answered.body[: fault.amount % (len(answered.body) or 1)])
        return None if fault.kind in ON_THE_WAY else lie(fault, asked, answered, self._known)

    def _remember(self, number: int, asked: Asked, answered: Answered) -> None:
        self._old.setdefault((number, asked.method, path_of(asked)), answered)
        for item in items_of(asked, answered):
            if len(self._known) < MOST_KNOWN:
                self._known.append(item)


class _Line(httpx2.BaseTransport):
    """The way from one device to a relay."""

    def __init__(self, crook: Crook, number: int, *, is_known: bool) -> None:
        self._crook = crook
        self._number = number
        self._is_known = is_known

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if not self._is_known:
            raise httpx2.ConnectError("nothing listens there")
        return as_response(self._crook.pass_on(self._number, as_request(request)))
