"""The steps that SQLite takes on files, made those of a `Disk`. For a process that was forked for this: it stays so.

SQLite reaches files through a table of functions, its VFS. Here the one that opens files is replaced, in memory, by one
that gives every opened file writing, truncating and syncing functions of ours, which call SQLite's own.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.crash.disk import Disk, Step

if TYPE_CHECKING:
    from collections.abc import Callable

_OK: Final = 0
_FULL: Final = 13
_IOERR: Final = {
    "write": 10 | 3 << 8,
    "sync": 10 | 4 << 8,
    "truncate": 10 | 6 << 8,
    "remove": 10 | 10 << 8,
    "create": 14,
}
_SHM_SIZE: Final = 10 | 19 << 8
_SHM_MAP: Final = 10 | 21 << 8
_CREATE: Final = 0x4
_JOURNALS: Final = 0x800 | 0x4000 | 0x80000
"""Kinds of files with which SQLite syncs their folder too: journals, and write-ahead logs."""

_p, _i, _l = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_XOPEN: Final = ctypes.CFUNCTYPE(_i, _p, _p, _p, _i, _p)
_XDELETE: Final = ctypes.CFUNCTYPE(_i, _p, _p, _i)
_XCLOSE: Final = ctypes.CFUNCTYPE(_i, _p)
_XWRITE: Final = ctypes.CFUNCTYPE(_i, _p, _p, _i, _l)
_XTRUNCATE: Final = ctypes.CFUNCTYPE(_i, _p, _l)
_XSYNC: Final = ctypes.CFUNCTYPE(_i, _p, _i)
_XSHMMAP: Final = ctypes.CFUNCTYPE(_i, _p, _i, _i, _i, _p)


class _Vfs(ctypes.Structure):
    """The head of `sqlite3_vfs`."""

    _fields_ = (
        ("version", _i),
        ("file_size", _i),
        ("max_path", _i),
        ("next", _p),
        ("name", _p),
        ("data", _p),
        ("open", _p),
        ("delete", _p),
    )


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, version 3."""

    _fields_ = (
        ("version", _i),
        *((name, _p) for name in ("close", "read", "write", "truncate", "sync", "file_size", "lock", "unlock")),
        *((name, _p) for name in ("reserved", "control", "sector", "characteristics")),
        *((name, _p) for name in ("shm_map", "shm_lock", "shm_barrier", "shm_unmap", "fetch", "unfetch")),
    )


def library() -> ctypes.CDLL | None:
    """Return the SQLite that Python uses; None where Python was built without showing its functions."""
    import _sqlite3

    try:
        found = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        found.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        found.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    except (OSError, AttributeError):
        return None
    return found


class _Files:
    """SQLite's files of this process."""

    def __init__(self, disk: Disk, vfs: Any) -> None:
        self._disk = disk
        self._paths: dict[int, Path] = {}
        self._new_journals: set[int] = set()
        self._methods: dict[int, _Methods] = {}
        self._kept: list[Any] = []
        self._open = _XOPEN(vfs.open)
        self._delete = _XDELETE(vfs.delete)
        vfs.open = self._pointer(_XOPEN(self.open))
        vfs.delete = self._pointer(_XDELETE(self.delete))

    def _pointer(self, function: Any) -> int | None:
        self._kept.append(function)
        return ctypes.cast(function, _p).value

    def open(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = None if name is None else Path(os.fsdecode(ctypes.string_at(name)))
        if path is None or not self._disk.watches(path):
            return int(self._open(vfs, name, file, flags, out))
        is_new = bool(flags & _CREATE) and not path.exists()

        def do() -> int:
            return int(self._open(vfs, name, file, flags, out))

        code = self._step(Step("create", path), do, failure=14) if is_new else do()
        if code == _OK:
            self._paths[file] = path
            if is_new and flags & _JOURNALS:
                self._new_journals.add(file)
            self._put_methods(file)
        else:
            ctypes.cast(file, ctypes.POINTER(_p))[0] = None  # it is not open, and not to be closed
        return code

    def delete(self, vfs: int, name: int, sync_folder: int) -> int:
        path = Path(os.fsdecode(ctypes.string_at(name)))
        if not self._disk.watches(path) or not path.exists():
            return int(self._delete(vfs, name, sync_folder))
        code = self._step(Step("remove", path), lambda: int(self._delete(vfs, name, sync_folder)))
        if code == _OK and sync_folder:
            self._step(Step("sync", path.parent), lambda: _OK)
        return code

    def _put_methods(self, file: int) -> None:
        place = ctypes.cast(file, ctypes.POINTER(_p))
        original = place[0]
        if original not in self._methods:
            self._methods[original] = self._watched(_Methods.from_address(original))
        place[0] = ctypes.addressof(self._methods[original])

    def _watched(self, original: _Methods) -> _Methods:
        ours = _Methods.from_buffer_copy(original)
        close, write, truncate = _XCLOSE(original.close), _XWRITE(original.write), _XTRUNCATE(original.truncate)

        def on_close(file: int) -> int:
            self._paths.pop(file, None)
            self._new_journals.discard(file)
            return int(close(file))

        def on_write(file: int, data: int, size: int, offset: int) -> int:
            step = Step("write", self._paths[file], offset, ctypes.string_at(data, size))
            return self._step(step, lambda: int(write(file, data, size, offset)))

        def on_truncate(file: int, size: int) -> int:
            return self._step(Step("truncate", self._paths[file], size=size), lambda: int(truncate(file, size)))

        def on_sync(file: int, flags: int) -> int:
            step = Step("sync", self._paths[file], new_journal=file in self._new_journals)
            self._new_journals.discard(file)
            return self._step(step, lambda: _OK)  # the machine's own disk is not to be waited for

        ours.close = self._pointer(_XCLOSE(on_close))
        ours.write = self._pointer(_XWRITE(on_write))
        ours.truncate = self._pointer(_XTRUNCATE(on_truncate))
        ours.sync = self._pointer(_XSYNC(on_sync))
        if original.version >= 2 and original.shm_map:
            shm_map = _XSHMMAP(original.shm_map)

            def on_shm_map(file: int, page: int, size: int, extend: int, out: int) -> int:
                path = self._paths[file].with_name(self._paths[file].name + "-shm")

                def do() -> int:
                    return int(shm_map(file, page, size, extend, out))

                # The shared memory is a file, too, and has to find room; no power cut keeps it.
                if not extend or (path.exists() and path.stat().st_size >= (page + 1) * size):
                    return do()
                return self._step(Step("write", path), do, failure=_SHM_SIZE)

            ours.shm_map = self._pointer(_XSHMMAP(on_shm_map))
        return ours

    def _step(self, step: Step, do: Callable[[], int], *, failure: int | None = None) -> int:
        try:
            return self._disk.take(step, do)
        except OSError as error:
            if failure == _SHM_SIZE and error.errno != errno.ENOSPC:
                return _SHM_MAP
            if failure is not None:
                return failure
            return _FULL if error.errno == errno.ENOSPC else _IOERR[step.kind]


def install(disk: Disk) -> bool:
    """Let every step of SQLite in the folders of `disk` pass it; tell whether that can be done here."""
    found = library()
    vfs = None if found is None else found.sqlite3_vfs_find(None)
    if not vfs:
        return False
    disk.kept.append(_Files(disk, vfs.contents))
    return True
