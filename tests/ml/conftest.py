"""What the tests of packs share: tiny packs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ml.colour_packs import ColourPack, MakePack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def colour_pack(tmp_path: Path) -> MakePack:
    """Return a maker of colour packs, each in a folder of its own; the keywords are ColourPack's fields."""
    count = iter(range(1000))

    def make(**variety: object) -> ColourPack:
        return ColourPack(tmp_path / f"pack-{next(count)}", **variety)  # type: ignore[arg-type]

    return make
