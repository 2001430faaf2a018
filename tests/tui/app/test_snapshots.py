"""What screens look like, as text: a change of layout is seen in the diff of the snapshots."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.tui.app.conftest import Bench, library_shown, play, settled, type_text, until
from tui.app.screens.photo import PhotoScreen

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion
    from textual.pilot import Pilot

_ID = re.compile(r"\b[0-9a-f]{16}\b")


def picture(pilot: Pilot[None]) -> str:
    """The screen as lines of text, without what differs from run to run."""
    lines = [strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips()]
    return _ID.sub("<id>", "\n".join(lines))


def test_library_80x24(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("space", "f")
        await settled(pilot)
        await pilot.press("right")
        assert picture(pilot) == snapshot

    play(pictured.app(), scene, size=(80, 24))


def test_library_120x40_sorted_by_name(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("s", "s", "s")
        await settled(pilot)
        assert picture(pilot) == snapshot

    play(pictured.app(), scene, size=(120, 40))


def test_search_with_completions_and_fault(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("slash")
        await type_text(pilot, "gold")
        await until(pilot, lambda: screen.query_one("#completions").has_class("shown"))
        await settled(pilot)
        completed = picture(pilot)
        await type_text(pilot, " sise:3")
        await until(pilot, lambda: screen.query_one("#fault").has_class("shown"))
        await settled(pilot)
        assert completed + "\n\n" + picture(pilot) == snapshot

    play(pictured.app(), scene, size=(80, 14))


def test_photo_100x30(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("right", "right", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
        await settled(pilot)
        assert picture(pilot) == snapshot

    play(pictured.app(), scene, size=(100, 30))


def test_without_pictures_they_are_described(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        grid = picture(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
        await settled(pilot)
        assert grid + "\n\n" + picture(pilot) == snapshot

    play(pictured.app(graphics="none"), scene, size=(80, 24))
