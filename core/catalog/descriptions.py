"""What `~"dog on a beach"` finds, as the catalog takes it: somebody who knows models says which photos it describes.

The catalog has no vectors and holds its own lock while it answers, so it is told beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from core.errors import NoTextEncoder, QueryError
from core.query.nodes import And, Node, Or, Similar, walk

if TYPE_CHECKING:
    from core.catalog.records import PhotoRecord
    from core.query import Query

Likeness = tuple[bytes, float, bool]
"""A photo, its score (0 to 1), and whether it is sure rather than a maybe."""
Describer = Callable[[str], Sequence[Likeness]]
"""Returns the photos that a text describes, best first. Raises `NoTextEncoder`."""
Answers = Mapping[str, Sequence[Likeness]]
"""What was found for each text of a query."""


def answer(query: Query, describer: Describer | None) -> Answers:
    """Return what is found for every text that a query describes photos by.

    Raises:
        QueryError: no model here understands texts.
    """
    answers: dict[str, Sequence[Likeness]] = {}
    for node in walk(query.root):
        if isinstance(node, Similar) and node.text not in answers:
            try:
                answers[node.text] = (describer or _describe_nothing)(node.text)
            except NoTextEncoder as error:
                place = node.span
                raise QueryError(
                    str(error), query=query.text, column=place.column, length=place.length, hint=error.hint
                ) from error
    return answers


def describes(node: Node) -> bool:
    """Tell whether a node, or one below it, is a description."""
    return any(isinstance(part, Similar) for part in walk(node))


def asked_texts(query: Query) -> list[str]:
    """Return the texts that rank what a query finds: its descriptions outside of any denial."""
    texts: list[str] = []
    waiting: list[Node] = [query.root]
    while waiting:
        match waiting.pop():
            case And(items=items) | Or(items=items):
                waiting.extend(items)
            case Similar(text=text):
                texts.append(text)
            case _:
                pass
    return list(dict.fromkeys(texts))


def combined(answers: Answers, texts: Sequence[str]) -> dict[bytes, tuple[float, bool]]:
    """Return the score and the sureness of every photo that one of the texts found, best first.

    Of several texts that found a photo the mean counts, and it is sure where all of them are.
    """
    found: dict[bytes, list[tuple[float, bool]]] = {}
    for text in texts:
        for pid, score, sure in answers.get(text, ()):
            found.setdefault(pid, []).append((score, sure))
    scores = {
        pid: (sum(score for score, _ in parts) / len(parts), all(sure for _, sure in parts))
        for pid, parts in found.items()
    }
    return dict(sorted(scores.items(), key=lambda item: -item[1][0]))


def with_likeness(records: Sequence[PhotoRecord], likeness: Mapping[bytes, tuple[float, bool]]) -> list[PhotoRecord]:
    """Return records with the score and the sureness of those that a description found."""
    if not likeness:
        return list(records)
    found = ((record, likeness.get(record.pid)) for record in records)
    return [
        record if known is None else msgspec.structs.replace(record, score=known[0], sure=known[1])
        for record, known in found
    ]


def _describe_nothing(_text: str) -> Sequence[Likeness]:
    raise NoTextEncoder("descriptions need an image-text pack, and a catalog alone has none")
