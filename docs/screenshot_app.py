"""Makes docs/app-*.svg: the app on half blocks, with the demo's photos labelled by the built-in model.

python -P docs/screenshot_app.py

The demo's photographs (freely licensed, from scikit-image's wheel) know no dates; each is given one, so that there are
months to be seen.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import Image

from core import edits
from core.importing.pipeline import import_paths
from core.library import Library
from tui.app.app import SafelightApp
from tui.app.grid.photo_grid import PhotoGrid
from tui.app.screens.library import LibraryScreen
from tui.app.screens.photo import PhotoScreen
from tui.app.settings import Settings
from tui.app.widgets.sidebar import Sidebar
from tui.demo import bundled_photos

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

SIZE = (110, 34)
DATES = ("2024:05:18", "2024:05:18", "2024:05:17", "2024:05:04", "2024:04:21", "2024:04:20", "2024:04:20", "2024:04:02")
EXIF_IFD, TAKEN = 0x8769, 0x9003
QUALITY = 92
MOST_TURNS = 2_000
"""Turns of the app, 20 ms each, after which something that was waited for does not come."""


def make_camera_folder(folder: Path) -> Path:
    """Write the demo's photos as a camera would: JPEGs with dates."""
    folder.mkdir()
    for photo, date in zip(bundled_photos(), DATES, strict=False):
        exif = Image.Exif()
        exif.get_ifd(EXIF_IFD)[TAKEN] = f"{date} 10:{len(photo.stem):02}:00"
        Image.open(photo).convert("RGB").save(folder / f"{photo.stem}.jpg", exif=exif, quality=QUALITY)
    return folder


def make_library(folder: Path) -> tuple[Path, bytes, int]:
    """Make a library of them; return where it is, its passphrase, and the place of a photo that has a label."""
    root, passphrase = folder / "library", secrets.token_hex(16).encode()
    Library.create(root, passphrase, device_name="laptop")[0].close()
    with Library.open(root, Library.unlock(root, passphrase)) as library:
        import_paths(library, [make_camera_folder(folder / "camera")])
        pids = library.catalog.pids("")
        edits.set_rating(library, pids[:1], 5)
        edits.set_rating(library, pids[2:3], 3)
        edits.set_favourite(library, pids[3:4], favourite=True)
        edits.add_to_album(library, pids[:4], edits.create_album(library, "Spring"))
        return root, passphrase, pids.index(library.catalog.pids("has:label")[0])


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Let the app run until something holds."""
    for _ in range(MOST_TURNS):
        await pilot.pause(0.02)
        if condition():
            break
    else:
        raise TimeoutError(f"{pilot.app.screen} never shows what is to be drawn")
    await pilot.pause(0.1)


async def draw(root: Path, passphrase: bytes, labelled: int) -> None:
    """Go through the app, and keep what is seen."""
    secret = Library.unlock(root, passphrase)
    app = SafelightApp(root, secrets=lambda: secret, settings=Settings(theme="safelight"))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LibraryScreen) and bool(app.screen.query(PhotoGrid)))
        library = cast("LibraryScreen", app.screen)
        await until(pilot, lambda: len(library.grid.contents.photos) > 0 and library.tiles.is_idle)
        await until(pilot, lambda: bool(library.query_one(Sidebar).places.sections))
        await pilot.press("right", "right")
        keep(app, "library")
        await pilot.press("home", *["right"] * labelled, "enter")
        await until(pilot, lambda: isinstance(app.screen, PhotoScreen) and app.screen.picture.is_drawn)
        await until(pilot, lambda: all(worker.is_finished for worker in app.workers))
        keep(app, "photo")
        await app.action_quit()


def keep(app: SafelightApp, name: str) -> None:
    """Write the screen as docs/app-`name`.svg; it fetches no font from anywhere when somebody looks at it."""
    drawing = re.sub(r"@font-face \{.*?\}", "", app.export_screenshot(title="safelight"), flags=re.DOTALL)
    Path(__file__).with_name(f"app-{name}.svg").write_text(drawing, encoding="utf-8")


def main() -> None:
    """Make the library, and the pictures of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for variable in ("STATE", "DATA", "RUNTIME", "CONFIG"):
            os.environ[f"SAFELIGHT_{variable}_DIR"] = str(folder / variable.lower())
        asyncio.run(draw(*make_library(folder)))


if __name__ == "__main__":
    main()
