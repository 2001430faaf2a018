"""`safelight export`: originals and XMP sidecars into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli import exit_codes, output
from tui.cli.interrupts import first_interrupt_stops
from tui.cli.options import QUERY_SETTINGS, joined_query, json_option, library_options
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from core.export import ExportEvent, ExportSummary
    from tui.cli.session import Session


@click.command("export", context_settings=QUERY_SETTINGS)
@click.argument("arguments", nargs=-1, required=True, metavar="[QUERY] DIR")
@click.option(
    "--layout",
    type=click.Choice(["flat", "date", "album"]),
    default="flat",
    show_default=True,
    help="All in one folder; a folder for each month; or one for each album.",
)
@click.option("--no-sidecars", is_flag=True, help="Write the originals alone.")
@click.option("--keep", is_flag=True, help="Keep originals in the library that were fetched for this.")
@json_option
@library_options
def command(
    session: Session, arguments: tuple[str, ...], layout: str, no_sidecars: bool, keep: bool, as_json: bool
) -> int:
    """Write originals and XMP sidecars into the folder DIR.

    Every photo that QUERY finds, or every photo outside the trash, is written byte for byte as it was imported, and
    compared while it is written. Labels, caption, rating and the like go into a sidecar beside it, which other programs
    and `safelight import` read. Nothing that is there is replaced; an export that was interrupted is continued by
    repeating it. What is exported is in the clear.

    Originals that are not on this device are fetched from a relay, and leave the library again once they are written.
    """
    from core.export import export
    from core.export_names import Layout

    *words, destination = arguments
    if destination.startswith("--"):
        raise click.NoSuchOption(destination)
    query = joined_query(words)
    with (
        session.open_library() as library,
        first_interrupt_stops() as stopped,
        progress_bar("Exporting", shown=not as_json) as advance,
    ):

        def show(event: ExportEvent, done: int, total: int) -> None:
            advance(done, total)
            if as_json:
                reason = {} if event.reason is None else {"reason": event.reason}
                output.json_event({"event": event.event, "id": event.photo.hex(), "path": event.path, **reason})
            elif event.reason is not None:
                output.error(f"{output.plain(event.path)}: {event.reason}")

        summary = export(
            library,
            query,
            Path(destination),
            layout=Layout(layout),
            sidecars=not no_sidecars,
            keep=keep,
            progress=show,
            should_stop=stopped.is_set,
        )
    _tell(summary, as_json=as_json)
    return _exit_code(summary)


def _tell(summary: ExportSummary, *, as_json: bool) -> None:
    if as_json:
        output.json_event(
            {
                "event": "done",
                "exported": summary.exported,
                "present": summary.present,
                "failed": summary.failed,
                "sidecars": summary.sidecars,
                "fetched": summary.fetched,
                "seconds": round(summary.seconds, 3),
            }
        )
        return
    fetched = f", {summary.fetched:,} of them fetched" if summary.fetched else ""
    output.line(
        f"Exported {output.count(summary.exported, 'photo')}{fetched}, {summary.present:,} there already, "
        f"{summary.failed:,} failed, {output.count(summary.sidecars, 'sidecar')} written."
    )


def _exit_code(summary: ExportSummary) -> int:
    if summary.stopped:
        return exit_codes.INTERRUPTED
    if summary.damaged:
        return exit_codes.INTEGRITY_ALARM
    if summary.failed and not summary.exported + summary.present:
        # Nothing came of it, and for one reason: say that one.
        if summary.unreachable == summary.failed:
            return exit_codes.RELAY_OUT_OF_REACH
        if summary.refused == summary.failed:
            return exit_codes.REFUSED_BY_RELAY
    return exit_codes.PARTLY_DONE if summary.failed else exit_codes.DONE
