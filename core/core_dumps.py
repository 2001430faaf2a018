"""Keeping what a process holds in memory out of files and out of other processes' reach."""

from __future__ import annotations

import contextlib
import sys

_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """Let a crash of this process, of a decoder or a model for instance, write no key and no picture to disk.

    The limit alone is not enough where the system hands dumps to a program: Linux asks that program to respect it. A
    process that is not dumpable is dumped nowhere, and no other process of the same user may read its memory (ptrace).
    Other systems have the limit only, Windows neither. Processes started from this one decide for themselves.
    """
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
