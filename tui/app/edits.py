"""Edits as the app makes them: what `core.edits` is asked, and what is said then. Run in the library's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core import edits, history
from core.errors import NoSuchAlbum
from tui.cli.output import count

if TYPE_CHECKING:
    from core.library import Library

Edit = Callable[["Library", Sequence[bytes]], str]
"""Changes photos, and returns what to say."""


def add_label(name: str) -> Edit:
    """Put a label on photos."""

    def edit(library: Library, pids: Sequence[bytes]) -> str:
        edits.add_label(library, pids, name)
        return f"{count(len(pids), 'photo')} labelled {name.strip().lower()}"

    return edit


def remove_label(name: str) -> Edit:
    """Take a label off photos."""

    def edit(library: Library, pids: Sequence[bytes]) -> str:
        edits.remove_label(library, pids, name)
        return f"{name.strip().lower()} taken off {count(len(pids), 'photo')}"

    return edit


def favourite(library: Library, pids: Sequence[bytes]) -> str:
    """Mark photos as favourites; if all of them are, take the marks away."""
    all_are = all(photo.favourite for photo in library.catalog.photos(pids))
    edits.set_favourite(library, pids, not all_are)
    return f"{count(len(pids), 'photo')} {'no favourite any more' if all_are else 'favourite'}"


def rate(stars: int) -> Edit:
    """Rate photos."""

    def edit(library: Library, pids: Sequence[bytes]) -> str:
        edits.set_rating(library, pids, stars)
        return f"{count(len(pids), 'photo')} {'★' * stars or 'without a rating'}"

    return edit


def trash(library: Library, pids: Sequence[bytes]) -> str:
    """Put photos into the trash."""
    edits.trash(library, pids)
    return f"{count(len(pids), 'photo')} in the trash"


def restore(library: Library, pids: Sequence[bytes]) -> str:
    """Take photos out of the trash."""
    edits.restore(library, pids)
    return f"{count(len(pids), 'photo')} out of the trash"


def trash_or_restore(library: Library, pids: Sequence[bytes]) -> str:
    """Put photos into the trash, or, if all are there, out of it."""
    binned = all(photo.trashed_at is not None for photo in library.catalog.photos(pids))
    return restore(library, pids) if binned else trash(library, pids)


def into_album(name: str) -> Edit:
    """Put photos into the album of that name; it is made if there is none."""

    def edit(library: Library, pids: Sequence[bytes]) -> str:
        known = next((one for one in library.catalog.albums() if one.name.casefold() == name.strip().casefold()), None)
        album_id = edits.create_album(library, name) if known is None else known.id
        edits.add_to_album(library, pids, album_id)
        made = " (new)" if known is None else ""
        return f"{count(len(pids), 'photo')} in the album {name.strip()}{made}"

    return edit


def out_of_album(name: str) -> Edit:
    """Take photos out of an album."""

    def edit(library: Library, pids: Sequence[bytes]) -> str:
        known = next((one for one in library.catalog.albums() if one.name.casefold() == name.strip().casefold()), None)
        if known is None:
            raise NoSuchAlbum(f"there is no album {name!r}")
        edits.remove_from_album(library, pids, known.id)
        return f"{count(len(pids), 'photo')} out of the album {known.name}"

    return edit


def caption(text: str) -> Edit:
    """Write a caption."""

    def edit(library: Library, pids: Sequence[bytes]) -> str:
        edits.set_caption(library, pids, text)
        return "caption written" if text.strip() else "caption removed"

    return edit


def taken(text: str) -> Edit:
    """Correct when photos were taken; an empty text takes the correction back."""

    def edit(library: Library, pids: Sequence[bytes]) -> str:
        edits.set_taken(library, pids, full_time(text) or None)
        return "date corrected" if text.strip() else "date as in the file"

    return edit


def full_time(text: str) -> str:
    """Return a date as it is stored: a day alone is noon of it, a time without seconds begins its minute."""
    date, _, time = text.strip().replace(" ", "T").partition("T")
    if not date:
        return ""
    if not time:
        time = "12:00:00"
    elif time.count(":") == 1 and "+" not in time and "-" not in time:
        time += ":00"
    return f"{date}T{time}"


def rotate(degrees: int) -> Edit:
    """Turn photos clockwise."""

    def edit(library: Library, pids: Sequence[bytes]) -> str:
        by_rotation: dict[int, list[bytes]] = {}
        for photo in library.catalog.photos(pids):
            by_rotation.setdefault((photo.rotation + degrees) % 360, []).append(photo.pid)
        for rotation, turned in by_rotation.items():
            edits.set_rotation(library, turned, rotation)
        return f"{count(len(pids), 'photo')} turned"

    return edit


def undo(library: Library) -> str:
    """Take back the newest edit of this device."""
    receipt = history.undo(library)
    kept = f" ({receipt.kept} changed since, left alone)" if receipt.kept else ""
    return f"taken back: {receipt.summary}{kept}"
