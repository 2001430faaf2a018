"""The layout of the grid, held against the plain walk through all lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.app.grid.layout import GridLayout, Section

layouts = st.builds(
    GridLayout,
    st.lists(st.builds(Section, st.sampled_from(["", "May 2024"]), st.integers(0, 30)), max_size=6),
    columns=st.integers(1, 7),
    tile_width=st.integers(1, 20),
    tile_height=st.integers(1, 9),
    header_height=st.integers(0, 3),
)


@given(layouts)
def test_every_photo_lies_in_its_own_cells(layout: GridLayout) -> None:
    taken: dict[tuple[int, int], int] = {}
    for index in range(layout.count):
        x, y, width, height = layout.place(index)
        assert width == layout.tile_width
        assert 0 <= x <= (layout.columns - 1) * layout.tile_width
        assert 0 <= y <= layout.height - height
        for column in (x, x + width - 1):
            for line in (y, y + height - 1):
                assert layout.at(column, line) == index
                assert taken.setdefault((column, line), index) == index


@given(layouts)
def test_lines_tell_sections_and_rows_in_order(layout: GridLayout) -> None:
    seen: list[int] = []
    sections: list[int] = []
    for y in range(layout.height):
        line = layout.line(y)
        assert line is not None
        sections.append(line.section)
        if line.is_header:
            assert layout.sections[line.section].title
            assert layout.header_line(line.section) <= y
            assert y + line.inside + 1 == layout.place(line.first).y
        elif line.inside == 0:
            seen += range(line.first, line.first + line.photos)
    assert seen == list(range(layout.count))
    assert sections == sorted(sections)
    assert layout.line(-1) is None
    assert layout.line(layout.height) is None


@given(layouts, st.integers(-5, 300), st.integers(0, 60))
def test_photos_between_two_lines(layout: GridLayout, top: int, lines: int) -> None:
    visible = {
        index
        for index in range(layout.count)
        for place in [layout.place(index)]
        if place.y <= top + lines and place.y + place.height > top
    }
    assert set(layout.between(top, top + lines)) == visible


@given(layouts, st.data())
def test_steps_up_and_down_keep_the_column_and_come_back(layout: GridLayout, data: st.DataObject) -> None:
    if not layout.count:
        return
    index = data.draw(st.integers(0, layout.count - 1))
    rows = data.draw(st.integers(-40, 40))
    there = layout.below(index, rows)
    here, reached = layout.place(index), layout.place(there)
    assert reached.x <= here.x
    assert layout.below(index, 0) == index
    if rows > 0:
        assert reached.y > here.y or layout.between(here.y + here.height, layout.height) == range(0)
    if rows < 0:
        assert reached.y < here.y or not layout.between(0, here.y - 1)


@given(layouts, st.data())
def test_one_step_is_to_the_next_row(layout: GridLayout, data: st.DataObject) -> None:
    if not layout.count:
        return
    index = data.draw(st.integers(0, layout.count - 1))
    tops = sorted({layout.place(other).y for other in range(layout.count)})
    row = tops.index(layout.place(index).y)
    assert layout.place(layout.below(index, 1)).y == tops[min(row + 1, len(tops) - 1)]
    assert layout.place(layout.below(index, -1)).y == tops[max(row - 1, 0)]


def test_a_hundred_thousand_photos_are_no_more_work() -> None:
    layout = GridLayout(
        [Section(f"{month}", 833) for month in range(120)], columns=6, tile_width=20, tile_height=9, header_height=2
    )
    last = layout.count - 1
    assert last == 99_959
    place = layout.place(last)
    assert layout.at(place.x, place.y) == last
    assert layout.height - place.y == place.height
