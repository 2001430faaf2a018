"""`safelight duplicates`: list photos that show the same picture, and keep the best of each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import QUERY_SETTINGS, confirm, joined_query, json_option, library_options, yes_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from core.catalog.records import PhotoRecord
    from core.duplicates import DuplicateGroup
    from core.library import Library
    from tui.cli.session import Session

_USUAL, _MOST = 6, 11
"""Bits: `core.duplicates.DEFAULT_DISTANCE` and `MAX_DISTANCE`, which `--help` must not import NumPy for."""
_PAGE = 500
"""Groups whose photos are fetched at once."""


@click.command("duplicates", context_settings=QUERY_SETTINGS)
@click.argument("query", nargs=-1, metavar="[QUERY]")
@click.option(
    "--distance",
    type=click.IntRange(0, _MOST),
    default=_USUAL,
    metavar="N",
    help=f"How many of 64 bits may differ, 0 to {_MOST}: more find more, also what is not alike. Default: {_USUAL}.",
)
@click.option(
    "--trash-others",
    is_flag=True,
    help="Put the others of each group into the trash; not those that you rated, captioned or collected, and no raws.",
)
@yes_option
@json_option
@library_options
def command(
    session: Session, query: tuple[str, ...], distance: int, trash_others: bool, yes: bool, as_json: bool
) -> None:
    """List groups of photos that show the same picture.

    Copies of other sizes and formats, sent ones, ones with other colours or a little cut off, and shots of one moment.
    The best of each group comes first: no screenshot, the one with the most pixels, then the largest file, then by your
    rating. QUERY limits which photos are compared.

    \b
    safelight duplicates date:2024-05
    safelight duplicates --trash-others      undo takes it back

    Look before you let it trash anything: of two shots of one moment you may want both. What you have marked stays:
    favourites, rated ones, those with a caption or in an album; and so does a raw beside the picture made of it.
    """  # noqa: D301 - click wants the character itself
    from core.duplicates import disposable, find_duplicates

    text = joined_query(query)
    with session.open_library() as library:
        among = library.catalog.pids(text) if text.strip() else None
        groups = find_duplicates(library, distance=distance, among=among)
        if as_json:
            from core.search import search_result

            output.json_lines({"photos": [search_result(photo) for photo in one]} for one in _photos(library, groups))
        else:
            _print(library, groups)
        others = sum(len(group.photos) - 1 for group in groups)
        if trash_others and others:
            from core import edits

            unwanted = [pid for photos in _photos(library, groups) for pid in disposable(photos)]
            kept = "" if len(unwanted) == others else f" ({others - len(unwanted)} that you have marked, or raws, stay)"
            if not unwanted:
                output.say(f"Nothing to put into the trash{kept}.")
                return
            what = output.count(len(unwanted), "photo")
            confirm(f"Put {what} into the trash, and keep the best of {_count(groups)}{kept}?", yes=yes)
            edits.trash(library, unwanted)
            output.say(f"Put {what} into the trash{kept}. `safelight undo` takes it back.")
        elif not as_json:
            output.say(f"{_count(groups)}, with {output.count(others, 'photo')} beside the best ones.")


def _count(groups: Sequence[DuplicateGroup]) -> str:
    return output.count(len(groups), "group")


def _photos(library: Library, groups: Sequence[DuplicateGroup]) -> Iterator[list[PhotoRecord]]:
    for start in range(0, len(groups), _PAGE):
        page = groups[start : start + _PAGE]
        records = {photo.pid: photo for photo in library.catalog.photos([pid for one in page for pid in one.photos])}
        yield from ([records[pid] for pid in one.photos if pid in records] for one in page)


def _print(library: Library, groups: Sequence[DuplicateGroup]) -> None:
    """On a terminal, tables with blank lines between; elsewhere lines as of `search`, after the number of the group."""
    from tui.cli.photo_text import Table, id_digits, tab_line

    on_terminal = output.is_terminal(sys.stdout)
    table = Table(id_digits(library.catalog.count(""))) if on_terminal and groups else None
    for number, photos in enumerate(_photos(library, groups), start=1):
        if table is not None and number > 1:
            output.line()
        for photo in photos:
            size = f"{photo.width:>5} x {photo.height:<5} {output.file_size(photo.size):>9}"
            output.line(f"{number}\t{tab_line(photo)}" if table is None else f"{size}  {table.row(photo)}")
