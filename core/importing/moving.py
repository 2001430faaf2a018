"""What is done with a source whose photo the library has: repairing a lost blob from it, and removing it when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import CoreError
from core.importing.errors import FileRefused
from core.importing.reading import hash_content, open_source

if TYPE_CHECKING:
    from core.catalog.records import Copy
    from core.importing.walk import Found
    from core.library import Library


def is_trashed(library: Library, pid: bytes) -> bool:
    """Whether the photo is in the trash."""
    photo = library.catalog.photo(pid)
    return photo is not None and photo.trashed_at is not None


def heal(library: Library, pid: bytes, found: Found) -> bool:
    """Put the original back from the file when its blob is gone from the library's folder; return whether it was.

    The same bytes give the same blob, so what the log says of it is true again.
    """
    missing = [copy for copy in _originals(library, pid) if not library.blobs.exists(copy.blob_id)]
    if not missing:
        return False
    try:
        with open_source(found.path) as source:
            content = hash_content(source, library.epoch)
            wanted = next((copy for copy in missing if copy.key == content.key), None)
            if content.pid != pid or wanted is None:
                return False
            source.file.seek(0)
            library.blobs.put_file(source.file, content.size, content.key)
    except FileRefused:
        return False
    return True


def remove_source(library: Library, pid: bytes, found: Found) -> str | None:
    """Remove a source after reading its photo back from the library; return why it was not removed, or None.

    The original is decrypted from disk to its last byte and hashed, and so is the source as it is now: both must be the
    photo. A link is left alone: what it leads to was not named by the user.
    """
    if found.is_link:
        return "it is a link"
    for copy in _originals(library, pid):
        hasher = library.epoch.photo_hasher()
        try:
            with library.blobs.open(copy.blob_id, copy.key) as reader:
                for chunk in reader.iter_chunks():
                    hasher.update(chunk)
        except CoreError:
            continue
        if hasher.digest() == pid:
            return _remove(library, pid, found)
    return "its copy in the library could not be read back"


def _remove(library: Library, pid: bytes, found: Found) -> str | None:
    try:
        with open_source(found.path) as source:
            if hash_content(source, library.epoch).pid != pid:
                return "it changed after it was read"
        found.path.unlink()
    except FileRefused as error:
        return str(error)
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    return None


def _originals(library: Library, pid: bytes) -> list[Copy]:
    return [copy for copy in library.catalog.copies(pid) if copy.role == "original"]
