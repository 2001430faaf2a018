"""Photos to import that need no data from elsewhere."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def make_photo(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a JPEG that differs from every other."""
    rng = random.Random(7)

    def make(name: str, *, size: tuple[int, int] = (64, 48), taken: str | None = None, folder: str = "photos") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", size, (rng.randrange(256), rng.randrange(256), rng.randrange(256)))
        exif = Image.Exif()
        exif[0x010F] = f"Maker {rng.random()}"
        if taken is not None:
            exif.get_ifd(0x8769)[0x9003] = taken
        image.save(path, "JPEG", exif=exif)
        return path

    return make
