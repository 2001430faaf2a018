"""Photos that look like one: nearest by the vectors of the model in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import NoVector
from core.vectors import open_vectors

if TYPE_CHECKING:
    from core.library import Library

_SPARE = 2
"""How many times more are looked at than wanted, at first: some of them are in the trash."""


def similar_photos(library: Library, pid: bytes, count: int = 50) -> list[tuple[bytes, float]]:
    """Return the photos most like `pid`: (pid, cosine, -1 to 1), best first; without itself, and without the trash.

    Raises `NoVector` where the photo has no vector of the model in use, and `PackRefused` where no model is.
    """
    library.refresh()
    vectors = open_vectors(library)
    if pid not in vectors:
        raise no_vector(library, vectors.model)
    wanted = count
    while True:
        wanted = min(len(vectors), wanted * _SPARE)
        near = vectors.similar(pid, wanted)
        shown = {photo.pid for photo in library.catalog.photos([pid for pid, _ in near]) if photo.trashed_at is None}
        found = [(other, score) for other, score in near if other in shown]
        if len(found) >= count or wanted >= len(vectors):
            return found[:count]


def no_vector(library: Library, model: str) -> NoVector:
    """Return the error of a photo, or of a whole library, without a vector."""
    if library.catalog.vector_bundles(model):
        return NoVector(
            f"the photo has no vector of {model}",
            hint="Make it: safelight retag; or fetch those of other devices: safelight sync.",
        )
    return NoVector(
        f"no photo has a vector of {model}",
        hint="Make them: safelight retag --again. Not every model makes vectors: `safelight model test` tells.",
    )
