"""Names of the documents: one for the library, one per month of capture, sixteen for photos without a date."""

import re
from enum import Enum

from crdt.errors import DocumentNameInvalid

LIBRARY = "library"
PID_BYTES = 16

_MONTH = re.compile(r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])(?=-|$)", re.ASCII)
_SHARD = re.compile(r"photos:(?!0000)\d{4}-(?:0[1-9]|1[0-2])|undated:[0-9a-f]", re.ASCII)


class DocumentKind(Enum):
    """The two shapes a document can have; each has its own genesis and maps."""

    SHARD = "shard"
    LIBRARY = "library"


def shard_name(wall_clock: str | None, pid: bytes) -> str:
    """Name the shard a photo belongs to, decided by the file's own bytes alone.

    Args:
        wall_clock: capture time as written inside the file, ``YYYY-MM-DDTHH:MM:SS``; ``None`` if it has none. A text
            that does not start with a month of the years 0001 to 9999 counts as none.
        pid: the photo's id, 16 bytes.

    Returns:
        ``photos:YYYY-MM``, or ``undated:`` and the first hex digit of the id.
    """
    if len(pid) != PID_BYTES:
        raise DocumentNameInvalid(f"a photo id has {PID_BYTES} bytes, not {len(pid)}")
    month = None if wall_clock is None else _MONTH.match(wall_clock)
    return f"undated:{pid.hex()[0]}" if month is None else f"photos:{month.group()}"


def is_document_name(name: str) -> bool:
    """Tell whether ``name`` is ``library`` or exactly what :func:`shard_name` can return."""
    return name == LIBRARY or _SHARD.fullmatch(name) is not None


def document_kind(name: str) -> DocumentKind:
    """Tell which kind of document ``name`` is; raises :class:`DocumentNameInvalid` for anything else."""
    if not is_document_name(name):
        raise DocumentNameInvalid(
            f"{name[:80]!r} is not the name of a document",
            hint="documents are `library`, `photos:YYYY-MM` and `undated:` with one hex digit",
        )
    return DocumentKind.LIBRARY if name == LIBRARY else DocumentKind.SHARD
