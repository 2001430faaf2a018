"""Work that a screen or a widget begins, and that ends with it.

Textual cancels a widget's workers when it is gone. Before that it takes the widget apart, from its innermost parts
outwards; what a worker waited for may come just then, and what it wants to show it in is there no more. That is no
error: nobody looks at it any more.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import textual
from textual.app import ScreenError
from textual.css.query import QueryError
from textual.dom import DOMNode, NoScreen
from textual.widget import MountError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from textual.worker import Worker

_GONE = (QueryError, NoScreen, ScreenError, MountError)

Given = ParamSpec("Given")
Result = TypeVar("Result")


def work(
    *, exclusive: bool = False, group: str = "default"
) -> Callable[[Callable[..., Coroutine[Any, Any, Result]]], Callable[..., Worker[Result | None]]]:
    """As `textual.work` of a coroutine method, which ends without a word where its widget has gone meanwhile."""

    def decorate(method: Callable[..., Coroutine[Any, Any, Result]]) -> Callable[..., Worker[Result | None]]:
        # Its name alone describes it: arguments may be what somebody typed.
        name = method.__name__
        return textual.work(  # noqa: TID251 - the one place that is meant
            while_there(method), exclusive=exclusive, group=group, description=name
        )

    return decorate


def while_there(
    method: Callable[Given, Coroutine[Any, Any, Result]],
) -> Callable[Given, Coroutine[Any, Any, Result | None]]:
    """Let a coroutine method end where it misses a part of its widget, and the widget is being taken apart."""

    @functools.wraps(method)
    async def ending(*args: Given.args, **more: Given.kwargs) -> Result | None:
        try:
            return await method(*args, **more)
        except _GONE:
            node = args[0]
            if not isinstance(node, DOMNode) or node.is_running:
                raise
            return None

    return ending
