"""`safelight verify`: check what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import exit_codes, output
from tui.cli.options import json_option, library_options
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("verify")
@click.option("--deep", is_flag=True, help="Also read every blob through, instead of looking whether it is there.")
@click.option("--gc", is_flag=True, help="Also remove blobs older than a day that nothing names.")
@json_option
@library_options
def command(session: Session, deep: bool, gc: bool, as_json: bool) -> int:
    """Check that everything stored is what was written.

    Every problem is named, and what is not damaged stays readable. The exit code is 4 when there is one.
    """
    from core.verify import verify

    with session.open_library() as library, progress_bar("Verifying", unit="steps", shown=not as_json) as advance:
        report = verify(library, deep=deep, gc=gc, progress=advance)
    if as_json:
        output.json_lines(
            {"event": "problem", "name": problem.name, "thing": problem.thing, "hint": problem.hint}
            for problem in report.problems
        )
        output.json_lines([{"event": "done", "problems": len(report.problems), **report.counts}])
    else:
        for problem in report.problems:
            output.line(f"{problem.name}: {output.plain(problem.thing)}")
            if problem.hint:
                output.line(f"  hint: {problem.hint}")
        checked = ", ".join(f"{number:,} {thing.replace('_', ' ')}" for thing, number in report.counts.items())
        verdict = output.count(len(report.problems), "problem") if report.problems else "everything is as it was written"
        output.line(f"Verified {checked}: {verdict}.")
    return exit_codes.INTEGRITY_ALARM if report.problems else exit_codes.DONE
