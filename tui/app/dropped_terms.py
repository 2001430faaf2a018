"""What would be found if a search that finds nothing asked for less: each of its terms left out in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.query import Query, parse
from core.query.fields import nearest
from core.query.nodes import And, Or, Text, Words
from tui.app.completion import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.library import Library
    from core.query.nodes import Node

_MOST_TERMS = 12


@dataclass(frozen=True)
class Alternative:
    """What to change about a search (`without rating:5`), and the search then."""

    change: str
    query: Query


def alternatives(library: Library, query: str) -> list[Alternative]:
    """Return what to search for instead of `query`; raises `QueryError`.

    Terms that stand beside each other are left out one at a time, so there are as many as terms; a label that does not
    exist is compared with those that do.
    """
    return list(_alternatives(library, parse(query).root, query))


def _alternatives(library: Library, root: Node, query: str) -> Iterator[Alternative]:
    items = root.items if isinstance(root, And) else (root,)
    for at, item in enumerate(items[:_MOST_TERMS]):
        before, after = items[:at], items[at + 1 :]
        if before or after:
            # The star that lets a word go on while it is typed is none of the typed ones.
            written = query[item.span.column : item.span.column + item.span.length].removesuffix("*")
            if isinstance(item, And | Or):
                written = f"({written})"
            yield Alternative(f"without {written}", Query(And(items=before + after)))
        name = _meant(library, item)
        if name is not None:
            meant = Text(field="label", text=name)
            yield Alternative(f"with label:{quoted(name)}", Query(And(items=(*before, meant, *after))))


def _meant(library: Library, item: Node) -> str | None:
    """Return the label that was probably meant by one that no photo has."""
    if not isinstance(item, Words | Text) or getattr(item, "field", "label") != "label":
        return None
    name = nearest(item.text.lower(), library.catalog.label_counts())
    return None if name == item.text.lower() else name
