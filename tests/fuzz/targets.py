"""All targets, by name: importing this module registers them."""

from __future__ import annotations

from tests.fuzz import (
    catalog_targets,
    crdt_targets,
    crypto_targets,
    import_targets,
    library_targets,
    pack_targets,
    photo_targets,
    relay_targets,
)
from tests.fuzz.target import TARGETS, Target

__all__ = ["TARGETS", "Target"]

PARTS = (
    crypto_targets,
    crdt_targets,
    catalog_targets,
    library_targets,
    photo_targets,
    import_targets,
    pack_targets,
    relay_targets,
)
