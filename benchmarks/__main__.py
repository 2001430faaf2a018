"""Run every benchmark in turn, each in a process of its own: `make bench`."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "start_up",
    "import_rate",
    "large_library",
    "duplicates",
    "looks",
    "labels",
    "tagging",
    "vectors",
    "text_search",
    "app",
    "sync",
    "rehearsal",
    "relay_load",
)


def main() -> int:
    """Return how many benchmarks missed an aim."""
    commands = ([sys.executable, "-P", "-m", f"benchmarks.{name}"] for name in BENCHMARKS)
    return sum(subprocess.run(command, check=False).returncode != 0 for command in commands)


if __name__ == "__main__":
    sys.exit(main())
