"""Folders to choose from while a path is typed; looked at in a thread, because a disk may be slow or gone."""

from __future__ import annotations

import os
from pathlib import Path

_MOST = 20


def folders_like(typed: str) -> list[str]:
    """Return folders whose path begins as typed (`~` is the home folder), a few of them, in order."""
    path = os.path.expanduser(typed or "~/")  # noqa: PTH111 - what is typed need not be a path yet
    parent, name = os.path.split(path)
    try:
        with os.scandir(parent or ".") as entries:
            found = sorted(
                entry.name
                for entry in entries
                if entry.name.lower().startswith(name.lower())
                and (name.startswith(".") or not entry.name.startswith("."))
                and entry.is_dir()
            )
    except OSError:
        return []
    return [str(Path(parent) / one) + os.sep for one in found[:_MOST]]


def typed_path(typed: str) -> Path:
    """Return the path that was typed; raises `FileNotFoundError` where nothing is."""
    path = Path(typed.strip()).expanduser()
    if not path.exists():
        raise FileNotFoundError(str(path))
    return path
