"""What was decided while culling, carried out as one edit that one undo takes back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import InvalidEdit
from crdt.operations import Operation, Put
from crdt.schema import MAX_RATING, pid_key

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from core.commit import CommitReceipt
    from core.library import Library


@dataclass(frozen=True)
class CullDecisions:
    """Decisions on photos: ids (16 bytes) to be put into the trash, to be favourites or not, and to be rated 0 to 5."""

    rejected: Collection[bytes] = ()
    favourites: Mapping[bytes, bool] = field(default_factory=dict)
    ratings: Mapping[bytes, int] = field(default_factory=dict)


def carry_out(library: Library, decisions: CullDecisions) -> CommitReceipt:
    """Put what was rejected into the trash, set favourites and ratings: one commit.

    A photo that was purged since somebody looked at it is left out: one of them must not cost all other decisions.

    Raises:
        InvalidEdit: a rating is none; nothing is changed then.
    """
    wrong = next((rating for rating in decisions.ratings.values() if not 0 <= rating <= MAX_RATING), None)
    if wrong is not None:
        raise InvalidEdit(f"a rating is a number from 0 to {MAX_RATING}, not {wrong}")
    library.refresh()
    pids = dict.fromkeys((*decisions.rejected, *decisions.favourites, *decisions.ratings))
    rejected = set(decisions.rejected)
    now = int(time.time())
    changes: dict[str, list[Operation]] = {}
    for pid, document in library.catalog.documents_of(list(pids)).items():
        key = pid_key(pid)
        operations = changes.setdefault(document, [])
        # What is in the trash already keeps its date.
        if pid in rejected and library.replica_get(document, "trash", key) is None:
            operations.append(Put("trash", key, now))
        if pid in decisions.favourites:
            operations.append(Put("favourite", key, decisions.favourites[pid]))
        if pid in decisions.ratings:
            operations.append(Put("rating", key, decisions.ratings[pid]))
    return library.commit(changes, action="cull", summary=f"culling ({_photos(len(pids))})")


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
