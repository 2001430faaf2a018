"""What the maps of a document hold: keys, values and their bounds. The words are those of docs/schema.md.

Every map is flat: a key is a photo id in lower-case hex, alone or with ``/`` and a second part; a value is one scalar.
Unknown keys within the bounds are kept, because a later format may write them; readers skip what they cannot split.
"""

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from crdt.documents import PID_BYTES, DocumentKind
from crdt.errors import ValueRefused
from crdt.operations import Scalar

MAX_KEY_BYTES = 512
MAX_LABEL_BYTES = 200
MAX_VALUE_BYTES = 65_536
"""Limit on a text or byte value in a map this version knows nothing of, and the largest of any map."""

ROTATIONS = frozenset({0, 90, 180, 270})
MAX_RATING = 5
MAX_UTC_SECONDS = 253_402_300_799
"""The last second of the year 9999."""

BLOB_ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class MapShape:
    """What one map holds.

    Attributes:
        key: the shape of its keys, for people.
        value: the shape of its values, for people.
        accepts: whether a value has that shape; called with any scalar.
    """

    key: str
    value: str
    accepts: Callable[[Scalar], bool]


def _packed(limit: int) -> Callable[[Scalar], bool]:
    return lambda value: isinstance(value, bytes) and 0 < len(value) <= limit


def _text(limit: int) -> Callable[[Scalar], bool]:
    return lambda value: isinstance(value, str) and len(value.encode()) <= limit


def _is_bool(value: Scalar) -> bool:
    return isinstance(value, bool)


def _is_true(value: Scalar) -> bool:
    return value is True


def _is_int(value: Scalar, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def _is_position(value: Scalar) -> bool:
    return isinstance(value, float) and math.isfinite(value)


_PACKED_FACTS = MapShape("pid", "PhotoFacts, packed, at most 4096 bytes", _packed(4096))
ANY_SHAPE = MapShape("any", "any scalar of at most 65,536 bytes", lambda _: True)
"""The shape of a map that a later format has added."""

SHAPES: Mapping[DocumentKind, Mapping[str, MapShape]] = MappingProxyType(
    {
        DocumentKind.SHARD: MappingProxyType(
            {
                "photo": _PACKED_FACTS,
                "copy": MapShape("pid/blob id", "CopyRecord, packed, at most 2048 bytes", _packed(2048)),
                "bundle": MapShape("blob id", "BundleRecord, packed, at most 65,536 bytes", _packed(MAX_VALUE_BYTES)),
                "auto": MapShape("pid/model@version", "AutoRecord, packed, at most 2048 bytes", _packed(2048)),
                "label": MapShape("pid/name", "true: added; false: rejected", _is_bool),
                "caption": MapShape("pid", "text, at most 8192 bytes", _text(8192)),
                "rating": MapShape("pid", "integer 0 to 5", lambda value: _is_int(value, 0, MAX_RATING)),
                "favourite": MapShape("pid", "boolean", _is_bool),
                "rotation": MapShape(
                    "pid",
                    "0, 90, 180 or 270 degrees clockwise",
                    lambda value: _is_int(value, 0, max(ROTATIONS)) and value in ROTATIONS,
                ),
                "taken": MapShape("pid", "wall clock, with or without offset; text, at most 64 bytes", _text(64)),
                "album": MapShape("pid/album id", "finite float: position in the album", _is_position),
                "trash": MapShape("pid", "integer: UTC seconds", lambda value: _is_int(value, 0, MAX_UTC_SECONDS)),
                "purged": MapShape("pid", "true", _is_true),
            }
        ),
        DocumentKind.LIBRARY: MappingProxyType(
            {
                "album": MapShape("album id", "name, text, at most 1024 bytes", _text(1024)),
                "device": MapShape("device id", "name, text, at most 1024 bytes", _text(1024)),
                "relay": MapShape("URL", "text, at most 4096 bytes", _text(4096)),
                "search": MapShape("name", "query, text, at most 4096 bytes", _text(4096)),
                "vocabulary": MapShape("label key", "how the label is written, text, at most 1024 bytes", _text(1024)),
                "taught": MapShape("label key", "TaughtRecord, packed, at most 65,536 bytes", _packed(MAX_VALUE_BYTES)),
                "setting": MapShape("name", "text, at most 4096 bytes", _text(4096)),
            }
        ),
    }
)
"""The shape of every map this version gives a meaning to."""


def label_name(name: str) -> str:
    """Write a label's name as compared and stored: trimmed, NFC, case-folded.

    Raises:
        ValueRefused: if it is empty, over 200 bytes of UTF-8, or has control characters.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())
    if not folded:
        raise ValueRefused("a label needs a name", hint="give the label at least one character")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in folded):
        raise ValueRefused("a label has control characters in its name", hint="leave them out")
    if len(folded.encode()) > MAX_LABEL_BYTES:
        raise ValueRefused(f"the label {folded[:40]!r}… is over {MAX_LABEL_BYTES} bytes", hint="choose a shorter name")
    return folded


def pid_key(pid: bytes) -> str:
    """Make the key of a photo in the maps that hold one value a photo."""
    if len(pid) != PID_BYTES:
        raise ValueRefused(f"a photo id has {PID_BYTES} bytes, not {len(pid)}")
    return pid.hex()


def label_key(pid: bytes, name: str) -> str:
    """Make the key of one label of one photo; ``name`` in any spelling (see :func:`label_name`)."""
    return f"{pid_key(pid)}/{label_name(name)}"


def copy_key(pid: bytes, blob_id: bytes) -> str:
    """Make the key of one copy of a photo: the blob that holds it."""
    if len(blob_id) != BLOB_ID_BYTES:
        raise ValueRefused(f"a blob id has {BLOB_ID_BYTES} bytes, not {len(blob_id)}")
    return f"{pid_key(pid)}/{blob_id.hex()}"


def auto_key(pid: bytes, model_at_version: str) -> str:
    """Make the key of one model's result for a photo."""
    return f"{pid_key(pid)}/{model_at_version}"


def album_key(pid: bytes, album_id: str) -> str:
    """Make the key of a photo's place in an album."""
    return f"{pid_key(pid)}/{album_id}"


def photo_prefix(pid: bytes) -> str:
    """Make what all keys of a photo start with in the maps whose keys have a second part."""
    return f"{pid_key(pid)}/"


def key_pid(key: str) -> bytes | None:
    """Read the photo id a key starts with; ``None`` if the key is of no shape this version knows."""
    digits, _, _ = key.partition("/")
    if len(digits) != 2 * PID_BYTES or not _is_lower_hex(digits):
        return None
    return bytes.fromhex(digits)


def split_key(key: str) -> tuple[bytes, str] | None:
    """Read photo id and second part of a key, split at the first ``/``; ``None`` if it is of another shape."""
    pid = key_pid(key)
    _, slash, rest = key.partition("/")
    return None if pid is None or not slash or not rest else (pid, rest)


def split_copy_key(key: str) -> tuple[bytes, bytes] | None:
    """Read photo id and blob id of a key of the ``copy`` map; ``None`` if it is of another shape."""
    parts = split_key(key)
    if parts is None or len(parts[1]) != 2 * BLOB_ID_BYTES or not _is_lower_hex(parts[1]):
        return None
    return parts[0], bytes.fromhex(parts[1])


def _is_lower_hex(text: str) -> bool:
    return all(c in "0123456789abcdef" for c in text)
