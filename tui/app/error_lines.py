"""Errors of the library where there is one line for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from core.errors import CoreError
from tui.app.workers.library_thread import NotOpen

if TYPE_CHECKING:
    from collections.abc import Awaitable

_Result = TypeVar("_Result")


class _Says(Protocol):
    def say(self, text: str, *, error: bool = False) -> None: ...


def in_a_line(error: CoreError) -> str:
    """Return what happened and, where that is known, what to do next."""
    return f"{error} · {error.hint}" if error.hint else str(error)


async def or_said(screen: _Says, work: Awaitable[_Result]) -> _Result | None:
    """Return what `work` gives; None where it failed, which the screen says, or where the library was closed."""
    try:
        return await work
    except NotOpen:
        return None
    except CoreError as error:
        screen.say(in_a_line(error), error=True)
        return None
