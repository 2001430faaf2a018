"""What a person at a terminal sees: prompts, tables, bars, and ^C. In processes of their own, on a pseudo-terminal."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tui.conftest import CommandLine

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")

PATIENCE_SECONDS = 120


class Terminal:
    """A command whose standard streams are a terminal of 100 columns."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        controller, device = pty.openpty()
        self._controller = controller
        self.seen = ""
        self._looked_at = 0
        kept = {
            name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "SAFELIGHT_PASSPHRASE_FILE"}
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tui.cli", *arguments],
            stdin=device,
            stdout=device,
            stderr=device,
            env=kept | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"} | environment,
            start_new_session=True,
            preexec_fn=lambda: _control(device),  # noqa: PLW1509 - no threads here
        )
        os.close(device)

    def read_until(self, text: str) -> None:
        """Read until `text` comes, behind what was waited for before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen[self._looked_at :]:
            assert time.monotonic() < deadline, f"waited for {text!r} in {self.seen!r}"
            assert self._read(), f"ended without {text!r}: {self.seen!r}"

        self._looked_at = self.seen.index(text, self._looked_at) + len(text)

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        os.close(self._controller)
        return self.process.wait(PATIENCE_SECONDS)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._controller], [], [], PATIENCE_SECONDS)
        try:
            piece = os.read(self._controller, 65536) if ready else b""
        except OSError:
            piece = b""
        self.seen += piece.decode(errors="replace")
        return bool(piece)


def _control(device: int) -> None:
    """Make the terminal the controlling one, so that getpass finds it and ^C comes as a signal."""
    import fcntl
    import termios

    fcntl.ioctl(device, termios.TIOCSCTTY, 0)


def passphrase(cli: CommandLine) -> str:
    return cli.passphrase_file.read_text().strip()


def test_the_passphrase_is_asked_for_and_not_shown(filled: CommandLine) -> None:
    terminal = Terminal("search", "name:red")
    terminal.read_until("Passphrase: ")
    terminal.type("wrong\n")
    # The prompt drops what is typed before it.
    terminal.read_until("does not open this library")
    terminal.read_until("Passphrase: ")
    terminal.type(passphrase(filled) + "\n")
    assert terminal.end() == 0
    assert "red.jpg" in terminal.seen
    assert passphrase(filled) not in terminal.seen


def test_init_asks_twice_and_wants_the_phrase_written_down(empty: CommandLine) -> None:
    terminal = Terminal("init")
    terminal.read_until("Passphrase: ")
    terminal.type("some long passphrase\n")
    terminal.read_until("again: ")
    terminal.type("another one\n")
    assert terminal.end() == 3
    assert not (empty.root / "library.toml").exists()
    terminal = Terminal("init")
    terminal.read_until("Passphrase: ")
    terminal.type("some long passphrase\n")
    terminal.read_until("again: ")
    terminal.type("some long passphrase\n")
    terminal.read_until("written it down?")
    terminal.type("y\n")
    assert terminal.end() == 0


def test_search_shows_a_table_with_short_ids_and_colour(filled: CommandLine) -> None:
    filled("rate", "4", "--query", "name:red")
    given = {"SAFELIGHT_PASSPHRASE_FILE": str(filled.passphrase_file)}
    terminal = Terminal("search", **given)
    assert terminal.end() == 0
    red = next(line for line in terminal.seen.splitlines() if "red.jpg" in line)
    assert "2024-05-01 10:00" in red
    assert "★★★★" in red
    assert filled.ids("name:red")[0][:8] in red
    assert filled.ids("name:red")[0] not in red
    assert "\x1b[" in red
    assert "3 photos" in terminal.seen
    plain = Terminal("search", NO_COLOR="1", **given)
    assert plain.end() == 0
    assert "\x1b[" not in plain.seen


def test_purge_asks(filled: CommandLine) -> None:
    given = {"SAFELIGHT_PASSPHRASE_FILE": str(filled.passphrase_file)}
    terminal = Terminal("purge", "--query", "name:red", **given)
    terminal.read_until("[y/N]")
    terminal.type("n\n")
    assert terminal.end() == 1
    assert "nothing was done" in terminal.seen
    assert len(filled.ids()) == 3
    terminal = Terminal("purge", "--query", "name:red", **given)
    terminal.read_until("[y/N]")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert len(filled.ids()) == 2


def test_an_import_shows_its_progress_and_a_summary(cli: CommandLine, photos: Path) -> None:
    terminal = Terminal("import", str(photos), "--no-labels", SAFELIGHT_PASSPHRASE_FILE=str(cli.passphrase_file))
    assert terminal.end() == 0
    assert "Importing" in terminal.seen
    assert "photos/s" in terminal.seen
    assert "Imported 3 photos" in terminal.seen
    assert "copied" in terminal.seen


def test_the_first_interrupt_of_an_import_keeps_what_is_done(
    cli: CommandLine, photos: Path, tmp_path: Path, shared_data: Path
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    originals = sorted((shared_data / "labelled" / "caltech101").rglob("*.jpg"))[:40]
    for number, path in enumerate(originals * 5):
        (many / f"{number}.jpg").write_bytes(path.read_bytes() + str(number).encode())
    terminal = Terminal("import", str(many), "--no-labels", SAFELIGHT_PASSPHRASE_FILE=str(cli.passphrase_file))
    terminal.read_until("photos/s")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Finishing what is begun" in terminal.seen
    assert "Imported" in terminal.seen
    assert "Traceback" not in terminal.seen
    kept = len(cli.ids())
    cli("import", many, "--no-labels")
    assert f"{kept:,} duplicate" in cli.out
    assert len(cli.ids()) == len(originals) * 5
    cli("verify")


def test_termination_removes_what_open_has_written(filled: CommandLine, tmp_path: Path) -> None:
    viewer = tmp_path / "viewer.sh"
    viewer.write_text('#!/bin/sh\necho "path=$1"\nexec sleep 600\n')
    viewer.chmod(0o755)
    red = filled.ids("name:red")[0]
    given = {"SAFELIGHT_PASSPHRASE_FILE": str(filled.passphrase_file), "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": ""}
    terminal = Terminal("open", red, "--yes", "--with", str(viewer), **given)
    terminal.read_until("path=")
    terminal.read_until("red.jpg")
    assert list(tmp_path.glob("safelight-open-*/red.jpg"))
    os.kill(terminal.process.pid, signal.SIGTERM)
    assert terminal.end() != 0
    assert list(tmp_path.glob("safelight-open-*")) == []


@pytest.mark.skipif(shutil.which("script") is None, reason="shells are tried where there are some")
def test_completion_scripts_are_made(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SAFELIGHT_COMPLETE", "zsh_source")
    cli()
    assert "_SAFELIGHT_COMPLETE" in cli.out
