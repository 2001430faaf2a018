"""What this machine remembers, outside the library's folder, of the last envelope it wrote.

A library's folder can be copied to another machine, or put back from an older backup. In both cases its own chain head
is no longer the truth, and writing on would use a sequence number twice. So the head is also kept in the platform's
state folder, together with a random token that the library's log holds as well. The library compares the two before
it writes.

The file has two slots that are written in turn, each with a checksum: a power cut in the middle of a write leaves the
other. It is written after the log's own commit, so it may lag behind the log, and must then be a part of its chain; it
never runs ahead of it. Nothing in it is secret.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.private_files import fsync_folder, locked_file, make_private_folder, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"SLMS\x01"
_SLOT = struct.Struct(">5sQ32s16s")
_CHECK_BYTES = 16
_SLOT_BYTES = 128
TOKEN_BYTES = 16


@dataclass(frozen=True)
class MachineHead:
    """The newest own envelope this machine remembers, and the token of the library's folder on this machine."""

    seq: int
    hash: bytes
    token: bytes


class MachineState:
    """The memory of one (library, device) on this machine."""

    def __init__(self, folder: Path, library_id: bytes, device_id: bytes) -> None:
        """Keep the file in `folder`, under a name that says neither library nor device."""
        digest = hashlib.blake2b(library_id + device_id, digest_size=16, person=b"safelight state").hexdigest()
        self._path = folder / "devices" / f"{digest}.head"

    def read(self) -> MachineHead | None:
        """Return what is remembered; None when there is nothing, or nothing whole."""
        with storage_errors("this machine's memory of the library"):
            try:
                with self._path.open("rb") as file:
                    return _newest(file.read(2 * _SLOT_BYTES))
            except FileNotFoundError:
                return None

    def advance(self, head: MachineHead) -> None:
        """Remember `head` unless something newer is remembered under the same token."""
        make_private_folder(self._path.parent)
        with storage_errors("this machine's memory of the library"), locked_file(self._path) as descriptor:
            os.lseek(descriptor, 0, os.SEEK_SET)
            slots = os.read(descriptor, 2 * _SLOT_BYTES)
            known = _newest(slots)
            if known is not None and known.token == head.token:
                if known.seq >= head.seq:
                    return
                # In place and without fsync: the file never changes its size, and an older slot is only less strict.
                older = _SLOT_BYTES if _read_slot(slots[:_SLOT_BYTES]) == known else 0
                os.lseek(descriptor, older, os.SEEK_SET)
                os.write(descriptor, _slot(head))
            else:
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, _slot(head) + bytes(_SLOT_BYTES))
                os.fsync(descriptor)
                # Without its name a power cut would take the memory, and this machine would be a stranger here.
                fsync_folder(self._path.parent)

    def forget(self) -> None:
        """Remove the memory; the library's folder is then a stranger to this machine."""
        self._path.unlink(missing_ok=True)


def _slot(head: MachineHead) -> bytes:
    body = _SLOT.pack(_MAGIC, head.seq, head.hash, head.token)
    return (body + hashlib.blake2b(body, digest_size=_CHECK_BYTES).digest()).ljust(_SLOT_BYTES, b"\0")


def _newest(data: bytes) -> MachineHead | None:
    heads = [_read_slot(data[:_SLOT_BYTES]), _read_slot(data[_SLOT_BYTES:])]
    return max((head for head in heads if head is not None), key=lambda head: head.seq, default=None)


def _read_slot(slot: bytes) -> MachineHead | None:
    if len(slot) < _SLOT.size + _CHECK_BYTES:
        return None
    body, check = slot[: _SLOT.size], slot[_SLOT.size : _SLOT.size + _CHECK_BYTES]
    magic, seq, hash_, token = _SLOT.unpack(body)
    if magic != _MAGIC or hashlib.blake2b(body, digest_size=_CHECK_BYTES).digest() != check:
        return None
    return MachineHead(seq, hash_, token)
