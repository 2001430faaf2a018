"""The process that fuzzes targets with coverage to go by, one after the other: `python -P -m tests.fuzz.child`.

It reads a line of JSON for each: the target, a folder for faults, a file for what libFuzzer says, the seconds after
which it is stuck, and libFuzzer's options; and answers with the exit status, a line each. Every target is fuzzed in a
fork: loading the program with each line counted takes as long as fuzzing does. A fault in Python is written to the
folder and passed over when it comes again, so that one does not hide the next. What ends the fork (a crash, too much
memory) libFuzzer writes there itself.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
from pathlib import Path

import atheris

_SLOWER = 4
"""How much more time an input may take here: every line is counted."""
_COUNTED = ["core", "crypto", "crdt", "ml", "sync_relay", "tui", "tomllib", "PIL"]

with atheris.instrument_imports(include=_COUNTED):
    from PIL import Image

    Image.init()  # its readers of formats are Python, and loaded late
    from tests.fuzz.kept_inputs import input_name
    from tests.fuzz.mutation import BY_VALUE
    from tests.fuzz.targets import TARGETS
    from tests.fuzz.tree_mutation import change_value
    from tests.fuzz.watched import CPU_SECONDS, watch


def fuzz(name: str, faults: str, said: str, options: list[str]) -> None:
    """Fuzz until libFuzzer's own bounds end it; never returns."""
    log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    target, folder = TARGETS[name], Path(faults)
    seen: set[str] = set()

    def one(data: bytes) -> None:
        fault = watch(target, data, CPU_SECONDS * _SLOWER)
        if fault is not None and fault.place not in seen:
            seen.add(fault.place)
            (folder / input_name(data)).write_bytes(data)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        assert target.values is not None
        changed = change_value(data, target.values, chance, most) if chance.random() < BY_VALUE else None
        return bytes(atheris.Mutate(data, most)) if changed is None else changed

    command = [sys.argv[0], *options, f"-max_len={target.longest}"]
    if target.values is None:
        atheris.Setup(command, one)
    else:
        atheris.Setup(command, one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    """Answer requests until there are no more."""
    fork = multiprocessing.get_context("fork")
    for line in sys.stdin:
        name, faults, said, stuck, options = json.loads(line)
        process = fork.Process(target=fuzz, args=(name, faults, said, options))
        process.start()
        process.join(stuck)
        if process.exitcode is None:
            process.kill()
            process.join()
        sys.stdout.write(f"{process.exitcode}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
