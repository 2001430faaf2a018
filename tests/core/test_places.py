"""Places: circles around positions, with what their queries find, and names of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from core import edits
from core.errors import InvalidEdit
from core.places import name_place, places
from crdt.documents import shard_name
from crdt.operations import Put
from crdt.records import PhotoFacts
from crdt.schema import pid_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library

LISBON, PORTO, TAVEUNI = (38.72, -9.14), (41.15, -8.61), (-16.85, 179.99)


def put_at(library: Library, positions: Sequence[tuple[float, float] | None]) -> list[bytes]:
    """Photos that were taken there; None: nobody knows where."""
    pids = [bytes([number]) * 16 for number in range(1, len(positions) + 1)]
    operations: dict[str, list[Put]] = {}
    for pid, position in zip(pids, positions, strict=True):
        latitude, longitude = position or (None, None)
        clock = "2024-05-01T12:00:00"
        facts = PhotoFacts(
            width=4, height=3, size=9, mime="image/jpeg", wall_clock=clock, latitude=latitude, longitude=longitude
        )
        operations.setdefault(shard_name(clock, pid), []).append(Put("photo", pid_key(pid), facts.pack()))
    library.commit(operations, action="import", summary="import")
    return pids


def around(place: tuple[float, float], count: int) -> list[tuple[float, float]]:
    """Positions within a few kilometres of a place, on both sides of the date line if it is there."""
    spread = np.random.default_rng(7).uniform(-0.03, 0.03, (count, 2)).tolist()
    return [(place[0] + north, (place[1] + east + 180) % 360 - 180) for north, east in spread]


def test_places_are_where_photos_were_taken_and_their_queries_find_them(library: Library) -> None:
    assert places(library) == []
    pids = put_at(library, [*around(PORTO, 3), *around(LISBON, 20), *around(TAVEUNI, 8), None, None])
    edits.trash(library, pids[3:5])
    found = places(library)
    assert [place.photos for place in found] == [18, 8, 3]
    assert [place.photos for place in found] == [library.catalog.count(place.query) for place in found]
    assert [place.name for place in found] == [None] * 3
    for place, expected in zip(found, (LISBON, TAVEUNI, PORTO), strict=True):
        assert abs(place.latitude - expected[0]) < 0.05
        assert min(abs(place.longitude - expected[1]), 360 - abs(place.longitude - expected[1])) < 0.05
    assert found[0].title.startswith("38.7")
    assert len(places(library, most=1)) == 1


def test_a_place_keeps_the_name_that_it_was_given(library: Library) -> None:
    put_at(library, [*around(PORTO, 3), *around(LISBON, 5)])
    first = places(library)[0]
    assert name_place(library, first.latitude, first.longitude, "  Home ") == "Home"
    assert places(library)[0].title == "Home"
    name_place(library, *LISBON, "Lisbon")
    home, other = places(library)
    assert (home.name, home.photos) == ("Lisbon", 5)
    assert other.name is None
    assert home.photos == library.catalog.count(home.query)
    name_place(library, *PORTO, "Porto")
    library.set_setting("place/elsewhere", "north of here")  # what cannot be read is passed over
    library.set_setting("place/beyond", "91,0")
    assert [place.name for place in places(library, most=0)] == ["Lisbon", "Porto"]
    name_place(library, *LISBON, "")
    assert [place.name for place in places(library)] == [None, "Porto"]
    with pytest.raises(InvalidEdit):
        name_place(library, *LISBON, "é" * 51)
