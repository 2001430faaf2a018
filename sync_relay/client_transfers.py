"""Blobs on their way: a file handed to the network piece by piece, and an answer's bytes, counted as they come."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from sync_relay import errors, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    import httpx2

    from sync_relay.client_http import Line, Traffic

PIECE_BYTES: Final = 256 << 10
_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.ASCII)


class Source:
    """The bytes of a file from an offset up to a size, to be sent. It may be gone through more than once."""

    def __init__(
        self, file: BinaryIO, size: int, offset: int, traffic: Traffic, progress: Callable[[int], object] | None
    ) -> None:
        """Read nothing yet."""
        self._file = file
        self._size = size
        self._offset = offset
        self._traffic = traffic
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes; raise `EOFError` if the file is shorter than it was said to be."""
        self._file.seek(self._offset)
        at = self._offset
        while at < self._size:
            piece = self._file.read(min(PIECE_BYTES, self._size - at))
            if not piece:
                raise EOFError(f"the file to upload ends at byte {at} of {self._size}")
            yield piece
            at += len(piece)
            self._traffic.add(sent=len(piece))
            if self._progress is not None:
                self._progress(at)


class Download:
    """The bytes of a blob, or of a range of it, as they come. Iterate over it once.

    `size` is the whole blob's, `offset` where these bytes begin, `length` how many they are.
    """

    def __init__(self, line: Line, response: httpx2.Response, size: int, offset: int, length: int) -> None:
        """Wrap an answer whose header fields were checked."""
        self._line = line
        self._response = response
        self.size = size
        self.offset = offset
        self.length = length

    def __iter__(self) -> Iterator[bytes]:
        """Yield exactly `length` bytes; raise `Unreachable` where there are fewer or more."""
        left = self.length
        for piece in self._line.pieces(self._response):
            left -= len(piece)
            if left < 0:
                raise self._line.odd("more of a blob than was asked for")
            yield piece
        if left:
            raise self._line.odd("less of a blob than was asked for")

    @classmethod
    @contextlib.contextmanager
    def open(cls, line: Line, blob_id: bytes, offset: int, length: int | None, token: str) -> Iterator[Download]:
        """Ask for a blob, and check that what is about to come is what was asked for."""
        whole = offset == 0 and length is None
        last = "" if length is None else offset + length - 1
        headers = {"accept": f"{wire.BINARY}, {wire.MSGPACK}"}
        if not whole:
            headers["range"] = f"bytes={offset}-{last}"
        status = 200 if whole else 206
        path = f"/v1/blobs/{wire.hex_id(blob_id)}"
        with line.open("GET", path, token=token, headers=headers, statuses=(status,)) as response:
            fields = response.headers
            declared = fields.get("content-length", "")
            if fields.get("content-type") != wire.BINARY or "content-encoding" in fields:
                raise line.odd("another kind of answer than a blob")
            if not declared.isdecimal() or len(declared) > 18:  # noqa: PLR2004 (digits)
                raise line.odd("a blob without its length")
            count = int(declared)
            if whole:
                size = count
            else:
                found = _RANGE.fullmatch(fields.get("content-range", ""))
                if found is None:
                    raise line.odd("a part of a blob without its place")
                first, final, size = map(int, found.groups())
                if length is not None and first == offset and final == size - 1 < offset + length - 1:
                    raise errors.WrongRange(
                        f"the blob has {size} bytes, and not those asked for", details=errors.ErrorDetails(size=size)
                    )
                fits = first == offset and final - first + 1 == count and final < size
                if not fits or (count != length if length is not None else final != size - 1):
                    raise line.odd("another part of a blob than was asked for")
            if not 0 < size <= wire.MAX_BLOB_BYTES:
                raise line.odd("a blob of a size that none has")
            yield cls(line, response, size, offset, count)
