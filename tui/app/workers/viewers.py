"""Photos that are open in other programs: their plain copies, from the warning's yes to their end.

A copy goes when its viewer ends, where that can be seen; else when the library is locked or the app left. What a killed
app leaves is removed when the next one starts.
"""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING

from tui.plain_copy import (
    PlainCopy,
    open_by_platform,
    says_when_it_is_done,
    start_viewer,
    viewer_command,
)

if TYPE_CHECKING:
    import subprocess

    from core.library import Library


class Viewers:
    """The copies in use; called from threads that may wait."""

    def __init__(self) -> None:
        """Hold none."""
        self._copies: set[PlainCopy] = set()
        self._guard = threading.Lock()

    @property
    def copies(self) -> int:
        """How many copies there are now."""
        with self._guard:
            return len(self._copies)

    def show(self, library: Library, pid: bytes) -> None:
        """Write a photo whose original is here, and start a program on it.

        Raises `NoViewer`, `OSError`, and what `core.export.write_original` does; nothing is left then.
        """
        record = library.catalog.photo(pid)
        copy = PlainCopy(None if record is None else record.size)
        try:
            self._show(library, pid, copy)
        except BaseException:
            self._remove(copy)
            raise

    def close(self) -> None:
        """Remove all copies, whether their viewers run or not."""
        with self._guard:
            copies, self._copies = self._copies, set()
        for copy in copies:
            copy.remove()
        atexit.unregister(self.close)

    def _show(self, library: Library, pid: bytes, copy: PlainCopy) -> None:
        with self._guard:
            self._copies.add(copy)
        # An end that asks nobody, such as an error of the program itself, takes them along too.
        atexit.register(self.close)
        path = copy.write(library, pid)
        command = viewer_command(path)
        if command is None:
            open_by_platform(path)
            return
        process = start_viewer(command, quiet=True)
        threading.Thread(target=self._wait, args=(process, copy), name="viewer", daemon=True).start()

    def _wait(self, process: subprocess.Popen[bytes], copy: PlainCopy) -> None:
        status = process.wait()
        if says_when_it_is_done() or status != 0:
            self._remove(copy)

    def _remove(self, copy: PlainCopy) -> None:
        with self._guard:
            self._copies.discard(copy)
        copy.remove()
