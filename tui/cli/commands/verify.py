"""`safelight verify`: check what is stored, and mend it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from tui.cli import exit_codes, output
from tui.cli.interrupts import first_interrupt_stops
from tui.cli.options import json_option, library_options
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.repair import RepairReport
    from core.verify import Problem, VerifyReport
    from tui.cli.session import Session

_UNNAMED = {"problems", "told"}
_MOST_NAMED = 20
_NOT_CHECKED = (
    "whether each file opens with its key and is the photo that names it (--deep)",
    "whether relays hold what is here (`safelight free --dry-run`)",
)


@click.command("verify")
@click.option("--deep", is_flag=True, help="Also decrypt every file, and compare it with its key and its photo.")
@click.option("--gc", is_flag=True, help="Also remove blobs older than a day that nothing names.")
@click.option("--repair", "mend", is_flag=True, help="Mend what relays, the log and its history can mend.")
@click.option(
    "--relay", "relays", multiple=True, metavar="URL", help="With --repair: ask this relay too, if the log names none."
)
@json_option
@library_options
def command(session: Session, deep: bool, gc: bool, mend: bool, relays: tuple[str, ...], as_json: bool) -> int:
    """Check that everything stored is what was written.

    Every problem is named, and what is not damaged stays readable. The exit code is 4 when there is one, or when
    --repair leaves one. ^C stops; what was mended by then stays so, and repeating it goes on.

    --repair fetches damaged or missing files and envelopes from the relays, checks them as if they were new, and only
    then puts them in the place of the damaged ones. It deletes the only copy of nothing: the old log.db goes to the
    folder `set-aside`. Other programs that have the library open have to be ended first if the log is damaged.

    An original that another device imported, or that was freed here, need not be on this device, and is not missing:
    those are counted. `safelight free --dry-run` makes relays show that they hold what is here.
    """
    if mend and gc:
        raise click.UsageError("--repair and --gc do not go together: repair first, then collect")
    if relays and not mend:
        raise click.UsageError("--relay is for --repair")
    if mend:
        return _repair(session, deep=deep, relays=relays, as_json=as_json)
    from core.verify import verify

    with (
        session.open_library() as library,
        progress_bar("Verifying", unit="pieces", shown=not as_json) as advance,
        first_interrupt_stops() as stopped,
    ):
        report = verify(
            library,
            deep=deep,
            gc=gc,
            progress=lambda _what, done, total: advance(done, total),
            should_stop=stopped.is_set,
        )
        # They are in the report; said once is enough.
        session.alarms += [problem.message for problem in report.problems]
    _show(report, as_json=as_json)
    if report.problems and not as_json:
        output.line("`safelight verify --repair` mends what relays, the log and its history can mend.")
    return _exit_code(report, stopped=report.stopped)


def _repair(session: Session, *, deep: bool, relays: tuple[str, ...], as_json: bool) -> int:
    from core.repair import repair

    session.prepare()
    secrets = session.device_secrets()
    with (
        progress_bar("Repairing", unit="pieces", shown=not as_json) as advance,
        first_interrupt_stops() as stopped,
    ):
        report = repair(
            session.root,
            secrets,
            deep=deep,
            relays=relays,
            progress=lambda _what, done, total: advance(done, total or None),
            should_stop=stopped.is_set,
        )
    if as_json:
        output.json_lines([_repair_line(report)])
    else:
        for line in _mended(report):
            output.line(line)
    _show(report.after, as_json=as_json)
    return _exit_code(report.after, stopped=report.stopped)


def _exit_code(report: VerifyReport, *, stopped: bool) -> int:
    if report.problems:
        return exit_codes.INTEGRITY_ALARM
    return exit_codes.INTERRUPTED if stopped or report.stopped else exit_codes.DONE


def _repair_line(report: RepairReport) -> dict[str, object]:
    log = report.log
    return {
        "event": "repair",
        "found": None if report.before is None else len(report.before.problems),
        "files": report.blobs,
        "file_bytes": report.blob_bytes,
        "envelopes": 0 if log is None else log.fetched,
        "membership_entries": 0 if log is None else log.entries,
        "missing": [] if log is None else log.missing,
        "derived": report.derived,
        "records": report.records,
        "set_aside": None if report.set_aside is None else str(report.set_aside),
        "unreachable": [str(error) for error in report.unreachable],
        "refused": report.refused,
        "stopped": report.stopped,
    }


def _mended(report: RepairReport) -> Iterator[str]:
    """What was mended, and what stood in the way."""
    log = report.log
    if report.before is not None and not report.before.problems:
        yield "Nothing was found that needs repair."
    if log is not None and report.set_aside is not None:
        kept, fetched = output.count(log.kept, "envelope"), output.count(log.fetched, "envelope")
        yield f"log.db was put together again: {kept} kept, {fetched} fetched ({log.entries} membership entries)."
        yield f"  the old one is {output.plain(str(report.set_aside))}; delete it when you miss nothing"
    if log is not None and log.missing:
        nobody = "No relay that answered has" if log.asked else "No relay was asked (name one: --relay URL) for"
        yield f"{nobody} {output.count(len(log.missing), 'envelope')}:"
        yield from (f"  {name}" for name in log.missing[:_MOST_NAMED])
        if len(log.missing) > _MOST_NAMED:
            yield f"  and {len(log.missing) - _MOST_NAMED:,} more"
    if report.blobs:
        yield f"Fetched and put in place: {output.count(report.blobs, 'file')} ({output.file_size(report.blob_bytes)})."
    if report.derived:
        yield f"Made again from the log: {output.count(report.derived, 'derived file')}."
    if report.records:
        yield f"Put right from the history: {output.count(report.records, 'record')}."
    yield from (f"Not asked: {output.plain(str(error))}" for error in report.unreachable)
    yield from (f"Refused: {output.plain(fault)}" for fault in report.refused)
    if report.stopped:
        yield "Stopped before the end; repeating it goes on."


def _show(report: VerifyReport, *, as_json: bool) -> None:
    if as_json:
        output.json_lines({"event": "problem", **dataclasses.asdict(problem)} for problem in report.problems)
        counts = {name: value for name, value in dataclasses.asdict(report).items() if name not in _UNNAMED}
        output.json_lines([{"event": "done", "problems": len(report.problems), **counts}])
        return
    for problem in report.problems:
        _show_problem(problem)
    for line in _summary(report):
        output.line(line)


def _show_problem(problem: Problem) -> None:
    output.line(f"{problem.name}: {output.plain(problem.message)}")
    if problem.photo:
        output.line(f"  photo: {problem.photo[:12]} {output.plain(problem.file or '')}".rstrip())
    if problem.hint:
        output.line(f"  hint: {problem.hint}")


def _summary(report: VerifyReport) -> Iterator[str]:
    parts = (
        output.count(report.envelopes, "envelope"),
        f"{output.count(report.blobs, 'blob')} ({output.file_size(report.blob_bytes)})",
        output.count(report.derived, "derived file"),
    )
    verdict = output.count(len(report.problems), "problem") if report.problems else "everything is as it was written"
    if report.stopped:
        verdict = f"stopped before the end; up to here {'no problem' if report.sound else verdict}"
    yield f"Verified {parts[0]}, {parts[1]} and {parts[2]}: {verdict}."
    if not report.deep and not report.stopped:
        yield f"Not checked: {'; '.join(_NOT_CHECKED)}."
    if report.elsewhere:
        elsewhere = output.count(report.elsewhere, "file")
        yield (
            f"{elsewhere} that need not be on this device (other devices put them, or they were freed here): "
            "`open` and `export` fetch them."
        )
    if report.held:
        held = output.count(report.held, "envelope")
        yield f"{held} of other devices wait for what they build on; `safelight sync` brings it."
    if report.incomplete:
        yield "Parts of the library have not been fetched yet: `safelight sync` does that."
    if report.removed_blobs:
        removed = output.count(report.removed_blobs, "blob")
        yield f"Removed {removed} that nothing names ({output.file_size(report.removed_bytes)})."
    elif report.unnamed_blobs and report.sound and not report.incomplete:
        unnamed = output.count(report.unnamed_blobs, "blob")
        yield f"{unnamed} that nothing names; --gc removes those older than a day."
