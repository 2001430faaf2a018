"""Zoom and pan as arithmetic."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tui.app.graphics.view_box import MAX_ZOOM, View, framing

sizes = st.tuples(st.integers(1, 9000), st.integers(1, 9000))
rooms = st.tuples(st.integers(1, 300), st.integers(1, 100))
cells = st.sampled_from([(1.0, 2.0), (10.0, 20.0), (9.0, 17.0)])
moves = st.lists(st.one_of(st.integers(-1, 1), st.tuples(st.integers(-1, 1), st.integers(-1, 1))), max_size=12)


def looked_at(steps: list[int | tuple[int, int]]) -> View:
    view = View()
    for step in steps:
        view = view.zoomed(step) if isinstance(step, int) else view.panned(*step)
    return view


@given(sizes, rooms, cells, moves)
def test_what_is_drawn_lies_in_the_picture_and_in_the_room(
    picture: tuple[int, int],
    room: tuple[int, int],
    cell: tuple[float, float],
    steps: list[int | tuple[int, int]],
) -> None:
    view = looked_at(steps)
    assert 1 <= view.zoom <= MAX_ZOOM
    drawn = framing(picture, room, cell, view)
    left, top, right, bottom = drawn.box
    assert 0 <= left < right <= picture[0] + 1e-6
    assert 0 <= top < bottom <= picture[1] + 1e-6
    assert 1 <= drawn.columns <= room[0]
    assert 1 <= drawn.lines <= room[1]


@given(sizes, rooms, cells)
def test_without_zoom_the_whole_picture_is_seen_and_fills_the_room_one_way(
    picture: tuple[int, int], room: tuple[int, int], cell: tuple[float, float]
) -> None:
    drawn = framing(picture, room, cell, View())
    assert all(math.isclose(have, want, abs_tol=1e-6) for have, want in zip(drawn.box, (0, 0, *picture), strict=True))
    assert drawn.columns == room[0] or drawn.lines == room[1]


def test_a_zoomed_view_pans_to_the_edges_and_no_further() -> None:
    view = View().zoomed(1).zoomed(1)
    for _ in range(20):
        view = view.panned(1, 1)
    drawn = framing((4000, 3000), (100, 40), (1.0, 2.0), view)
    assert math.isclose(drawn.box[2], 4000)
    assert math.isclose(drawn.box[3], 3000)
    assert view.zoomed(0) == View()
    assert View().zoomed(-1) == View()
