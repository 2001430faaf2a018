"""Sequences of photos for scrolling, compared with the lists that searches return."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.catalog.sequence import NO_DAY, PhotoSequence
from core.errors import QueryError

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.conftest import Bench


def days_since_1970(text: str) -> int:
    return (dt.date.fromisoformat(text) - dt.date(1970, 1, 1)).days


@pytest.mark.parametrize("query", ["", "rating:5", "date:2024-05", "is:trash", "nothing-is-called-so"])
@pytest.mark.parametrize("sort", ["taken", "name", "rating"])
def test_a_sequence_holds_what_a_search_finds_in_its_order(
    bench: Bench, library: Library, query: str, sort: str
) -> None:
    pids = [*bench.add_photos(library, 7), *bench.add_photos(library, 5, month="1961-02", seed="old")]
    edits.set_rating(library, pids[3:9], 5)
    edits.trash(library, pids[:2])
    sequence = library.catalog.sequence(query, sort)
    assert list(sequence) == library.catalog.pids(query, sort)
    dates = [photo.taken for photo in library.catalog.search(query, sort)]
    assert sequence.days.tolist() == [NO_DAY if date is None else days_since_1970(date[:10]) for date in dates]


def test_an_edit_shows_in_the_next_sequence(bench: Bench, library: Library) -> None:
    pids = bench.add_photos(library, 3)
    assert len(library.catalog.sequence()) == 3
    edits.trash(library, pids[:1])
    assert set(library.catalog.sequence()) == set(pids[1:])
    edits.set_taken(library, pids[1:2], "1999-12-31T23:59:59")
    assert library.catalog.sequence().days[-1] == days_since_1970("1999-12-31")


def test_places_and_slices(bench: Bench, library: Library) -> None:
    bench.add_photos(library, 9)
    sequence = library.catalog.sequence()
    assert [sequence.index(pid) for pid in sequence] == list(range(9))
    assert sequence.index(bytes(16)) is None
    assert sequence.slice(-3, 2) == list(sequence)[:2]
    assert sequence.slice(7, 99) == list(sequence)[7:]
    with pytest.raises(IndexError):
        sequence[9]


def test_an_id_across_two_others_is_not_found() -> None:
    ids = bytes(range(48))
    sequence = PhotoSequence(ids, PhotoSequence.empty().days)
    assert sequence.index(ids[8:24]) is None
    assert sequence.index(ids[16:32]) == 1


def test_an_empty_library_has_an_empty_sequence(library: Library) -> None:
    assert len(library.catalog.sequence()) == 0
    assert list(PhotoSequence.empty()) == []
    with pytest.raises(QueryError):
        library.catalog.sequence("nofield:x")
