"""Labels that were taught stay right while the app is open, whoever teaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import teaching
from core.library import Library
from tests.core.conftest import Bench as CoreBench
from tests.core.test_teaching import BOAT, harbour, rows_of
from tests.core.test_vectors import add_vectors
from tests.tui.app.conftest import Bench, library_shown, play, until
from tests.tui.conftest import PASSPHRASE, create_library

if TYPE_CHECKING:
    from textual.pilot import Pilot


def test_what_is_taught_or_imported_elsewhere_shows_in_the_open_app(nowhere: Bench) -> None:
    create_library(nowhere.root)
    with nowhere.open() as library:
        bench = CoreBench(nowhere.root, Library.unlock(nowhere.root, PASSPHRASE.encode()), "")
        boats, _ = harbour(bench, library)
    app = nowhere.app()

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        screen.show_query(f'label:"{BOAT}"')
        await until(pilot, lambda: not screen.grid.contents.photos)
        with nowhere.open() as other:
            teaching.teach(other, BOAT, boats[:5])
            known = other.catalog.count(f'label:"{BOAT}"')
        screen._look_for_changes()
        await until(pilot, lambda: len(screen.grid.contents.photos) == known, "what was taught elsewhere")
        with nowhere.open() as other:
            late = bench.add_photos(other, 5, month="2025-01")
            add_vectors(other, late, rows_of(5, seed=9, thing=0))
        screen._look_for_changes()
        await until(pilot, lambda: bool(set(late) & set(screen.grid.contents.photos)), "photos that came later")

    play(app, scene)
