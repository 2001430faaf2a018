"""Reading one source file exactly once, so that what is hashed, decoded and stored are the same bytes.

Small files are held in memory. A large one is read in pieces, several times, and its hash compared each time: a blob
key must only ever seal the bytes it was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from core.importing import sniff
from core.importing.errors import FileRefused
from core.importing.limits import IN_MEMORY_BYTES, MAX_FILE_BYTES
from crypto.blob import blob_key_hasher
from crypto.errors import BlobSourceChanged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from core.blobs import BlobStore, StagedBlob
    from crypto.keys import EpochKeys

_PIECE = 1 << 20
_CHANGED = "it changed while it was being read; import it again when it is complete"
# A name can become a pipe between the walk and the opening: never wait for somebody to write into it.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Source:
    """An open source file and what its first bytes say it is."""

    path: Path
    file: BinaryIO
    identity: os.stat_result
    kind: sniff.FileType

    @property
    def size(self) -> int:
        """Return the size in bytes when it was opened."""
        return self.identity.st_size


@dataclass(frozen=True)
class Content:
    """The hashed bytes of a file: `data` of a small one, or `digest`, the plain BLAKE2b-256, of a large one."""

    pid: bytes
    key: bytes
    size: int
    data: bytes | None
    digest: bytes | None


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a file for importing.

    Raises:
        FileRefused: it is no regular file any more, over the limit, or cannot be read.
    """
    with _reading(), contextlib.ExitStack() as stack:
        file = stack.enter_context(os.fdopen(os.open(path, _FLAGS), "rb", buffering=0))
        identity = os.fstat(file.fileno())
        if not stat.S_ISREG(identity.st_mode):
            raise FileRefused("no longer a regular file")
        if identity.st_size > MAX_FILE_BYTES:
            raise FileRefused(f"it has {identity.st_size:,} bytes, over the limit of {MAX_FILE_BYTES:,}")
        head = file.read(sniff.HEAD_BYTES)
        file.seek(0)
        yield Source(path, file, identity, sniff.sniff(head, path.name))


def hash_content(source: Source, epoch: EpochKeys) -> Content:
    """Read the file through and return who it is. Raises `FileRefused`."""
    photo, key = epoch.photo_hasher(), blob_key_hasher(epoch)
    with _reading():
        if source.size <= IN_MEMORY_BYTES:
            data = source.file.read(source.size + 1) or b""
            photo.update(data)
            key.update(data)
            _check_unchanged(source, len(data))
            return Content(photo.digest(), key.digest(), len(data), data, None)
        plain, size = hashlib.blake2b(digest_size=32), 0
        while piece := source.file.read(_PIECE):
            for hasher in (photo, key, plain):
                hasher.update(piece)
            size += len(piece)
        _check_unchanged(source, size)
        return Content(photo.digest(), key.digest(), size, None, plain.digest())


def stage(source: Source, content: Content, blobs: BlobStore) -> StagedBlob:
    """Encrypt the original into the library's folder, not yet under a name.

    Raises:
        FileRefused: the source changed; `DiskFull` and `StorageFailed` from the library's side.
    """
    if content.data is not None:
        return blobs.stage_bytes(content.data, content.key)
    source.file.seek(0)
    try:
        with _reading():
            return blobs.stage_file(source.file, content.size, content.key)
    except BlobSourceChanged:
        raise FileRefused(_CHANGED) from None


def _check_unchanged(source: Source, size: int) -> None:
    now = os.fstat(source.file.fileno())
    before = source.identity
    if size != before.st_size or (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise FileRefused(_CHANGED)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise FileRefused("it vanished before it could be read") from None
    except OSError as error:
        raise FileRefused((error.strerror or type(error).__name__).lower()) from error
