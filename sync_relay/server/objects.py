"""Blobs as objects of a store: a local folder, or whatever `obstore` opens by URL (`s3://bucket/prefix`).

Objects are written once under a name of their own and never changed; the database alone says which of them count. In
a local folder, an object that counts is on the disk before its row says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from crypto.hashing import HASH_BYTES, Blake2b
from sync_relay.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from obstore.store import ClientConfig, ObjectStore, RetryConfig

PIECE_BYTES: Final = 1 << 20
_RANGE_BYTES: Final = 2 << 20
"""How much of an object one request to a store elsewhere reads: such requests end in time, however slow the reader."""
_CLIENT: Final[ClientConfig] = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRIES: Final[RetryConfig] = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
"""A store that does not answer is an error after seconds: with the library's own bounds, callers hung for minutes."""
_INCOMING: Final = "parts/incoming"
"""Where files of a local folder are written that get their names once they are whole."""
_MOST_FOLDERS: Final = 20_000
_FULL: Final = re.compile(rf"\b(?:os error|Errno) (?:{errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG})\b")
_CHUNK_BYTES: Final = 8 << 20  # of a multi-part upload: S3 takes 10,000, so blobs of up to 78 GiB


class ObjectMissing(Exception):
    """An object that a row names is not in the store."""


class Objects:
    """The store at `location`, a path or a URL."""

    def __init__(self, location: str) -> None:
        """Open the store; a local folder is made if it is missing."""
        parts = urlsplit(location)
        self._folder: Path | None = None
        self._store: ObjectStore
        self._synced: set[Path] = set()
        if len(parts.scheme) <= 1 or parts.scheme == "file":  # a path; `C:\…` has a scheme of one letter
            self._folder = Path(unquote(parts.path) if parts.scheme == "file" else location).absolute()
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store = LocalStore(self._folder)
        else:
            # Options of the client, once given, stand in place of those that the environment has.
            plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}
            client: ClientConfig = {**_CLIENT, "allow_http": plain}
            self._store = from_url(location, client_options=client, retry_config=_RETRIES)

    async def put(self, name: str, content: bytes, *, durable: bool) -> None:
        """Write a small object; `durable` if it counts as soon as its row does."""
        with _store_errors():
            await obstore.put_async(self._store, name, content, use_multipart=False)
            if durable:
                await self._sync(name)

    async def put_checked(self, name: str, pieces: Sequence[bytes], expected: bytes) -> bool:
        """Write an object that fits into memory, durably, if its bytes have the BLAKE2b-256 `expected`; tell whether.

        Nothing appears under `name` before that is known.
        """
        if self._folder is not None:
            with _store_errors():
                return await asyncio.to_thread(_put_checked, self._folder, name, pieces, expected, self._synced)
        content = b"".join(pieces)
        hasher = Blake2b(HASH_BYTES)
        await asyncio.to_thread(hasher.update, content)
        if hasher.digest() != expected:
            return False
        await self.put(name, content, durable=True)
        return True

    async def put_together(self, name: str, parts: Sequence[str], expected: bytes) -> bool:
        """Write other objects, one after the other, as one, durably and in constant memory; tell whether it has the
        BLAKE2b-256 `expected`. Raises `ObjectMissing` where one of `parts` is not there.
        """
        if self._folder is not None:
            pieces = _read_files([self._folder / part for part in parts])
            with _store_errors():
                return await asyncio.to_thread(_put_checked, self._folder, name, pieces, expected, self._synced)
        hasher = Blake2b(HASH_BYTES)

        async def content() -> AsyncIterator[bytes]:
            for part in parts:
                async for piece in self.read(part):
                    await asyncio.to_thread(hasher.update, piece)
                    yield piece

        await self._put_stream(name, content())
        return hasher.digest() == expected

    async def _put_stream(self, name: str, content: AsyncIterator[bytes]) -> None:
        """Write an object of any size in constant memory. Nothing appears under `name` unless `content` ends well."""
        with _store_errors():
            await obstore.put_async(self._store, name, content, chunk_size=_CHUNK_BYTES, max_concurrency=2)
            await self._sync(name)

    async def read(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to before `end` (by default all), a megabyte or two at a time.

        Raises `ObjectMissing` before anything was yielded.
        """
        if self._folder is not None:
            async for piece in _read_file(self._folder / name, start, end):
                yield piece
            return
        # In ranges and not as the library's own stream: that one gives up too early on a slow reader of a store
        # elsewhere.
        if end is None:
            end = await self.size(name)
        if end is None:
            raise ObjectMissing
        for at in range(start, end, _RANGE_BYTES):
            with _store_errors():
                part = await obstore.get_range_async(self._store, name, start=at, end=min(end, at + _RANGE_BYTES))
            yield bytes(part)

    async def hash(self, name: str, key: bytes | None = None) -> bytes:
        """Return BLAKE2b-256 of a whole object, keyed with 32 bytes or plain."""
        hasher = Blake2b(HASH_BYTES, key)
        async for piece in self.read(name):
            await asyncio.to_thread(hasher.update, piece)
        return hasher.digest()

    async def delete(self, names: Iterable[str]) -> None:
        """Delete objects; those that are gone already are no error."""
        for name in names:
            with _store_errors(), contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(self._store, name)

    async def size(self, name: str) -> int | None:
        """Return an object's size, or None if there is no such object."""
        with _store_errors():
            try:
                return int((await obstore.head_async(self._store, name))["size"])
            except FileNotFoundError:
                return None

    async def names(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield the name of every object whose name begins with the folders of `prefix`, in no order."""
        with _store_errors():
            async for page in obstore.list(self._store, prefix or None):
                for found in page:
                    yield found["path"]

    async def check(self) -> None:
        """Raise `Unavailable` unless the store takes an object and gives it back."""
        await self.put("relay-check", b"safelight", durable=False)
        if await self.size("relay-check") is None:
            raise Unavailable("the relay's storage does not keep what it is given")

    async def _sync(self, name: str) -> None:
        if self._folder is not None:
            await asyncio.to_thread(_sync_file, self._folder, self._folder / name, self._synced)


async def _read_file(path: Path, start: int, end: int | None) -> AsyncIterator[bytes]:
    """Yield a part of a file as `Objects.read` does; the library, 8 KiB at a time, takes 13 times as long."""
    with _store_errors():
        file, left, piece = await asyncio.to_thread(_open_file, path, start, end)
    with file:
        while left > 0:
            if not piece:
                raise ObjectMissing
            yield piece
            left -= len(piece)
            if left > 0:
                with _store_errors():
                    piece = await asyncio.to_thread(file.read, min(left, _RANGE_BYTES))


def _open_file(path: Path, start: int, end: int | None) -> tuple[io.FileIO, int, bytes]:
    """Return an open file, how many of the bytes asked for are in front, and the first of them."""
    file = io.FileIO(path, "rb")
    try:
        file.seek(start)
        left = os.fstat(file.fileno()).st_size - start if end is None else end - start
        return file, left, file.read(min(left, _RANGE_BYTES)) or b""
    except BaseException:
        file.close()
        raise


def _read_files(files: Iterable[Path]) -> Iterator[bytes]:
    for file in files:
        with file.open("rb", buffering=0) as opened:
            while piece := opened.read(PIECE_BYTES):
                yield piece


def _put_checked(root: Path, name: str, pieces: Iterable[bytes], expected: bytes, synced: set[Path]) -> bool:
    """Write pieces to a file of their own, sync it, and give it its name if they have the hash `expected`."""
    hasher = Blake2b(HASH_BYTES)
    file, beside = root / name, root / _INCOMING / secrets.token_hex(16)
    for folder in {file.parent, beside.parent} - synced:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            for piece in pieces:
                hasher.update(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            if good := hasher.digest() == expected:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if good:
            beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    if good:
        _sync_folders(root, file, synced)
    return good


def _sync_file(root: Path, file: Path, synced: set[Path]) -> None:
    """Bring a file to the disk, its entry in its folder, and the folders' own entries unless they are `synced`."""
    descriptor = os.open(file, os.O_RDWR)  # Windows syncs only what is open for writing
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _sync_folders(root, file, synced)


def _sync_folders(root: Path, file: Path, synced: set[Path]) -> None:
    """Bring a file's entry in its folder to the disk, and the folders' own entries unless they are `synced`."""
    if os.name == "nt":
        return  # folders cannot be opened there, and need not be
    seen = []
    for folder in file.parents:  # the folders above may be new as well
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if folder == root or folder in synced:
            break
        seen.append(folder)
    if len(synced) > _MOST_FOLDERS:
        synced.clear()
    synced.update(seen)


@contextlib.contextmanager
def _store_errors() -> Any:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing from error
    except (BaseError, OSError) as error:
        if _FULL.search(str(error)):
            raise Unavailable(
                "the relay's disk is full", hint="Its owner has to make room. Nothing is lost on your devices."
            ) from error
        raise Unavailable(
            f"the relay's storage does not answer ({type(error).__name__})",
            hint="Try again; if it stays, the relay's owner finds the cause in its log.",
        ) from error
