"""Which of the inputs that a fuzzer found are worth keeping: few small ones that reach what no other kept one does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from tests.fuzz.target import Target

_ROOT = Path(__file__).resolve().parent.parent.parent
BYTES = 2000
"""How much is kept of what was found for one target, in all."""

_Step = tuple[str, int, int]
"""Of one line of a file to another, one after the other."""


def worth_keeping(target: Target, kept: Iterable[bytes], found: Iterable[bytes]) -> list[bytes]:
    """Return those of `found`, smallest first, that take steps in the modules of `target` that no other takes."""
    reached: set[_Step] = set()
    for data in kept:
        reached |= steps(target, data)
    chosen: list[bytes] = []
    left = BYTES
    for data in sorted(set(found), key=lambda one: (len(one), one)):
        if len(data) > left:
            break
        new = steps(target, data) - reached
        if new:
            reached |= new
            chosen.append(data)
            left -= len(data)
    return chosen


def steps(target: Target, data: bytes) -> set[_Step]:
    """Return which lines of the modules that `target` covers follow on each other as it reads `data`."""
    files = {str(_ROOT.joinpath(*module.split(".")).with_suffix(".py")) for module in target.covers}
    taken: set[_Step] = set()

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        file = frame.f_code.co_filename
        if file not in files:
            return None
        before = -frame.f_code.co_firstlineno

        def step(frame: FrameType, _event: str, _argument: Any) -> Any:
            nonlocal before
            taken.add((file, before, frame.f_lineno))
            before = frame.f_lineno
            return step

        return step

    tracing = sys.gettrace()
    sys.settrace(enter)
    try:
        target(data)
    finally:
        sys.settrace(tracing)
    return taken
