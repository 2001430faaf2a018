"""What a power cut leaves of files: what was synced, and of everything later some part.

The model is that of a journalling file system which promises no more than POSIX does. Changes of names (made, renamed,
removed) reach the disk in their order, and surely so once a folder that they concern is synced; syncing a file says
nothing of its name. Bytes written since a file's last sync reach the disk sector by sector, in any order, or not at
all, and the file may have grown without them (then it holds zeros there).
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.crash.disk import Step

SECTOR = 512
SHARED = "-shm"
"""How the shared memory of SQLite's processes ends: a file that nobody syncs, and that holds nothing to be kept."""


@dataclass
class Content:
    """What one file holds: on the disk for sure, now, and what was done to it in between."""

    durable: bytes = b""
    live: bytearray = field(default_factory=bytearray)
    late: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes (offset, bytes) since the last sync; (size, None) for a truncation."""

    def write(self, offset: int, data: bytes) -> None:
        self._put(self.live, offset, data)
        self.late.append((offset, data))

    def truncate(self, size: int) -> None:
        self._cut(self.live, size)
        self.late.append((size, None))

    def sync(self) -> None:
        self.durable = bytes(self.live)
        self.late.clear()

    def fallen(self, chance: random.Random) -> bytes:
        """Return what the disk holds after a power cut."""
        found = bytearray(self.durable)
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        for offset, data in self.late:
            if data is None:
                if chance.random() < share:
                    self._cut(found, offset)
                continue
            start = 0
            while start < len(data):
                end = min(len(data), (offset + start) // SECTOR * SECTOR + SECTOR - offset)
                if chance.random() < share:
                    self._put(found, offset + start, data[start:end])
                start = end
        if len(found) < len(self.live) and chance.random() < 0.3:
            found.extend(bytes(len(self.live) - len(found)))
        return bytes(found)

    @staticmethod
    def _put(content: bytearray, offset: int, data: bytes) -> None:
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data

    @staticmethod
    def _cut(content: bytearray, size: int) -> None:
        del content[size:]
        content.extend(bytes(size - len(content)))


@dataclass(frozen=True)
class _Change:
    """A change of names: of these paths, to these contents (None: gone; a folder has no `Content`).

    It is surely on the disk once one of `folders` is synced.
    """

    folders: frozenset[Path]
    names: tuple[tuple[Path, Content | None], ...] = ()
    folders_made: tuple[Path, ...] = ()
    folders_removed: tuple[Path, ...] = ()


class PowerCut:
    """The disk of one process as it would be found after a power cut."""

    def __init__(self) -> None:
        self._names: dict[Path, Content | None] = {}
        self._before: dict[Path, Content | None] = {}
        self._changes: list[_Change] = []
        self._sure = 0

    def about_to(self, step: Step) -> None:
        """Look at what a step is about to change, unless that is known."""
        if step.kind in {"request", "make folder", "remove folder"}:
            return
        below = step.path.rglob("*") if step.kind == "rename" and step.path.is_dir() else ()
        for path in (step.path, step.target, *below):
            if path is None or path in self._names or path.name.endswith(SHARED) or path.is_dir():
                continue
            content = None
            if path.is_file():
                data = path.read_bytes()
                content = Content(data, bytearray(data))
            self._names[path] = self._before[path] = content

    def note(self, step: Step) -> None:
        """Take note of a step that was taken."""
        content = self._names.get(step.path)
        if step.kind == "sync":
            self._note_sync(step, content)
        elif step.kind in {"write", "truncate"}:
            if content is not None and step.kind == "write":
                content.write(step.offset, step.data)
            elif content is not None:
                content.truncate(step.size)
        else:
            self._note_names(step, content)

    def fall(self, chance: random.Random) -> None:
        """Put what a power cut leaves in the place of what is there."""
        kept = chance.randint(self._sure, len(self._changes))
        names = dict(self._before)
        for change in self._changes[:kept]:
            names.update(change.names)
        for path in self._names:
            content = names.get(path)
            if content is not None:
                data = content.fallen(chance)
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, data)
            else:
                path.unlink(missing_ok=True)
        self._put_folders(kept)

    def _put_folders(self, kept: int) -> None:
        folders: dict[Path, bool] = {}
        for number, change in enumerate(self._changes):
            for some, made in ((change.folders_made, True), (change.folders_removed, False)):
                for folder in some:
                    folders[folder] = made if number < kept else folders.get(folder, not made)
        for folder, is_there in folders.items():
            if is_there:
                folder.mkdir(parents=True, exist_ok=True)
            elif folder.is_dir():
                shutil.rmtree(folder)

    def _note_sync(self, step: Step, content: Content | None) -> None:
        if content is not None:
            content.sync()
        if step.new_journal:
            self._sync_folder(step.path.parent)
        elif step.path.is_dir():
            self._sync_folder(step.path)

    def _note_names(self, step: Step, content: Content | None) -> None:
        if step.kind == "create" and content is None:
            self._change(((step.path, Content()),))
        elif step.kind == "rename" and step.target is not None and step.target.is_dir():
            self._note_moved_folder(step.path, step.target)
        elif step.kind == "rename" and step.target is not None:
            self._change(((step.path, None), (step.target, content)))
        elif step.kind == "remove":
            self._change(((step.path, None),))
        elif step.kind == "make folder":
            self._changes.append(_Change(frozenset([step.path.parent]), folders_made=(step.path,)))
        elif step.kind == "remove folder":
            self._changes.append(_Change(frozenset([step.path.parent]), folders_removed=(step.path,)))

    def _note_moved_folder(self, old: Path, new: Path) -> None:
        moved = [(path, content) for path, content in self._names.items() if path.is_relative_to(old)]
        names = [(path, None) for path, _ in moved] + [(new / path.relative_to(old), it) for path, it in moved]
        made = [new, *sorted(path for path in new.rglob("*") if path.is_dir())]
        removed = [old / path.relative_to(new) for path in made]
        folders = frozenset([old.parent, new.parent])
        self._before.update({path: None for path, _ in names if path not in self._names})
        self._names.pop(new, None)
        self._changes.append(_Change(folders, tuple(names), tuple(made), tuple(removed)))
        self._names.update(names)

    def _change(self, names: tuple[tuple[Path, Content | None], ...]) -> None:
        self._changes.append(_Change(frozenset(path.parent for path, _ in names), names))
        self._names.update(names)

    def _sync_folder(self, folder: Path) -> None:
        for number in range(len(self._changes), self._sure, -1):
            if folder in self._changes[number - 1].folders:
                self._sure = number
                return


def scramble_shared_memory(roots: Sequence[Path], seed: int) -> None:
    """Let the index of every write-ahead log hold anything at all: it is shared memory, which no power cut keeps."""
    chance = random.Random(seed)
    for root in roots:
        for path in root.rglob(f"*{SHARED}"):
            path.write_bytes(chance.randbytes(path.stat().st_size))


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
