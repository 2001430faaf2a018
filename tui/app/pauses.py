"""Keeps Python itself from pausing the app: threads change places often, and garbage is collected when nobody types.

What is drawn consists of some hundred thousand small objects, and a collection of everything looks at them one by one
while all threads stand still: 0.1 to 0.4 s, a dozen frames. New objects are collected as ever, a few thousand at a
time; everything else waits until the keys have rested for a while.
"""

from __future__ import annotations

import gc
import sys

_SWITCH_S = 0.001
"""How long a thread keeps the interpreter to itself: Python's five milliseconds are felt when two of them decode."""
_NEW_OBJECTS = 2_000
_YOUNG_ROUNDS = 20
_NEVER = 1_000_000
_QUIET_S = 20.0
_WORTH_IT = 50
"""Rounds of young objects since the last whole collection, from which on another is worth its pause."""


def keep_pauses_short() -> None:
    """Set this process's switch interval and its collector so that no pause of theirs is felt."""
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(_NEW_OBJECTS, _YOUNG_ROUNDS, _NEVER)


def collect_if_quiet(idle_s: float) -> None:
    """Collect everything if that is worth its pause and nobody has been at the keys for so many seconds."""
    if idle_s > _QUIET_S and gc.get_count()[2] > _WORTH_IT:
        gc.collect()
