"""Recovery phrases on a terminal and in files: asked for without being shown, and shown once."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")

_WORDS_A_ROW = 4
_ATTEMPTS = 3
_LONGEST_FILE = 4096


def phrase_file_option(function: Function) -> Function:
    """--phrase-file, for unattended use: never an argument, which every user of the machine could read."""
    return click.option(
        "--phrase-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Read the recovery phrase from FILE instead of asking for it.",
    )(function)


def given_phrase(path: Path | None) -> str:
    """The recovery phrase in the file at `path`, or asked for where there is none.

    Raises:
        Locked: the file cannot be read, or there is no terminal to ask on.
        WrongPhrase: these words are none.
    """
    from core.devices import read_phrase
    from core.errors import WrongPhrase

    if path is not None:
        return _read(path)
    for _ in range(_ATTEMPTS - 1):
        words = _ask()
        try:
            read_phrase(words)
        except WrongPhrase as error:
            output.error(str(error), error.hint)
        else:
            return words
    return _ask()


def show_phrase(phrase: str) -> None:
    """Print the words, numbered, in rows."""
    words = phrase.split()
    for start in range(0, len(words), _WORDS_A_ROW):
        row = words[start : start + _WORDS_A_ROW]
        output.line("  " + "".join(f"{start + index:>3} {word:<10}" for index, word in enumerate(row, 1)).rstrip())


def _read(path: Path) -> str:
    from core.errors import Locked

    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise Locked(
            f"the file of the recovery phrase cannot be read: {error.strerror}",
            hint="Name another, or none to be asked.",
        ) from error
    if len(data) > _LONGEST_FILE:
        raise Locked("the file is far larger than a recovery phrase", hint="Check that it is the right file.")
    if os.name == "posix" and stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        output.warn(
            "other users of this machine can read the file of the recovery phrase",
            f"chmod 600 '{output.plain(str(path))}', and delete it when you are done",
        )
    return data.decode(errors="replace")


def _ask() -> str:
    from core.errors import Locked

    if not output.is_terminal(sys.stdin):
        raise Locked(
            "the recovery phrase is needed, and there is no terminal to ask for it", hint="Give --phrase-file FILE."
        )
    import getpass

    return getpass.getpass("Recovery phrase (24 words; they are not shown as you type): ")
