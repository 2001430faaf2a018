"""What the commands of one command line share: which library, and how it is opened."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tui.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from core.errors import IntegrityAlarm
    from core.library import Library
    from crypto.keys import DeviceSecrets

PASSPHRASE_VARIABLE = "SAFELIGHT_PASSPHRASE_FILE"  # noqa: S105 - the variable's name
_ATTEMPTS = 3
_SHORT_PASSPHRASE_BYTES = 10


class Session:
    """The options that every command has. They may stand before the command or after it; the last one counts."""

    def __init__(self, library: Path | None = None, passphrase_file: Path | None = None) -> None:
        self.library = library
        self.passphrase_file = passphrase_file
        self.alarms: list[str] = []

    @property
    def root(self) -> Path:
        """The library's folder: the option, SAFELIGHT_LIBRARY, or the platform's data folder."""
        if self.library is not None:
            return self.library
        from core.layout import default_library

        return default_library()

    @contextlib.contextmanager
    def open_library(self) -> Iterator[Library]:
        """Unlock and open the library; closes it at the end.

        Raises:
            CoreError: there is no library, it stays locked, or it is damaged.
        """
        from core.arrival import is_arriving
        from core.library import Library
        from core.unshown_phrase import unshown_phrase

        self.prepare()
        with Library.open(self.root, self.device_secrets()) as library:
            try:
                _refresh_labels(library, learn=False)
                yield library
                _refresh_labels(library, learn=True)
            finally:
                # Only now: the catalog is read, or built anew, when it is first asked for.
                for note in library.notes:
                    output.warn(note)
                if unshown_phrase(library) is not None:
                    output.warn(
                        "nobody has seen this library's recovery phrase: making it was interrupted",
                        "`safelight init` shows it, this once",
                    )
                if is_arriving(library):
                    output.warn("not everything of this library has arrived here yet", "`safelight sync` goes on")
                self.report(library.alarms)

    def prepare(self) -> None:
        """See to it that logs show nothing that must not be shown: before keys are held."""
        _quieten_logs()

    def report(self, alarms: Sequence[IntegrityAlarm]) -> None:
        """Show each alarm once, and remember that there was one: it decides the exit code of whatever else was done."""
        for alarm in alarms:
            if str(alarm) not in self.alarms:
                self.alarms.append(str(alarm))
                output.error(str(alarm), alarm.hint)

    def opens_unasked(self) -> bool:
        """Whether the library can be opened without asking anybody for the passphrase.

        Raises:
            CoreError: there is no library, or its library.toml is damaged.
        """
        if self.passphrase_file is not None or os.environ.get(PASSPHRASE_VARIABLE):
            return True
        from core.agent import agent_status
        from core.layout import Layout
        from core.library_file import LibraryFile

        return agent_status(LibraryFile.read(Layout(self.root).library_file).library_id, self.root) is not None

    def device_secrets(self) -> DeviceSecrets:
        """Unlock by --passphrase-file, else the agent, else SAFELIGHT_PASSPHRASE_FILE, else by asking."""
        from core.layout import Layout
        from core.library_file import LibraryFile

        library_file = LibraryFile.read(Layout(self.root).library_file)
        if self.passphrase_file is None:
            from core.agent import fetch_secrets

            kept = fetch_secrets(library_file.library_id, self.root)
            if kept is not None:
                return kept
        return self._unlock(library_file.unlock)

    def unlock_by_passphrase(self) -> DeviceSecrets:
        """As `device_secrets`, without the agent: the passphrase itself is wanted."""
        from core.layout import Layout
        from core.library_file import LibraryFile

        return self._unlock(LibraryFile.read(Layout(self.root).library_file).unlock)

    def given_passphrase(self) -> bytes | None:
        """The passphrase of the option or the environment variable, or None when neither is there."""
        path = self.passphrase_file
        if path is None:
            named = os.environ.get(PASSPHRASE_VARIABLE)
            path = Path(named) if named else None
        return None if path is None else read_passphrase_file(path)

    def new_passphrase(self) -> bytes:
        """A passphrase for something new: given, or asked for twice; warns of one that can be guessed."""
        given = self.given_passphrase()
        passphrase = given if given is not None else ask_new_passphrase("Passphrase")
        if len(passphrase) < _SHORT_PASSPHRASE_BYTES:
            output.warn(
                "this passphrase is short: whoever copies the library can guess it",
                "several random words are easy to remember and hard to guess; `safelight passphrase` changes it",
            )
        return passphrase

    def _unlock(self, unlock: Callable[[bytes], DeviceSecrets]) -> DeviceSecrets:
        from core.errors import WrongPassphrase

        given = self.given_passphrase()
        if given is not None:
            return unlock(given)
        for _ in range(_ATTEMPTS - 1):
            try:
                return unlock(ask_passphrase("Passphrase"))
            except WrongPassphrase as error:
                output.error(str(error))
        return unlock(ask_passphrase("Passphrase"))


def _refresh_labels(library: Library, *, learn: bool) -> None:
    """Bring taught labels up to what other processes learnt; at the end of a command, to what it changed itself."""
    from core.errors import CoreError
    from core.own_labels import refresh_own_labels

    with contextlib.suppress(CoreError):  # what the command was asked for is done, and the next one tries again
        refresh_own_labels(library, learn=learn)


def _quieten_logs() -> None:
    """Keep what the libraries log off the terminal, unless SAFELIGHT_LOG (debug, info, warning, error) asks for it."""
    import logging

    level = os.environ.get("SAFELIGHT_LOG", "").upper()
    if level in logging.getLevelNamesMapping():
        logging.basicConfig(stream=sys.stderr, level=level)
    else:
        logging.getLogger().addHandler(logging.NullHandler())


def read_passphrase_file(path: Path) -> bytes:
    """The passphrase in `path`, without one line end; warns when others can read the file.

    Raises:
        Locked: the file cannot be read, or holds none.
    """
    from core.passphrases import PassphraseFile

    file = PassphraseFile.read(path)
    if file.readable_by_others:
        output.warn(
            "other users of this machine can read the passphrase file", f"chmod 600 '{output.plain(str(path))}'"
        )
    return file.passphrase


def ask_passphrase(prompt: str) -> bytes:
    """Ask on the terminal, without showing what is typed.

    Raises:
        Locked: there is no terminal to ask on, or nothing was typed.
    """
    from core.errors import Locked

    if not output.is_terminal(sys.stdin):
        raise Locked(
            "the library is locked, and there is no terminal to ask for the passphrase",
            hint=f"Run `safelight unlock` first, or set {PASSPHRASE_VARIABLE}, or give --passphrase-file FILE.",
        )
    import getpass

    from core.passphrases import typed_passphrase

    return typed_passphrase(getpass.getpass(f"{prompt}: "))


def ask_new_passphrase(prompt: str) -> bytes:
    """Ask twice for a passphrase that is to be.

    Raises:
        Locked: no terminal, nothing typed, or the two differ.
    """
    from core.errors import Locked

    first = ask_passphrase(prompt)
    if ask_passphrase(f"{prompt} again") != first:
        raise Locked("the two passphrases differ", hint="Try again; nothing was changed.")
    return first
