"""`safelight vocabulary`: labels by words alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import json_option, library_options

if TYPE_CHECKING:
    from core.vocabulary import WordLabel
    from tui.cli.session import Session


@click.group("vocabulary")
def command() -> None:
    """Make any words a label: of all photos that look like what they describe.

    This takes an image-text pack; docs/models.md says how to bring one.
    """


@command.command("add")
@click.argument("label")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@json_option
@library_options
def add(session: Session, label: str, texts: tuple[str, ...], as_json: bool) -> None:
    """Give LABEL to the photos that look like a TEXT, or like LABEL itself: those that are sure.

    \b
    safelight vocabulary add sunset
    safelight vocabulary add "our garden" "a garden with an apple tree" "a lawn with flowers"

    Said again, the new texts take the place of the old ones. `safelight search '~TEXT'` shows what one finds.
    """  # noqa: D301 - click wants the character itself
    from core import vocabulary

    with session.open_library() as library:
        _print([vocabulary.add(library, label, texts)], as_json=as_json)


@command.command("list")
@json_option
@library_options
def list_(session: Session, as_json: bool) -> None:
    """List the labels by words: the label, how many photos have it, and its texts."""
    from core import vocabulary

    with session.open_library() as library:
        vocabulary.refresh(library)
        _print(vocabulary.word_labels(library), as_json=as_json)


@command.command("remove")
@click.argument("label")
@library_options
def remove(session: Session, label: str) -> None:
    """Forget what describes LABEL, on all devices; photos to which you gave it yourself keep it."""
    from core import vocabulary

    with session.open_library() as library:
        vocabulary.forget(library, label)
    output.say(f"'{output.plain(label)}' is no label by words any more.")


def _print(labels: list[WordLabel], *, as_json: bool) -> None:
    if as_json:
        output.json_lines(labels)
        return
    for label in labels:
        texts = "; ".join(output.plain(text) for text in label.texts)
        output.line(f"{output.plain(label.name)}\t{label.photos}\t{texts}")
