"""Sync beside the app: what it says on the line at the bottom, and that it starts, goes on and ends."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from textual.widgets import OptionList

from core import edits
from core.errors import PairingRefused, Withheld
from core.library import Library
from core.sync.alarms import SyncAlarms
from core.sync.engine import SyncEngine
from tests.tui.app.conftest import Bench, library_shown, play, shown_on, type_text, until
from tests.tui.app.test_snapshots import picture
from tests.tui.app.with_relay import OTHER_PASSPHRASE, add_device
from tests.tui.conftest import PASSPHRASE
from tui.app.screens.alarms import AlarmsScreen
from tui.app.screens.devices import DevicesScreen
from tui.app.screens.join import JoinScreen
from tui.app.screens.pairing import PairingScreen
from tui.app.screens.recover import RecoverScreen
from tui.app.screens.relays import RelaysScreen
from tui.app.screens.unlock import UnlockScreen
from tui.app.screens.welcome import WelcomeScreen
from tui.app.workers.library_thread import LibraryThread
from tui.app.workers.syncing import Syncing, SyncState

if TYPE_CHECKING:
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion
    from textual.pilot import Pilot

    from tests.sync_relay.running_relay import Relay


def test_the_line_says_what_matters_most() -> None:
    assert SyncState().line == ""
    assert SyncState(relays=0).line == ""
    assert SyncState(relays=1, synced_at=0).line.startswith("synced ")
    assert SyncState(relays=1, synced_at=0, doing="sending 3 of 9").line == "sending 3 of 9"
    assert SyncState(relays=1, troubles=(("a", "b"),)).line == "offline"
    assert SyncState(relays=3, troubles=(("a", "b"),)).line == "1 of 3 relays offline"
    assert SyncState(relays=1, troubles=(("a", "b"),), unseen=2).line == "⚠ 2 alarms · offline"
    assert SyncState(relays=1, error="why").line == "sync stopped"


def test_without_a_relay_nothing_runs_and_nothing_is_said(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await until(pilot, lambda: library.app.syncing.state.relays == 0 and not library.app.syncing.is_running)
        assert library.status.synced == ""
        await pilot.press("f6")
        await until(pilot, lambda: "no relay is in use" in library.status.flashed)

    play(pictured.app(), scene)


def test_what_another_device_does_is_shown_and_what_is_done_here_is_sent(synced: Bench, tmp_path: Path) -> None:
    laptop = add_device(synced, tmp_path / "laptop", "laptop")

    def on_laptop(edit: bool) -> set[int | None]:
        with Library.open(laptop, Library.unlock(laptop, OTHER_PASSPHRASE)) as library:
            if edit:
                edits.add_label(library, library.catalog.pids("")[:3], "zebra")
            with closing(SyncEngine(library)) as engine:
                assert engine.run().worst_error is None
            library.refresh()
            return {photo.rating for photo in library.catalog.search("")}

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await until(pilot, lambda: "synced" in library.status.synced)
        on_laptop(edit=True)
        await until(pilot, lambda: library.app.syncing.state.changes > 0, "news")
        await pilot.press("slash", *"zebra", "enter")
        await until(pilot, lambda: len(library.grid.contents.photos) == 3, "the zebras")
        before = library.app.syncing.state
        await pilot.press("ctrl+a", "5")
        await until(pilot, lambda: library.app.syncing.state.changes > before.changes, "the edit to be sent")
        assert 5 in on_laptop(edit=False)

    play(synced.app(), scene)


def test_offline_is_said_once_and_that_it_is_over(synced: Bench, relay: Relay) -> None:
    relay.stop()
    said: list[str] = []

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        shown = library.say

        def say(text: str, *, error: bool = False) -> None:
            said.append(text)
            shown(text, error=error)

        library.say = say  # type: ignore[method-assign]
        await until(pilot, lambda: library.status.synced == "offline", "to be offline")
        await pilot.press("f6")
        await until(pilot, lambda: "offline" not in library.status.synced, "another try")
        await until(pilot, lambda: library.status.synced == "offline", "to be offline again")
        relay.start()
        await pilot.press("f6")
        await until(pilot, lambda: "synced" in library.status.synced, "to be back")

    play(synced.app(), scene)
    assert sum("out of reach" in text for text in said) <= 1
    assert sum("answers again" in text for text in said) == 1


def test_locking_ends_sync_and_unlocking_begins_it_again(synced: Bench) -> None:
    app = synced.app()

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await until(pilot, lambda: "synced" in library.status.synced)
        before = app.syncing
        await until(pilot, lambda: before.is_running)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        assert not before.is_running
        assert app.syncing is not before
        await type_text(pilot, PASSPHRASE)
        await pilot.press("enter")
        again = await library_shown(pilot)
        await until(pilot, lambda: "synced" in again.status.synced)

    play(app, scene)


def test_errands_are_ended_before_the_library_closes() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        begun.set()
        assert stop.wait(60)
        ended.set()
        raise PairingRefused("it was ended")

    async def scene() -> None:
        thread = LibraryThread()
        syncing = Syncing(thread)
        errand = asyncio.ensure_future(syncing.errand(work))
        await asyncio.to_thread(begun.wait, 60)
        await syncing.close()
        assert ended.is_set()
        with pytest.raises(PairingRefused, match="it was ended"):
            await errand
        assert await syncing.errand(lambda _stop: 7) == 7
        await thread.close()

    asyncio.run(scene())


# What screens look like

_VARYING = (
    (re.compile(r"[0-9a-z]{5}(-[0-9a-z]{5}){3}"), "aaaaa-bbbbb-ccccc-ddddd"),
    (re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?"), lambda found: "9999-99-99 99:99"[: len(found[0])]),
    (re.compile(r"\b[0-9a-f]{64}\b"), "f" * 64),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:99999"),
)


def steady(pilot: Pilot[None]) -> str:
    """The screen as text, with what differs from run to run written over."""
    text = picture(pilot)
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return "\n".join(line.rstrip() for line in text.split("\n"))


def test_devices_80x24(synced: Bench, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    add_device(synced, tmp_path / "laptop", "laptop")

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, DevicesScreen))
        await until(pilot, lambda: pilot.app.screen.query_one(OptionList).option_count == 2)
        await pilot.pause()
        assert steady(pilot) == snapshot

    play(synced.app(), scene, size=(80, 24))


def test_alarms_80x24(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    with pictured.open() as library:
        SyncAlarms(library).raise_(
            Withheld(
                "the relay https://relay.example keeps back envelope 7 of device 0123abcd, which device 89abcdef names",
                hint="Sync with another relay, or with the device that wrote it.",
            ),
            "https://relay.example",
        )

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, AlarmsScreen))
        await until(pilot, lambda: pilot.app.screen.query_one(OptionList).option_count == 1)
        await pilot.pause()
        assert steady(pilot) == snapshot

    play(pictured.app(), scene, size=(80, 24))


def test_relays_without_one_80x24(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("N")
        await until(pilot, lambda: isinstance(pilot.app.screen, RelaysScreen))
        await until(pilot, lambda: pilot.app.screen.query_one(OptionList).option_count == 1)
        await pilot.pause()
        assert steady(pilot) == snapshot

    play(pictured.app(), scene, size=(80, 24))


def test_pairing_80x24(pictured: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("D", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, PairingScreen))
        screen = shown_on(pilot.app.screen, PairingScreen)
        await until(pilot, lambda: screen.query_one("#said").has_class("error"))
        screen._show_code("https://relay.example.org", "7-velvet-harbour")
        await pilot.pause()
        assert steady(pilot) == snapshot

    play(pictured.app(), scene, size=(80, 24))


def test_join_and_recover_80x24(nowhere: Bench, snapshot: SnapshotAssertion) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, WelcomeScreen))
        seen = []
        for button, kind in (("#join", JoinScreen), ("#recover", RecoverScreen)):
            await pilot.click(button)
            await until(pilot, lambda kind=kind: isinstance(pilot.app.screen, kind))  # type: ignore[misc]
            await until(pilot, lambda: bool(pilot.app.screen.query("#name")))
            pilot.app.screen.query_one("#name").value = "laptop"  # type: ignore[attr-defined]
            await pilot.pause()
            seen.append(steady(pilot))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, WelcomeScreen))
        assert "\n\n".join(seen) == snapshot

    play(nowhere.app(), scene, size=(80, 24))
