"""Getting the original of one photo from a relay: told byte by byte, ended when nobody waits for it any more."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from core.errors import NoSuchPhoto
from core.originals import Originals
from tui.cli.output import file_size

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from core.library import Library
    from sync_relay.client import RelayClient

_REQUEST_S: Final = 15.0


class FetchEnded(Exception):
    """Nobody waits for it any more."""


def fetch_original(library: Library, pid: bytes, tell: Callable[[str], None], stop: threading.Event) -> None:
    """Bring the original of a photo here, unless it is; `tell` is told how far it is. Errors as of `Originals.ensure`.

    Where nothing of the photo but its thumbnail is here, its preview comes first: it is small, and soon to be seen.

    Raises:
        FetchEnded: `stop` was set.
    """
    sizes = {copy.role: copy.size for copy in library.catalog.copies(pid)}
    with Originals(library, connect=_connecting(tell, stop, sizes.get("original", 0))) as originals:
        if originals.copy_here(pid) is None:
            tell("getting the preview")
            with contextlib.suppress(NoSuchPhoto):
                originals.ensure(pid, "preview")
        tell("getting the original")
        originals.ensure(pid)


def _connecting(tell: Callable[[str], None], stop: threading.Event, size: int) -> Callable[[str], RelayClient]:
    """Return what makes clients whose downloads are counted. They are loaded when one is wanted."""
    from sync_relay.client import RelayClient

    class Counting(RelayClient):
        @contextlib.contextmanager
        def download(self, blob_id: bytes, offset: int = 0, length: int | None = None) -> Iterator[Any]:
            with super().download(blob_id, offset, length) as pieces:
                yield _Counted(pieces, offset, size, tell, stop)

    return lambda url: Counting(url, timeout_s=_REQUEST_S)


class _Counted:
    """A download that is counted while it is read."""

    def __init__(
        self, pieces: Any, offset: int, of_size: int, tell: Callable[[str], None], stop: threading.Event
    ) -> None:
        self._pieces, self._done, self._of, self._tell, self._stop = pieces, offset, of_size, tell, stop
        self.size: int = pieces.size

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if self._stop.is_set():
                raise FetchEnded
            self._done += len(piece)
            if self.size >= self._of:
                self._tell(f"getting the original: {file_size(self._done)} of {file_size(self.size)}")
            yield piece
