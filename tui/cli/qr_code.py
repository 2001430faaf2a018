"""A QR code on a terminal, two modules to a character."""

from __future__ import annotations

import shutil
import sys

from tui.cli import output

_QUIET = 2
_BLACK_ON_WHITE, _END = "\x1b[30;107m", "\x1b[0m"


def qr_lines(text: str) -> list[str]:
    """The QR code of `text` as lines of half blocks, dark on light; none where no person could scan it.

    That is where standard error is no terminal, too narrow or too low, shows no colours, or lacks the characters:
    without colours nobody can say which of the two a terminal shows light.
    """
    if not output.colour_wanted(sys.stderr) or not _shows(sys.stderr.encoding):
        return []
    rows = qr_rows(text)
    size = shutil.get_terminal_size(fallback=(0, 0))
    if size.columns < len(rows[0]) or size.lines < len(rows) + 2:
        return []
    return [_BLACK_ON_WHITE + row + _END for row in rows]


def qr_rows(text: str) -> list[str]:
    """The QR code of `text` as lines of half blocks without colours, to be shown dark on light."""
    import segno

    rows = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    return [
        "".join(_HALF[bool(upper), bool(lower)] for upper, lower in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    ]


_HALF = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def _shows(encoding: str | None) -> bool:
    try:
        "▀▄█".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
