"""Devices, pairing, relays and alarms in the app, by their keys, with a relay that answers on a port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Input, OptionList, Static

from core.devices import devices
from core.errors import Withheld
from core.joining import read_code
from core.library import Library
from core.sync.alarms import SyncAlarms
from tests.tui.app.conftest import Bench, library_shown, play, shown_on, until
from tests.tui.app.with_relay import OTHER_PASSPHRASE, QUICK, add_device, join_in_thread
from tui.app import keys
from tui.app.screens.alarms import AlarmsScreen
from tui.app.screens.ask import AskScreen, ConfirmScreen
from tui.app.screens.devices import DevicesScreen
from tui.app.screens.pairing import PairingScreen
from tui.app.screens.relays import RelaysScreen
from tui.app.widgets.large_text import large

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from tests.sync_relay.running_relay import Relay
    from tui.app.screens.listing import ListingScreen


def rows(pilot: Pilot[None]) -> list[str]:
    listed = pilot.app.screen.query_one(OptionList)
    return [str(listed.get_option_at_index(at).prompt) for at in range(listed.option_count)]


async def answer(pilot: Pilot[None], text: str) -> None:
    """Answer the question for a text that is asked next."""
    await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen), "a question")
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")


async def asked(pilot: Pilot[None], key: str) -> str:
    """Answer the yes or no that is asked next, and return the question."""
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen), "a yes or no")
    await until(pilot, lambda: bool(pilot.app.screen.query(Static)), "the question")
    question = str(pilot.app.screen.query(Static).first().content)
    await pilot.press(key)
    return question


async def listing(pilot: Pilot[None], kind: type[ListingScreen], said: str) -> Any:
    """Wait for a list's screen, and for what it says."""
    await until(pilot, lambda: isinstance(pilot.app.screen, kind), kind.__name__)
    screen = shown_on(pilot.app.screen, kind)
    await until(pilot, lambda: said in screen.said, f"{said!r}, not {screen.said!r}")
    return screen


@pytest.mark.parametrize(
    ("context", "owner"),
    [
        (keys.DEVICES, DevicesScreen),
        (keys.PAIRING, PairingScreen),
        (keys.RELAYS, RelaysScreen),
        (keys.ALARMS, AlarmsScreen),
    ],
    ids=lambda value: getattr(value, "title", None),
)
def test_every_action_is_there(context: keys.Context, owner: type) -> None:
    for action in context.actions:
        assert hasattr(owner, f"action_{action.call.partition('(')[0]}"), action.id


def test_large_letters_have_one_size() -> None:
    for letter in "abcdefghijklmnopqrstuvwxyz0123456789-":
        assert [len(row) for row in large(letter)] == [3, 3, 3]
        assert any(row.strip() for row in large(letter))
    assert len({tuple(large(letter)) for letter in "abcdefghijklmnpqrstuvwxyz234679-"}) == 32


def test_a_relay_is_used_and_left(pictured: Bench, relay: Relay) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await pilot.press("N")
        await listing(pilot, RelaysScreen, "")
        await until(pilot, lambda: "No relay is in use" in rows(pilot)[0])
        await pilot.press("s")
        await listing(pilot, RelaysScreen, "no relay is in use")
        await pilot.press("a")
        await answer(pilot, "ftp://nowhere")
        screen = await listing(pilot, RelaysScreen, "http")
        assert screen.query_one("#said").has_class("error")
        await pilot.press("a")
        await answer(pilot, relay.url)
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen), "the invite")
        await answer(pilot, relay.invite())
        await listing(pilot, RelaysScreen, "uses " + relay.url)
        await until(pilot, lambda: "of 1.0 GB" in rows(pilot)[0] and "●" in rows(pilot)[0], "the relay's facts")
        await until(pilot, lambda: "synced" in library.status.synced, "the first sync")
        await pilot.press("r")
        await until(pilot, lambda: "last synced" in rows(pilot)[0])
        await pilot.press("x")
        assert "It is the only one" in await asked(pilot, "n")
        await pilot.press("x")
        await asked(pilot, "y")
        await listing(pilot, RelaysScreen, "no longer uses")
        await until(pilot, lambda: "No relay is in use" in rows(pilot)[0])
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is library)
        await until(pilot, lambda: library.status.synced == "")

    play(pictured.app(), scene)


def test_a_relay_that_does_not_answer_is_listed_with_why(synced: Bench, relay: Relay) -> None:
    relay.stop()

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("N")
        await until(pilot, lambda: "○" in rows(pilot)[0] and "out of reach" in rows(pilot)[0])

    play(synced.app(), scene, size=(80, 24))
    relay.start()


def test_devices_are_listed_renamed_and_revoked(synced: Bench, tmp_path: Path) -> None:
    add_device(synced, tmp_path / "laptop", "laptop")

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("D")
        await listing(pilot, DevicesScreen, "")
        await until(pilot, lambda: len(rows(pilot)) == 2, "two devices")
        assert "test device  this device" in rows(pilot)[0]
        await pilot.press("down", "r")
        await answer(pilot, "the old laptop")
        await listing(pilot, DevicesScreen, "'the old laptop' now")
        await until(pilot, lambda: "the old laptop" in rows(pilot)[1])
        await pilot.press("enter")
        await answer(pilot, "")
        await listing(pilot, DevicesScreen, "Use 1 to")
        await pilot.press("x")
        assert "the old laptop" in await asked(pilot, "n")
        await until(pilot, lambda: isinstance(pilot.app.screen, DevicesScreen))
        await pilot.press("x")
        await asked(pilot, "y")
        await listing(pilot, DevicesScreen, "no device of this library any more")
        await until(pilot, lambda: "revoked" in rows(pilot)[1])
        await pilot.press("x")
        await listing(pilot, DevicesScreen, "revoked already")

    play(synced.app(), scene, size=(80, 24))
    with synced.open() as library:
        assert [(one.name, one.revoked) for one in devices(library)] == [
            ("test device", False),
            ("the old laptop", True),
        ]


@pytest.mark.parametrize("word", ["y", "n"])
def test_a_device_is_let_in_or_not(synced: Bench, relay: Relay, tmp_path: Path, word: str) -> None:
    app = synced.app()
    app.syncing.pace = QUICK

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("D", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, PairingScreen) and bool(pilot.app.screen.code))
        screen = shown_on(pilot.app.screen, PairingScreen)
        assert screen.query_one("#qr").has_class("shown")
        thread, failed = join_in_thread(relay.url, read_code(screen.code), tmp_path / "phone", "phone")
        await until(pilot, lambda: screen.newcomer is not None)
        newcomer = screen.newcomer
        assert newcomer is not None
        question = await asked(pilot, word)
        assert "'phone'" in question
        assert newcomer.fingerprint in question
        expected = "is in the library now" if word == "y" else "you said no"
        await until(pilot, lambda: expected in str(screen.query_one("#said", Static).content))
        await until(pilot, lambda: not thread.is_alive())
        assert bool(failed) == (word == "n")
        assert screen.code == ""
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, DevicesScreen))
        await until(pilot, lambda: len(rows(pilot)) == (2 if word == "y" else 1))

    play(app, scene, size=(80, 24))
    if word == "y":
        root = tmp_path / "phone"
        with Library.open(root, Library.unlock(root, OTHER_PASSPHRASE)) as library:
            assert library.catalog.count() == 12


def test_leaving_ends_the_code(synced: Bench, relay: Relay) -> None:
    app = synced.app()
    app.syncing.pace = QUICK

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("D", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, PairingScreen) and bool(pilot.app.screen.code))
        first = shown_on(pilot.app.screen, PairingScreen).code
        await pilot.press("n")
        await until(pilot, lambda: shown_on(pilot.app.screen, PairingScreen).code not in ("", first))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, DevicesScreen))
        await until(pilot, lambda: not app.syncing._errands, "the errand to end")

    play(app, scene)


def test_without_a_relay_there_is_no_code(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("D", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, PairingScreen))
        await until(pilot, lambda: "uses no relay yet" in str(pilot.app.screen.query_one("#said", Static).content))

    play(pictured.app(), scene)


def test_alarms_are_shown_until_seen_and_kept_until_cleared(pictured: Bench) -> None:
    with pictured.open() as opened:
        SyncAlarms(opened).raise_(Withheld("envelope 7 is kept back", hint="Ask another."), "https://relay.example")

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await until(pilot, lambda: "⚠ 1 alarm" in library.status.synced)
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, AlarmsScreen))
        await until(pilot, lambda: "envelope 7 is kept back" in rows(pilot)[0])
        assert "Ask another." in rows(pilot)[0]
        assert "https://relay.example" in rows(pilot)[0]
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is library and library.status.synced == "")
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, AlarmsScreen) and "envelope 7" in rows(pilot)[0])
        await pilot.press("c")
        await asked(pilot, "y")
        await listing(pilot, AlarmsScreen, "cleared 1 alarm")
        await until(pilot, lambda: "No alarms" in rows(pilot)[0])

    play(pictured.app(), scene, size=(80, 24))
    with pictured.open() as opened:
        assert SyncAlarms(opened).list() == []
