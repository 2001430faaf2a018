"""Another passphrase, and other recovery words: asked for, made in threads, and kept in no field."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.errors import WrongPassphrase, WrongPhrase
from core.passphrases import typed_passphrase
from tui.app.screens.form import Field, FormScreen
from tui.app.screens.welcome import PhraseScreen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.errors import CoreError
    from core.library import Library
    from tui.app.screens.listing import ListingScreen


async def change_passphrase(screen: ListingScreen) -> None:
    """Ask for the passphrase of now and twice for the new one, and change it. Raises `CoreError`."""
    app = screen.app
    filled = await app.push_screen_wait(
        FormScreen(
            "Change the passphrase",
            "Copies of library.toml that were made before, in backups for instance, still open with the old one.",
            (
                Field("now", "Passphrase now", secret=True),
                Field("new", "New passphrase: several random words are best", secret=True),
                Field("again", "The new one again", secret=True),
            ),
            yes="Change",
            complaint=_wrong_passphrases,
        )
    )
    if filled is None:
        return
    root, kdf = app.root, app.kdf
    old, new = (typed_passphrase(filled.lines[name]) for name in ("now", "new"))
    del filled

    def change() -> None:
        from core.library import Library

        Library.change_passphrase(root, old, new, kdf=kdf)

    screen.say("changing the passphrase…")
    try:
        await app.syncing.errand(lambda _stop: change())
    except WrongPassphrase:
        screen.say("This is not the passphrase of now; nothing was changed.", error=True)
        return
    screen.say("The passphrase is changed here. Old copies of library.toml still open with the old one: remove them.")


async def replace_phrase(screen: ListingScreen) -> None:
    """Ask for the words of now, make others, show those this once, and tell the relays. Raises `CoreError`."""
    app = screen.app
    filled = await app.push_screen_wait(
        FormScreen(
            "Replace the recovery phrase",
            "The words of now open nothing new from then on; what they opened before, whoever has them may have kept. "
            "The new words are shown once: have paper ready, and see that nobody else sees the screen.",
            (Field("words", "The 24 words of now", secret=True),),
            yes="Make new words",
            complaint=_wrong_words,
        )
    )
    if filled is None:
        return
    screen.say("making new words…")
    try:
        new = await app.library.ask(partial(_replace, old=" ".join(filled.lines["words"].lower().split())))
    except WrongPhrase as error:
        screen.say(f"{error}; nothing was changed", error=True)
        return
    del filled
    screen.say("")
    await app.push_screen_wait(PhraseScreen(new, on_done=lambda one: one.dismiss()))
    del new
    library = app.library.library
    await app.library.ask(_was_shown)
    screen.say("telling the relays…")
    untold = await app.syncing.errand(lambda _stop: _tell(library))
    if untold:
        screen.say(f"the new words count, but a relay does not know yet: {untold[0]}; sync tells it", error=True)
    else:
        screen.say("the new words count, and the old ones open nothing new")


def _wrong_passphrases(lines: dict[str, str]) -> tuple[str, str] | None:
    if not lines["now"]:
        return "now", "What is the passphrase now?"
    if not lines["new"]:
        return "new", "A library needs a passphrase."
    if lines["new"] != lines["again"]:
        return "again", "The two new passphrases differ."
    return None


def _wrong_words(lines: dict[str, str]) -> tuple[str, str] | None:
    from crypto.phrase import PHRASE_WORDS

    words = len(lines["words"].split())
    return None if words == PHRASE_WORDS else ("words", f"These are {words} words; a phrase has {PHRASE_WORDS}.")


# Imported where they run: modules of the network take a while, and the screen waits for nothing.


def _replace(library: Library, old: str) -> str:
    from core.devices import replace_phrase as replaced

    return replaced(library, old)


def _was_shown(library: Library) -> None:
    from core.devices import phrase_was_shown

    phrase_was_shown(library)


def _tell(library: Library) -> Sequence[CoreError]:
    from core.telling import tell_relays

    return tell_relays(library)
