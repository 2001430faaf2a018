"""The process that fuzzes one target with coverage to go by: `python -P -m tests.fuzz.child TARGET FAULTS [OPTION…]`.

The options are libFuzzer's. A fault in Python is written to the folder FAULTS and passed over when it comes again, so
that one does not hide the next. What ends the process (a crash, too much memory) libFuzzer writes there itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

_SLOWER = 4
"""How much more time an input may take here: every line is counted."""

with atheris.instrument_imports(include=["core", "crypto", "crdt", "ml", "sync_relay"]):
    from tests.fuzz.kept_inputs import input_name
    from tests.fuzz.targets import TARGETS
    from tests.fuzz.watched import CPU_SECONDS, watch


def main() -> None:
    """Fuzz until libFuzzer's own bounds end it; never returns."""
    name, faults, *options = sys.argv[1:]
    target, folder = TARGETS[name], Path(faults)
    seen: set[str] = set()

    def one(data: bytes) -> None:
        fault = watch(target, data, CPU_SECONDS * _SLOWER)
        if fault is not None and fault.place not in seen:
            seen.add(fault.place)
            (folder / input_name(data)).write_bytes(data)

    atheris.Setup([sys.argv[0], *options, f"-max_len={target.longest}"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
