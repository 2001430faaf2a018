"""`safelight verify`: check what is stored."""

from __future__ import annotations

import dataclasses
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

    An original that another device imported, or that was freed here, need not be on this device, and is not missing:
    those are counted. `safelight free --dry-run` makes relays show that they hold what is here.
    """
    from core.verify import verify

    with session.open_library() as library, progress_bar("Verifying", unit="pieces", shown=not as_json) as advance:
        report = verify(library, deep=deep, gc=gc, progress=lambda _what, done, total: advance(done, total))
        # They are in the report; said once is enough.
        session.alarms += [problem.message for problem in report.problems]
    if as_json:
        output.json_lines({"event": "problem", **dataclasses.asdict(problem)} for problem in report.problems)
        counts = {name: value for name, value in dataclasses.asdict(report).items() if name not in {"problems", "told"}}
        output.json_lines([{"event": "done", "problems": len(report.problems), **counts}])
    else:
        for problem in report.problems:
            output.line(f"{problem.name}: {output.plain(problem.message)}")
            if problem.photo:
                output.line(f"  photo: {problem.photo[:12]} {output.plain(problem.file or '')}".rstrip())
            if problem.hint:
                output.line(f"  hint: {problem.hint}")
        checked = f"{output.count(report.envelopes, 'envelope')} and {output.count(report.blobs, 'blob')}"
        verdict = (
            output.count(len(report.problems), "problem") if report.problems else "everything is as it was written"
        )
        output.line(f"Verified {checked} ({output.file_size(report.blob_bytes)}): {verdict}.")
        if report.elsewhere:
            elsewhere = output.count(report.elsewhere, "file")
            output.line(
                f"{elsewhere} that need not be on this device (other devices put them, or they were freed here): "
                "`open` and `export` fetch them."
            )
        if report.held:
            held = output.count(report.held, "envelope")
            output.line(f"{held} of other devices wait for what they build on; `safelight sync` brings it.")
        if report.incomplete:
            output.line("Parts of the library have not been fetched yet: `safelight sync` does that.")
        if report.removed_blobs:
            removed = output.count(report.removed_blobs, "blob")
            output.line(f"Removed {removed} that nothing names ({output.file_size(report.removed_bytes)}).")
        elif report.unnamed_blobs and report.sound and not report.incomplete:
            unnamed = output.count(report.unnamed_blobs, "blob")
            output.line(f"{unnamed} that nothing names; --gc removes those older than a day.")
    return exit_codes.DONE if report.sound else exit_codes.INTEGRITY_ALARM
