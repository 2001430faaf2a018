"""Derived files: sealed replicas and catalog. Safe to delete, never trusted beyond this device's own seal.

A file is a small sealed head (what is in it, and which envelopes it includes) and the sealed content, whose seal
covers the head. Names are keyed hashes and sizes are padded, so the folder says nothing but how much there is. A file
is replaced only by one that includes at least as much; the comparison and the rename happen under a lock between
processes.
"""

from __future__ import annotations

import hashlib
import logging
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from core.private_files import locked_file, make_private_folder, replace_file, storage_errors
from crypto.errors import CryptoError
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from core.log import Vector
    from crypto.keys import DeviceSecrets

_log = logging.getLogger(__name__)

_MAGIC = b"SLDF\x01"
_LENGTH = struct.Struct(">I")
_MAX_HEAD_BYTES = 1 << 20
_HEAD_PURPOSE = "derived head"
_CONTENT_PURPOSE = "derived content"
_LOCK = ".lock"
_NAME = re.compile(r"[0-9a-f]{32}")
CATALOG: Final = "catalog"
"""The name of the catalog, which `save_derived` writes last."""


class _Head(msgspec.Struct, array_like=True):
    name: str
    derivation: str
    vector: list[tuple[bytes, int, bytes]]


@dataclass(frozen=True)
class DerivedFile:
    """What a derived file holds.

    `derivation` names the way the content was made: a program that makes it in another way ignores the file.
    """

    vector: Vector
    content: bytes


class DerivedFiles:
    """The `derived` folder of one library."""

    def __init__(self, folder: Path, secrets: DeviceSecrets) -> None:
        """Use `folder`; only the device with these secrets can read what is in it."""
        self._folder = folder
        self._name_key = secrets.storage_key("derived name")
        self._key = secrets.storage_key("derived file")

    def has(self, name: str) -> bool:
        """Tell whether there is a file `name`, in whatever state."""
        return self._path(name).exists()

    def load(self, name: str, derivation: str) -> DerivedFile | None:
        """Return the file `name`; None when there is none, it is damaged, or it was made in another way."""
        path = self._path(name)
        with storage_errors("a derived file"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            head, sealed_head, start = self._open_head(data)
            if head.name != name or head.derivation != derivation:
                _log.info("derived_file_outdated")
                return None
            content = open_sealed(memoryview(data)[start:], self._key, _CONTENT_PURPOSE, _digest(sealed_head))
        except (CryptoError, msgspec.MsgspecError, struct.error) as error:
            _log.warning("derived_file_damaged: %s", type(error).__name__)
            return None
        return DerivedFile(_vector(head), content)

    def save(self, name: str, derivation: str, vector: Vector, content: bytes, *, durable: bool = True) -> bool:
        """Put a file in place unless one is there that includes something more; tell whether it was put.

        Without `durable` a power cut may leave a file that is ignored, and nothing else: its seal tells.
        """
        make_private_folder(self._folder)
        head = _Head(name, derivation, [(device, seq, hash_) for device, (seq, hash_) in sorted(vector.items())])
        sealed_head = seal(msgspec.msgpack.encode(head), self._key, _HEAD_PURPOSE)
        sealed_content = seal(content, self._key, _CONTENT_PURPOSE, _digest(sealed_head))
        data = b"".join((_MAGIC, _LENGTH.pack(len(sealed_head)), sealed_head, sealed_content))
        with storage_errors("a derived file"), locked_file(self._folder / _LOCK):
            known = self._vector_on_disk(name, derivation)
            if known is not None and not includes(vector, known):
                return False
            replace_file(self._path(name), data, durable=durable)
        return True

    def check(self) -> Iterator[tuple[str, bool]]:
        """Yield the name on disk of every file, and whether it opens: its seals hold, whatever version wrote it."""
        with storage_errors("the derived files"):
            paths = sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
        for path in paths:
            try:
                data = path.read_bytes()
                _, sealed_head, start = self._open_head(data)
                open_sealed(memoryview(data)[start:], self._key, _CONTENT_PURPOSE, _digest(sealed_head))
            except FileNotFoundError:
                continue  # replaced or removed meanwhile by another process
            except (OSError, CryptoError, msgspec.MsgspecError, struct.error):
                yield path.name, False
            else:
                yield path.name, True

    def remove_damaged(self) -> list[str]:
        """Remove the files that do not open, and return their names on disk: each is made again when it is wanted."""
        make_private_folder(self._folder)
        with locked_file(self._folder / _LOCK), storage_errors("a derived file"):
            names = [name for name, whole in self.check() if not whole]
            for name in names:
                (self._folder / name).unlink(missing_ok=True)
        return names

    def remove(self, name: str) -> None:
        """Remove one file."""
        self._path(name).unlink(missing_ok=True)

    def remove_all(self) -> None:
        """Remove every derived file."""
        make_private_folder(self._folder)
        with storage_errors("the derived files"), locked_file(self._folder / _LOCK):
            for path in self._folder.iterdir():
                if path.name != _LOCK and path.is_file():
                    path.unlink()

    def carry_over(self, successor: DerivedFiles, keeps: Callable[[Vector], bool], *, last: str) -> None:
        """Give the files, as far as `keeps` says so of what they include, to the device that this one has become.

        The file `last` goes last: as long as `has` says that it is here, there may be more.
        """
        with storage_errors("the derived files"):
            paths = [path for path in self._folder.iterdir() if path.name != _LOCK and path.is_file()]
        paths.sort(key=lambda path: path == self._path(last))
        for path in paths:
            try:
                data = path.read_bytes()
                head, sealed_head, start = self._open_head(data)
                if keeps(_vector(head)):
                    content = open_sealed(memoryview(data)[start:], self._key, _CONTENT_PURPOSE, _digest(sealed_head))
                    successor.save(head.name, head.derivation, _vector(head), content, durable=False)
                path.unlink()
            except (OSError, CryptoError, msgspec.MsgspecError, struct.error) as error:
                _log.info("derived_file_not_carried_over: %s", type(error).__name__)

    def _vector_on_disk(self, name: str, derivation: str) -> Vector | None:
        try:
            with self._path(name).open("rb") as file:
                start = file.read(len(_MAGIC) + _LENGTH.size)
                length = _LENGTH.unpack(start[len(_MAGIC) :])[0] if len(start) == len(_MAGIC) + _LENGTH.size else 0
                head, _, _ = self._open_head(start + file.read(min(length, _MAX_HEAD_BYTES)))
        except (OSError, CryptoError, msgspec.MsgspecError, struct.error):
            return None
        return _vector(head) if head.name == name and head.derivation == derivation else None

    def _open_head(self, data: bytes) -> tuple[_Head, bytes, int]:
        start = len(_MAGIC) + _LENGTH.size
        if data[: len(_MAGIC)] != _MAGIC:
            raise struct.error("not a derived file")
        (length,) = _LENGTH.unpack(data[len(_MAGIC) : start])
        sealed_head = data[start : start + length]
        opened = open_sealed(sealed_head, self._key, _HEAD_PURPOSE)
        return msgspec.msgpack.decode(opened, type=_Head), sealed_head, start + length

    def _path(self, name: str) -> Path:
        return self._folder / hashlib.blake2b(name.encode(), digest_size=16, key=self._name_key).hexdigest()


def includes(vector: Vector, other: Vector) -> bool:
    """Tell whether `vector` includes every envelope that `other` does."""
    return all(vector.get(device, (0, b""))[0] >= seq for device, (seq, _) in other.items())


def _vector(head: _Head) -> Vector:
    return {device: (seq, hash_) for device, seq, hash_ in head.vector}


def _digest(sealed_head: bytes) -> bytes:
    return hashlib.blake2b(sealed_head, digest_size=32).digest()
