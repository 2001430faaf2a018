"""A session of the app in a process of its own, which tells of every file that it opens for writing.

    python -P -m tests.tui.app.whole_session LIBRARY PHOTOS

Prints a JSON object: `written`, the paths; `readable`, those that held one of `MARKS` when they were removed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.widgets import Input

from tests.tui.app.conftest import Bench, library_shown, play, settled, until
from tui.app.screens.ask import AskScreen
from tui.app.screens.photo import PhotoScreen
from tui.app.workers.importing import ImportWish

if TYPE_CHECKING:
    from textual.pilot import Pilot

LABEL, CAPTION, SEARCH = "our secret boat", "the two of us by the quay", "harbour nights"
MARKS = [b"\xff\xd8\xff", b"\x89PNG", b"Exif\0", b"Acme", b"2024-05-1", *map(str.encode, (LABEL, CAPTION, SEARCH))]
"""What photos begin with, and what only they, their files and their owner say."""


def readable(path: Path) -> bool:
    """Whether a file shows any of `MARKS`."""
    data = path.read_bytes()
    return any(mark in data for mark in MARKS)


class Writes:
    """An audit hook that remembers what is written, and looks at what is removed before it is gone."""

    def __init__(self) -> None:
        self.written: set[str] = set()
        self.readable: set[str] = set()
        self._inside = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._inside or event not in {"open", "os.remove", "os.rename"}:
            return
        self._inside = True
        try:
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
            if event == "open":
                if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND):
                    self.written.add(path)
            elif Path(path).is_file() and readable(Path(path)):
                self.readable.add(path)
        finally:
            self._inside = False


def main(root: Path, photos: Path) -> None:
    """Import, look about, look at a photo, label, write, search, keep the search."""
    writes = Writes()
    sys.addaudithook(writes)

    async def answer(pilot: Pilot[None], key: str, text: str) -> None:
        below = pilot.app.screen
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen))
        pilot.app.screen.query_one(Input).value = text
        await settled(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is below)
        await settled(pilot)

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        importer = screen.app.importer
        importer.start(ImportWish((photos,)), screen.import_changed)
        await until(pilot, lambda: len(screen.grid.contents.photos) == len(list(photos.iterdir())), "the photos")
        await until(pilot, lambda: not importer.is_running, "the end of the import")
        await settled(pilot)
        await pilot.press("end", "home", "plus")
        await answer(pilot, "t", LABEL)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
        await settled(pilot)
        await pilot.press("plus", "r", "right", "left")
        await answer(pilot, "c", CAPTION)
        await pilot.press("escape")
        await library_shown(pilot)
        screen.show_query(f'label:"{LABEL}"')
        await until(pilot, lambda: len(screen.grid.contents.photos) == 1, "the search")
        await answer(pilot, "ctrl+s", SEARCH)

    play(Bench(root).app(), scene)
    told = {"written": sorted(writes.written - {""}), "readable": sorted(writes.readable)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
