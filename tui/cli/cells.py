"""How many columns of a terminal text takes: East Asian characters take two, combining ones none."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


def width(text: str) -> int:
    """The columns that `text` takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def fitted(text: str, cells: int) -> str:
    """`text` cut (with an ellipsis) or filled to exactly `cells` columns."""
    if cells <= 0:
        return ""
    missing = cells - width(text)
    if missing >= 0:
        return text + " " * missing
    kept = ""
    room = cells - 1
    for character in text:
        if _cells(character) > room:
            break
        kept += character
        room -= _cells(character)
    return f"{kept}…{' ' * room}"


def centred(text: str, cells: int) -> str:
    """`text` in the middle of exactly `cells` columns, cut where it does not fit."""
    return fitted(" " * max(0, (cells - width(text)) // 2) + text, cells)


@lru_cache(4096)  # a frame of the app asks for hundreds of them
def _cells(character: str) -> int:
    """Columns that a terminal gives to `character`."""
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
