"""What `model eval` prints."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tui.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.evaluate import Evaluation, Figures, LabelFigures

_CONFUSIONS_SHOWN = 15
_FIGURES = ("photos", "top1", "top5", "precision", "coverage", "ece")


def lines(result: Evaluation) -> Iterator[str]:
    """The figures for reading."""
    yield f"{result.photos:,} photos of something the model has a class for"
    yield f"top-1      {result.top1:.1%}"
    yield f"top-5      {result.top5:.1%}"
    yield f"precision  {_share(result.shown.known)}  of the narrowest labels given are right"
    yield f"coverage   {result.coverage:.1%}  of the photos get a label"
    yield f"ece        {result.ece:.3f}  how far the scores are from the truth"
    yield ""
    yield f"{'':<38}{'right':>8}{'95 % interval':>18}{'all labels':>12}{'coverage':>10}{'photos':>8}"
    yield from _rows("labels as shown", result.shown)
    if result.halves is not None:
        yield from _rows("fitted on one half, on the other", result.halves)
    yield from _rows("plain: strongest class over 0.1", result.plain)
    yield ""
    yield "how sure     photos  says   right"
    for found in result.reliability:
        if found.photos:
            sure = f"{found.low:.0%} to {found.high:.0%}"
            yield f"{sure:<12}{found.photos:>7}{found.confidence:>6.0%}{found.accuracy:>8.0%}"
    if result.confusions:
        yield ""
        yield "shown instead"
        for wrong in result.confusions[:_CONFUSIONS_SHOWN]:
            yield f"{wrong.photos:>4}  {output.plain(wrong.truth)}: {output.plain(wrong.label)}"
        more = len(result.confusions) - _CONFUSIONS_SHOWN
        if more > 0:
            yield f"      and {output.count(more, 'other confusion')}"


def facts(result: Evaluation, *, details: bool) -> dict[str, object]:
    """The figures for programs; with `details`, all of them."""
    found: dict[str, object] = {name: getattr(result, name) for name in _FIGURES}
    if details:
        for name in ("shown", "halves", "plain"):
            figures: Figures | None = getattr(result, name)
            found[name] = None if figures is None else {
                part: _facts(getattr(figures, part)) for part in ("known", "named", "all")
            }  # fmt: skip
        found["reliability"] = [dataclasses.asdict(one) for one in result.reliability]
        found["confusions"] = [dataclasses.asdict(one) for one in result.confusions]
        found["unknown"] = list(result.unknown)
    return found


def _rows(what: str, figures: Figures) -> Iterator[str]:
    yield _row(what, figures.known)
    if figures.named.coverage.of > figures.known.coverage.of:
        yield _row("  and things with a general word only", figures.named)
    if figures.all.coverage.of > figures.named.coverage.of:
        yield _row("  and things there is no word for", figures.all)


def _row(what: str, figures: LabelFigures) -> str:
    low, high = figures.precision.interval
    interval = f"{low:.1%} to {high:.1%}"
    return (
        f"{what:<38}{figures.precision.share:>8.1%}{interval:>18}{figures.all_right.share:>12.1%}"
        f"{figures.coverage.share:>10.1%}{figures.coverage.of:>8,}"
    )


def _share(figures: LabelFigures) -> str:
    return f"{figures.precision.share:.1%}"


def _facts(figures: LabelFigures) -> dict[str, object]:
    return {
        "photos": figures.coverage.of,
        "precision": figures.precision.share,
        "interval": figures.precision.interval,
        "all_labels": figures.all_right.share,
        "coverage": figures.coverage.share,
    }
