"""Options and arguments that several commands have, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui.cli import output
from tui.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.library import Library

_ID_DIGITS = 32

Function = TypeVar("Function", bound="Callable[..., Any]")


def _keep(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None and parameter.name is not None:
        setattr(context.ensure_object(Session), parameter.name, value)


def library_options(function: Function) -> Function:
    """--library and --passphrase-file after the command's name, as they are before it."""
    for option in (
        click.option(
            "--passphrase-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            expose_value=False,
            callback=_keep,
            help="Read the passphrase from FILE. Default: SAFELIGHT_PASSPHRASE_FILE, else ask.",
        ),
        click.option(
            "--library",
            type=click.Path(path_type=Path),
            metavar="DIR",
            expose_value=False,
            callback=_keep,
            help="The library's folder. Default: SAFELIGHT_LIBRARY, else the platform's data folder.",
        ),
    ):
        function = option(function)
    return click.pass_obj(function)  # type: ignore[return-value]


def json_option(function: Function) -> Function:
    """--json, for everything that lists something."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one object a line.")(function)


def yes_option(function: Function) -> Function:
    """--yes, for everything that asks."""
    return click.option("--yes", is_flag=True, help="Answer every question with yes.")(function)


def photos_or_query(function: Function) -> Function:
    """PHOTO… and --query: which photos the command is about; see `chosen_photos`."""
    function = click.option("--query", metavar="QUERY", help="All photos that QUERY finds, instead of PHOTO.")(function)
    return click.argument("photos", nargs=-1, metavar="[PHOTO]...")(function)


def chosen_photos(library: Library, photos: Sequence[str], query: str | None) -> list[bytes]:
    """The ids of the photos meant, each once: PHOTO is an id or any beginning of one that only one photo has.

    Raises:
        click.UsageError: neither photos nor a query, or both.
        CoreError: no photo, or more than one, has that beginning; or the query cannot be understood.
    """
    if photos and query is not None:
        raise click.UsageError("give either photos or --query, not both")
    if query is not None:
        return library.catalog.pids(query)
    if not photos:
        raise click.UsageError("which photos? give their ids, or --query QUERY")
    return list(dict.fromkeys(library.catalog.resolve(photo) for photo in photos))


def photos_and_value(value: str) -> Callable[[Function], Function]:
    """PHOTO…, one `value` and --query, as the parameters `arguments` and `query`; see `split_value`."""

    def decorate(function: Function) -> Function:
        function = click.option("--query", metavar="QUERY", help="All photos that QUERY finds, instead of PHOTO.")(
            function
        )
        return click.argument("arguments", nargs=-1, required=True, metavar=f"[PHOTO]... {value}")(function)

    return decorate


def split_value(arguments: Sequence[str], what: str, is_value: Callable[[str], bool]) -> tuple[str, tuple[str, ...]]:
    """The value among the arguments, and the others. It stands last; first is understood as well.

    Raises:
        click.UsageError: neither the last nor the first argument is one; `what` says what was wanted.
    """
    *photos, last = arguments
    if is_value(last):
        return last, tuple(photos)
    first, *photos = arguments
    if is_value(first):
        return first, tuple(photos)
    raise click.UsageError(f"'{output.plain(last)}' is not {what}")


def is_photo_id(text: str) -> bool:
    """Whether `text` could be the beginning of a photo's id."""
    return 0 < len(text) <= _ID_DIGITS and all(character in "0123456789abcdefABCDEF" for character in text)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be taken back; `yes` answers.

    Raises:
        click.ClickException: the answer is no.
        click.UsageError: there is nobody to ask.
    """
    import sys

    if yes:
        return
    if not output.is_terminal(sys.stdin):
        raise click.UsageError(f"{question} There is no terminal to ask on: --yes says yes")
    if not click.confirm(question, err=True):
        raise click.ClickException("nothing was done")


QUERY_SETTINGS: dict[str, Any] = {"ignore_unknown_options": True}
"""Context settings of commands that take a query as it is: `-label:cat` is no option."""


def joined_query(words: Sequence[str]) -> str:
    """The query that the words on the command line make.

    Raises:
        click.NoSuchOption: a word begins like an option: no query does.
    """
    for word in words:
        if word.startswith("--"):
            raise click.NoSuchOption(word.split("=", 1)[0])
    return " ".join(words)
