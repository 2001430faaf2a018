"""How long a command takes to start, against the bare interpreter in the same run.

Aims: `safelight --help` within 3 x `python -c pass`; `safelight search` answers within 1 s of the key derivation's end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measurement import Report, median, seconds_of

RUNS = 15


def main() -> list[str]:
    """Measure and print; return the aims that were missed."""
    report = Report("Start-up of a command")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "passphrase").touch(mode=0o600)
        (folder / "passphrase").write_text("a passphrase for measuring")
        environment = dict(
            os.environ,
            SAFELIGHT_LIBRARY=str(folder / "library"),
            SAFELIGHT_PASSPHRASE_FILE=str(folder / "passphrase"),
            SAFELIGHT_STATE_DIR=str(folder / "state"),
            SAFELIGHT_DATA_DIR=str(folder / "data"),
            SAFELIGHT_RUNTIME_DIR=str(folder / "run"),
            # What is installed has its bytecode beside it; a checkout under PYTHONDONTWRITEBYTECODE would compile
            # itself anew for every command.
            PYTHONPYCACHEPREFIX=str(folder / "bytecode"),
        )
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        script = Path(sys.executable).with_name("safelight")

        def run(*command: str) -> None:
            subprocess.run(command, env=environment, check=True, capture_output=True)

        bare = median(seconds_of(lambda: run(sys.executable, "-c", "pass"), RUNS, 2))
        shown = median(seconds_of(lambda: run(str(script), "--help"), RUNS, 2))
        run(str(script), "init", "--name", "benchmark", "--yes")
        derivation = (
            "import time; from crypto.kdf import derive_passphrase_key, new_parameters as n; p = n();"
            "b = time.perf_counter(); derive_passphrase_key(b'x', p); print(time.perf_counter() - b)"
        )
        kdf = median(
            [float(subprocess.run([sys.executable, "-c", derivation], check=True, capture_output=True).stdout)
             for _ in range(5)]
        )  # fmt: skip
        search = median(seconds_of(lambda: run(str(script), "search", "label:dog", "--json"), 7, 1))
        report.line("python -c pass (floor)", f"{bare * 1000:.0f} ms")
        report.line("safelight --help / floor", f"{shown / bare:.2f}", aim="<= 3", met=shown / bare <= 3)
        report.line("Argon2id, as every new library uses it (floor)", f"{kdf * 1000:.0f} ms")
        after = search - kdf
        report.line("safelight search, less the key derivation", f"{after * 1000:.0f} ms", aim="< 1 s", met=after < 1)
    return report.missed


if __name__ == "__main__":
    sys.exit(bool(main()))
