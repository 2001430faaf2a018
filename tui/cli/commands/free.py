"""`safelight free`: make room on this device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import exit_codes, output
from tui.cli.interrupts import first_interrupt_stops
from tui.cli.options import chosen_photos, json_option, library_options, photos_or_query
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from core.sync.free import FreeEvent, FreeReport
    from tui.cli.session import Session


@click.command("free")
@photos_or_query
@click.option("--single-copy", is_flag=True, help="Also where one relay alone would hold the original then.")
@click.option("--dry-run", is_flag=True, help="Ask the relays, and say what would be freed; remove nothing.")
@json_option
@library_options
def command(
    session: Session, photos: tuple[str, ...], query: str | None, single_copy: bool, dry_run: bool, as_json: bool
) -> int:
    """Remove originals from this device that are safe elsewhere.

    Without PHOTO and --query it is about all photos. An original goes only after every relay in use has shown, there
    and then, that it holds each byte of it, and where two others hold it: two relays, or a relay and a device that
    keeps every original (`safelight sync --originals` there). With --single-copy one relay is enough. Thumbnails and
    previews stay; `open` and `export` fetch an original back.
    """
    from core.sync.free import free

    with (
        session.open_library() as library,
        first_interrupt_stops() as stopped,
        progress_bar("Checking", shown=not as_json) as advance,
    ):
        pids = chosen_photos(library, photos, query) if photos or query is not None else None

        def show(event: FreeEvent, done: int, total: int) -> None:
            advance(done, total)
            if as_json:
                output.json_event(
                    {
                        "event": event.event,
                        "id": event.photo.hex(),
                        "bytes": event.bytes,
                        **({} if event.reason is None else {"reason": event.reason}),
                    }
                )

        report = free(
            library, pids, single_copy=single_copy, dry_run=dry_run, progress=show, should_stop=stopped.is_set
        )
    _tell(report, as_json=as_json, dry_run=dry_run)
    return exit_codes.INTERRUPTED if report.stopped else exit_codes.DONE


def _tell(report: FreeReport, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        output.json_event(
            {"event": "done", "freed": report.freed, "bytes": report.bytes, "kept": report.kept, "dry_run": dry_run}
        )
        return
    done = "Would free" if dry_run else "Freed"
    output.line(f"{done} {output.count(report.freed, 'original')} ({output.file_size(report.bytes)}).")
    for reason, number in sorted(report.reasons.items(), key=lambda item: (-item[1], item[0])):
        output.line(f"Kept {output.count(number, 'original')}: {reason}")
