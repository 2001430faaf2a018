"""Files that only their owner reads, and writes that a power cut cannot halve.

Modes are set on the open file, so the process's umask neither widens nor narrows them. On Windows, where modes say
little, a new top folder gets an access list of its own user and everything below inherits it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import DiskFull, LibraryBusy, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.new")
_O_BINARY = getattr(os, "O_BINARY", 0)
_O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_O_CLOEXEC = getattr(os, "O_CLOEXEC", 0)

# EFBIG is what a per-process or per-file-system limit on file sizes answers: for the user it is the same wall.
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


@contextlib.contextmanager
def storage_errors(thing: str) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into `DiskFull` or `StorageFailed` about `thing`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, thing) from error


def storage_error(error: OSError, thing: str) -> StorageFailed:
    """Return the named error for `error`, which happened to `thing` (a role such as "a blob", never a file name)."""
    if error.errno in _FULL:
        return DiskFull(
            f"the disk is full: {thing} could not be written, and nothing names it",
            hint="Free some space (or raise the quota) and run the command again; what was acknowledged is safe.",
        )
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return StorageFailed(f"{thing} could not be read or written: {reason}", hint="Check the folder's owner and disk.")


def make_private_folder(path: Path) -> None:
    """Create `path` (and what is missing above it) with mode 0700, or set that mode on the folder that is there."""
    with storage_errors("a folder of the library"):
        created = not path.exists()
        path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if sys.platform == "win32":
            if created:
                _restrict_to_user(path)
        elif path.stat().st_mode & 0o777 != _FOLDER_MODE:
            with _modes_may_be_missing():
                path.chmod(_FOLDER_MODE)


def open_private(path: Path, *, exclusive: bool = True) -> int:
    """Create `path` with mode 0600 and return its descriptor, open for reading and writing.

    With `exclusive`, a file that is already there is an error (`FileExistsError`), so that nobody prepares one.
    """
    flags = os.O_RDWR | os.O_CREAT | _O_BINARY | _O_NOFOLLOW | _O_CLOEXEC | (os.O_EXCL if exclusive else 0)
    descriptor = os.open(path, flags, _FILE_MODE)
    if sys.platform != "win32" and os.fstat(descriptor).st_mode & 0o777 != _FILE_MODE:
        with _modes_may_be_missing():
            os.fchmod(descriptor, _FILE_MODE)
    return descriptor


def fsync_folder(path: Path) -> None:
    """Make the names in the folder `path` durable. Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | _O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems do not sync folders, and cannot be made to
            raise
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put `data` at `path`, whole or not at all; with `durable`, a power cut right afterwards keeps it."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.new")
    descriptor = open_private(temporary)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_folder(path.parent)


def remove_unfinished(folder: Path, max_age_s: float) -> None:
    """Remove what `replace_file` left in `folder` where its process was killed, once it is older than `max_age_s`."""
    with storage_errors("what an interrupted write left"):
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > max_age_s:
                        path.unlink()


@contextlib.contextmanager
def locked_file(path: Path, *, timeout: float = 30.0) -> Iterator[int]:
    """Hold the lock of the file `path` (created if missing) and yield its descriptor.

    The lock belongs to the open file: it goes when the process dies, and it works between processes and between
    threads. Raises `LibraryBusy` when another holds it for longer than `timeout` seconds.
    """
    descriptor = open_private(path, exclusive=False)
    try:
        deadline = time.monotonic() + timeout
        pause = 0.001
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise LibraryBusy(
                    "another process of this library keeps a file locked", hint="Wait for it, or end it, and try again."
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        try:
            yield descriptor
        finally:
            _unlock(descriptor)
    finally:
        os.close(descriptor)


def lock_file_now(descriptor: int) -> bool:
    """Take the lock of an open file unless somebody has it, and tell which; closing the file gives it back."""
    return _try_lock(descriptor)


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        # Far past every byte that is written, because Windows locks forbid others to read what they cover.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def _modes_may_be_missing() -> Iterator[None]:
    """Go on where the file system knows no owners and modes (a USB stick): whoever mounted it decides who reads it."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP}:
            raise


def _restrict_to_user(path: Path) -> None:  # pragma: no cover
    """Give a new folder on Windows an access list with its own user alone, inherited by everything below."""
    user = os.environ.get("USERNAME")
    system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "icacls.exe"
    if user is None or not system.exists():
        return
    subprocess.run(
        [str(system), str(path), "/inheritance:r", "/grant:r", f"{user}:(OI)(CI)F"],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
