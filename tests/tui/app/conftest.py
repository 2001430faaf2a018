"""The app, driven by keys on real libraries. Tests wait for what they wait for, never for a time."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from textual.css.query import NoMatches
from textual.widgets import Input

from core import edits
from core.importing.pipeline import import_paths
from core.library import Library
from crypto.kdf import FLOOR, new_parameters
from sync_relay.server.settings import Settings as RelaySettings
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay
from tests.tui.app.with_relay import put_at
from tests.tui.conftest import PASSPHRASE, create_library, make_photo
from tui.app.app import SafelightApp
from tui.app.screens.library import LibraryScreen
from tui.app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from textual.pilot import Pilot

_Screen = TypeVar("_Screen")
PATIENCE_S = 90.0
"""After which a condition is given up: longer than any condition takes where several suites share two cores."""

MONTHS = ("2022:12", "2024:03", "2024:05")
PHOTOS_A_MONTH = 4


def make_pictures(folder: Path) -> Path:
    """Twelve photos over three months, each of its own colour, and one without a date in the file."""
    for number, month in enumerate(MONTHS):
        for day in range(PHOTOS_A_MONTH):
            make_photo(
                folder / f"{month[:4]}-{month[5:]}-{day + 1}.jpg",
                colour=(60 + 60 * number, 40 + 50 * day, 200 - 30 * number),
                taken=f"{month}:{10 + day // 2:02} 09:0{day}:00",
                size=160,
            )
    return folder


@pytest.fixture(scope="session")
def pictured_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of twelve photos with labels, an album and ratings, and what this machine remembers of it."""
    folder = tmp_path_factory.mktemp("pictured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
        create_library(folder / "library")
        with Library.open(folder / "library", Library.unlock(folder / "library", PASSPHRASE.encode())) as library:
            import_paths(library, [make_pictures(folder / "photos")], label=False, workers=1)
            pids = library.catalog.pids("")
            edits.add_label(library, pids[:5], "dog")
            edits.add_label(library, pids[2:8], "golden retriever")
            edits.set_rating(library, pids[:2], 4)
            edits.add_to_album(library, pids[3:6], edits.create_album(library, "Lisbon"))
    return folder


@dataclass
class Bench:
    """A library's folder for one test, and how to open the app on it."""

    root: Path

    def app(self, *, unlocked: bool = True, **more: Any) -> SafelightApp:
        """The app; `unlocked`: it finds the passphrase by itself, as from an agent."""
        root = self.root
        more.setdefault("kdf", new_parameters(opslimit=FLOOR.opslimit, memlimit=FLOOR.memlimit))
        more.setdefault("settings", Settings(theme="safelight"))
        secrets = (lambda: Library.unlock(root, PASSPHRASE.encode())) if unlocked else (lambda: None)
        return SafelightApp(root, secrets=secrets, **more)

    def open(self) -> Library:
        """The library, as another process sees it."""
        return Library.open(self.root, Library.unlock(self.root, PASSPHRASE.encode()))


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings and the terminal of the person who runs the tests out of them."""
    monkeypatch.setenv("SAFELIGHT_CONFIG_DIR", str(tmp_path / "config"))
    for name in ("NO_COLOR", "SAFELIGHT_GRAPHICS", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pictured(tmp_path: Path, pictured_once: Path) -> Bench:
    """A copy of the library of twelve photos."""
    shutil.copytree(pictured_once / "library", tmp_path / "library")
    shutil.copytree(pictured_once / "state", os.environ["SAFELIGHT_STATE_DIR"])
    return Bench(tmp_path / "library")


@pytest.fixture
def nowhere(tmp_path: Path) -> Bench:
    """A folder without a library."""
    return Bench(tmp_path / "library")


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    """A relay that answers on a port."""
    running = Relay(RelaySettings(data=tmp_path / "relay"), Clock())
    yield running
    running.stop()


@pytest.fixture
def synced(pictured: Bench, relay: Relay) -> Bench:
    """The library of twelve photos, all of it at the relay."""
    return put_at(pictured, relay)


def play(
    app: SafelightApp, scene: Callable[[Pilot[None]], Coroutine[Any, Any, None]], *, size: tuple[int, int] = (100, 30)
) -> None:
    """Run the app without a terminal, and the scene in it."""

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await scene(pilot)
            await app.action_quit()

    asyncio.run(run())


async def until(pilot: Pilot[None], condition: Callable[[], bool], what: str = "") -> None:
    """Let the app run until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    waited = False
    while time.monotonic() < deadline:
        try:
            if condition():
                if waited:  # what comes of it is handled and drawn as well
                    await pilot.pause(0)
                return
        except (LookupError, NoMatches):  # a screen that is being put together
            pass
        await asyncio.sleep(0.01)
        waited = True
    raise AssertionError(f"waited in vain for {what or condition} on {pilot.app.screen_stack}, {pilot.app.workers}")


async def settled(pilot: Pilot[None]) -> None:
    """Wait until no worker of the app runs, and all tiles that are wanted have been made."""
    app = pilot.app

    def idle() -> bool:
        stores = [screen.tiles for screen in app.screen_stack if isinstance(screen, LibraryScreen)]
        workers = [worker for worker in app.workers if worker.group != "ask"]
        return all(worker.is_finished for worker in workers) and all(store.is_idle for store in stores)

    await pilot.pause()
    await until(pilot, idle, "the app to have nothing to do")
    await pilot.pause()


async def library_shown(pilot: Pilot[None]) -> LibraryScreen:
    """Wait for the library screen with its photos."""
    await until(pilot, lambda: isinstance(pilot.app.screen, LibraryScreen), "the library screen")
    await settled(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, LibraryScreen)
    return screen


async def type_text(pilot: Pilot[None], text: str) -> None:
    """Put text into the line that has the focus, as a paste does."""
    line = pilot.app.screen.focused
    assert isinstance(line, Input)
    line.insert_text_at_cursor(text)
    await pilot.pause()


def shown_on(screen: Any, expected: type[_Screen]) -> _Screen:
    """The screen, which has to be of this kind."""
    assert isinstance(screen, expected)
    return screen
