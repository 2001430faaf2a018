"""Terminals that say what is not so, change size at any moment, or are gone."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

import pytest

from core.verify import verify
from tests.conftest import REPOSITORY
from tests.tui.app.conftest import Bench, library_shown, play, settled, until
from tests.tui.conftest import PASSPHRASE
from tui.app.screens.photo import PhotoScreen

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

PATIENCE_S = 60.0
"""For a process to end, or to draw, on a machine that does other things."""
LIES = {
    "a terminal that cannot place": b"\x1b_Gi=31;OK\x1b\\\x1bP>|Konsole 23\x1b\\\x1b[6;99999;0t\x1b[?62c",
    "noise": bytes(random.Random(4).randrange(128, 256) for _ in range(4000)),  # none of it is a key, if it is late
}


class Terminal:
    """The app behind a pseudo-terminal that answers its first question with `answer`, and then reads what it draws."""

    def __init__(self, root: Path, passphrase_file: Path, answer: bytes, size: tuple[int, int] = (24, 80)) -> None:
        self._outside, inside = pty.openpty()
        self.resize(size)
        environment = dict(
            os.environ,
            PYTHONPATH=str(REPOSITORY),
            SAFELIGHT_LIBRARY=str(root),
            SAFELIGHT_PASSPHRASE_FILE=str(passphrase_file),
            TERM="xterm-256color",
        )
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tui.cli"],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=environment,
            start_new_session=True,
            # As a terminal's own shell: the one that is told when the terminal goes.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one system call
        )
        os.close(inside)
        self._answer = answer
        self.shown = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.hang_up()

    def resize(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self._outside, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self._outside, text)

    def hang_up(self) -> None:
        if self._outside >= 0:
            os.close(self._outside)
            self._outside = -1

    def read(self) -> None:
        """Take what is drawn now, for a moment at most."""
        if select.select([self._outside], [], [], 0.05)[0]:
            self.shown += os.read(self._outside, 1 << 16)
        if self._answer and b"\x1b[c" in self.shown:
            self.type(self._answer)
            self._answer = b""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text.encode() not in self.shown:
            assert self.process.poll() is None, self.shown[-3000:]
            assert time.monotonic() < deadline, f"waited for {text!r} in {self.shown[-3000:]!r}"
            self.read()

    def wait_for_end(self) -> int:
        """Wait until the process has ended; what it still draws is read as long as there is a terminal."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it goes on without a terminal"
            if self._outside >= 0:
                try:
                    self.read()
                except OSError:  # the other end is closed
                    self.hang_up()
            else:
                time.sleep(0.02)  # a process tells nobody but its parent, and that by asking
        return int(self.process.returncode)


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.touch(mode=0o600)
    path.write_text(PASSPHRASE + "\n")
    return path


@pytest.mark.parametrize("lie", LIES)
def test_what_it_says_of_itself_harms_nothing(pictured: Bench, passphrase_file: Path, lie: str) -> None:
    with Terminal(pictured.root, passphrase_file, LIES[lie]) as terminal:
        terminal.wait_for("12 photos")
        terminal.wait_for("▀")
        terminal.type(b"\x11")
        assert terminal.wait_for_end() == 0
    assert b"\x1b_Ga=T" not in terminal.shown
    assert b"Traceback" not in terminal.shown


@pytest.mark.parametrize("end", ["closed", "hang-up", "closed under nohup"])
def test_a_lost_connection_ends_the_app_and_harms_no_library(
    pictured: Bench, passphrase_file: Path, end: str, request: pytest.FixtureRequest
) -> None:
    # What runs under nohup, or was started in the background by some shells, hands on that the signal is ignored.
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if "nohup" in end else signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, before))
    with Terminal(pictured.root, passphrase_file, b"\x1b[?62c") as terminal:
        terminal.wait_for("12 photos")
        terminal.type(b"f5")  # an edit is under way when the line is cut
        if end == "hang-up":
            terminal.process.send_signal(signal.SIGHUP)
        else:
            terminal.hang_up()
        terminal.wait_for_end()
    with pictured.open() as library:
        assert verify(library).sound
        assert len(library.catalog.pids("")) == 12


def test_any_size_at_any_moment(pictured: Bench) -> None:
    sizes = random.Random(20_05)

    async def scene(pilot: Pilot[None]) -> None:
        for size in ((20, 5), (1, 1), (80, 24), (1, 40), (200, 1)):  # while the library is being opened
            await pilot.resize_terminal(*size)
        await library_shown(pilot)
        for key in (
            "pagedown",
            "o",
            "escape",
            "plus",
            "enter",
            "plus",
            "right",
            "i",
            "escape",
            "f1",
            "escape",
            "slash",
        ):
            await pilot.resize_terminal(sizes.randrange(1, 120), sizes.randrange(1, 40))
            await pilot.press(key)
            if key == "enter":
                await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
        await pilot.press("escape")
        await pilot.resize_terminal(100, 30)
        screen = await library_shown(pilot)
        await settled(pilot)
        assert screen.grid.region.contains_region(screen.grid.where(screen.grid.cursor))

    play(pictured.app(), scene, size=(20, 5))
