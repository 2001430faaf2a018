"""What a query means, as a tree of frozen values: equal trees find the same photos.

Every node prints as text that parses to the same tree, so a tree can be stored, compared and shown. The place of a
node in the text it was read from is kept for error messages and takes no part in comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the query's text: ``length`` characters from ``column`` (from 0)."""

    column: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """What all nodes share: where they stand in the text."""

    span: Span = field(default=Span(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class And(_Placed):
    """Photos that every item finds; with no items, all photos."""

    items: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(f"({item})" if isinstance(item, And | Or) else str(item) for item in self.items)


@dataclass(frozen=True, slots=True)
class Or(_Placed):
    """Photos that at least one item finds; two items or more."""

    items: tuple[Node, ...]

    def __str__(self) -> str:
        return " OR ".join(f"({item})" if isinstance(item, And | Or) else str(item) for item in self.items)


@dataclass(frozen=True, slots=True)
class Not(_Placed):
    """Photos that the item does not find."""

    item: Node

    def __str__(self) -> str:
        return f"-({self.item})" if isinstance(self.item, And | Or) else f"-{self.item}"


@dataclass(frozen=True, slots=True)
class Words(_Placed):
    """Words in a row, in a label, an album's name, the caption or a file name.

    Attributes:
        text: the words, NFC.
        prefix: whether the last word may go on.
    """

    text: str
    prefix: bool = False

    def __str__(self) -> str:
        return quoted(self.text, prefix=self.prefix)


@dataclass(frozen=True, slots=True)
class Text(_Placed):
    """A text in one field.

    Attributes:
        field: ``label`` (the whole name), or ``album``, ``camera``, ``lens``, ``name``, ``caption`` (words in a row).
        text: what to find, NFC.
        prefix: whether the text, or its last word, may go on.
    """

    field: str
    text: str
    prefix: bool = False

    def __str__(self) -> str:
        return f"{self.field}:{quoted(self.text, prefix=self.prefix)}"


@dataclass(frozen=True, slots=True)
class Flag(_Placed):
    """``is:NAME`` or ``has:NAME``, one of the names in :mod:`core.query.fields`."""

    field: str
    name: str

    def __str__(self) -> str:
        return f"{self.field}:{self.name}"


@dataclass(frozen=True, slots=True)
class MediaType(_Placed):
    """Photos whose file is of a type, such as ``jpeg`` or ``raw``."""

    name: str

    def __str__(self) -> str:
        return f"type:{self.name}"


@dataclass(frozen=True, slots=True)
class Colour(_Placed):
    """Photos in which a colour is prominent."""

    name: str

    def __str__(self) -> str:
        return f"colour:{self.name}"


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range.

    Attributes:
        value: the number there.
        inclusive: whether the number itself belongs to the range.
    """

    value: float
    inclusive: bool = True


@dataclass(frozen=True, slots=True)
class Range(_Placed):
    """A number between two ends; never true of a photo in which the number is unknown.

    Attributes:
        field: ``rating``, ``width``, ``height``, ``size`` (bytes), ``iso``, ``aperture``, ``focal`` (mm),
            ``brightness`` (per cent), ``date`` (milliseconds of the wall clock since 1970-01-01T00:00) or ``imported``
            (UTC seconds).
        low: the lower end, ``None`` for none.
        high: the upper end, ``None`` for none.
    """

    field: str
    low: Bound | None
    high: Bound | None

    def __str__(self) -> str:
        from core.query.values import range_text

        return f"{self.field}:{range_text(self)}"


@dataclass(frozen=True, slots=True)
class Near(_Placed):
    """Photos taken within ``kilometres`` (along the ground, over a sphere) of a place in degrees."""

    latitude: float
    longitude: float
    kilometres: float

    def __str__(self) -> str:
        return f"near:{plain(self.latitude)},{plain(self.longitude)},{plain(self.kilometres)}km"


@dataclass(frozen=True, slots=True)
class IdPrefix(_Placed):
    """Photos whose id begins with these lower-case hex digits."""

    digits: str

    def __str__(self) -> str:
        return f"id:{self.digits}"


@dataclass(frozen=True, slots=True)
class Similar(_Placed):
    """Photos that look like what a text describes; ranked by a text encoder."""

    text: str

    def __str__(self) -> str:
        return f"~{quoted(self.text)}"


Node = And | Or | Not | Words | Text | Flag | MediaType | Colour | Range | Near | IdPrefix | Similar


def plain(number: float) -> str:
    """Return a number without exponent, that reads back to the same number."""
    return f"{Decimal(repr(number)):f}"


def quoted(text: str, *, prefix: bool = False) -> str:
    """Return the text in quotes, as the query language reads them; a star after them lets the last word go on."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"{"*" if prefix else ""}'


def walk(node: Node) -> list[Node]:
    """Return the node and everything below it, parents first."""
    found = [node]
    for item in found:
        match item:
            case And(items=items) | Or(items=items):
                found.extend(items)
            case Not(item=inner):
                found.append(inner)
            case _:
                pass
    return found
