"""The steps that Python takes on files, made those of a `Disk`. For a process that was forked for this: it stays so."""

from __future__ import annotations

import functools
import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash.disk import Disk, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


class _Open:
    """Which files the process has open, by descriptor."""

    def __init__(self) -> None:
        self._files: dict[int, tuple[Path, int]] = {}

    def note(self, descriptor: int, path: Path) -> None:
        self._files[descriptor] = (path, os.fstat(descriptor).st_ino)

    def path(self, descriptor: int) -> Path | None:
        """Return the path of a file or folder; None for what nobody opened by `os.open`, such as a socket."""
        path, inode = self._files.get(descriptor, (None, 0))
        found = os.fstat(descriptor)
        known = found.st_ino == inode and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        return path if known else None


def install(disk: Disk) -> None:
    """Let every step that changes files in the folders of `disk` pass it."""
    opened = _Open()
    _watch_descriptors(disk, opened)
    _watch_names(disk)
    _watch_file_objects(disk, opened)


def _watch_descriptors(disk: Disk, opened: _Open) -> None:
    real_open, real_write, real_fsync = os.open, os.write, os.fsync

    @functools.wraps(real_open)
    def open_(path: Any, flags: int, *more: Any, **named: Any) -> int:
        where = _absolute(path)
        if where is None or not disk.watches(where):
            return real_open(path, flags, *more, **named)
        if flags & os.O_CREAT and not os.path.lexists(where):
            descriptor = disk.take(Step("create", where), lambda: real_open(path, flags, *more, **named))
        else:
            descriptor = real_open(path, flags, *more, **named)
        opened.note(descriptor, where)
        return descriptor

    @functools.wraps(real_write)
    def write(descriptor: int, data: Any) -> int:
        path = opened.path(descriptor)
        if path is None:
            return real_write(descriptor, data)
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        return disk.take(Step("write", path, offset, bytes(data)), lambda: real_write(descriptor, data))

    @functools.wraps(real_fsync)
    def fsync(descriptor: int) -> None:
        path = opened.path(descriptor)
        if path is None:
            real_fsync(descriptor)
        else:
            disk.take(Step("sync", path), lambda: None)  # the machine's own disk is not to be waited for

    _put(os, open=open_, write=write, fsync=fsync)


def _watch_names(disk: Disk) -> None:
    def watch(name: str, kind: Any) -> None:
        real: Callable[..., None] = getattr(os, name)

        @functools.wraps(real)
        def call(path: Any, *more: Any, **named: Any) -> None:
            where = _absolute(path)
            if where is None or not disk.watches(where):
                real(path, *more, **named)
                return
            target = _absolute(more[0]) if kind == "rename" else None
            if not os.path.lexists(where) and kind != "make folder":
                real(path, *more, **named)  # says that there is nothing
                return
            if kind == "make folder" and (os.path.lexists(where) or not where.parent.is_dir()):
                real(path, *more, **named)  # says so, too
                return
            disk.take(Step(kind, where, target=target), lambda: real(path, *more, **named))

        _put(os, **{name: call})

    watch("replace", "rename")
    watch("rename", "rename")
    watch("unlink", "remove")
    watch("remove", "remove")
    watch("mkdir", "make folder")
    watch("rmdir", "remove folder")


def _watch_file_objects(disk: Disk, opened: _Open) -> None:
    real_file, real_fdopen = io.FileIO, os.fdopen

    class WatchedFile(real_file):  # type: ignore[misc, valid-type]
        def write(self, data: Any) -> int:
            path = opened.path(self.fileno())
            if path is None:
                return int(super().write(data))
            step = Step("write", path, self.tell(), bytes(data))
            return int(disk.take(step, lambda: super(WatchedFile, self).write(data)))

        def truncate(self, size: int | None = None) -> int:
            path = opened.path(self.fileno())
            if path is None:
                return int(super().truncate(size))
            length = self.tell() if size is None else size
            step = Step("truncate", path, size=length)
            return int(disk.take(step, lambda: super(WatchedFile, self).truncate(size)))

    @functools.wraps(real_fdopen)
    def fdopen(descriptor: int, mode: str = "r", *more: Any, **named: Any) -> Any:
        if mode == "wb" and opened.path(descriptor) is not None:
            return io.BufferedWriter(WatchedFile(descriptor, "wb"))
        return real_fdopen(descriptor, mode, *more, **named)

    _put(io, FileIO=WatchedFile)
    _put(os, fdopen=fdopen)


def _put(module: ModuleType, **functions: Any) -> None:
    for name, function in functions.items():
        setattr(module, name, function)


def _absolute(path: Any) -> Path | None:
    if isinstance(path, int):
        return None
    where = Path(os.fsdecode(path))
    return where.parent.resolve() / where.name
