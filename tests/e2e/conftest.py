"""Real processes on a real library: what a user types, with nothing replaced."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from core.library import Library
from crypto import kdf
from tui.cli.application import run

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "a passphrase nobody else would choose"


@dataclass(frozen=True)
class Safelight:
    """The `safelight` command on one library, in processes of its own."""

    library: Path
    environment: dict[str, str]

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-P", "-m", "tui.cli", *(os.fspath(argument) for argument in arguments)]

    def run(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert result.returncode == code, f"{arguments}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def json(self, *arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*arguments, "--json", code=code).stdout.splitlines()]

    def here(self, *arguments: str | Path, code: int = 0) -> str:
        """As `run`, and what it printed, without a process of its own, which costs many times what most commands do.

        The passphrase of a library that it makes is cheap to try, and a relay that is away is soon given up.
        """
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.setattr("core.library_folder.new_parameters", lambda: kdf.new_parameters(*kdf.FLOOR))
            patch.setattr("core.sync.patience._FIRST_S", 0.001)
            ended = run([os.fspath(argument) for argument in arguments])
        assert ended == code, f"{arguments}: exit {ended}\n{out.getvalue()}\n{err.getvalue()}"
        assert code == 0 or err.getvalue(), f"{arguments}: exit {ended} and not a word"
        return out.getvalue()

    def asked(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """As `json`, without a process of its own."""
        return [json.loads(line) for line in self.here(*arguments, "--json").splitlines()]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def safelight(tmp_path: Path) -> Safelight:
    passphrase = tmp_path / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(PASSPHRASE + "\n")
    library = tmp_path / "library"
    environment = dict(
        os.environ,
        SAFELIGHT_LIBRARY=str(library),
        SAFELIGHT_PASSPHRASE_FILE=str(passphrase),
        NO_COLOR="1",
    )
    return Safelight(library, environment)


def quick(device: Safelight) -> None:
    """Make the passphrase cheap to try: dozens of processes would take half a second each for nothing."""
    Library.change_passphrase(
        device.library, PASSPHRASE.encode(), PASSPHRASE.encode(), kdf=kdf.new_parameters(*kdf.FLOOR)
    )
