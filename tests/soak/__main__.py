"""Run the parts of the soak one after the other, and print what each has done: `make soak`.

Exit status: 0 when nothing was lost or found wrong, 1 otherwise.
"""

from __future__ import annotations

import argparse
import importlib
import os
import secrets
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from tests.soak.counts import Counts

if TYPE_CHECKING:
    from tests.soak.counts import Part

PARTS: Final = {"devices": "tests.soak.devices", "crash": "tests.crash.soak", "fuzz": "tests.fuzz.soak"}
COLUMNS: Final = ("steps", "kills", "inputs", "alarms", "losses")
SECONDS: Final = 600.0
SEEDS: Final = 1 << 32


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def load(name: str) -> Part | str:
    """Return a part, or why it cannot run here."""
    try:
        return cast("Part", importlib.import_module(PARTS[name]))
    except ModuleNotFoundError as missing:
        return f"not run: {missing.name} is not installed here"


def run(name: str, part: Part, seconds: float, seed: int) -> Counts:
    """Return what a part has done; an error that it lets through is a finding."""
    try:
        return part.run(seconds, seed, lambda line: say(f"{name}: {line}"))
    except Exception:  # noqa: BLE001 - whatever ended the part is what this is run to find
        again = f"python -P -m tests.soak --part {name} --seed {seed} --seconds {seconds:g}"
        return Counts(findings=[f"the part itself failed; again with: {again}\n{traceback.format_exc()}"])


def table(done: dict[str, Counts], seconds: dict[str, float]) -> list[str]:
    """Return the counts as lines of a table."""
    total = Counts()
    for counts in done.values():
        total += counts
    rows = [["", *COLUMNS, "findings", "seconds"]]
    for name, counts in [*done.items(), ("total", total)]:
        took = seconds[name] if name in seconds else sum(seconds.values())
        numbers = [getattr(counts, column) for column in COLUMNS]
        rows.append([name, *(f"{number:,}" for number in numbers), f"{len(counts.findings):,}", f"{took:,.0f}"])
    return ["".join(f"{cell:<8}" if not at else f"{cell:>11}" for at, cell in enumerate(row)) for row in rows]


def fix_order_of_sets() -> None:
    """Begin again as a process in which sets have the same order each time: a seed says how the runs go."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, sys.orig_argv, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606 (no shell is wanted)


def main() -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each part (default: %(default)g)")
    parser.add_argument("--seed", type=int, help="the random numbers to begin with (default: fresh ones, printed)")
    parser.add_argument("--part", choices=tuple(PARTS), action="append", help="only this part; may be repeated")
    asked = parser.parse_args()
    seed = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
    say(f"seed {seed}; again with: python -P -m tests.soak --seed {seed} --seconds {asked.seconds:g}")
    done, took, missing = {}, {}, {}
    with tempfile.TemporaryDirectory(prefix="safelight-soak-") as home:
        # Away from the packs, libraries, agents and chain heads of the person who runs this, as in the tests.
        for variable, folder in (("STATE", "state"), ("DATA", "data"), ("RUNTIME", "run")):
            os.environ[f"SAFELIGHT_{variable}_DIR"] = str(Path(home) / folder)
        for name in asked.part or PARTS:
            part = load(name)
            if isinstance(part, str):
                missing[name] = part
                say(f"{name}: {part}")
                continue
            begun = time.monotonic()
            done[name] = run(name, part, asked.seconds, seed)
            took[name] = time.monotonic() - begun
    say("")
    for line in table(done, took):
        say(line)
    for name, why in missing.items():
        say(f"{name:<8}{why}")
    for name, counts in done.items():
        for finding in counts.findings:
            say(f"\n{name}: {finding}")
    return int(any(counts.failed for counts in done.values()))


if __name__ == "__main__":
    fix_order_of_sets()
    sys.exit(main())
