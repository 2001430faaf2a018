"""A photo as a plain file, because other programs read files: private, in memory where that can be had, and removed.

The folder of a copy holds a lock file that is locked for as long as somebody uses the copy. A program that was killed
leaves folders whose lock is free: whoever makes or may make copies next removes those (`remove_leftovers`).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from core.private_files import lock_file_now, open_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from core.library import Library
    from core.originals import Originals

VIEWER_VARIABLE: Final = "SAFELIGHT_VIEWER"
_PREFIX: Final = "safelight-open-"
_LOCK: Final = ".lock"
_BEING_MADE_S: Final = 60
"""As long a folder may be without a lock file: its maker is about to make one."""
_ROOM: Final = 4
"""A folder in memory has to have so many times the room of the photo."""


class NoViewer(Exception):
    """There is no program to show a photo with."""


class PlainCopy:
    """A private folder for one photo; leaving the block, or `remove`, removes it."""

    def __init__(self, size: int | None = None) -> None:
        """Make the folder, for a photo of `size` bytes, if that is known. Raises `StorageFailed` and `OSError`."""
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_memory_folder(size)))
        try:
            self._lock: int | None = open_private(self.folder / _LOCK)
            lock_file_now(self._lock)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def write(self, library: Library, pid: bytes, originals: Originals | None = None) -> Path:
        """Write the original of a photo; errors as of `core.export.write_original`."""
        from core.export import write_original

        return write_original(library, pid, self.folder, originals)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
            shutil.rmtree(self.folder, ignore_errors=True)


def remove_leftovers() -> int:
    """Remove the copies of programs that ended without doing so; returns how many."""
    removed = 0
    for folder in _folders():
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def viewer_command(path: Path, program: str | None = None) -> list[str] | None:
    """Return the command that shows a file: by `program`, by `SAFELIGHT_VIEWER`, else by the platform's opener.

    None: Windows opens files by itself, see `open_by_platform`. Raises `NoViewer`.
    """
    named = program or os.environ.get(VIEWER_VARIABLE)
    if named:
        return [*shlex.split(named), str(path)]
    if sys.platform == "win32":
        return None
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    if shutil.which(opener) is None:
        raise NoViewer(f"this system has no {opener}: name a program by {VIEWER_VARIABLE}")
    return [opener, str(path)]


def says_when_it_is_done(program: str | None = None) -> bool:
    """Whether the viewer runs until it is closed; the platform's opener returns at once and leaves it running."""
    return bool(program or os.environ.get(VIEWER_VARIABLE))


def open_by_platform(path: Path) -> None:
    """Have Windows open a file."""
    if sys.platform == "win32":  # pragma: no cover
        os.startfile(path)  # noqa: S606 - the program that the system has for this file, as asked


def start_viewer(command: list[str], *, quiet: bool) -> subprocess.Popen[bytes]:
    """Start a viewer; `quiet`: away from the terminal, which is in use. Raises `NoViewer`."""
    stream = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.Popen(command, stdin=stream, stdout=stream, stderr=stream, start_new_session=quiet)
    except (FileNotFoundError, PermissionError) as error:
        raise NoViewer(f"there is no program '{command[0]}'") from error


def _memory_folder(size: int | None) -> Path | None:
    """A folder of the user's that is in memory and has room for the photo; None for the platform's temporary folder."""
    folder = _runtime_folder()
    if folder is None or size is None:
        return None
    try:
        roomy = shutil.disk_usage(folder).free > _ROOM * size
    except OSError:
        return None
    return folder if roomy and os.access(folder, os.W_OK | os.X_OK) else None


def _runtime_folder() -> Path | None:
    named = os.environ.get("XDG_RUNTIME_DIR")
    return Path(named) if sys.platform == "linux" and named else None


def _folders() -> Iterator[Path]:
    runtime = _runtime_folder()
    for parent in {Path(tempfile.gettempdir()), *([] if runtime is None else [runtime])}:
        with contextlib.suppress(OSError):
            yield from (path for path in parent.glob(_PREFIX + "*") if _is_own_folder(path))


def _is_own_folder(path: Path) -> bool:
    """Whether it is a folder of this user's: the temporary folder is everybody's."""
    try:
        status = path.lstat()
    except OSError:
        return False
    own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return own and path.is_dir() and not path.is_symlink()


def _is_abandoned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            return time.time() - folder.stat().st_mtime > _BEING_MADE_S
        return False
    except OSError:
        return False
    try:
        return lock_file_now(descriptor)
    finally:
        os.close(descriptor)
