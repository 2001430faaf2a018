"""What targets change for their whole process, as workers do, is put back: other tests run in it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _pixels() -> Iterator[None]:
    most = Image.MAX_IMAGE_PIXELS
    yield
    Image.MAX_IMAGE_PIXELS = most
