"""How an error of the library is said where there is one line for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.errors import CoreError


def in_a_line(error: CoreError) -> str:
    """Return what happened and, where that is known, what to do next."""
    return f"{error} · {error.hint}" if error.hint else str(error)
