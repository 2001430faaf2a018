"""What a screen waits for may come when it is being taken apart: then nobody is told, and nothing breaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from textual.app import App
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import WorkerFailed

from tui.app.screen_work import while_there, work

if TYPE_CHECKING:
    from textual.app import ComposeResult


class Part(Static):
    """A part of a screen, that says when it goes."""

    def __init__(self, news: asyncio.Event) -> None:
        super().__init__("part")
        self.news = news

    def on_unmount(self) -> None:
        self.news.set()


class Waiting(Screen[None]):
    """Looks for its part when there are news; and a second time, where it is asked to."""

    def __init__(self, news: asyncio.Event) -> None:
        super().__init__()
        self.news = news
        self.came_back: list[str] = []

    def compose(self) -> ComposeResult:
        yield Part(self.news)

    @work(exclusive=True, group="one")
    async def look(self, secret: str) -> None:
        await self._look(secret)

    @while_there
    async def look_as_well(self) -> None:
        await self._look("two")

    async def _look(self, name: str) -> None:
        await self.news.wait()
        self.came_back.append(name)
        self.query_one(Part).update(name)
        self.came_back.append("found")


def test_work_that_ends_when_its_screen_is_taken_apart_ends_in_silence() -> None:
    async def scene() -> None:
        app = App[None]()
        async with app.run_test() as pilot:
            screen = Waiting(asyncio.Event())
            await app.push_screen(screen)
            worker = screen.look("one")
            screen.run_worker(screen.look_as_well())
            await pilot.pause()
            await app.pop_screen()
            assert sorted(screen.came_back) == ["one", "two"], "the parts of a screen go before its work is cancelled"
            assert "one" not in worker.description, "what was typed may be an argument"

    asyncio.run(scene())


def test_a_part_that_is_missing_while_the_screen_is_there_is_an_error() -> None:
    async def scene() -> None:
        app = App[None]()
        async with app.run_test():
            screen = Waiting(asyncio.Event())
            await app.push_screen(screen)
            await screen.query_one(Part).remove()
            await screen.look("one").wait()

    with pytest.raises(WorkerFailed, match="No nodes match"):
        asyncio.run(scene())
