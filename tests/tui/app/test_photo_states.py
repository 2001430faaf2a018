"""A photo whose picture is not all there: said as such, fetched on request; and opened in another program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual.widgets import Static

from core.importing.pipeline import import_paths
from tests.tui.app.conftest import Bench, play, settled, until
from tests.tui.app.test_photo_screen import photo_shown
from tests.tui.app.test_snapshots import picture
from tests.tui.conftest import make_photo
from tui.app.graphics.detection import Answers
from tui.app.screens.ask import ConfirmScreen

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from syrupy.assertion import SnapshotAssertion
    from textual.pilot import Pilot

    from tests.sync_relay.running_relay import Relay
    from tui.app.screens.photo import PhotoScreen
    from tui.app.widgets.status_line import StatusLine


def blobs_of(bench: Bench, *roles: str) -> list[Path]:
    """The files of the newest photo, which is the first that is shown."""
    with bench.open() as library:
        (newest, *_) = library.catalog.search("")
        return [library.blobs.path(copy.blob_id) for copy in library.catalog.copies(newest.pid) if copy.role in roles]


def notice(screen: PhotoScreen) -> str:
    line = screen.query_one("#notice", Static)
    return str(line.content) if line.display else ""


def status(screen: PhotoScreen) -> StatusLine:
    return screen.query_one("#status")  # type: ignore[return-value]


def test_what_is_only_at_the_relay_comes_with_one_key(synced: Bench, relay: Relay) -> None:
    files = blobs_of(synced, "original", "preview")
    for path in files:
        path.unlink(missing_ok=True)

    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        assert screen.picture.is_drawn, "its thumbnail"
        assert notice(screen) == "only its thumbnail is on this device · g gets it from a relay"
        await pilot.press("g")
        await until(pilot, lambda: "is here" in status(screen).flashed)
        await settled(pilot)
        assert notice(screen) == ""
        assert all(path.exists() for path in files)
        await pilot.press("right", "left")
        relay.stop()
        for path in files:
            path.unlink()
        screen.show_anew()
        await settled(pilot)
        await pilot.press("g")
        await until(pilot, lambda: "127.0.0.1" in notice(screen))
        assert screen.picture.is_drawn

    play(synced.app(), scene)


def test_a_close_look_has_the_pixels_of_the_original(pictured: Bench, tmp_path: Path) -> None:
    make_photo(tmp_path / "wide.jpg", size=2_700, taken="2030:01:01 10:00:00")
    with pictured.open() as library:
        import_paths(library, [tmp_path / "wide.jpg"], label=False, workers=1)
    (original,) = blobs_of(pictured, "original")

    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        assert not screen.picture.can_show_more(2_048), "the preview"
        await pilot.press("plus", "plus", "plus")
        await until(pilot, lambda: not screen.picture.can_show_more(2_700), "the original")
        assert screen.picture.view.zoom == 8
        await pilot.press("right", "left")
        await settled(pilot)
        original.unlink()
        screen.show_anew()
        await settled(pilot)
        await pilot.press("plus", "plus", "plus")
        await until(pilot, lambda: "original is not on this device" in status(screen).flashed)
        assert screen.picture.is_drawn

    play(pictured.app(graphics="kitty", answers=Answers(kitty=True, cell=(10, 20))), scene, size=(60, 16))


def test_missing_damaged_and_without_a_relay_80x24(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    seen: list[str] = []

    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        for path in blobs_of(pictured, "original", "preview"):
            data = path.read_bytes()
            path.write_bytes(data[:-40] + bytes(40))
        screen.show_anew()
        await settled(pilot)
        assert screen.picture.is_drawn, "its thumbnail"
        assert notice(screen).startswith("its file is damaged: ")
        for path in (pictured.root / "blobs").glob("??/*"):
            path.unlink()
        screen.show_anew()
        await settled(pilot)
        seen.append(picture(pilot))
        await pilot.press("g")
        await until(pilot, lambda: notice(screen).startswith("blob "))
        assert len(notice(screen)) > 80

    play(pictured.app(), scene, size=(80, 24))
    assert "\n\n".join(seen) == snapshot


def test_another_program_gets_a_private_copy_after_a_warning_and_it_is_removed(
    pictured: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr("tempfile.tempdir", str(runtime))
    monkeypatch.setenv("TMPDIR", str(runtime))
    viewer, seen, gate = tmp_path / "viewer", tmp_path / "seen", tmp_path / "gate"
    os.mkfifo(gate)
    viewer.write_text(f'#!/bin/sh\nstat -c "%a %n" "$1" > {seen}.part\nmv {seen}.part {seen}\nread line < {gate}\n')
    viewer.chmod(0o700)
    monkeypatch.setenv("SAFELIGHT_VIEWER", str(viewer))

    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        app = screen.app
        await pilot.press("o")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await settled(pilot)
        assert "is written in the clear" in str(pilot.app.screen.query(Static).first().content)
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is screen)
        with monkeypatch.context() as patch:
            patch.setenv("SAFELIGHT_VIEWER", "no-such-program-here")
            await pilot.press("o")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await pilot.press("y")
            await until(pilot, lambda: "no program" in notice(screen))
        assert not any(runtime.glob("safelight-open-*"))
        for ends_by_itself in (True, False):
            await pilot.press("o")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await pilot.press("y")
            await until(pilot, seen.exists)
            mode, _, path = seen.read_text().strip().partition(" ")
            assert mode == "600"
            assert path.startswith(str(runtime))
            assert path.endswith("2024-05-4.jpg")
            assert app.viewers.copies == 1
            seen.unlink()
            if ends_by_itself:
                gate.write_text("done\n")
                await until(pilot, lambda: not any(runtime.glob("safelight-open-*")))
        await pilot.press("escape")
        await pilot.press("ctrl+l")
        await until(pilot, lambda: not app.library.is_open)
        await until(pilot, lambda: not any(runtime.glob("safelight-open-*")), "the copy to go with the lock")
        gate.write_text("done\n")

    play(pictured.app(), scene)
