"""The entry point of `safelight` and of `python -m tui.cli`."""

from __future__ import annotations

import sys

from tui.cli import command_table

_HELP = (["--help"], ["-h"], ["help"])


def main() -> None:
    """Run the command line and end the process with its exit code (see `tui.cli.exit_codes`)."""
    arguments = sys.argv[1:]
    if arguments in _HELP:
        # Without click, whose import takes six times as long as an empty Python: help must feel instant.
        sys.stdout.write(command_table.help_text())
        return
    from tui.cli.application import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
