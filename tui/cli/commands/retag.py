"""`safelight retag`: label photos again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import exit_codes, output
from tui.cli.options import library_options, photos_or_query
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from core.importing.events import ImportEvent
    from tui.cli.session import Session


@click.command("retag")
@click.option("--again", is_flag=True, help="Also photos that the model has labelled already.")
@photos_or_query
@library_options
def command(session: Session, photos: tuple[str, ...], query: str | None, again: bool) -> int:
    """Label photos with the model in use: those named, those that QUERY finds, or all that it has not labelled yet.

    An image-text pack that the library uses looks at them too, so that descriptions find them. What you added or took
    away stays as it is. ^C stops; what is labelled by then is kept.

    Without photos or --query, devices that sync while they label share the work: each tells the others which months it
    has taken, for a quarter of an hour at a time.
    """
    from core.importing.tagging import retag

    if photos and query is not None:
        raise click.UsageError("give either photos or --query, not both")
    with session.open_library() as library, progress_bar("Labelling") as advance:
        wanted = query or ""
        if photos:
            wanted = " OR ".join(f"id:{library.catalog.resolve(photo).hex()}" for photo in photos)

        def show(event: ImportEvent) -> None:
            if event.progress is not None:
                advance(event.progress.files, event.progress.total_files)
            elif event.reason is not None:
                about = "" if event.pid is None else f"{event.pid.hex()}: "
                output.error(f"{about}{event.reason}")

        summary = retag(library, query=wanted, again=again, progress=show)
    already = f", {summary.skipped:,} had been already" if summary.skipped else ""
    output.line(f"Labelled {output.count(summary.added, 'photo')}{already}, {summary.failed:,} failed.")
    if summary.left:
        output.say(
            f"Other devices are at work on {output.count(summary.left, 'photo')}; `safelight log` shows their part."
        )
    return exit_codes.PARTLY_DONE if summary.failed else exit_codes.DONE
