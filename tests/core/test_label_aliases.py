"""Another word for a label finds what the label finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.edits import add_label

if TYPE_CHECKING:
    from tests.core.conftest import Bench


def test_what_people_type_finds_the_label_they_mean(bench: Bench) -> None:
    with bench.open() as library:
        cat, bicycle, own = bench.add_photos(library, 3)
        add_label(library, [cat], "cat")
        add_label(library, [bicycle], "bicycle")
        add_label(library, [own], "kitty")
        library.refresh()
        assert set(library.catalog.pids("label:kitty")) == {cat, own}
        assert set(library.catalog.pids("label:Bike")) == {bicycle}
        assert set(library.catalog.pids("kitty -bike")) == {cat, own}
        assert set(library.catalog.pids("label:cat")) == {cat}
        assert set(library.catalog.pids("-label:bike")) == {cat, own}
        assert list(library.catalog.pids("label:automobile")) == []
