"""What a person at a terminal sees of sync: the question for an invite, bars, and ^C of a watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync_relay.server.settings import Settings
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay
from tests.tui.test_terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.tui.conftest import CommandLine


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    running = Relay(Settings(data=tmp_path / "relay"), Clock())
    yield running
    running.stop()


@pytest.fixture
def given(filled: CommandLine) -> dict[str, str]:
    return {"SAFELIGHT_PASSPHRASE_FILE": str(filled.passphrase_file)}


def test_the_invite_is_asked_for_then_syncing_shows_what_it_does(
    filled: CommandLine, relay: Relay, given: dict[str, str]
) -> None:
    terminal = Terminal("relay", "use", relay.url, **given)
    terminal.read_until("Invite of the relay's owner: ")
    terminal.type(relay.invite() + "\n")
    assert terminal.end() == 0
    assert "safelight sync" in terminal.seen
    terminal = Terminal("sync", **given)
    assert terminal.end() == 0
    assert "Sending files" in terminal.seen
    assert "sent" in terminal.seen
    terminal = Terminal("sync", NO_COLOR="1", **given)
    assert terminal.end() == 0
    assert "up to date" in terminal.seen


def test_a_watch_ends_with_an_interrupt(filled: CommandLine, relay: Relay, given: dict[str, str]) -> None:
    filled("relay", "use", relay.url, "--invite", relay.invite())
    terminal = Terminal("sync", "--watch", **given)
    terminal.read_until("Watching")
    terminal.read_until("sent")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen


def test_an_original_that_is_fetched_has_a_bar(filled: CommandLine, relay: Relay, given: dict[str, str]) -> None:
    filled("relay", "use", relay.url, "--invite", relay.invite())
    filled("sync")
    filled("free", "--single-copy")
    terminal = Terminal("open", filled.ids()[0], "--yes", "--with", "true", **given)
    assert terminal.end() == 0
    assert "Fetching files" in terminal.seen
    terminal = Terminal("free", "--single-copy", **given)
    assert terminal.end() == 0
    assert "Freed 1 original" in terminal.seen
