"""`safelight search`: list the photos that a query finds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import QUERY_SETTINGS, joined_query, json_option, library_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.catalog.records import PhotoRecord
    from core.library import Library
    from tui.cli.session import Session

_PAGE = 2000
"""Photos fetched at once: a result of any length is printed in constant memory."""


class SortOrder(click.ParamType[tuple[str, bool | None]]):
    """FIELD, FIELD:asc or FIELD:desc, as a pair of the field and whether it descends (None: as the field does)."""

    name = "sort order"

    def convert(
        self, value: object, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, bool | None]:
        """Split at the colon; which fields there are the catalog knows."""
        if isinstance(value, tuple):
            return value
        field, _, direction = str(value).partition(":")
        if direction not in {"", "asc", "desc"}:
            self.fail(
                f"'{output.plain(direction)}' is no direction: write {field}:asc or {field}:desc", parameter, context
            )
        return field, {"": None, "asc": False, "desc": True}[direction]


@click.command("search", context_settings=QUERY_SETTINGS)
@click.argument("query", nargs=-1, metavar="[QUERY]")
@click.option(
    "--sort",
    "order",
    type=SortOrder(),
    metavar="FIELD[:desc]",
    help="Default: date, newest first; descriptions best first.",
)
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N photos. Default: all.")
@click.option("--count", "only_count", is_flag=True, help="Print how many photos there are, and nothing else.")
@json_option
@library_options
def command(
    session: Session,
    query: tuple[str, ...],
    order: tuple[str, bool | None] | None,
    limit: int | None,
    only_count: bool,
    as_json: bool,
) -> None:
    """List the photos that QUERY finds, or all.

    \b
    safelight search label:dog -label:cat
    safelight search 'is:favourite rating:>=3 date:2024-05..2024-08'
    safelight search 'camera:"Pixel 8" (beach OR sea)'
    safelight search '~"a puppy in the snow" date:2024'

    docs/search.md has the whole language. Photos in the trash are found by is:trash alone.

    A table is shown on a terminal; elsewhere each photo is a line of id, date, name and labels, separated by tabs.
    """  # noqa: D301 - click wants the character itself
    text = joined_query(query)
    with session.open_library() as library:
        if only_count:
            found = library.catalog.count(text)
            if as_json:
                output.json_lines([{"count": found}])
            else:
                output.line(str(found))
            return
        print_photos(library, _photos(library, text, order, limit), as_json=as_json)


def print_photos(library: Library, photos: Iterator[PhotoRecord], *, as_json: bool) -> None:
    """Print photos in their order: as JSON Lines, as a table on a terminal, elsewhere as lines with tabs."""
    if as_json:
        from core.search import search_result

        output.json_lines(search_result(photo) for photo in photos)
    elif output.is_terminal(sys.stdout):
        _print_table(library, photos)
    else:
        from tui.cli.photo_text import tab_line

        for photo in photos:
            output.line(tab_line(photo))


def _photos(
    library: Library, query: str, order: tuple[str, bool | None] | None, limit: int | None
) -> Iterator[PhotoRecord]:
    from core.search import default_sort

    field, descending = order or (default_sort(query), None)
    offset = 0
    while limit is None or offset < limit:
        size = _PAGE if limit is None else min(_PAGE, limit - offset)
        page = library.catalog.search(query, sort=field, descending=descending, limit=size, offset=offset)
        yield from page
        if len(page) < size:
            return
        offset += size


def _print_table(library: Library, photos: Iterator[PhotoRecord]) -> None:
    from tui.cli.photo_text import Table, id_digits

    table = Table(id_digits(library.catalog.count("")))
    shown = 0
    for photo in photos:
        output.line(table.row(photo))
        shown += 1
    output.say(output.count(shown, "photo"))
