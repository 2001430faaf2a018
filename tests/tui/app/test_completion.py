"""What completes a query, and what it is searched for while it is typed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog.listing import Suggestion
from core.errors import QueryError
from core.query import parse
from core.query.nodes import Text
from tui.app.completion import Completion, apply, as_typed, completions, fragment_at, quoted

KNOWN = {"label": ["dog", "dogwood", "golden retriever"], "album": ["Dogs of Lisbon"], "camera": ["Pixel 8"]}


def suggest(field: str, prefix: str) -> list[Suggestion]:
    return [Suggestion(value, 7) for value in KNOWN.get(field, []) if value.lower().startswith(prefix.lower())]


def completed(query: str) -> list[str]:
    fragment = fragment_at(query, len(query))
    assert fragment is not None
    return [completion.text for completion in completions(fragment, suggest)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("label:do", ["label:dog", "label:dogwood"]),
        ("is:rated -label:gold", ['-label:"golden retriever"']),
        ('label:"golden r', ['label:"golden retriever"']),
        ("tag:dogw", ["label:dogwood"]),
        ("camera:pix", ['camera:"Pixel 8"']),
        ("is:fav", ["is:favourite"]),
        ("(dog", ["label:dog", "label:dogwood", 'album:"Dogs of Lisbon"']),
        ("colour:re", ["colour:red"]),
        ("near:38", []),
        ("lab", ["label:", "is:labelled"]),
    ],
)
def test_completions(query: str, expected: list[str]) -> None:
    found = completed(query)
    assert found[: len(expected)] == expected
    if not expected:
        assert found == []


def test_what_another_word_stands_for_is_completed_and_says_so() -> None:
    fragment = fragment_at("kitt", 4)
    assert fragment is not None
    cats = [Suggestion("cat", 1200, meant_by="kitty")]
    (found,) = completions(fragment, lambda field, _: cats if field == "label" else [])
    assert (found.text, found.about) == ("label:cat", "1,200, kitty")


@pytest.mark.parametrize("query", ["", "dog ", "(", "dog OR", "  "])
def test_nothing_is_completed_where_no_word_ends(query: str) -> None:
    assert fragment_at(query, len(query)) is None


def test_a_completion_takes_the_place_of_its_word() -> None:
    query = "is:rated do is:motion"
    fragment = fragment_at(query, len("is:rated do"))
    assert fragment is not None
    text, cursor = apply(query, fragment, Completion("label:dog", ""))
    assert text == "is:rated label:dog is:motion"
    assert text[:cursor] == "is:rated label:dog "
    text, cursor = apply("la", fragment_at("la", 2) or fragment, Completion("label:", ""))
    assert (text, cursor) == ("label:", 6)


@given(st.text(max_size=40))
def test_every_value_can_be_quoted(value: str) -> None:
    try:
        query = parse(f"name:{quoted(value)}")
    except QueryError:
        return  # no letter or digit to look for, or no text at all
    assert isinstance(query.root, Text)
    assert query.root.text == unicodedata.normalize("NFC", value)


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        ("dog", "dog*"),
        ("label:do", "label:do*"),
        ('label:"golden r', 'label:"golden r"*'),
        ("dog ", "dog "),
        ("dog*", "dog*"),
        ("is:rated", "is:rated"),
        ("rating:4", "rating:4"),
        ('"golden"', '"golden"'),
        ("(dog OR ca", "(dog OR ca*"),
        ("-ca", "-ca*"),
        ("", ""),
    ],
)
def test_the_last_word_may_be_a_beginning(typed: str, searched: str) -> None:
    assert as_typed(typed, len(typed)) == searched


def test_in_the_middle_of_a_query_words_are_whole() -> None:
    assert as_typed("dog cat", 3) == "dog cat"
