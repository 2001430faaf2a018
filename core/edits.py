"""Edits as people think of them, each one commit, whatever the number of photos.

Photos are ids (`pid`, 16 bytes). Every function returns the receipt of its commit; `seq` is None when nothing
differed. A photo that the library does not hold is `NoSuchPhoto`, a value that is not allowed `InvalidEdit`; nothing
is changed then.
"""

from __future__ import annotations

import re
import secrets
import time
from datetime import datetime
from typing import TYPE_CHECKING

from core.errors import InvalidEdit, NoSuchAlbum, NoSuchPhoto
from crdt.documents import LIBRARY
from crdt.errors import CrdtError
from crdt.operations import Delete, Operation, Put
from crdt.schema import MAX_RATING, ROTATIONS, album_key, label_key, label_name, pid_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from core.commit import CommitReceipt
    from core.library import Library

_TAKEN = re.compile(
    r"(?P<date>\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))T(?P<time>(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?)"
    r"(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)?",
    re.ASCII,
)
_ALBUM_ID_BYTES = 8
_MAX_ALBUM_NAME_BYTES = 1024


def add_label(library: Library, pids: Collection[bytes], name: str) -> CommitReceipt:
    """Add the label `name` to photos, as the user's own word; a rejection of it is taken back."""
    label = _label(name)
    return _each(
        library, pids, lambda pid, _: [Put("label", label_key(pid, label), True)], "label.add", f"label {label}"
    )


def remove_label(library: Library, pids: Collection[bytes], name: str) -> CommitReceipt:
    """Remove the label `name` from photos.

    Where a model gives the label, the removal is kept as a rejection, which outlives re-tagging and other models;
    elsewhere the user's own label is deleted.
    """
    label = _label(name)

    def operations(pid: bytes, _: str) -> list[Operation]:
        if library.catalog.has_automatic_label(pid, label):
            return [Put("label", label_key(pid, label), False)]
        return [Delete("label", label_key(pid, label))]

    return _each(library, pids, operations, "label.remove", f"label {label} removed")


def set_caption(library: Library, pids: Collection[bytes], caption: str) -> CommitReceipt:
    """Set the caption of photos; an empty one removes it."""
    text = caption.strip()

    def operations(pid: bytes, _: str) -> list[Operation]:
        return [Put("caption", pid_key(pid), text) if text else Delete("caption", pid_key(pid))]

    return _each(library, pids, operations, "caption", "caption" if text else "caption removed")


def set_rating(library: Library, pids: Collection[bytes], rating: int) -> CommitReceipt:
    """Rate photos from 0 (no rating) to 5."""
    if isinstance(rating, bool) or not 0 <= rating <= MAX_RATING:
        raise InvalidEdit(f"a rating is a number from 0 to {MAX_RATING}, not {rating}")
    return _each(library, pids, lambda pid, _: [Put("rating", pid_key(pid), rating)], "rate", f"rating {rating}")


def set_favourite(library: Library, pids: Collection[bytes], favourite: bool) -> CommitReceipt:
    """Make photos favourites, or ordinary again."""
    summary = "favourite" if favourite else "no favourite"
    return _each(library, pids, lambda pid, _: [Put("favourite", pid_key(pid), favourite)], "favourite", summary)


def set_rotation(library: Library, pids: Collection[bytes], degrees: int) -> CommitReceipt:
    """Show photos turned clockwise by 0, 90, 180 or 270 degrees; the files stay as they are."""
    if degrees not in ROTATIONS:
        raise InvalidEdit(f"a rotation is 0, 90, 180 or 270 degrees, not {degrees}")
    return _each(
        library, pids, lambda pid, _: [Put("rotation", pid_key(pid), degrees)], "rotate", f"rotation {degrees}"
    )


def set_taken(library: Library, pids: Collection[bytes], taken: str | None) -> CommitReceipt:
    """Correct when photos were taken, or with None take the correction back.

    `taken` is a wall clock, `YYYY-MM-DDTHH:MM:SS`, with an offset such as `+02:00` if that is known.
    """
    if taken is not None and not (_TAKEN.fullmatch(taken) and _is_in_the_calendar(taken)):
        raise InvalidEdit(
            f"{taken!r} is no date and time", hint="Write it like 2024-05-17T14:03:00, or with an offset: …+02:00."
        )

    def operations(pid: bytes, _: str) -> list[Operation]:
        return [Delete("taken", pid_key(pid)) if taken is None else Put("taken", pid_key(pid), taken)]

    return _each(library, pids, operations, "taken", "date corrected" if taken else "date as in the file")


def _is_in_the_calendar(taken: str) -> bool:
    try:
        datetime.fromisoformat(taken)
    except ValueError:
        return False
    return True


def create_album(library: Library, name: str) -> str:
    """Make an album and return its id (hex). Two albums may have one name; they are two."""
    album_id = secrets.token_hex(_ALBUM_ID_BYTES)
    library.commit(
        {LIBRARY: [Put("album", album_id, _album_name(name))]},
        action="album.create",
        summary=f"album {_album_name(name)}",
    )
    return album_id


def rename_album(library: Library, album_id: str, name: str) -> CommitReceipt:
    """Give an album another name."""
    _require_album(library, album_id)
    return library.commit(
        {LIBRARY: [Put("album", album_id, _album_name(name))]},
        action="album.rename",
        summary=f"album {_album_name(name)}",
    )


def delete_album(library: Library, album_id: str) -> CommitReceipt:
    """Delete an album; its photos stay in the library."""
    name = _require_album(library, album_id)
    changes: dict[str, list[Operation]] = {LIBRARY: [Delete("album", album_id)]}
    for document, pids in _by_document(library, library.catalog.album_pids(album_id)).items():
        changes[document] = [Delete("album", album_key(pid, album_id)) for pid in pids]
    return library.commit(changes, action="album.delete", summary=f"album {name} deleted")


def add_to_album(library: Library, pids: Sequence[bytes], album_id: str) -> CommitReceipt:
    """Put photos at the end of an album, in the order given; those that are in it keep their place."""
    name = _require_album(library, album_id)
    inside = set(library.catalog.album_pids(album_id))
    # Seconds since 1970 as the first position: photos added later, on whichever device, come later.
    start = time.time()
    positions = {pid: start + index * 1e-3 for index, pid in enumerate(dict.fromkeys(pids)) if pid not in inside}

    def operations(pid: bytes, _: str) -> list[Operation]:
        return [Put("album", album_key(pid, album_id), positions[pid])] if pid in positions else []

    return _each(library, pids, operations, "album.add", f"album {name}")


def remove_from_album(library: Library, pids: Collection[bytes], album_id: str) -> CommitReceipt:
    """Take photos out of an album."""
    name = _require_album(library, album_id)
    return _each(
        library,
        pids,
        lambda pid, _: [Delete("album", album_key(pid, album_id))],
        "album.remove",
        f"album {name}: removed",
    )


def trash(library: Library, pids: Collection[bytes]) -> CommitReceipt:
    """Put photos into the trash. Nothing empties it by itself; photos that are in it keep their date of deletion."""
    now = int(time.time())

    def operations(pid: bytes, document: str) -> list[Operation]:
        if library.replica_get(document, "trash", pid_key(pid)) is not None:
            return []
        return [Put("trash", pid_key(pid), now)]

    return _each(library, pids, operations, "trash", "to the trash")


def restore(library: Library, pids: Collection[bytes]) -> CommitReceipt:
    """Take photos out of the trash."""
    return _each(library, pids, lambda pid, _: [Delete("trash", pid_key(pid))], "restore", "out of the trash")


def purge(library: Library, pids: Collection[bytes]) -> CommitReceipt:
    """Destroy photos for good, their thumbnails included. This is not undone; see `core.purge`."""
    from core.purge import purge_photos  # it needs numpy, which no other edit does

    return purge_photos(library, _by_document(library, pids), _counted("purged", len(set(pids))))


def unpurge(library: Library, pids: Mapping[bytes, str]) -> CommitReceipt:
    """Let photos (pid -> document) come back that were purged: the user imports them again and insists."""
    changes: dict[str, list[Operation]] = {}
    for pid, document in pids.items():
        changes.setdefault(document, []).append(Delete("purged", pid_key(pid)))
    return library.commit(changes, action="unpurge", summary=_counted("allowed again", len(pids)), inverse=False)


def remember_search(library: Library, name: str, query: str | None) -> CommitReceipt:
    """Keep a query under a name; None forgets it."""
    if not name.strip():
        raise InvalidEdit("a saved search needs a name")
    operation: Operation = Delete("search", name.strip()) if query is None else Put("search", name.strip(), query)
    return library.commit({LIBRARY: [operation]}, action="search.remember", summary=f"search {name.strip()}")


def _each(
    library: Library,
    pids: Collection[bytes],
    operations: Callable[[bytes, str], list[Operation]],
    action: str,
    summary: str,
) -> CommitReceipt:
    changes: dict[str, list[Operation]] = {}
    for document, members in _by_document(library, pids).items():
        for pid in members:
            changes.setdefault(document, []).extend(operations(pid, document))
    return library.commit(changes, action=action, summary=f"{summary} ({_counted('', len(set(pids)))})")


def _by_document(library: Library, pids: Collection[bytes]) -> dict[str, list[bytes]]:
    library.refresh()
    found = library.catalog.documents_of(pids)
    grouped: dict[str, list[bytes]] = {}
    for pid in dict.fromkeys(pids):
        if pid not in found:
            raise NoSuchPhoto(
                f"the library holds no photo {pid.hex()}", hint="`safelight search` lists the photos and their ids."
            )
        grouped.setdefault(found[pid], []).append(pid)
    return grouped


def _label(name: str) -> str:
    try:
        return label_name(name)
    except CrdtError as error:
        raise InvalidEdit(str(error), hint=error.hint) from error


def _album_name(name: str) -> str:
    text = name.strip()
    if not text or len(text.encode()) > _MAX_ALBUM_NAME_BYTES:
        raise InvalidEdit(f"an album's name has 1 to {_MAX_ALBUM_NAME_BYTES} bytes")
    return text


def _require_album(library: Library, album_id: str) -> str:
    name = library.replica_get(LIBRARY, "album", album_id)
    if not isinstance(name, str):
        raise NoSuchAlbum(f"there is no album {album_id!r}", hint="`safelight album list` shows the albums.")
    return name


def _counted(word: str, count: int) -> str:
    photos = "1 photo" if count == 1 else f"{count} photos"
    return f"{photos} {word}".strip()
