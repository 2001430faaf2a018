"""What the app decodes itself, and another device may have made, costs no more than what Safelight makes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core.blobs import BlobStore
from core.catalog import ThumbRef
from core.importing.errors import FileRefused
from core.private_files import make_private_folder
from crypto.keys import EpochKeys
from tui.app.workers.pictures import _decode_jpeg
from tui.app.workers.thumbnails import ThumbnailProblem, whole_thumbnail

if TYPE_CHECKING:
    from pathlib import Path


def progressive(side: int, more_scans: int) -> bytes:
    """Return a picture of one colour, whose last scan, which changes nothing, comes again and again."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + more_scans * last + data[-2:]


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    make_private_folder(tmp_path / "blobs")
    return BlobStore(tmp_path / "blobs", EpochKeys(bytes(32), bytes(32), bytes(32)))


def thumbnail_of(store: BlobStore, data: bytes) -> Image.Image:
    with store.batch() as batch:
        ref = batch.put_bytes(data)
    place = ThumbRef(ref.id, ref.key, 0, len(data))
    return whole_thumbnail(store, place, (320, 320))


def test_a_picture_of_very_many_scans_is_not_decoded(store: BlobStore) -> None:
    """Twenty kilobytes that would take a second, four megabytes that would take minutes of the app's time."""
    assert thumbnail_of(store, progressive(320, 3)).size == (320, 320)
    assert _decode_jpeg(progressive(320, 3)).size == (320, 320)
    bomb = progressive(1024, 1_000)
    assert len(bomb) < 20_000
    with pytest.raises(ThumbnailProblem, match="damaged"):
        thumbnail_of(store, bomb)
    with pytest.raises(FileRefused, match="damaged"):
        _decode_jpeg(bomb)


def test_a_thumbnail_of_megabytes_is_not_read(store: BlobStore) -> None:
    with pytest.raises(ThumbnailProblem, match="larger than any"):
        thumbnail_of(store, progressive(320, 0) + bytes(5 << 20))
