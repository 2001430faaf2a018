"""`safelight why`: how a photo came to its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.options import json_option, library_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.labelling import Explanation, ModelResult
    from core.teaching import TaughtReason
    from core.vocabulary import WordReason
    from ml.labels import Reason
    from tui.cli.session import Session

_MISSED_SHOWN = 5
_CLASSES_SHOWN = 4
_ID_DIGITS = 8
_CROPS = {
    ("centre",): ", looking at a square of its centre",
    ("whole",): ", looking at the whole of it",
    ("centre", "whole"): ", looking at a square of its centre and at the whole of it",
}


@click.command("why")
@click.argument("photo")
@click.argument("label", required=False)
@json_option
@library_options
def command(session: Session, photo: str, label: str | None, as_json: bool) -> None:
    """Say how a photo came to its labels, or how LABEL was reached or missed.

    A label's score is the sum of what the model gave to the classes that count for it: thirty breeds at 0.03 each are a
    confident dog.
    """
    from core import labelling, teaching, vocabulary
    from core.errors import NoSuchPhoto

    with session.open_library() as library:
        record = library.catalog.photo(library.catalog.resolve(photo))
        if record is None:
            raise NoSuchPhoto(f"there is no photo {output.plain(photo)}")
        taught = teaching.reasons(library, record.pid, label)
        words = vocabulary.reasons(library, record.pid, label)
        explanation = labelling.explain(library, record.document, record.pid, label, taught=taught, words=words)
    if as_json:
        output.json_lines(_json_lines(explanation))
        return
    lines = list(explanation_lines(explanation, missed=label is not None))
    if not lines:
        what = "any label" if label is None else f"'{output.plain(label)}'"
        lines = [f"Neither a model nor you said anything of {what} for this photo."]
    for line in lines:
        output.line(line)


def _json_lines(explanation: Explanation) -> Iterator[dict[str, Any]]:
    for name in explanation.added:
        yield {"label": name, "shown": True, "source": "user", "score": 1.0, "model": None}
    for name in explanation.rejected:
        yield {"label": name, "shown": False, "source": "user", "score": 0.0, "model": None}
    for learnt in explanation.taught:
        yield {
            "label": learnt.label,
            "shown": learnt.shown,
            "source": "taught",
            "score": learnt.score,
            "model": learnt.model,
            "positive": learnt.positive,
            "negative": learnt.negative,
            "example": learnt.example,
            "nearest": [{"id": pid.hex(), "cosine": round(cosine, 4)} for pid, cosine in learnt.nearest],
        }
    for described in explanation.words:
        yield {
            "label": described.label,
            "shown": described.shown,
            "source": "taught",
            "score": described.score,
            "model": described.model,
            "text": described.text,
        }
    decided = {*explanation.added, *explanation.rejected}
    for result in explanation.results:
        for reason in result.reasons:
            yield {
                "label": reason.label,
                "shown": reason.shown and result.active and reason.label not in decided,
                "source": "model",
                "score": reason.score,
                "model": result.model,
                "active": result.active,
                "crops": list(result.crops),
                "needed": reason.needed,
                "because_of": reason.because_of,
                "above": list(reason.path),
                "classes": [
                    {"name": part.name, "wordnet": part.class_id, "probability": part.probability}
                    for part in reason.contributions
                ],
            }


def explanation_lines(explanation: Explanation, *, missed: bool) -> Iterator[str]:
    """What is known, as lines to read; `missed`: what was not reached, too, however far it was from it."""
    for name in explanation.added:
        yield f"{output.plain(name)}: you added it"
    for name in explanation.rejected:
        yield f"{output.plain(name)}: you took it away, so no model gives it again"
    for learnt in explanation.taught:
        yield from _taught_text(learnt)
    for described in explanation.words:
        yield from _words_text(described, missed=missed)
    for result in explanation.results:
        yield from _result_text(result, missed=missed)


def _taught_text(learnt: TaughtReason) -> Iterator[str]:
    score = "nothing could be learnt for this photo" if learnt.score is None else f"{learnt.score:.0%}, needs 50%"
    verdict = "" if learnt.shown else "missed: "
    yield f"{output.plain(learnt.label)}: taught by you. {verdict}{score}"
    own = {None: "", "positive": "; this photo is one of them", "negative": "; this photo is one of the others"}
    yield f"  learnt from {learnt.positive} examples and {learnt.negative} of what it is not{own[learnt.example]}"
    if learnt.nearest:
        near = ", ".join(f"{pid.hex()[:_ID_DIGITS]} ({cosine:.2f})" for pid, cosine in learnt.nearest)
        yield f"  most like the examples {near}, as {output.plain(learnt.model)} sees them"


def _words_text(described: WordReason, *, missed: bool) -> Iterator[str]:
    if described.score is None or described.text is None:
        if missed:
            nobody = "no pack here understands texts" if described.model is None else "nothing stands out in this photo"
            yield f"{output.plain(described.label)}: by words of yours. missed: {nobody}"
        return
    verdict = "" if described.shown else "missed: "
    yield f"{output.plain(described.label)}: by words of yours. {verdict}{described.score:.0%}, needs 50%"
    yield f"  fits '{output.plain(described.text)}' best, as {output.plain(described.model or '')} sees it"


def _result_text(result: ModelResult, *, missed: bool) -> Iterator[str]:
    use = "" if result.active else " (not in use: search does not look at it)"
    yield f"{output.plain(result.model)}{_CROPS.get(tuple(sorted(result.crops)), '')}{use}"
    if not result.known:
        yield "  its classes are not known here: add the pack to see its reasons"
    shown = [reason for reason in result.reasons if reason.shown]
    others = [reason for reason in result.reasons if not reason.shown]
    for reason in shown:
        yield from _reason_text(reason)
    if not shown and not missed:
        yield "  no label: the model is sure of nothing here"
    for reason in others if missed else others[:_MISSED_SHOWN]:
        yield from _reason_text(reason)


def _reason_text(reason: Reason) -> Iterator[str]:
    bar = f"needs {reason.needed:.0%}"
    if not reason.shown:
        verdict = f"missed: {reason.score:.0%}, {bar}"
    elif reason.because_of is not None:
        verdict = f"{reason.score:.0%}, because of {output.plain(reason.because_of)}"
    else:
        verdict = f"{reason.score:.0%}, {bar}"
    yield f"  {output.plain(reason.label)}  {verdict}"
    parts = [f"{output.plain(part.name)} {part.probability:.1%}" for part in reason.contributions[:_CLASSES_SHOWN]]
    more = len(reason.contributions) - len(parts)
    if parts:
        yield "      " + " + ".join(parts) + (f" + {more} more" if more else "")
