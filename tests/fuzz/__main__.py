"""Fuzz one target, or try one input: `python -P -m tests.fuzz TARGET… [--seconds N | --input FILE]`.

Inputs that reach something new, and faults, are kept in the folder `--work`. Exit status: 1 if there was a fault.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz import engine
from tests.fuzz.kept_inputs import FOUND, inputs, keep_found
from tests.fuzz.page import PAGE, page
from tests.fuzz.reach import worth_keeping
from tests.fuzz.seeds import make_seeds
from tests.fuzz.targets import TARGETS
from tests.fuzz.watched import watch

if TYPE_CHECKING:
    from collections.abc import Sequence

WORK = Path("build") / "fuzz"
SECONDS = 60


def say(*lines: str) -> None:
    """Print lines at once, also into a pipe."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _keep(name: str, work: Path) -> None:
    """Choose anew what is kept of all that was found for a target, now and before."""
    kept = inputs(name)
    others = [data for file_name, data in kept.items() if not file_name.startswith(FOUND)]
    found = [data for file_name, data in kept.items() if file_name.startswith(FOUND)]
    chosen = worth_keeping(TARGETS[name], others, [*found, *inputs(name, work).values()])
    keep_found(name, chosen)
    say(f"{name}: {len(chosen)} inputs of {sum(map(len, chosen)):,} bytes beside {len(others)} seeds and faults")


def _fuzz(names: Sequence[str], seconds: int, seed: int, work: Path) -> int:
    """Fuzz with coverage to go by; return 1 if there was a fault, or nothing to guide."""
    if not engine.is_there():
        say("atheris is not installed here: python -m pip install -r requirements/fuzz.txt")
        return 1
    failed = False
    with engine.Guided() as guided:
        for name in names:
            outcome = guided.fuzz(TARGETS[name], seconds, seed, work)
            say(f"{name}: {outcome}")
            for fault, data in outcome.faults:
                failed = True
                path = work / "faults" / name / engine.fault_name(fault)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                say(f"  {fault.place}: {fault.message}", f"  {path}")
    return int(failed)


def main() -> int:
    """Do what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"all, {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each target (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the random numbers to begin with (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=WORK, help="where inputs are kept (default: %(default)s)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--input", type=Path, help="try this one input")
    instead.add_argument("--make-seeds", action="store_true", help="write the seeds in the corpus anew")
    instead.add_argument("--keep", action="store_true", help="put into the corpus what reaches more, of --work")
    instead.add_argument("--write", action="store_true", help="write docs/fuzzing.md anew")
    asked = parser.parse_args()
    names = list(TARGETS) if "all" in asked.target else asked.target
    if not set(names) <= set(TARGETS) or bool(names) == asked.write:
        parser.error(f"name targets: all, {', '.join(TARGETS)}")
    if asked.write:
        PAGE.write_text(page(), "utf-8")
    elif asked.make_seeds:
        make_seeds(names)
    elif asked.keep:
        for name in names:
            _keep(name, asked.work)
    elif asked.input is not None:
        faults = [watch(TARGETS[name], asked.input.read_bytes()) for name in names]
        say(*(fault.message for fault in faults if fault is not None))
        return int(any(fault is not None for fault in faults))
    else:
        return _fuzz(names, asked.seconds, asked.seed, asked.work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
