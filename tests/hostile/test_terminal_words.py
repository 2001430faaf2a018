"""Scenario 11: words that another device has written, shown on a terminal.

Elsewhere: file names and captions in lists and in `show` (tests/tui/test_output.py, test_photo_commands.py); names in
pairing are refused when they are met (tests/core/devices/test_pairing.py).
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest

from core.library import Library
from crdt.documents import LIBRARY
from crdt.operations import Put
from tests.tui.conftest import PASSPHRASE, CommandLine, empty, filled, filled_once

if TYPE_CHECKING:
    from core.library import Scalar

__all__ = ["empty", "filled", "filled_once"]

EVIL = "\x1b]0;owned\x07\x1b[2J\u202eevil\r\n\x9b31m"


@pytest.fixture
def visited(filled: CommandLine) -> CommandLine:
    """A library in which somebody has written what drives terminals wherever a text can stand."""
    with Library.open(filled.root, Library.unlock(filled.root, PASSPHRASE.encode())) as library:
        own = library.device_id.hex()
        texts: dict[tuple[str, str], Scalar] = {
            ("device", own): EVIL,
            ("device", EVIL): EVIL,
            ("album", "ab" * 16): EVIL,
            ("relay", f"https://{EVIL}"): EVIL,
            ("search", EVIL): EVIL,
            ("vocabulary", EVIL): EVIL,
            ("setting", f"originals/{own}"): EVIL,
            ("setting", f"holds/{own}"): EVIL,
            ("setting", "pack"): EVIL,
        }
        puts = [Put(map_name, key, value) for (map_name, key), value in texts.items()]
        library.commit({LIBRARY: puts}, action=EVIL, summary=EVIL)
    return filled


@pytest.mark.scenario(11, "it names relays, words and times that mislead")
@pytest.mark.parametrize(
    "command",
    [
        "device list",
        "log",
        "relay list",
        "relay status",
        "doctor",
        "album list",
        "search",
        "sync",
        "label list",
        "free",
    ],
)
def test_no_word_of_another_device_drives_the_terminal(visited: CommandLine, command: str) -> None:
    visited(*command.split(), code=None)
    for shown in (visited.out, visited.err):
        bad = {letter for letter in shown if unicodedata.category(letter) in {"Cc", "Cf"} and letter not in "\n\t"}
        assert bad == set(), shown
