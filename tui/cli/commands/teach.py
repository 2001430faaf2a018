"""`safelight teach`: labels learnt from examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.options import is_photo_id, json_option, library_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library
    from core.teaching import TaughtLabel
    from tui.cli.session import Session

_ID_DIGITS = 8
"""Fewer digits, without `id:`, are a word to search for: `face` and `dad` are made of hex digits too."""


@click.command("teach")
@click.argument("label", required=False)
@click.option("--from", "positive", multiple=True, metavar="QUERY", help="Photos that show it: a query, or ids.")
@click.option("--not", "negative", multiple=True, metavar="QUERY", help="Photos that do not: a query, or ids.")
@click.option("--review", is_flag=True, help="List photos to say yes or no to: the most and the least certain.")
@click.option("--limit", type=click.IntRange(min=1), default=12, show_default=True, metavar="N", help="With --review.")
@click.option("--list", "list_all", is_flag=True, help="List the labels that were taught.")
@click.option("--forget", is_flag=True, help="Forget LABEL, on all devices.")
@json_option
@library_options
def command(
    session: Session,
    label: str | None,
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    review: bool,
    limit: int,
    list_all: bool,
    forget: bool,
    as_json: bool,
) -> None:
    """Teach LABEL by photos that show it, and find the others.

    \b
    safelight teach "our boat" --from 'id:3fa91c22 id:77c0e1d4 id:9b02aa17'
    safelight teach "our boat" --from album:Regatta --not 'label:ferry'
    safelight teach "our boat" --review

    Five photos that differ from each other are a good beginning. Said again, LABEL learns from the new photos too, as
    it does when you add it to a photo or take it away. docs/teaching.md says more.
    """  # noqa: D301 - click wants the character itself
    from core import teaching

    asked = sum((review, list_all, forget, bool(positive or negative)))
    if asked != 1 or (label is None) != list_all:
        raise click.UsageError("give LABEL and --from or --not, LABEL --review, LABEL --forget, or --list")
    with session.open_library() as library:
        if list_all:
            _print_labels(teaching.taught_labels(library), as_json=as_json)
        elif review:
            _print_review(library, label or "", limit, as_json=as_json)
        elif forget:
            teaching.forget(library, label or "")
            output.say(f"'{output.plain(label or '')}' is forgotten. Photos that you gave it to keep it.")
        else:
            taught = teaching.teach(library, label or "", _examples(library, positive), _examples(library, negative))
            _print_taught(taught, as_json=as_json)


def _examples(library: Library, texts: Sequence[str]) -> list[bytes]:
    """The photos that queries find, or that are named by their ids, each once."""
    found: dict[bytes, None] = {}
    for text in texts:
        words = text.split()
        if words and all(_is_id(word) for word in words):
            found.update(dict.fromkeys(library.catalog.resolve(word.removeprefix("id:")) for word in words))
            continue
        pids = library.catalog.pids(text)
        if not pids:
            raise click.ClickException(f"no photo is found by {output.plain(text)}")
        found.update(dict.fromkeys(pids))
    return list(found)


def _is_id(word: str) -> bool:
    return is_photo_id(word.removeprefix("id:")) and (word.startswith("id:") or len(word) >= _ID_DIGITS)


def _print_taught(taught: TaughtLabel, *, as_json: bool) -> None:
    if as_json:
        output.json_lines([_line(taught)])
        return
    output.line(f"'{output.plain(taught.name)}' is on {output.count(taught.photos, 'photo')} now.")
    if taught.without_vector:
        output.warn(
            f"the model in use made no vector of {output.count(taught.without_vector, 'example')}: they teach nothing",
            "`safelight retag` makes what is missing",
        )
    if taught.positive == 1:
        output.say("One example finds little more than itself: name some that differ from it.")
    output.say(f"Photos to say yes or no to: safelight teach '{output.plain(taught.name)}' --review")


def _print_labels(labels: Sequence[TaughtLabel], *, as_json: bool) -> None:
    if as_json:
        output.json_lines(_line(taught) for taught in labels)
        return
    for taught in labels:
        examples = f"{taught.positive} examples, {taught.negative} of what it is not"
        output.line(f"{output.plain(taught.name)}\t{output.count(taught.photos, 'photo')}\t{examples}")


def _print_review(library: Library, label: str, count: int, *, as_json: bool) -> None:
    from core.teaching import uncertain
    from tui.cli.photo_text import tab_line

    asked = uncertain(library, label, count)
    groups = (("most", asked.most_certain), ("least", asked.least_certain))
    if as_json:
        output.json_lines(
            {"certain": certain, "id": pid.hex(), "score": round(score, 4)}
            for certain, found in groups
            for pid, score in found
        )
        return
    for certain, found in groups:
        output.say(f"The {certain} certain:")
        scores = dict(found)
        for photo in library.catalog.photos(list(scores)):
            output.line(f"{scores[photo.pid]:.2f}\t{tab_line(photo)}")
    named = output.plain(label)
    output.say(f"Yes: safelight teach '{named}' --from ID; no: safelight teach '{named}' --not ID")


def _line(taught: TaughtLabel) -> dict[str, Any]:
    return {
        "label": taught.name,
        "positive": taught.positive,
        "negative": taught.negative,
        "photos": taught.photos,
        "without_vector": taught.without_vector,
    }
