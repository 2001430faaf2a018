"""A whole session in a real terminal: from nothing to a search, by what is typed and what is seen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import pytest

from tests.tui.app.conftest import make_pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TMUX = shutil.which("tmux")
PATIENCE_SECONDS = 60
_WORD = re.compile(r"(\d+) ([a-z]+)")

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed here")


class Terminal:
    """tmux with one window, on a socket of its own."""

    def __init__(self, folder: Path, command: str, environment: dict[str, str], size: tuple[int, int]) -> None:
        self._base = [TMUX or "tmux", "-S", str(folder / "tmux.sock"), "-f", os.devnull]
        named = [part for name, value in environment.items() for part in ("-e", f"{name}={value}")]
        self._run("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), *named, command)
        self._run("set-option", "-g", "remain-on-exit", "on")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._base, "kill-server"], check=False, capture_output=True)

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def seen(self) -> str:
        return self._run("capture-pane", "-p")

    def wait_for(self, pattern: str) -> str:
        self._until(lambda: re.search(pattern, self.seen()), repr(pattern))
        return self.seen()

    def wait_for_end(self) -> None:
        """Wait until the program has ended; tmux knows, and does not always draw it."""
        self._until(lambda: self._run("display-message", "-p", "#{pane_dead}").strip() == "1", "the end")

    def fill(self, text: str, drawn: str) -> None:
        """Type into a field, press enter, and wait until the cursor is in another one, as a person does.

        `drawn` is what the field shows then: until it does, the cursor moves because of the text.
        """
        self.type(text)
        self.wait_for(drawn)
        before = self._cursor()
        self.press("Enter")
        self._until(lambda: self._cursor() != before, "the cursor to move")

    def _cursor(self) -> str:
        return self._run("display-message", "-p", "#{cursor_x},#{cursor_y}")

    def _until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited for {what} in\n{self.seen()}"
            time.sleep(0.05)  # tmux tells nobody that something was drawn

    def _run(self, *arguments: str) -> str:
        return subprocess.run([*self._base, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(params=[(80, 24), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """The app, freshly installed, in a small terminal and in a large one."""
    environment = {name: os.environ[name] for name in os.environ if name.startswith("SAFELIGHT_")} | {
        "SAFELIGHT_LIBRARY": str(tmp_path / "library"),
        "HOME": str(tmp_path),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
    }
    with Terminal(tmp_path, f"{sys.executable} -P -m tui.cli", environment, request.param) as terminal:
        yield terminal


def test_from_nothing_to_a_search(terminal: Terminal, tmp_path: Path) -> None:
    photos = make_pictures(tmp_path / "camera")
    terminal.wait_for("Welcome to Safelight")
    terminal.fill("correct horse battery staple", "•{28}")
    terminal.type("correct horse battery staple")
    terminal.press("Enter")

    shown = terminal.wait_for("I have written them down")
    words = dict(_WORD.findall(shown))
    assert len(words) == 24
    asked = re.findall(r"Word (\d+)", shown)
    terminal.press("Enter")
    terminal.wait_for("Type these two")
    terminal.fill(words[asked[0]], words[asked[0]])
    terminal.type(words[asked[1]])
    terminal.press("Enter")

    terminal.wait_for("Import photos")
    terminal.wait_for(r"  ~/ ")
    terminal.press("C-u")
    terminal.wait_for("a folder")
    terminal.type(str(photos))
    terminal.wait_for("camera")
    terminal.press("Enter")
    terminal.wait_for("imported 12 photos")
    terminal.wait_for(r"May 2024 ─+ 4")
    terminal.wait_for("▀▀▀")

    terminal.press("/")
    terminal.type("date:2022")
    terminal.wait_for(r"date:2022 .*4 photos")
    terminal.press("Enter")
    terminal.wait_for("⏎ Open")  # the grid has the focus
    terminal.press("f")
    terminal.wait_for("1 photo favourite")
    terminal.press("Enter")
    terminal.wait_for(r"1 of 4 · 2022-12-\d.jpg")
    terminal.press("Escape", "C-q")
    terminal.wait_for_end()
