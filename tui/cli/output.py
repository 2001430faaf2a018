"""What is printed where: results on stdout, everything else on stderr, nothing that could drive the terminal.

File names, captions and metadata were written by strangers: `plain` takes the control characters out of them.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_KILO = 1000
_DISGUISES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
"""Characters that turn the direction of text, with which `gpj.exe` is shown as `exe.jpg`."""


def prepare_streams() -> None:
    """Print what the terminal's encoding lacks as an escape instead of failing (a C locale, a console of Windows)."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def plain(text: str) -> str:
    """`text` on one line, with control characters, lone surrogates and direction marks written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in _DISGUISES
        else character
        for character in text
    )


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person reads `stream`."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def colour_wanted(stream: IO[str]) -> bool:
    """Whether `stream` is a terminal that may be coloured (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def line(text: str = "") -> None:
    """One line of the result."""
    sys.stdout.write(text + "\n")


def json_lines(records: Iterable[Any]) -> None:
    """The records as JSON Lines on stdout. Accepts what msgspec encodes: structs, dataclasses, dicts."""
    import msgspec

    encoder = msgspec.json.Encoder()
    for record in records:
        sys.stdout.write(encoder.encode(record).decode() + "\n")


def json_event(record: Any) -> None:
    """One record that a program waits for: written out at once."""
    json_lines([record])
    sys.stdout.flush()


def say(text: str) -> None:
    """Narration for a person: shown on a terminal, left out elsewhere."""
    if is_terminal(sys.stderr):
        sys.stderr.write(text + "\n")


def warn(text: str, hint: str | None = None) -> None:
    """Something the user should know although the command goes on: always shown."""
    _report(text, hint, colour="33")


def error(text: str, hint: str | None = None, *details: str) -> None:
    """What went wrong, in the form that every error has; `details` are lines between the error and its hint."""
    _report(text, hint, *details, colour="31")


def _report(text: str, hint: str | None, *details: str, colour: str) -> None:
    sys.stdout.flush()
    name = "safelight:"
    if colour_wanted(sys.stderr):
        name = f"\x1b[1;{colour}m{name}\x1b[0m"
    # Errors speak of relays and devices by names that others gave them.
    lines = [f"{name} {_plain_lines(text)}", *details]
    if hint:
        lines.append(f"hint: {_plain_lines(hint)}")
    sys.stderr.write("\n".join(lines) + "\n")


def _plain_lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def count(number: int, thing: str, things: str | None = None) -> str:
    """`1 photo`, `1,204 photos`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def file_size(size: int) -> str:
    """`size` bytes for a reader, in units of 1,000 as file managers show them."""
    if size < _KILO:
        return f"{size} bytes"
    if size < _KILO**2:
        return f"{size / _KILO:.1f} kB"
    if size < _KILO**3:
        return f"{size / _KILO**2:.1f} MB"
    return f"{size / _KILO**3:,.1f} GB"
