"""The catalog of a library that has not all arrived yet, saved beside the place of the whole one.

It says which documents it lacks. Another process, or the next start after a load that was cut off, goes on from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from core.derived import DerivedFile

if TYPE_CHECKING:
    from collections.abc import Collection

    from core.derived import DerivedFiles
    from core.log import Vector

_NAME: Final = "catalog in parts"


class _Partial(msgspec.Struct, array_like=True):
    missing: list[str]
    content: bytes


def save_partial(
    derived: DerivedFiles, derivation: str, vector: Vector, missing: Collection[str], content: bytes
) -> None:
    """Save a serialised catalog that lacks `missing` documents; raises `StorageFailed`."""
    derived.save(_NAME, derivation, vector, msgspec.msgpack.encode(_Partial(sorted(missing), content)), durable=False)


def load_partial(derived: DerivedFiles, derivation: str) -> tuple[DerivedFile, set[str]] | None:
    """Return what `save_partial` saved, as the file of the catalog alone, and the documents it lacks; None without."""
    found = derived.load(_NAME, derivation)
    if found is None:
        return None
    try:
        partial = msgspec.msgpack.decode(found.content, type=_Partial)
    except msgspec.MsgspecError:
        return None
    return DerivedFile(found.vector, partial.content), set(partial.missing)


def remove_partial(derived: DerivedFiles) -> None:
    """Remove it: the whole catalog is saved."""
    derived.remove(_NAME)
