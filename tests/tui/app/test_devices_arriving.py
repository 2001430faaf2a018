"""Joining and recovering in the app, from its first screen, with a relay that answers on a port."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from textual import events
from textual.widgets import Input, SelectionList, Static

from core.devices import devices
from core.library import Library
from core.pairing import invite_at
from core.sync.engine import SyncEngine
from core.sync.relays import Relays
from crypto.phrase import new_phrase
from tests.tui.app.conftest import Bench, library_shown, play, shown_on, until
from tests.tui.app.with_relay import COSTS, OTHER_PASSPHRASE, QUICK
from tui.app.screens.ask import ConfirmScreen
from tui.app.screens.join import JoinScreen
from tui.app.screens.recover import KeepScreen, RecoverScreen
from tui.app.screens.welcome import WelcomeScreen

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from core.pairing import Introduction
    from tests.sync_relay.running_relay import Relay


class Inviting:
    """Another process's `device add`."""

    def __init__(self, bench: Bench, word: bool = True) -> None:
        self.code = ""
        self.url = ""
        self.known = threading.Event()
        self.newcomer: Introduction | None = None
        self.word = word
        self.stop = threading.Event()
        self._bench = bench
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self.known.wait(60)

    def _run(self) -> None:
        def on_code(url: str, code: object) -> None:
            self.url, self.code = url, str(code)
            self.known.set()

        def confirm(newcomer: Introduction) -> bool:
            self.newcomer = newcomer
            return self.word

        try:
            with self._bench.open() as library:
                invite_at(library, on_code=on_code, confirm=confirm, stop=self.stop, pace=QUICK)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error
        finally:
            self.known.set()


def said(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#said", Static).content)


def fill(pilot: Pilot[None], **values: str) -> None:
    for name, value in values.items():
        pilot.app.screen.query_one(f"#{name}", Input).value = value


async def click(pilot: Pilot[None], button: str) -> None:
    """Click a button, once it has been laid out."""
    await until(pilot, lambda: pilot.app.screen.query_one(button).region.width > 0)
    await pilot.pause()
    await pilot.click(button)


async def choose(pilot: Pilot[None], button: str, kind: type) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, WelcomeScreen))
    await click(pilot, button)
    await until(pilot, lambda: isinstance(pilot.app.screen, kind) and pilot.app.screen.is_loaded)  # type: ignore[attr-defined]
    await pilot.pause()


@pytest.mark.parametrize("word", [True, False])
def test_joining_from_the_first_screen(synced: Bench, tmp_path: Path, word: bool) -> None:
    inviting = Inviting(synced, word)
    here = Bench(tmp_path / "second")
    app = here.app(unlocked=False)
    app.syncing.pace = QUICK

    async def scene(pilot: Pilot[None]) -> None:
        await choose(pilot, "#join", JoinScreen)
        fill(pilot, passphrase="another passphrase", again="another passphrase", name="laptop")
        await click(pilot, "#go")
        await until(pilot, lambda: "relay's address" in said(pilot))
        fill(pilot, url=inviting.url, code="7-velvt-harbour")
        await click(pilot, "#go")
        await until(pilot, lambda: "velvet" in said(pilot))
        fill(pilot, code=inviting.code, again="yet another")
        await click(pilot, "#go")
        await until(pilot, lambda: "differ" in said(pilot))
        fill(pilot, again="another passphrase")
        screen = shown_on(pilot.app.screen, JoinScreen)
        await click(pilot, "#go")
        if not word:
            await until(pilot, lambda: "said no" in said(pilot))
            assert not screen.query_one("#url", Input).disabled
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, WelcomeScreen))
            return
        library = await library_shown(pilot)
        assert inviting.newcomer is not None
        assert screen.meeting is not None
        assert screen.meeting.own_fingerprint == inviting.newcomer.fingerprint
        await until(pilot, lambda: len(library.grid.contents.photos) == 12)
        await until(pilot, lambda: "synced" in library.status.synced)

    play(app, scene, size=(80, 24))
    inviting.thread.join()
    assert here.root.exists() == word
    if word:
        assert inviting.error is None
        with Library.open(here.root, Library.unlock(here.root, OTHER_PASSPHRASE)) as library:
            assert [(one.name, one.this) for one in devices(library)] == [("test device", False), ("laptop", True)]


def test_leaving_ends_a_join_that_waits(synced: Bench, relay: Relay, tmp_path: Path) -> None:
    here = Bench(tmp_path / "second")
    app = here.app(unlocked=False)
    app.syncing.pace = QUICK
    with synced.open() as library, Relays(library)._connect(relay.url) as client:
        client.sign_in(library.members.secrets, library.library_id, 0)
        number = client.open_mailbox().number  # nobody ever leaves a letter in it

    async def scene(pilot: Pilot[None]) -> None:
        await choose(pilot, "#join", JoinScreen)
        fill(pilot, url=relay.url, code=f"{number}-velvet-harbour", passphrase="pass", again="pass")
        await click(pilot, "#go")
        await until(pilot, lambda: bool(app.syncing._errands))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, WelcomeScreen))
        await until(pilot, lambda: not app.syncing._errands, "the errand to end")

    play(app, scene)
    assert not here.root.exists()


@pytest.fixture
def phrase(nowhere: Bench, relay: Relay) -> str:
    """The words of a library that is at the relay, and whose device is called `lost`."""
    library, words = Library.create(nowhere.root, b"gone", device_name="lost", kdf=COSTS)
    with library, closing(SyncEngine(library)) as engine:
        Relays(library).use(relay.url, relay.invite())
        assert engine.run().worst_error is None
    return words


@pytest.mark.parametrize("kept", [False, True])
def test_recovering_from_the_first_screen(phrase: str, relay: Relay, tmp_path: Path, kept: bool) -> None:
    here = Bench(tmp_path / "again")
    app = here.app(unlocked=False)

    async def scene(pilot: Pilot[None]) -> None:
        await choose(pilot, "#recover", RecoverScreen)
        screen = shown_on(pilot.app.screen, RecoverScreen)
        fill(pilot, url=relay.url, name="new one", passphrase="another passphrase", again="another passphrase")
        await click(pilot, "#go")
        await until(pilot, lambda: "Word 1 is missing" in said(pilot))
        words = phrase.split()
        screen.words[0].focus()
        await pilot.pause()
        await pilot.press(*words[0], "space")
        assert pilot.app.focused is screen.words[1]
        assert screen.words[0].has_class("right")
        await pilot.press(*"abandn", "tab")
        await until(pilot, lambda: "Word 2" in said(pilot) and "abandon" in said(pilot))
        assert screen.words[1].has_class("wrong")
        numbered = "\n".join(f"{at}. {word.upper()}" for at, word in enumerate(words, 1))
        screen.words[0].post_message(events.Paste(numbered))
        await until(pilot, lambda: [field.value for field in screen.words] == words)
        await click(pilot, "#go")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeepScreen), "the devices")
        await pilot.pause()
        assert "lost" in str(pilot.app.screen.query_one(SelectionList).get_option_at_index(0).prompt)
        if kept:
            await pilot.press("space")
        await click(pilot, "#go")
        if not kept:
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await pilot.press("y")
        await library_shown(pilot)

    play(app, scene, size=(80, 24))
    with Library.open(here.root, Library.unlock(here.root, OTHER_PASSPHRASE)) as library:
        assert [(one.name, one.revoked) for one in devices(library)] == [("lost", not kept), ("new one", False)]


def test_going_back_recovers_nothing(phrase: str, relay: Relay, tmp_path: Path) -> None:
    here = Bench(tmp_path / "again")

    async def scene(pilot: Pilot[None]) -> None:
        await choose(pilot, "#recover", RecoverScreen)
        screen = shown_on(pilot.app.screen, RecoverScreen)
        fill(pilot, url=relay.url, passphrase="pass", again="pass")
        screen.words[0].post_message(events.Paste(new_phrase()))
        await until(pilot, lambda: all(field.value for field in screen.words))
        await click(pilot, "#go")
        await until(pilot, lambda: "no library at the relay" in said(pilot))
        screen.words[0].post_message(events.Paste(phrase))
        await until(pilot, lambda: [field.value for field in screen.words] == phrase.split())
        await click(pilot, "#go")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeepScreen), "the devices")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RecoverScreen) and "went back" in said(pilot))

    play(here.app(unlocked=False), scene)
    assert not (here.root / "library.toml").exists()
