"""Culling: single keys decide, near-duplicates stand beside each other, and nothing is final until it is confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, until
from tests.tui.app.test_responsiveness import culprits as culprits  # noqa: PLC0414 - a fixture
from tests.tui.app.test_snapshots import picture
from tui.app.culling import CullRound
from tui.app.screens.cull import CullScreen
from tui.app.screens.cull_summary import CullSummaryScreen
from tui.app.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion
    from textual.pilot import Pilot


async def culling(pilot: Pilot[None], *keys: str) -> CullScreen:
    """Begin to cull, after some keys in the library, and wait for the first picture."""
    await library_shown(pilot)
    await pilot.press(*keys, "c")
    await until(pilot, lambda: isinstance(pilot.app.screen, CullScreen))
    await settled(pilot)
    return shown_on(pilot.app.screen, CullScreen)


async def summary(pilot: Pilot[None]) -> str:
    await until(pilot, lambda: isinstance(pilot.app.screen, CullSummaryScreen))
    await settled(pilot)
    return picture(pilot)


def place(screen: CullScreen) -> str:
    return screen.query_one(StatusLine).where


def test_decisions_are_carried_out_together_when_confirmed_and_undone_together(pictured: Bench) -> None:
    photos: list[bytes] = []

    async def scene(pilot: Pilot[None]) -> None:
        screen = await culling(pilot)
        photos.extend(pid for (pid,) in screen.round.stops)
        assert len(photos) == 12
        assert place(screen) == "1 of 12 · 0 kept · 0 rejected"
        for key in ("k", "up", "space", "j", "down", "x", "delete"):
            await pilot.press(key)
            await settled(pilot)
            assert screen.tiles[0].picture.is_drawn
        assert place(screen) == "8 of 12 · 3 kept · 4 rejected"
        await pilot.press("f", "3", "5", "right", "l", "f", "f", "left", "h", "u", "u", "u")
        await settled(pilot)
        assert "★★★" in screen.tiles[0].line
        assert "★★★★" not in screen.tiles[0].line
        await pilot.press("escape")
        asked = await summary(pilot)
        assert "4 photos into the trash" in asked
        assert "1 favourite more" in asked
        assert "5 photos not decided" in asked
        with pictured.open() as library:
            assert library.catalog.count("is:trash") == 0, "done before it was confirmed"
        await pilot.press("y")
        back = await library_shown(pilot)
        assert back.status.flashed == "culled: 3 kept, 4 photos into the trash"
        assert len(back.grid.contents.photos) == 8
        with pictured.open() as library:
            assert set(library.catalog.pids("is:trash")) == set(photos[3:7])
            assert library.catalog.pids("is:favourite rating:3") == [photos[7]]
        await pilot.press("u")
        await until(pilot, lambda: len(back.grid.contents.photos) == 12)

    play(pictured.app(), scene)
    with pictured.open() as library:
        assert library.catalog.count("is:trash") == 0
        assert library.catalog.count("is:favourite") == 0


def test_leaving_without_a_yes_changes_nothing_and_says_so(pictured: Bench, culprits: list[str]) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await culling(pilot)
        await pilot.press("q")
        back = await library_shown(pilot)
        assert "nothing is changed" in back.status.flashed
        screen = await culling(pilot, "space", "space", "space")
        assert screen.round.total == 3
        await pilot.press("u")
        assert "nothing was decided" in screen.query_one(StatusLine).flashed
        await pilot.press("left")
        assert "first one" in screen.query_one(StatusLine).flashed
        await pilot.press("x", "k", "x")
        await summary(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("ctrl+q")
        await summary(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("u", "enter")
        assert "1 photo not decided" in await summary(pilot)
        await pilot.press("n")
        back = await library_shown(pilot)
        assert back.status.flashed == "culling: nothing is changed"

    play(pictured.app(), scene)
    assert culprits == [], "the event loop waited for it"
    with pictured.open() as library:
        assert library.catalog.count("is:trash") == 0
    culprits.clear()


def test_near_duplicates_stand_beside_each_other_and_the_best_is_kept(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await culling(pilot)
        photos = [pid for stop in screen.round.stops for pid in stop]
        screen.round.group([photos[2:5], photos[6:8]])
        await pilot.press("k", "k")
        await settled(pilot)
        await pilot.resize_terminal(20, 5)
        await settled(pilot)
        await pilot.resize_terminal(100, 24)
        await settled(pilot)
        used = [tile for tile in screen.tiles if tile.display]
        assert len(used) == 3
        assert all(tile.picture.is_drawn for tile in used)
        assert place(screen).startswith("3 of 12")
        await pilot.press("right", "plus", "shift+right")
        await settled(pilot)
        assert {tile.picture.view for tile in used} == {used[0].picture.view}
        assert used[0].picture.view.zoom == 2
        await pilot.click(used[2])
        assert screen.round.focused == photos[4]
        await pilot.press("left", "up")
        await settled(pilot)
        assert [screen.round.of(pid).verdict for pid in photos[2:5]] == ["reject", "keep", "reject"]
        assert [tile.number for tile in screen.tiles if tile.display] == [0]
        await pilot.press("right", "j", "a")
        await settled(pilot)
        assert [screen.round.of(pid).verdict for pid in photos[6:8]] == ["keep", "keep"]
        await pilot.press("u", "u", "u")
        await settled(pilot)
        assert screen.round.here == tuple(photos[2:5])
        assert screen.round.count("reject") == 0

    play(pictured.app(), scene, size=(100, 24))


def test_cull_80x24(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await culling(pilot)
        photos = [pid for stop in screen.round.stops for pid in stop]
        await pilot.press("f", "4")
        await settled(pilot)
        alone = picture(pilot)
        screen.round.group([photos[1:4]])
        await pilot.press("k", "j")
        await settled(pilot)
        together = picture(pilot)
        await pilot.press("escape")
        assert "\n\n".join([alone, together, await summary(pilot)]) == snapshot

    play(pictured.app(), scene, size=(80, 24))


@pytest.mark.parametrize(("size", "cut"), [(2, [2]), (4, [4]), (5, [3, 2]), (9, [3, 3, 3])])
def test_many_near_duplicates_are_shown_a_few_at_a_time(size: int, cut: list[int]) -> None:
    photos = [bytes([number]) * 16 for number in range(12)]
    decided = CullRound(photos)
    decided.group([photos[1 : 1 + size]])
    assert [len(stop) for stop in decided.stops] == [1, *cut, *[1] * (11 - size)]
    assert [pid for stop in decided.stops for pid in stop] == photos


def test_what_is_looked_at_or_decided_is_not_moved_by_duplicates_that_are_found_late() -> None:
    photos = [bytes([number]) * 16 for number in range(6)]
    fresh = CullRound(photos, start=2)
    fresh.group([[photos[4], photos[2]]])
    assert fresh.here == (photos[4], photos[2])
    assert fresh.focused == photos[2]
    begun = CullRound(photos)
    begun.keep()
    begun.group([[photos[0], photos[1], photos[3], photos[4]]])
    assert begun.stops == [(photos[0],), (photos[1],), (photos[2],), (photos[3], photos[4]), (photos[5],)]
    assert begun.place == 2
    begun.keep()
    begun.keep()
    assert begun.place == 4
    begun.reject()
    assert begun.place == 5
    assert begun.undecided == 2
