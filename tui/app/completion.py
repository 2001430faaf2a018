"""What could complete the word under the cursor of a query: fields, their values, labels and albums of the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.query.fields import COLOURS, FIELD_ALIASES, FIELDS, HAS_FLAGS, IS_FLAGS, MEDIA_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from core.catalog.listing import Suggestion

_MOST = 8
_FREE_FIELDS = ("label", "album")
_WITH_BEGINNINGS = frozenset({"label", "album", "name", "caption", "camera", "lens"})
_FIXED: dict[str, dict[str, str]] = {
    "is": dict(IS_FLAGS),
    "has": dict(HAS_FLAGS),
    "type": dict.fromkeys(MEDIA_TYPES, ""),
    "colour": dict.fromkeys(COLOURS, ""),
    "rating": {">=4": "four stars or five", ">=1": "any stars", "5": ""},
    "date": {"today": "", "yesterday": "", "this-week": "", "this-month": "", "this-year": "", "last-year": ""},
}
Suggest = "Callable[[str, str], Sequence[Suggestion]]"


@dataclass(frozen=True)
class Fragment:
    """The term that is being typed: its place in the query, its field if it names one, and its value so far."""

    start: int
    end: int
    sign: str
    field: str | None
    value: str


@dataclass(frozen=True)
class Completion:
    """What a term could become, and a word on it."""

    text: str
    about: str


def fragment_at(query: str, cursor: int) -> Fragment | None:
    """Return the term that ends at the cursor; None in white space, or where a bracket or operator stands."""
    start = _term_start(query, cursor)
    term = query[start:cursor]
    if not term or term in {"OR", "AND", "NOT"}:
        return None
    sign = "-" if term[0] == "-" else ""
    body = term[len(sign) :]
    name, colon, value = body.partition(":")
    if colon and not name.startswith('"'):
        known = FIELD_ALIASES.get(name.lower(), name.lower())
        return Fragment(start, cursor, sign, known, value.lstrip('"').replace('\\"', '"'))
    return Fragment(start, cursor, sign, None, body.lstrip('"'))


def completions(fragment: Fragment, suggest: Callable[[str, str], Sequence[Suggestion]]) -> list[Completion]:
    """Return what the term could become; `suggest` knows the library's values of a field."""
    if fragment.field is None:
        return _first_words(fragment, suggest)[:_MOST]
    if fragment.field in _FIXED:
        known = _FIXED[fragment.field].items()
        fitting = [(value, about) for value, about in known if value.startswith(fragment.value.lower())]
        return [Completion(_term(fragment, fragment.field, value), about) for value, about in fitting][:_MOST]
    found = suggest(fragment.field, fragment.value)
    return [Completion(_term(fragment, fragment.field, one.text), _about(one)) for one in found][:_MOST]


def apply(query: str, fragment: Fragment, completion: Completion) -> tuple[str, int]:
    """Return the query with the term completed, and where the cursor goes: past a value, or at one that is to come."""
    open_ended = completion.text.endswith(":")
    text = completion.text if open_ended else completion.text + " "
    rest = query[fragment.end :]
    if not open_ended and rest.startswith(" "):
        rest = rest[1:]
    done = query[: fragment.start] + text
    return done + rest, len(done)


def as_typed(query: str, cursor: int) -> str:
    """Return what to search for while a query is typed: its last word may be only the beginning of one."""
    fragment = fragment_at(query, cursor)
    if fragment is None or cursor != len(query) or not fragment.value or fragment.value.endswith(("*", '"')):
        return query
    if fragment.field is not None and fragment.field not in _WITH_BEGINNINGS:
        return query
    if query[fragment.start : cursor].count('"') % 2:
        return query + '"*'
    return query + "*"


def quoted(value: str) -> str:
    """Return a value as a query needs it: in quotes where it has spaces or brackets."""
    if value and not value.endswith("*") and not any(one.isspace() or one in '()"' for one in value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _first_words(fragment: Fragment, suggest: Callable[[str, str], Sequence[Suggestion]]) -> list[Completion]:
    typed = fragment.value.lower()
    if not typed:
        return []
    fields = [
        Completion(f"{fragment.sign}{name}:", field.about) for name, field in FIELDS.items() if name.startswith(typed)
    ]
    flags = [
        Completion(_term(fragment, field, value), about)
        for field in ("is", "has")
        for value, about in _FIXED[field].items()
        if value.startswith(typed)
    ]
    values = [
        (one.photos, Completion(_term(fragment, field, one.text), _about(one)))
        for field in _FREE_FIELDS
        for one in suggest(field, fragment.value)
    ]
    values.sort(key=lambda pair: -pair[0])
    return [*_unique(fields), *flags[:2], *(completion for _, completion in values)]


def _about(suggestion: Suggestion) -> str:
    return f"{suggestion.photos:,}" + (f", {suggestion.meant_by}" if suggestion.meant_by else "")


def _term(fragment: Fragment, field: str, value: str) -> str:
    return f"{fragment.sign}{field}:{quoted(value)}"


def _unique(items: Iterable[Completion]) -> list[Completion]:
    return list({item.text: item for item in items}.values())


def _term_start(query: str, cursor: int) -> int:
    """Return where the term around the cursor begins; quotes hold spaces and brackets together."""
    start, inside, escaped = 0, False, False
    for place, character in enumerate(query[:cursor]):
        if escaped:
            escaped = False
        elif character == "\\" and inside:
            escaped = True
        elif character == '"':
            inside = not inside
        elif not inside and (character.isspace() or character in "()"):
            start = place + 1
    return start
