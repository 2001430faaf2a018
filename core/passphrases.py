"""Passphrases as people give them: typed, or in a file for unattended use."""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import Locked

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_FILE = 64 * 1024


@dataclass(frozen=True, repr=False)
class PassphraseFile:
    """What a passphrase file held, and whether other users of the machine can read it."""

    passphrase: bytes
    readable_by_others: bool

    @classmethod
    def read(cls, path: Path) -> PassphraseFile:
        """Read the file at `path`; one line end at its end is not part of the passphrase.

        Raises:
            Locked: the file cannot be read, is empty, or far larger than a passphrase.
        """
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(_LONGEST_FILE + 1)
        except OSError as error:
            raise Locked(
                f"the passphrase file cannot be read: {error.strerror}", hint="Name another, or none to be asked."
            ) from error
        if len(data) > _LONGEST_FILE:
            raise Locked("the passphrase file is far larger than a passphrase", hint="Check that it is the right file.")
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        if not data:
            raise Locked("the passphrase file is empty", hint="Write the passphrase into its first line.")
        # A pipe or /dev/fd/3 is no file that lies about.
        open_to_others = os.name == "posix" and stat.S_ISREG(mode) and bool(mode & (stat.S_IRGRP | stat.S_IROTH))
        return cls(_normal(data), open_to_others)


def typed_passphrase(text: str) -> bytes:
    """The bytes of a passphrase that was typed; raises `Locked` when nothing was."""
    if not text:
        raise Locked("no passphrase was typed", hint="Try again.")
    return _normal(text.encode("utf-8", "surrogateescape"))


def _normal(passphrase: bytes) -> bytes:
    """The passphrase as RFC 8265 (OpaqueString) compares it: any space is U+0020, composed form.

    Keyboards of different systems spell `é` as one code point or as two, and some give a no-break space for a space;
    without this, a passphrase set on one machine would be wrong on the next.
    """
    try:
        text = passphrase.decode()
    except UnicodeDecodeError:
        return passphrase  # a key file of random bytes is as good
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    return unicodedata.normalize("NFC", spaced).encode()
