"""`safelight show`: everything known about a photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from tui.cli import output
from tui.cli.options import chosen_photos, json_option, library_options, photos_or_query

if TYPE_CHECKING:
    from core.catalog.records import PhotoRecord
    from tui.cli.session import Session


@click.command("show")
@photos_or_query
@json_option
@library_options
def command(session: Session, photos: tuple[str, ...], query: str | None, as_json: bool) -> None:
    """Show everything known about photos."""
    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        records = library.catalog.photos(pids)
        if as_json:
            output.json_lines(map(_as_json, records))
            return
        from tui.cli.photo_text import facts

        for position, record in enumerate(records):
            if position:
                output.line()
            rows = facts(record)
            width = max(len(name) for name, _ in rows)
            for name, text in rows:
                output.line(f"{name:<{width}}  {text}")


def _as_json(record: PhotoRecord) -> dict[str, Any]:
    """The fields of `search --json`, and what only this command shows."""
    from core.search import search_result

    found: dict[str, Any] = msgspec.to_builtins(search_result(record))
    extra = record.extra
    return {
        **found,
        "date_source": record.date_source.name.lower(),
        "date_from": extra.date_source,
        "imported_at": record.imported_at,
        "trashed_at": record.trashed_at,
        "rotation": record.rotation,
        "camera": record.camera,
        "lens": record.lens,
        "iso": record.iso,
        "f_number": record.f_number,
        "exposure_s": extra.exposure_s,
        "focal_mm": record.focal_mm,
        "altitude_m": extra.altitude_m,
        "motion_s": record.motion_s,
        "looks": record.looks,
        "brightness": record.brightness,
    }
