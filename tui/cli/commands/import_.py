"""`safelight import`: copy photos into the library."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli import exit_codes, output
from tui.cli.interrupts import first_interrupt_stops
from tui.cli.options import json_option, library_options
from tui.cli.progress import import_bar

if TYPE_CHECKING:
    from core.importing.events import ImportEvent, ImportSummary
    from tui.cli.session import Session


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(readable=False, path_type=Path))
@click.option("--album", metavar="NAME", help="Put the photos into the album NAME; it is made if there is none.")
@click.option("--move", is_flag=True, help="Remove each source, once what was stored has been read back and compared.")
@click.option("--no-labels", is_flag=True, help="Do not label now; `safelight retag` does it later.")
@click.option("--readmit-purged", is_flag=True, help="Let photos come back that were purged.")
@json_option
@library_options
def command(
    session: Session,
    paths: tuple[Path, ...],
    album: str | None,
    move: bool,
    no_labels: bool,
    readmit_purged: bool,
    as_json: bool,
) -> int:
    """Copy photos, or folders of them, into the library.

    The originals stay where they are, unless --move says otherwise. A file that is in the library already, under
    whatever name, is counted as a duplicate. XMP sidecars and Takeout's JSON beside a photo are read. What is no photo
    is skipped; a photo that cannot be read, or a source that --move cannot remove, is one line with its reason, and the
    exit code is then 7. ^C finishes what is begun and stops; importing again goes on from there.
    """
    from core.importing.pipeline import import_paths

    with (
        session.open_library() as library,
        first_interrupt_stops() as stopped,
        import_bar(shown=not as_json) as advance,
    ):
        teller = _Teller({str(path) for path in paths}, as_json=as_json)

        def show(event: ImportEvent) -> None:
            if event.progress is not None:
                advance(event.progress)
            teller.tell(event)

        summary = import_paths(
            library,
            paths,
            move=move,
            album=album,
            readmit_purged=readmit_purged,
            label=not no_labels,
            progress=show,
            should_stop=stopped.is_set,
        )
        binned = len(teller.known.intersection(library.catalog.pids("is:trash"))) if teller.known else 0
    if as_json:
        output.json_event(
            {
                "event": "done",
                "added": summary.added,
                "duplicates": summary.duplicates,
                "skipped": summary.skipped,
                "failed": summary.failed,
                "seconds": round(summary.seconds, 3),
            }
        )
    else:
        for reason, files in teller.skipped.most_common():
            output.say(f"skipped {files:,}: {output.plain(reason)}")
        output.line(_summary_line(summary))
        if summary.added and not move:
            output.say("They were copied: the originals are where they were.")
    _tell_binned(binned)
    if stopped.is_set():
        output.say("Stopped; importing the same again goes on from here.")
        return exit_codes.INTERRUPTED
    return exit_codes.PARTLY_DONE if summary.failed or summary.unmoved else exit_codes.DONE


class _Teller:
    """Tells what becomes of each file, and counts what is told at the end."""

    def __init__(self, named: set[str], *, as_json: bool) -> None:
        self._named = named
        self._as_json = as_json
        self.skipped: Counter[str] = Counter()
        self.known: set[bytes] = set()

    def tell(self, event: ImportEvent) -> None:
        if event.kind == "duplicate" and event.pid is not None:
            self.known.add(event.pid)
        if self._as_json:
            output.json_event(_as_json(event))
        elif event.kind in {"failed", "note"}:
            about = "" if event.path is None else f"{output.plain(event.path)}: "
            report = output.error if event.kind == "failed" else output.warn
            report(f"{about}{event.reason}")
        elif event.kind == "skipped" and event.path in self._named:
            # In a folder a count is enough; who names a file wants to know of it.
            output.warn(f"{output.plain(event.path)}: skipped: {event.reason or 'no photo'}")
        elif event.kind == "skipped":
            self.skipped[event.reason or "no photo"] += 1


def _tell_binned(photos: int) -> None:
    if photos:
        output.warn(
            f"{output.count(photos, 'photo')} of these {'is' if photos == 1 else 'are'} in the trash, and "
            f"{'stays' if photos == 1 else 'stay'} there",
            hint="`safelight search is:trash` lists them, and `safelight restore` takes them out.",
        )


def _as_json(event: ImportEvent) -> dict[str, Any]:
    progress = event.progress
    if progress is not None:
        return {
            "event": event.kind,
            "files": progress.files,
            "total_files": progress.total_files,
            "bytes": progress.bytes,
            "total_bytes": progress.total_bytes,
            "seconds_left": progress.seconds_left,
        }
    line: dict[str, Any] = {"event": event.kind}
    if event.path is not None:
        line["path"] = event.path
    # A file that failed has no place in the library, also where its id is known.
    if event.pid is not None and event.kind in {"added", "duplicate"}:
        line["id"] = event.pid.hex()
    if event.reason is not None:
        line["reason"] = event.reason
    return line


def _summary_line(summary: ImportSummary) -> str:
    rate = f", {summary.added / summary.seconds:.1f} photos/s" if summary.added and summary.seconds > 0 else ""
    videos = f" ({output.count(summary.videos, 'video')})" if summary.videos else ""
    moved = f", {output.count(summary.moved, 'source')} removed" if summary.moved else ""
    if summary.unmoved:
        moved += f", {output.count(summary.unmoved, 'source')} not removed"
    return (
        f"Imported {output.count(summary.added, 'photo')}, {output.count(summary.duplicates, 'duplicate')}, "
        f"{summary.skipped:,} skipped{videos}, {summary.failed:,} failed{moved} ({summary.seconds:.1f} s{rate})."
    )
