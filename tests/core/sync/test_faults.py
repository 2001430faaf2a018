"""The network fails at every byte, and every request goes wrong in every way: devices end with equal catalogs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import RelayRefused, RelayUnreachable
from core.sync.engine import SyncEngine
from core.sync.patience import Patience
from sync_relay import errors
from sync_relay.client import RelayClient
from tests.core.sync.conftest import converged
from tests.sync_relay.faults import Answer, Fault, Faults, Garble, Lose, Refuse, Repeat, Truncate, boundaries

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.sync.report import SyncReport
    from tests.core.sync.conftest import Device

CUTS = 9
"""How many of the places where a connection can be cut are tried, each way; which ones differs from run to run of the
suite as little as the bytes do."""

CASES = 18
SHARES = 2


def edit(first: Device, second: Device, number: int) -> None:
    """Let both devices have something of every kind to give."""
    for device in (first, second):
        device.library.refresh()
    old = sorted(set(first.library.catalog.pids()) & set(second.library.catalog.pids()))
    pids = first.photos(1, month=f"20{number % 80:02}-05")
    edits.add_label(first.library, pids, f"label {number}")
    if old:
        edits.set_caption(second.library, old[-1:], f"caption {number}")
    second.photos(1, month=f"19{number % 80:02}-06")
    if len(old) > 4:
        edits.purge(first.library, old[:1])


def sync_over(device: Device, network: Faults, *, tries: int) -> SyncReport:
    """Sync once over a network that fails; an error that is none of the network's is raised."""
    engine = SyncEngine(
        device.library,
        connect=lambda url: RelayClient(url, transport=network.transport(url)),
        patience=lambda: Patience(tries=tries, pause=lambda _: None),
    )
    try:
        return engine.run()
    finally:
        engine.close()


def agree(first: Device, second: Device) -> None:
    """Sync over a network that works, and expect that nothing is wrong with anything."""
    for device in (first, second, first):
        device.sync()
    converged(first, second)
    assert first.engine.alarms.list() == second.engine.alarms.list() == []
    for device in (first, second):
        for blob in device.library.blobs.iter_ids():
            device.library.blobs.check(blob)


def some(places: list[int]) -> list[int]:
    return [places[number * (len(places) - 1) // (CUTS - 1)] for number in range(CUTS)]


@pytest.mark.scenario(12, "connections break")
@pytest.mark.parametrize("direction", ["sent", "received"])
def test_a_connection_that_is_cut_costs_nothing_but_the_time(pair: tuple[Device, Device], direction: str) -> None:
    first, second = pair
    agree(first, second)
    edit(first, second, 0)
    agree(first, second)
    edit(first, second, 1)
    whole = Faults()
    assert sync_over(first, whole, tries=1).worst_error is None
    agree(first, second)
    total = whole.sent if direction == "sent" else whole.received
    marks = whole.sent_marks if direction == "sent" else whole.received_marks
    places = boundaries(total, every=0, marks=marks)
    failed = 0
    for number, place in enumerate(some(places), 2):
        edit(first, second, number)
        network = Faults(cut_sent=place) if direction == "sent" else Faults(cut_received=place)
        device = (first, second)[number % 2]
        tries = 1 + number % 3
        report = sync_over(device, network, tries=tries)
        error = report.worst_error
        assert error is None or (tries == 1 and isinstance(error, RelayUnreachable)), (place, error)
        failed += error is not None
        agree(first, second)
    assert failed


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :] if content else b"?"


FAULTS: dict[str, Callable[[], Fault]] = {
    "lose": Lose,
    "repeat": Repeat,
    "refuse": Refuse,
    "busy": lambda: Answer.named(errors.TooManyRequests("too fast", details=errors.ErrorDetails(retry_after=1))),
    "unavailable": lambda: Answer.named(errors.Unavailable("not now"), after_it_was_done=True),
    "full": lambda: Answer.named(
        errors.QuotaFull("full", details=errors.ErrorDetails(quota="bytes", over=1, limit=1, used=1))
    ),
    "broken": lambda: Answer.named(errors.Broken("a fault of the relay")),
    "not signed in": lambda: Answer.named(errors.NotSignedIn("this token has expired")),
    "a proxy's page": lambda: Answer(502, b"<html>bad gateway</html>", {"content-type": "text/html"}),
    "truncated": lambda: Truncate(7),
    "empty": lambda: Truncate(0),
}


@pytest.mark.scenario(12, "429, 507 and other refusals")
@pytest.mark.parametrize("share", range(SHARES))
def test_a_request_that_goes_wrong_is_made_again(pair: tuple[Device, Device], share: int) -> None:
    first, second = pair
    agree(first, second)
    edit(first, second, 0)
    agree(first, second)
    edit(first, second, 1)
    whole = Faults()
    sync_over(first, whole, tries=1)
    agree(first, second)
    # Every kind at some requests, and every request in some way; all of them took minutes, and found nothing more.
    cases = [(number, kind) for kind in FAULTS for number in range(len(whole.asked))]
    chosen = random.Random(5).sample(cases, min(len(cases), CASES))[share::SHARES]
    for step, (number, kind) in enumerate(chosen, 2):
        edit(first, second, step)
        report = sync_over(first, Faults(at={number: FAULTS[kind]()}), tries=3)
        error = report.worst_error
        assert error is None or isinstance(error, RelayRefused | RelayUnreachable), (number, kind, error)
        agree(first, second)


@pytest.mark.scenario(1, "in an answer of the relay")
def test_an_answer_that_was_altered_is_believed_in_nothing(pair: tuple[Device, Device]) -> None:
    """A wrong answer may raise an alarm by name; what is stored is right all the same, and stays so."""
    first, second = pair
    agree(first, second)
    edit(first, second, 0)
    agree(first, second)
    edit(first, second, 1)
    whole = Faults()
    sync_over(second, whole, tries=1)
    agree(first, second)
    for number in range(len(whole.asked)):
        edit(first, second, 2 + number)
        first.sync()
        sync_over(second, Faults(at={number: Garble(flipped)}), tries=3)
        second.engine.alarms.clear()
        agree(first, second)
