"""The encrypted blobs of a library: originals, previews, bundles of thumbnails and vectors.

A blob is written under a temporary name, made durable, renamed to the BLAKE2b-256 of its ciphertext, and its folder
made durable; only then may an envelope name it. So whatever an envelope names is whole on disk, and a killed process
leaves nothing but unnamed files, which `verify --gc` removes after a day.

Every method may be called from several threads at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from core.errors import BlobDamaged, BlobMissing
from core.private_files import (
    fsync_folder,
    lock_file_now,
    make_private_folder,
    open_private,
    storage_error,
    storage_errors,
)
from crypto import blob as sealed_blob
from crypto.errors import CryptoError, UnknownVersion
from crypto.hashing import HASH_BYTES, Blake2b

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from crypto.keys import EpochKeys

_INCOMING = "incoming"
_FOLDER = re.compile("[0-9a-f]{2}")
_ID_BYTES = 32
_READ_BYTES = 1 << 20
# fsyncs that wait together share the file system's journal commits; more threads than this gained nothing on ext4.
_FSYNC_THREADS = 4
UNNAMED_MAX_AGE_S = 86_400


@dataclass(frozen=True)
class BlobRef:
    """What an envelope keeps of a blob: its id, the key that opens it, and the size of the plaintext in bytes."""

    id: bytes
    key: bytes = field(repr=False)
    size: int


@dataclass(frozen=True)
class StagedBlob:
    """A blob that is written but not yet durable, and not yet under its name."""

    ref: BlobRef
    path: Path


class BlobStore:
    """The `blobs` folder of one library."""

    def __init__(self, folder: Path, epoch: EpochKeys) -> None:
        """Use `folder`; keys of new blobs are derived in `epoch`. Another epoch is another store of the same folder."""
        self._folder = folder
        self._epoch = epoch
        self._ready: set[Path] = set()
        self._ready_lock = threading.Lock()

    def path(self, blob_id: bytes) -> Path:
        """Return where the blob `blob_id` (32 bytes) lies, or would lie."""
        name = blob_id.hex()
        return self._folder / name[:2] / name

    def exists(self, blob_id: bytes) -> bool:
        """Tell whether the blob is in the folder (not whether it is whole)."""
        return self.path(blob_id).is_file()

    def key_for(self, data: bytes | memoryview) -> bytes:
        """Return the key that `data` has as a blob of this epoch (the same on every device of the library)."""
        hasher = sealed_blob.blob_key_hasher(self._epoch)
        hasher.update(data)
        return hasher.digest()

    def stage_bytes(self, data: bytes | memoryview, key: bytes | None = None) -> StagedBlob:
        """Encrypt `data` into a temporary file. `key`, when the caller has hashed already, is `key_for(data)`."""
        return self._stage(data, len(data), self.key_for(data) if key is None else key)

    def stage_file(self, source: BinaryIO, size: int, key: bytes) -> StagedBlob:
        """Encrypt `size` bytes of `source` into a temporary file, in constant memory."""
        return self._stage(source, size, key)

    def publish(self, staged: Iterable[StagedBlob]) -> None:
        """Make staged blobs durable, all together, and give them their names. After this an envelope may name them."""
        blobs = list(staged)
        if not blobs:
            return
        with storage_errors("a blob"):
            pairs = [(staged_blob.path, self.path(staged_blob.ref.id)) for staged_blob in blobs]
            if len(pairs) == 1:
                _fsync_file(*pairs[0])
            else:
                with ThreadPoolExecutor(min(_FSYNC_THREADS, len(pairs))) as pool:
                    list(pool.map(lambda pair: _fsync_file(*pair), pairs))
            folders = set()
            for path, target in pairs:
                self._make_ready(target.parent)
                _rename(path, target)
                folders.add(target.parent)
            for folder in folders:
                fsync_folder(folder)

    def discard(self, staged: Iterable[StagedBlob]) -> None:
        """Forget staged blobs that nobody will name."""
        for staged_blob in staged:
            with contextlib.suppress(OSError):
                staged_blob.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch]:
        """Collect blobs; leaving the block makes them durable together, leaving it by an exception discards them."""
        batch = Batch(self)
        try:
            yield batch
        except BaseException:
            self.discard(batch.staged)
            raise
        self.publish(batch.staged)

    def put_bytes(self, data: bytes | memoryview, key: bytes | None = None) -> BlobRef:
        """Store one blob durably and return how to name it."""
        with self.batch() as batch:
            return batch.put_bytes(data, key)

    def put_file(self, source: BinaryIO, size: int, key: bytes) -> BlobRef:
        """Store `size` bytes of `source` durably as one blob."""
        with self.batch() as batch:
            return batch.put_file(source, size, key)

    @contextlib.contextmanager
    def receive(self, blob_id: bytes, size: int) -> Iterator[IncomingBlob]:
        """Take in the ciphertext of a blob (`size` bytes) that comes from elsewhere, going on where it was left.

        What has come is kept when the block is left before the end, for a day. A second receiver of the same blob
        begins a file of its own.
        """
        incoming = self._folder / _INCOMING
        self._make_ready(incoming)
        receiving = IncomingBlob(self, incoming, blob_id, size)
        try:
            yield receiving
        finally:
            receiving.close()

    def ciphertext(self, blob_id: bytes) -> BinaryIO:
        """Open the ciphertext for reading, unchecked; the caller closes it. Raises `BlobMissing`."""
        try:
            with storage_errors(f"blob {blob_id.hex()[:12]}"):
                return self.path(blob_id).open("rb")
        except Exception as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise _missing(blob_id) from None
            raise

    @contextlib.contextmanager
    def open(self, blob_id: bytes, key: bytes) -> Iterator[sealed_blob.BlobReader]:
        """Open a blob for reading by ranges; only the chunks touched are decrypted.

        Raises `BlobMissing`, and `BlobDamaged` on opening or on any read that meets altered bytes.
        """
        with self._source(blob_id) as source, _blob_errors(blob_id):
            yield sealed_blob.BlobReader(source, key)

    def read(self, blob_id: bytes, key: bytes, offset: int = 0, length: int | None = None) -> bytes:
        """Return a range of a blob's plaintext (all of it by default)."""
        with self.open(blob_id, key) as reader:
            return reader.read(offset, length)

    def check(self, blob_id: bytes) -> None:
        """Read the blob through and compare it with its id; raises `BlobMissing` or `BlobDamaged`."""
        with self._source(blob_id) as source, _blob_errors(blob_id, "it does not have the content its name stands for"):
            sealed_blob.check_blob_id(source, blob_id)

    def remove(self, blob_id: bytes) -> bool:
        """Remove a blob; tell whether it was there."""
        with storage_errors("a blob"):
            try:
                self.path(blob_id).unlink()
            except FileNotFoundError:
                return False
        return True

    def remove_if_old(self, blob_id: bytes, max_age_s: float = UNNAMED_MAX_AGE_S) -> int | None:
        """Remove a blob that nothing names if it is older than `max_age_s`; return its size in bytes, or None if it
        stays.

        An import of the same file may write it anew at this very moment. So it is first moved aside, which is atomic,
        and its age is looked at there: a fresh one is moved back.
        """
        target = self.path(blob_id)
        aside = self._folder / _INCOMING / secrets.token_hex(16)
        self._make_ready(aside.parent)
        with storage_errors("a blob"):
            try:
                if time.time() - target.stat().st_mtime <= max_age_s:
                    return None
                target.replace(aside)
            except FileNotFoundError:
                return None
            moved = aside.stat()
            if time.time() - moved.st_mtime <= max_age_s:
                aside.replace(target)
                return None
            aside.unlink()
        return moved.st_size

    def iter_ids(self, start: bytes = b"") -> Iterator[bytes]:
        """Yield the ids of all blobs in the folder, folder by folder, in ascending order.

        With `start`, from the folder on in which a blob of that id would be, and then from the beginning.
        """
        with storage_errors("the folder of blobs"):
            folders = sorted(entry.name for entry in os.scandir(self._folder) if _FOLDER.fullmatch(entry.name))
        folders.sort(key=lambda name: (name < start[:1].hex(), name))
        for folder in folders:
            with storage_errors("the folder of blobs"):
                names = sorted(entry.name for entry in os.scandir(self._folder / folder))
            for name in names:
                blob_id = _id_of(name)
                if blob_id is not None and name.startswith(folder):
                    yield blob_id

    def size_on_disk(self, blob_id: bytes) -> int:
        """Return the size of the ciphertext in bytes; raises `BlobMissing`."""
        try:
            return self.path(blob_id).stat().st_size
        except FileNotFoundError:
            raise _missing(blob_id) from None

    def remove_stale_incoming(self, max_age_s: float = UNNAMED_MAX_AGE_S) -> int:
        """Remove temporary files that are older than `max_age_s` (their writer is gone); return how many."""
        removed = 0
        incoming = self._folder / _INCOMING
        if not incoming.is_dir():
            return 0
        with storage_errors("the folder of incoming blobs"):
            for entry in os.scandir(incoming):
                try:
                    if time.time() - entry.stat().st_mtime > max_age_s:
                        Path(entry.path).unlink()
                        removed += 1
                except FileNotFoundError:
                    continue
        return removed

    def _stage(self, plaintext: bytes | memoryview | BinaryIO, size: int, key: bytes) -> StagedBlob:
        incoming = self._folder / _INCOMING
        self._make_ready(incoming)
        path = incoming / secrets.token_hex(16)
        with storage_errors("a blob"):
            descriptor = open_private(path)
            try:
                # Whole chunks are written at once, so a buffer of Python's would only copy them once more.
                with io.FileIO(descriptor, "wb") as raw:
                    # What comes from a file is hashed again: it may have changed since the key was made from it.
                    rehash = (
                        None if isinstance(plaintext, bytes | memoryview) else sealed_blob.blob_key_hasher(self._epoch)
                    )
                    blob_id = sealed_blob.encrypt_blob(plaintext, size, key, _whole_writes(raw), rehash=rehash)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return StagedBlob(BlobRef(blob_id, key, size), path)

    def _make_ready(self, folder: Path) -> None:
        with self._ready_lock:
            if folder in self._ready:
                return
            make_private_folder(folder)
            with storage_errors("the folder of blobs"):
                fsync_folder(self._folder)
            self._ready.add(folder)

    @contextlib.contextmanager
    def _source(self, blob_id: bytes) -> Iterator[BinaryIO]:
        with self.ciphertext(blob_id) as source:
            yield source


class IncomingBlob:
    """A blob on its way in: append to it from `offset` on, then `finish`. Used by one thread; made by `receive`."""

    def __init__(self, store: BlobStore, incoming: Path, blob_id: bytes, size: int) -> None:
        """Open what had come of the blob, or a new file."""
        self._store = store
        self._size = size
        self.id = blob_id
        self._hasher = Blake2b(HASH_BYTES)
        self.offset = 0
        """How many bytes are here."""
        with storage_errors("a blob"):
            self._path = incoming / blob_id.hex()
            descriptor = open_private(self._path, exclusive=False)
            if not (lock_file_now(descriptor) and _is_at(descriptor, self._path)):
                # Another thread or process is receiving it. Whichever is first gives it its name.
                os.close(descriptor)
                self._path = incoming / secrets.token_hex(16)
                descriptor = open_private(self._path)
            self._own = len(self._path.name) != 2 * _ID_BYTES
            self._file: io.FileIO | None = io.FileIO(descriptor, "r+b")
            self._read_what_is_there(self._file)

    def write(self, data: bytes) -> None:
        """Append bytes. Raises `BlobDamaged` when they are more than the blob has, and then keeps nothing of it."""
        file = self._opened()
        if self.offset + len(data) > self._size:
            self._drop()
            raise damaged_in_transit(self.id, f"more than its {self._size} bytes came")
        self._hasher.update(data)
        try:
            _whole_writes(file)(data)
        except OSError as error:
            # The hash is ahead of the file now: whoever goes on begins with what the file holds.
            self.close()
            raise storage_error(error, "a blob") from error
        self.offset += len(data)

    def staged(self) -> StagedBlob:
        """Close the blob and return it for `BlobStore.publish`, once all of it is here and it is what its id says.

        Raises `BlobDamaged`, and then nothing of it is kept.
        """
        self._opened()
        if self.offset != self._size or self._hasher.digest() != self.id:
            self._drop()
            raise damaged_in_transit(self.id, "what came is not what its name stands for")
        self._own = False
        self.close()
        return StagedBlob(BlobRef(self.id, b"", self._size), self._path)

    def finish(self) -> None:
        """Give the blob its name, durably. Raises `BlobDamaged` as `staged` does."""
        self._store.publish([self.staged()])

    def close(self) -> None:
        """Leave it for now; what has come stays for the next time, where nobody else is receiving the same blob."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._own:
            self._path.unlink(missing_ok=True)

    def _drop(self) -> None:
        self._own = True
        self.close()

    def _opened(self) -> io.FileIO:
        if self._file is None:
            raise ValueError("this blob was closed before")
        return self._file

    def _read_what_is_there(self, file: io.FileIO) -> None:
        if os.fstat(file.fileno()).st_size > self._size:
            file.truncate(0)
        while piece := file.read(_READ_BYTES):
            self._hasher.update(piece)
            self.offset += len(piece)


def damaged_in_transit(blob_id: bytes, fault: str) -> BlobDamaged:
    """Return the alarm of a blob that came in as something else than it is."""
    return BlobDamaged(
        f"blob {blob_id.hex()} came in damaged: {fault}",
        hint="Nothing of it was kept. Another relay or device may have it whole.",
    )


class Batch:
    """Blobs that become durable together; several threads may put into one."""

    def __init__(self, store: BlobStore) -> None:
        """Collect for `store`."""
        self._store = store
        self.staged: list[StagedBlob] = []

    def put_bytes(self, data: bytes | memoryview, key: bytes | None = None) -> BlobRef:
        """Add a blob; the reference is good once the batch is over."""
        staged = self._store.stage_bytes(data, key)
        self.staged.append(staged)
        return staged.ref

    def put_file(self, source: BinaryIO, size: int, key: bytes) -> BlobRef:
        """Add `size` bytes of `source` as a blob."""
        staged = self._store.stage_file(source, size, key)
        self.staged.append(staged)
        return staged.ref


@contextlib.contextmanager
def _blob_errors(blob_id: bytes, fault: str | None = None) -> Iterator[None]:
    try:
        yield
    except UnknownVersion as error:
        raise BlobDamaged(f"blob {blob_id.hex()} cannot be read: it is {error}", hint=error.hint) from error
    except CryptoError as error:
        fault = fault or str(error).removeprefix("the blob is damaged: ")
        raise BlobDamaged(
            f"blob {blob_id.hex()} is damaged: {fault}",
            hint="Restore this file from a backup of the library's `blobs` folder; everything else stays readable.",
        ) from error


def _missing(blob_id: bytes) -> BlobMissing:
    return BlobMissing(
        f"blob {blob_id.hex()} is not in the library",
        hint="Restore this file from a backup of the library's `blobs` folder.",
    )


def _whole_writes(raw: io.FileIO) -> Callable[[bytes], None]:
    """Return a function that writes all it is given: a raw file may take less (a disk that is nearly full)."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[raw.write(view) or 0 :]

    return write


def _rename(path: Path, target: Path) -> None:
    try:
        # Replacing one that is there heals a copy that was damaged on disk: the name says the content.
        path.replace(target)
    except FileNotFoundError:
        if not target.is_file():  # unless another process received the same blob and was first
            raise
    except PermissionError:
        if not target.is_file():
            raise
        path.unlink()  # Windows: somebody is reading the one that is there


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _fsync_file(path: Path, target: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        if target.is_file():
            return  # another process received the same blob, and has given it its name
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _id_of(name: str) -> bytes | None:
    if len(name) != 2 * _ID_BYTES:
        return None
    try:
        return bytes.fromhex(name)
    except ValueError:
        return None
