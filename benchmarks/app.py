"""The app on 100,000 photos: the first full screen, scrolling, searching and memory, against an empty screen.

    python -P -m benchmarks.app [--photos 100000] [--library DIR] [--size 200x60]

Everything goes through Textual's pilot: keys in, frames out, without a terminal. The floor is the same harness drawing
an empty widget of the same size in the same run. `--library` names one that `benchmarks.large_library --keep` made; it
is only read.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from textual import events
from textual.app import App
from textual.widget import Widget

from benchmarks.measurement import Report, median, percentile, resident_bytes
from benchmarks.synthetic_library import PASSPHRASE, build

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.app import ComposeResult
    from textual.pilot import Pilot

    from tui.app.screens.library import LibraryScreen

PHOTOS = 100_000
FRAMES = 40
BLOCKED_S = 0.05
QUERY = "label:lake"


class Blank(Widget, can_focus=True):
    """Draws nothing, anew for each key."""

    DEFAULT_CSS = "Blank { width: 1fr; height: 1fr; }"

    drawn = 0

    def on_key(self) -> None:
        """Draw again."""
        self.drawn += 1
        self.refresh()

    def render(self) -> str:
        """Nothing."""
        return ""


class EmptyApp(App[None]):
    """The harness, and nothing in it."""

    def compose(self) -> ComposeResult:
        """One blank widget."""
        yield Blank()


class Watchdog:
    """Measures how long the event loop was kept from its work."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        nap = 0.005
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(nap)
            self.worst = max(self.worst, time.perf_counter() - begin - nap)


class Frames:
    """Measures frames: from a key to the end of the first drawing of the screen that shows what the key did."""

    def __init__(self, app: App[Any], place: Callable[[], object]) -> None:
        """`place` tells what keys change: where the cursor is."""
        self._app, self._place = app, place
        self._before: object = None
        self._shown = asyncio.Event()
        display = app._display  # noqa: SLF001 - where every update of the screen passes

        def display_and_tell(*arguments: Any) -> None:
            display(*arguments)
            if self._place() != self._before:
                self._shown.set()

        app._display = display_and_tell  # type: ignore[method-assign, assignment]  # noqa: SLF001

    async def press(self, pilot: Pilot[Any], key: str, count: int = FRAMES) -> list[float]:
        """Return the seconds of `count` frames."""
        taken = []
        for _ in range(count):
            self._before = self._place()
            self._shown.clear()
            begin = time.perf_counter()
            self._send(key)
            await self._shown.wait()
            taken.append(time.perf_counter() - begin)
            await asyncio.sleep(0)
        await pilot.pause()
        return taken

    def _send(self, key: str) -> None:
        driver = self._app._driver  # noqa: SLF001 - as a terminal's key would come
        assert driver is not None
        driver.send_message(events.Key(key, key if len(key) == 1 else None))


async def until(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Wait for something."""
    while not condition():  # noqa: ASYNC110 - what is waited for is looked at, as a person does
        await asyncio.sleep(0.001)
    await pilot.pause()


def run(app: App[Any], size: tuple[int, int], scene: Callable[[Pilot[Any]], Awaitable[None]]) -> None:
    """Run a scene in an app without a terminal."""

    async def play() -> None:
        async with app.run_test(size=size) as pilot:
            await scene(pilot)

    asyncio.run(play())


def floor_of(size: tuple[int, int]) -> float:
    """Return the median seconds of a frame of an empty screen."""
    found: list[float] = []

    async def scene(pilot: Pilot[Any]) -> None:
        blank = pilot.app.query_one(Blank)
        frames = Frames(pilot.app, lambda: blank.drawn)
        await frames.press(pilot, "j", 5)
        found.extend(await frames.press(pilot, "j"))

    run(EmptyApp(), size, scene)
    return median(found)


def measure(root: Path, size: tuple[int, int], graphics: str, report: Report) -> None:
    """Open the library in the app, look about, search; print what it took."""
    from core.library import Library
    from tui.app.app import SafelightApp
    from tui.app.screens.library import LibraryScreen
    from tui.app.settings import Settings

    secrets = Library.unlock(root, PASSPHRASE)
    before = floor_of(size)
    measured: dict[str, float] = {}
    app = SafelightApp(
        root,
        secrets=lambda: secrets,
        graphics=graphics,  # type: ignore[arg-type]  # one of the choices below
        settings=Settings(theme="safelight"),
    )

    async def scene(pilot: Pilot[Any]) -> None:
        begin = time.perf_counter()
        async with Watchdog() as watchdog:
            await until(pilot, lambda: isinstance(app.screen, LibraryScreen))
            library = app.screen
            assert isinstance(library, LibraryScreen)
            await until(pilot, lambda: is_full(library))
            shown = time.perf_counter() - begin
            count = len(library.grid.contents.photos)
            report.line("photos", f"{count:,}")
            report.line("unlocked to first full screen", f"{shown * 1000:.0f} ms", aim="< 1 s", met=shown < 1)
            frames = Frames(app, lambda: library.grid.cursor)
            for name, key in (("line", "down"), ("page", "pagedown"), ("month", "right_curly_bracket")):
                await frames.press(pilot, key, 5)
                taken = await frames.press(pilot, key)
                measured[f"scrolling by {name}"] = median(taken)
                report.line(
                    f"slowest of {len(taken)} frames by {name}", f"{max(taken) * 1000:.0f} ms", aim="<= 250 ms",
                    met=max(taken) <= 0.25,
                )  # fmt: skip
            await pilot.press("home")
            again = [*(await frames.press(pilot, "down")), *(await frames.press(pilot, "up"))]
            measured["scrolling over what was drawn before"] = median(again)
            waits = await search(pilot, library)
            report.line(
                "last key to results, p95", f"{percentile(waits, 0.95) * 1000:.0f} ms", aim="< 100 ms",
                met=percentile(waits, 0.95) < 0.1,
            )  # fmt: skip
        memory = resident_bytes()
        report.line("resident memory", f"{memory / 1e6:.0f} MB", aim="< 700 MB", met=memory < 700e6)
        report.line(
            "event loop kept waiting, at most", f"{watchdog.worst * 1000:.0f} ms", aim="<= 50 ms",
            met=watchdog.worst <= BLOCKED_S,
        )  # fmt: skip
        await app.action_quit()

    run(app, size, scene)
    # Before and after: on a machine that others use, one look would measure them.
    floor = (before + floor_of(size)) / 2
    report.line("a frame of an empty screen (floor), median", f"{floor * 1000:.1f} ms")
    for what, seconds in measured.items():
        ratio = seconds / floor
        report.line(f"{what}, frame / floor", f"{ratio:.2f}", aim="<= 2.5", met=ratio <= 2.5)


def is_full(library: LibraryScreen) -> bool:
    """Whether every photo that can be seen has its thumbnail."""
    grid = library.grid
    seen = [library.tiles.get(grid.contents.photos[index]) for index in grid.visible_indexes()]
    return bool(seen) and all(tile is not None and tile.art is not None for tile in seen)


async def search(pilot: Pilot[Any], library: LibraryScreen) -> list[float]:
    """Type a query ten times; return the seconds from each last key to the grid that shows what it finds."""
    waits = []
    for _ in range(10):
        await pilot.press("slash")
        for character in QUERY[:-1]:
            await pilot.press({":": "colon"}.get(character, character))
        await until(pilot, lambda: library.grid.contents.ordering.query.startswith(QUERY[:-1]))
        begin = time.perf_counter()
        await pilot.press(QUERY[-1])
        while not library.grid.contents.ordering.query.startswith(QUERY):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        waits.append(time.perf_counter() - begin)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: not library.grid.contents.ordering.query)
    return waits


def main() -> list[str]:
    """Build, or take what is there, and measure; return the aims that were missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--size", default="200x60")
    parser.add_argument("--graphics", default="halfblock", choices=("halfblock", "kitty", "none"))
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    folder = Path(tempfile.mkdtemp())
    try:
        root = options.library
        if root is None:
            os.environ["SAFELIGHT_STATE_DIR"] = str(folder / "state")
            root = folder / "library"
            build(root, options.photos).close()
        report = Report(f"The app, {options.size} cells, {options.graphics}")
        sys.setswitchinterval(0.001)  # as the app does when it is launched
        measure(root, (width, height), options.graphics, report)
    finally:
        shutil.rmtree(folder)
    return report.missed


if __name__ == "__main__":
    sys.exit(bool(main()))
