"""Processes that work on one library at the same time, each with a connection of its own to it.

They are forked from a process that has loaded the program, so that none takes half a second to begin.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core import edits
from core.importing.pipeline import import_paths
from core.library import Library
from crypto.keys import DeviceSecrets

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    Work = Callable[[Library, Callable[[Any], None]], None]

_PROCESSES = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
_SEARCH_EVERY_S = 0.01
_PATIENCE_S = 300


@dataclass(frozen=True)
class Import:
    """Import a folder; tell how many photos were added, and how many failed."""

    folder: Path

    def __call__(self, library: Library, tell: Callable[[Any], None]) -> None:
        summary = import_paths(library, [self.folder], label=False, workers=1)
        tell((summary.added, summary.failed))


@dataclass(frozen=True)
class Edit:
    """Add so many labels, one to each of the photos in turn; tell the number that each edit has."""

    photos: list[bytes]
    count: int
    label: str

    def __call__(self, library: Library, tell: Callable[[Any], None]) -> None:
        for number in range(self.count):
            photo = self.photos[number % len(self.photos)]
            tell(edits.add_label(library, [photo], f"{self.label} {number}").seq)


@dataclass(frozen=True)
class Search:
    """Search again and again until a file is there: photos only ever become more. Tell how many they are at last."""

    until: Path

    def __call__(self, library: Library, tell: Callable[[Any], None]) -> None:
        last = 0
        while not self.until.exists():
            library.refresh()
            found = library.catalog.count("")
            assert found >= last, "photos went away"
            assert len(library.catalog.search("")) == found
            last = found
            time.sleep(_SEARCH_EVERY_S)  # the others' turn to work
        tell(last)


class Working:
    """A process at work."""

    def __init__(self, root: Path, secrets: DeviceSecrets, work: Work) -> None:
        """Begin to work on the library at `root`."""
        if sys.platform != "win32":
            multiprocessing.set_forkserver_preload([__name__])
        self._told, theirs = _PROCESSES.Pipe(duplex=False)
        self._process = _PROCESSES.Process(  # type: ignore[attr-defined]
            target=_child, args=(theirs, dict(os.environ), root, secrets.to_bytes(), work)
        )
        self._process.start()
        theirs.close()

    def told(self) -> Any:
        """Wait for what it tells next."""
        return self._told.recv()

    def kill(self) -> list[Any]:
        """End it wherever it is, and return what it had told before and nobody has heard."""
        self._process.kill()
        return self._rest()

    def end(self) -> list[Any]:
        """Wait until it has done its work, and return what it told and nobody has heard."""
        rest = self._rest()
        assert self._process.exitcode == 0, rest
        return rest

    def _rest(self) -> list[Any]:
        rest = []
        with self._told:
            try:
                while True:
                    rest.append(self._told.recv())
            except (EOFError, OSError):  # it has ended, maybe in the middle of a word
                pass
        self._process.join(_PATIENCE_S)
        return rest


def _child(told: Connection, environment: dict[str, str], root: Path, secrets: bytes, work: Work) -> None:
    warnings.simplefilter("error")
    os.environ.clear()
    os.environ.update(environment)
    try:
        with Library.open(root, DeviceSecrets.from_bytes(secrets)) as library:
            told.send("open")
            work(library, told.send)
    except BaseException:
        told.send(traceback.format_exc())
        raise
