"""The grammar of queries, and the parser that turns their text into nodes.

    label:dog -label:cat is:favourite date:2024-05..2024-08 "free words" (a OR b)

Terms beside each other must all hold; ``OR`` (or ``|``) binds weaker; ``-`` (or ``NOT``) denies the term or the
brackets it touches. Any text either parses or raises :class:`core.errors.QueryError`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, cast

from core.errors import QueryError
from core.query.fields import FIELD_ALIASES, FIELDS, BadValue, Value, nearest
from core.query.nodes import And, Node, Not, Or, Similar, Span, Words, quoted
from core.query.words import words

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

MAX_CHARACTERS = 65_536
MAX_DEPTH = 50
"""Brackets and minus signs inside each other: deeper than anyone types, shallower than Python's stack."""

# A field and its value are one token, so that no space can come between them. A star after a value lets it go on.
GRAMMAR = r"""
start: any?
any: all (OR all)*
all: term (AND? term)*
?term: denied | group | FIELD | QUOTED | SIMILAR | WORD
denied: (MINUS | NOT) term
group: "(" any ")"

OR.5: /OR(?=[\s()"]|$)|\|+/
AND.5: /AND(?=[\s()"]|$)|&+(?=[\s()"]|$)/
NOT.5: /NOT(?=[\s()"]|$)/
MINUS.4: /-(?=[^\s)])/
FIELD.3: /[^\W\d_][\w-]*:("(?:\\.|[^"\\])*"\*?|[^\s()"]*)/s
SIMILAR.3: /~("(?:\\.|[^"\\])*"|[^\s()"]*)/s
QUOTED.2: /"(?:\\.|[^"\\])*"\*?/s
WORD.1: /[^\s()"]+/
%ignore /\s+/
"""
_FIELD = re.compile(r"([^:]*):(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"(\*?)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood.

    Attributes:
        root: its tree.
        text: as it was typed; queries with equal trees are equal.
    """

    root: Node
    text: str = ""

    def __str__(self) -> str:
        return str(self.root)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Query) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.root)


def parse(text: str, *, now: datetime | None = None) -> Query:
    """Read a query.

    Args:
        text: what was typed; an empty text finds every photo outside the trash.
        now: the wall clock that words such as ``today`` are counted from; by default this machine's.

    Raises:
        QueryError: if it cannot be understood; it says where, and what was probably meant.
    """
    if not text.strip():
        return Query(And(items=()), text)
    if len(text) > MAX_CHARACTERS:
        raise QueryError(
            f"the query has {len(text)} characters; {MAX_CHARACTERS} are the most", query=text[:80], column=0, length=80
        )
    reader = _Reader(text, now or datetime.now())  # noqa: DTZ005 - dates in queries mean the wall clock
    return Query(reader.node(_tree(text), 0), text)


def _tree(text: str) -> Tree[Token]:
    from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

    stray = re.search("[\ud800-\udfff\x00]", text)
    if stray is not None:
        raise QueryError("this character is no text", query=text, column=stray.start(), length=1)
    try:
        return _parser().parse(text)
    except UnexpectedToken as error:
        raise _unexpected(text, error.token) from None
    except UnexpectedEOF:
        raise _unfinished(text) from None
    except UnexpectedCharacters as error:
        column = cast("int", error.pos_in_stream)
        if text[column] == '"':
            raise QueryError(
                "the quote that opens here is never closed",
                query=text,
                column=column,
                length=len(text) - column,
                hint='close it with another "',
            ) from None
        raise QueryError(
            f"{text[column]!r} makes no sense here", query=text, column=column, length=1, hint="put words in quotes"
        ) from None


def _unexpected(text: str, token: Token) -> QueryError:
    if token.type == "$END":
        return _unfinished(text)
    column = token.start_pos or 0
    if token.type == "RPAR":
        opened = text[:column].rstrip().endswith("(")
        message = "nothing stands between these brackets" if opened else "this bracket closes nothing"
        return QueryError(message, query=text, column=column, length=1, hint="put a bracket that is meant in quotes")
    return QueryError(
        f"{token.value} needs a term on both sides" if token.type in {"OR", "AND"} else f"{token.value!r} is misplaced",
        query=text,
        column=column,
        length=len(token.value),
        hint=f'to look for the word, put it in quotes: "{token.value}"',
    )


def _unfinished(text: str) -> QueryError:
    if text.count("(") > text.count(")"):
        column = text.rindex("(")
        return QueryError("this bracket is never closed", query=text, column=column, length=1, hint="close it with )")
    stripped = len(text.rstrip())
    start = max(text.rfind(" ", 0, stripped) + 1, 0)
    return QueryError(
        f"a term is missing after {text[start:stripped]}", query=text, column=start, length=stripped - start
    )


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", lexer="contextual", propagate_positions=True)


class _Reader:
    """Turns a parse tree into nodes; holds what all of them need."""

    def __init__(self, text: str, now: datetime) -> None:
        self._text = text
        self._now = now

    def node(self, tree: Tree[Token] | Token, depth: int) -> Node:
        """Return the node of a tree or token."""
        from lark import Token

        if isinstance(tree, Token):
            return self._leaf(tree)
        if depth > MAX_DEPTH:
            span = _span(tree)
            raise self._error(f"brackets stand inside each other more than {MAX_DEPTH} deep", span)
        # A group and a denial each wrap two rules around their term: only these count.
        deeper = depth + (tree.data in {"group", "denied"})
        items = [
            self.node(child, deeper)
            for child in tree.children
            if not (isinstance(child, Token) and child.type in {"OR", "AND", "MINUS", "NOT"})
        ]
        if tree.data == "denied":
            return Not(item=items[0], span=_span(tree))
        if tree.data in {"start", "group"} or len(items) == 1:
            return items[0] if items else And(items=())
        return (Or if tree.data == "any" else And)(items=tuple(items), span=_span(tree))

    def _leaf(self, token: Token) -> Node:
        span = Span(token.start_pos or 0, len(token.value))
        match token.type:
            case "FIELD":
                return self._field(str(token.value), span)
            case "SIMILAR":
                text, _ = _unquoted(str(token.value)[1:])
                if not text.strip():
                    raise self._error('~ needs a description, as in ~"dog on a beach"', span)
                return Similar(text=text, span=span)
            case _:
                text, prefix = _unquoted(str(token.value))
                if not words(text):
                    raise self._error(f"{token.value} has no letter or digit to look for", span)
                return Words(text=text, prefix=prefix, span=span)

    def _field(self, token: str, span: Span) -> Node:
        found = _FIELD.fullmatch(token)
        if found is None:
            raise self._error(f"{token!r} is no field and value", span)
        written, raw = found.groups()
        name = FIELD_ALIASES.get(written.lower(), written.lower())
        field = FIELDS.get(name)
        if field is None:
            meant = nearest(name, [*FIELDS, *FIELD_ALIASES])
            hint = f"did you mean {meant}:? To look for the words themselves, put them in quotes: {quoted(token)}"
            if meant is None:
                hint = f"fields are {', '.join(sorted(FIELDS))}; to look for the words, put them in quotes"
            raise self._error(f"there is no field {written}:", Span(span.column, len(written) + 1), hint=hint)
        if not raw:
            raise self._error(f"{written}: needs a value", span, hint=f"for example {name}:{field.example}")
        text, prefix = _unquoted(raw)
        try:
            return field.node(Value(text=text, prefix=prefix, span=span, now=self._now))
        except BadValue as error:
            meant = error.suggestion
            hint = f"did you mean {name}:{meant}?" if meant else f"for example {name}:{field.example}"
            place = Span(span.column + len(written) + 1, len(raw))
            raise self._error(str(error), place, hint=hint) from None
        except ValueError as error:
            place = Span(span.column + len(written) + 1, len(raw))
            raise self._error(str(error), place, hint=f"for example {name}:{field.example}") from None

    def _error(self, message: str, span: Span, *, hint: str | None = None) -> QueryError:
        return QueryError(message, query=self._text, column=span.column, length=span.length, hint=hint)


def _unquoted(raw: str) -> tuple[str, bool]:
    """Return a value without its quotes and escapes, NFC, and whether a star follows it."""
    found = _QUOTED.fullmatch(raw)
    if found is not None:
        return unicodedata.normalize("NFC", _ESCAPE.sub(r"\1", found[1])), bool(found[2])
    text = raw.removesuffix("*")
    return unicodedata.normalize("NFC", text), text != raw


def _span(tree: Tree[Token]) -> Span:
    start, end = tree.meta.start_pos, tree.meta.end_pos
    return Span(start, end - start)
