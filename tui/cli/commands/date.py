"""`safelight date`: correct when photos were taken."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_and_value, split_value

if TYPE_CHECKING:
    from tui.cli.session import Session

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MINUTE = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?!:)(.*)", re.ASCII)


@click.command("date")
@photos_and_value("DATE")
@library_options
def command(session: Session, arguments: tuple[str, ...], query: str | None) -> None:
    """Correct when photos were taken; an empty DATE ('') returns to the file's own.

    DATE is 2024-05-01, 2024-05-01T18:30, 2024-05-01T18:30:00, or any of these with an offset: 2024-05-01T18:30+02:00.
    """
    from core import edits

    date, photos = split_value(arguments, "a date", lambda text: not text or _DAY.match(text) is not None)
    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_taken(library, pids, _whole(date) if date else None)
    output.say(f"Dated {output.count(len(pids), 'photo')}.")


def _whole(date: str) -> str:
    """`date` with the seconds that were left out; midnight where no time is given.

    Raises:
        click.UsageError: there is no such day or time.
    """
    minute = _MINUTE.fullmatch(date)
    if _DAY.fullmatch(date):
        whole = f"{date}T00:00:00"
    elif minute is not None:
        whole = f"{minute[1]}T{minute[2]}:00{minute[3]}"
    else:
        whole = date.replace(" ", "T", 1)
    try:
        datetime.fromisoformat(whole)
    except ValueError as error:
        raise click.UsageError(f"'{output.plain(date)}' is no date: {error}") from error
    return whole
