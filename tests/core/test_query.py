"""The query language: what parses to what, what is refused and where, and that nothing else can happen."""

from __future__ import annotations

import unicodedata
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import QueryError
from core.query import Query, parse
from core.query.fields import COLOURS, FIELDS, HAS_FLAGS, IS_FLAGS, MEDIA_TYPES
from core.query.nodes import (
    And,
    Bound,
    Colour,
    Flag,
    IdPrefix,
    MediaType,
    Near,
    Node,
    Not,
    Or,
    Range,
    Similar,
    Text,
    Words,
    walk,
)
from core.query.values import wall_clock_ms
from core.query.words import contains, fold, words

NOW = datetime(2024, 5, 17, 14, 30)  # noqa: DTZ001 - a Friday, on the wall clock


def ms(*parts: int) -> int:
    return wall_clock_ms(datetime(*parts))  # type: ignore[arg-type]  # noqa: DTZ001


def root(text: str) -> Node:
    return parse(text, now=NOW).root


def stretch(text: str) -> tuple[float | None, float | None]:
    node = root(text)
    assert isinstance(node, Range)
    return (
        None if node.low is None else node.low.value,
        None if node.high is None else node.high.value,
    )


def test_an_empty_query_finds_everything() -> None:
    assert root("") == root("  \t") == And(items=())


def test_the_example_of_the_documentation_parses() -> None:
    node = root(
        'label:dog -label:cat is:favourite rating:>=3 date:2024-05..2024-08 camera:"Pixel 8" '
        'album:Lisbon near:38.72,-9.14,10km colour:red type:raw "free words" (a OR b) ~"dog on a beach"'
    )
    assert isinstance(node, And)
    assert node.items == (
        Text(field="label", text="dog"),
        Not(item=Text(field="label", text="cat")),
        Flag(field="is", name="favourite"),
        Range(field="rating", low=Bound(3), high=None),
        Range(field="date", low=Bound(ms(2024, 5, 1)), high=Bound(ms(2024, 9, 1) - 1)),
        Text(field="camera", text="Pixel 8"),
        Text(field="album", text="Lisbon"),
        Near(latitude=38.72, longitude=-9.14, kilometres=10.0),
        Colour(name="red"),
        MediaType(name="raw"),
        Words(text="free words"),
        Or(items=(Words(text="a"), Words(text="b"))),
        Similar(text="dog on a beach"),
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a b OR c", "(a b) OR c"),
        ("a | b | c", "a OR b OR c"),
        ("-a b", "(-a) b"),
        ("-(a OR b)", "NOT (a OR b)"),
        ("--a", "NOT -a"),
        ("a AND b", "a b"),
        ("LABEL:Dog", "label:dog"),
        ("tag:dog", "label:dog"),
        ("color:gray", "colour:grey"),
        ("is:favorite", "is:favourite"),
        ("type:jpg", "type:jpeg"),
        ("rating:3", "rating:3..3"),
        ("rating:=3", "rating:3"),
        ("size:2MB", "size:2000000"),
        ("f:f/2.8", "aperture:2.8"),
        ("focal:50mm", "focal:50"),
        ("brightness:<20%", "brightness:<20"),
        ("is:bw", "is:black-and-white"),
        ("near:1,2,500m", "near:1,2,0.5km"),
        ("id:3FA9", "id:3fa9"),
        ("cafe\u0301", "caf\u00e9"),
    ],
)
def test_spellings_that_mean_the_same(text: str, same: str) -> None:
    assert root(text) == root(same)


def test_lower_case_or_is_a_word() -> None:
    assert root("cat or dog") == And(items=(Words(text="cat"), Words(text="or"), Words(text="dog")))


def test_a_star_lets_a_word_go_on_and_a_quoted_star_does_not() -> None:
    assert root("IMG_12*") == Words(text="IMG_12", prefix=True)
    assert root('"two wor"*') == Words(text="two wor", prefix=True)
    assert root('"a*"') == Words(text="a*", prefix=False)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("date:2024", ms(2024, 1, 1), ms(2025, 1, 1) - 1),
        ("date:2024-02", ms(2024, 2, 1), ms(2024, 3, 1) - 1),
        ("date:2024-feb", ms(2024, 2, 1), ms(2024, 3, 1) - 1),
        ("date:2024-September", ms(2024, 9, 1), ms(2024, 10, 1) - 1),
        ("date:2024-12-31", ms(2024, 12, 31), ms(2025, 1, 1) - 1),
        ("date:2024-05-17T14", ms(2024, 5, 17, 14), ms(2024, 5, 17, 15) - 1),
        ("date:2024-05-17T14:30", ms(2024, 5, 17, 14, 30), ms(2024, 5, 17, 14, 31) - 1),
        ("date:2023..2024-03", ms(2023, 1, 1), ms(2024, 4, 1) - 1),
        ("date:2023..", ms(2023, 1, 1), None),
        ("date:..2023", None, ms(2024, 1, 1) - 1),
        ("date:>2023", ms(2024, 1, 1) - 1, None),
        ("date:<2023", None, ms(2023, 1, 1)),
        ("date:>=2023", ms(2023, 1, 1), None),
        ("date:<=2023", None, ms(2024, 1, 1) - 1),
        ("date:today", ms(2024, 5, 17), ms(2024, 5, 18) - 1),
        ("date:yesterday", ms(2024, 5, 16), ms(2024, 5, 17) - 1),
        ("date:this-week", ms(2024, 5, 13), ms(2024, 5, 20) - 1),
        ("date:last-week", ms(2024, 5, 6), ms(2024, 5, 13) - 1),
        ("date:this-month", ms(2024, 5, 1), ms(2024, 6, 1) - 1),
        ("date:last-month", ms(2024, 4, 1), ms(2024, 5, 1) - 1),
        ("date:this-year", ms(2024, 1, 1), ms(2025, 1, 1) - 1),
        ("date:last-year", ms(2023, 1, 1), ms(2024, 1, 1) - 1),
        ("date:>=30d", ms(2024, 4, 17), None),
        ("date:3m", ms(2024, 2, 17), ms(2024, 2, 18) - 1),
        ("date:9999-12-31", ms(9999, 12, 31), ms(9999, 12, 31) + 86_400_000 - 1),
        ("size:1.5GiB", 1_610_612_736, 1_610_612_736),
        ("size:>2MB", 2_000_000, None),
        ("width:..1000", None, 1000),
    ],
)
def test_values_and_what_they_cover(text: str, low: float | None, high: float | None) -> None:
    assert stretch(text) == (low, high)


def test_a_later_or_earlier_date_leaves_the_date_itself_out() -> None:
    later, earlier = root("date:>2023"), root("date:<2023")
    assert isinstance(later, Range)
    assert isinstance(earlier, Range)
    assert later.low is not None
    assert earlier.high is not None
    assert not later.low.inclusive
    assert not earlier.high.inclusive


@pytest.mark.parametrize(
    ("text", "column", "length", "message", "hint"),
    [
        ("dog labl:cat", 4, 5, "no field labl", "label:"),
        ("is:favrite", 3, 7, "favrite", "is:favourite"),
        ("has:gsp", 4, 3, "gsp", "has:gps"),
        ("type:jepg", 5, 4, "jepg", "type:jpeg"),
        ("colour:redd", 7, 4, "redd", "colour:red"),
        ("a rating:9", 9, 1, "0 to 5", None),
        ("rating:many", 7, 4, "not a number", "rating:>=3"),
        ("rating:2.5", 7, 3, "whole", None),
        ("date:2024-13", 5, 7, "calendar", None),
        ("date:2023-02-29", 5, 10, "calendar", None),
        ("date:2024-xyz", 5, 8, "month", None),
        ("date:soon", 5, 4, "not a date", "2024-05"),
        ("date:2025..2024", 5, 10, "backwards", None),
        ("date:..", 5, 2, "at least one end", None),
        ("size:big", 5, 3, "not a size", None),
        ("near:here", 5, 4, "latitude", "near:38.72,-9.14,10km"),
        ("near:99,0,1km", 5, 8, "-90 to 90", None),
        ("id:xyz", 3, 3, "hex", None),
        ("label:", 0, 6, "needs a value", "label:dog"),
        ('label:"dog', 6, 4, "never closed", None),
        ('say "hello', 4, 6, "never closed", None),
        ("(a b", 0, 1, "never closed", None),
        ("a b)", 3, 1, "closes nothing", None),
        ("a ()", 3, 1, "nothing stands", None),
        ("a OR", 2, 2, "missing after OR", None),
        ("!?", 0, 2, "no letter or digit", None),
        ("~", 0, 1, "needs a description", None),
        ("a\x00b", 1, 1, "no text", None),
        ("a \udc80", 2, 1, "no text", None),
        ('album:"..."', 6, 5, "letter or digit", None),
    ],
)
def test_what_is_refused_and_where(text: str, column: int, length: int, message: str, hint: str | None) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        parse(text)
    error = caught.value
    assert (error.column, error.length, error.query) == (column, length, text)
    if hint is not None:
        assert hint in (error.hint or "")


def test_an_error_prints_with_carets_under_its_cause() -> None:
    with pytest.raises(QueryError) as caught:
        parse("dog is:favrite cat")
    assert caught.value.pointed() == "dog is:favrite cat\n       ^^^^^^^"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(" * 9000, id="open brackets"),
        pytest.param("-" * 9000 + "a", id="minus signs"),
        pytest.param("(" * 9000 + "a" + ")" * 9000, id="brackets"),
        pytest.param("a" * 70_000, id="a long word"),
        pytest.param("a (" * 900, id="words and brackets"),
    ],
)
def test_queries_made_to_exhaust_are_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    _check(text)


_PIECES = st.sampled_from(
    [
        "(",
        ")",
        '"',
        "-",
        "~",
        " ",
        "OR",
        "AND",
        "NOT",
        "|",
        "&",
        ":",
        "..",
        ",",
        "*",
        "\\",
        ">",
        "=",
        "<",
        "@",
        "5",
        "x",
    ]
    + [f"{name}:" for name in FIELDS]
    + [f"{name}:{field.example}" for name, field in FIELDS.items()]
)


@given(st.lists(_PIECES, max_size=14).map("".join))
def test_any_text_of_its_own_pieces_parses_or_is_refused(text: str) -> None:
    _check(text)


def _check(text: str) -> None:
    error = None
    try:
        query = parse(text)
    except QueryError as refusal:
        error = refusal
    if error is None:
        assert parse(str(query)) == query
    else:
        assert 0 <= error.column <= len(text)
        assert 0 <= error.length <= max(len(text), 1) - error.column


# Trees of every kind of node, within the bounds of what can be written.
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
_texts = _texts.map(lambda text: unicodedata.normalize("NFC", text)).filter(lambda text: bool(words(text)))
_whole = st.integers(0, 10**6)


@st.composite
def _ranges(draw: st.DrawFn) -> Node:
    field = draw(st.sampled_from(["width", "height", "size", "iso", "date", "imported", "rating"]))
    low, high = sorted([draw(st.integers(0, 5)), draw(st.integers(0, 5))])
    if field != "rating":
        low, high = low * draw(_whole), high * 10**6
    inclusive = draw(st.booleans())
    match draw(st.integers(0, 2)):
        case 0:
            return Range(field=field, low=Bound(low), high=Bound(high))
        case 1:
            return Range(field=field, low=Bound(low, inclusive), high=None)
        case _:
            return Range(field=field, low=None, high=Bound(high, inclusive))


_leaves: st.SearchStrategy[Node] = st.one_of(
    st.builds(lambda text, prefix: Words(text=text, prefix=prefix), _texts, st.booleans()),
    st.builds(
        lambda field, text, prefix: Text(field=field, text=text, prefix=prefix),
        st.sampled_from(["album", "camera", "lens", "name", "caption"]),
        _texts,
        st.booleans(),
    ),
    _texts.map(lambda text: Text(field="label", text=fold(text.strip()).strip() or "dog")),
    st.sampled_from(sorted(IS_FLAGS)).map(lambda name: Flag(field="is", name=name)),
    st.sampled_from(sorted(HAS_FLAGS)).map(lambda name: Flag(field="has", name=name)),
    st.sampled_from(sorted(MEDIA_TYPES)).map(lambda name: MediaType(name=name)),
    st.sampled_from(COLOURS).map(lambda name: Colour(name=name)),
    _ranges(),
    st.builds(
        lambda latitude, longitude, distance: Near(
            latitude=round(latitude, 6), longitude=round(longitude, 6), kilometres=round(distance, 3)
        ),
        st.floats(-90, 90),
        st.floats(-180, 180),
        st.floats(0.001, 1000),
    ),
    st.text("0123456789abcdef", min_size=1, max_size=32).map(lambda digits: IdPrefix(digits=digits)),
    _texts.map(lambda text: Similar(text=text)),
)
trees: st.SearchStrategy[Node] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        inner.map(lambda item: Not(item=item)),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: And(items=tuple(items))),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: Or(items=tuple(items))),
    ),
    max_leaves=8,
)


@given(trees)
def test_every_tree_prints_as_text_that_reads_back(tree: Node) -> None:
    assert parse(str(Query(tree))).root == tree


@given(trees)
def test_every_node_of_a_tree_is_walked(tree: Node) -> None:
    printed = str(tree)
    assert all(str(node) in printed for node in walk(tree))


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("IMG_1234.jpg", ["img", "1234", "jpg"]),
        ("Grüße, Straße!", ["grüsse", "strasse"]),
        ("CAFE\u0301", ["café"]),
        ("日本の花", ["日", "本", "の", "花"]),
        ("party🎉time", ["party", "🎉", "time"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("don't", ["don", "t"]),
        ("a\ue000b", ["a", "b"]),
    ],
)
def test_how_texts_are_cut_into_words(text: str, row: list[str]) -> None:
    assert words(text) == row


def test_words_are_found_in_a_row() -> None:
    assert contains("Sunset at the beach", ["the", "beach"])
    assert not contains("Sunset at the beach", ["sunset", "beach"])
    assert contains("Sunset at the beach", ["the", "bea"], prefix=True)
    assert not contains("Sunset at the beach", ["bea", "the"], prefix=True)
    assert not contains("anything", [])
