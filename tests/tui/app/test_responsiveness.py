"""The interface waits for nothing: what reads disks, keys, queries or pictures runs in other threads than the event
loop's, through an import, a storm of searches, edits and looking at photos.

How long the loop is kept waiting is a figure of `benchmarks.app`; here is what would keep it waiting at all.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from textual.widgets import Input

from core.blobs import BlobStore
from core.catalog import Catalog
from core.importing.worker_pool import WorkerPool
from core.library import Library
from core.library_file import LibraryFile
from core.log import Log
from tests.tui.app.conftest import Bench, library_shown, play, settled, type_text, until
from tests.tui.conftest import PASSPHRASE, make_photo
from tui.app.screens.photo import PhotoScreen
from tui.app.workers.importing import ImportWish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from textual.pilot import Pilot

WAITING = (
    (Library, ("open", "unlock", "create", "commit", "refresh", "close", "replica_get", "replica_items", "setting")),
    (Catalog, ("search", "pids", "sequence", "count", "photos", "copies", "thumbnails", "label_counts", "suggestions")),
    (BlobStore, ("open", "read", "put_bytes", "exists")),
    (Log, ("heads", "data_version", "transaction")),
    (LibraryFile, ("read", "unlock")),
    (WorkerPool, ("photo", "close")),
    (Image.Image, ("resize", "convert", "load")),
)


@pytest.fixture
def culprits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What of the above ran in this thread, which is the event loop's; looked at when the test ends."""
    loop_thread = threading.get_ident()
    found: list[str] = []

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() == loop_thread:
                found.append(name)
            return function(*arguments, **named)

        return run

    for owner, names in WAITING:
        for name in names:
            kept = owner.__dict__[name]
            raw = kept.__func__ if isinstance(kept, classmethod | staticmethod) else kept
            replaced: Any = watched(f"{owner.__name__}.{name}", raw)
            if isinstance(kept, classmethod | staticmethod):
                replaced = type(kept)(replaced)
            monkeypatch.setattr(owner, name, replaced)
    yield found
    assert found == []


def test_unlocking(pictured: Bench, culprits: list[str]) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await type_text(pilot, PASSPHRASE)
        await pilot.press("enter")
        await library_shown(pilot)
        await pilot.press("ctrl+l")
        await settled(pilot)

    play(pictured.app(unlocked=False), scene)
    assert culprits == []


def test_an_import_a_storm_of_searches_and_edits(pictured: Bench, tmp_path: Path, culprits: list[str]) -> None:
    more = tmp_path / "more"
    for number in range(12):
        make_photo(more / f"{number}.jpg", colour=(number * 20, 200 - number * 5, 90), size=400)
    culprits.clear()  # making photos is the test's own work

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        importer = pilot.app.importer  # type: ignore[attr-defined]
        importer.start(ImportWish((more,)), screen.import_changed)
        await pilot.press("slash")
        for query in ("label:dog", "is:rated OR label:", 'album:"Lis', "((", ""):
            for end in range(len(query) + 1):
                screen.query_one("#query", Input).value = query[:end]
                await pilot.pause()
        await pilot.press("escape", "end", "home", "pagedown", "ctrl+a", "f", "u", "ctrl+u")
        await until(pilot, lambda: not importer.is_running)
        await until(pilot, lambda: len(screen.grid.contents.photos) == 24)
        await settled(pilot)

    play(pictured.app(), scene)
    assert culprits == []


def test_looking_at_photos(pictured: Bench, culprits: list[str]) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
        await pilot.press("right", "right", "plus", "shift+right", "y", "r", "left")
        await settled(pilot)
        await pilot.press("w")
        await settled(pilot)
        await pilot.press("escape", "escape")
        await library_shown(pilot)

    play(pictured.app(), scene)
    assert culprits == []
