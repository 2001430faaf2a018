"""Which models a library uses; apart from `core.labelling`, since every search asks for the names alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.builtin import builtin_model
from ml.errors import PackNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

PACK_SETTING = "pack"
"""Setting of a library: `name@version` and the SHA-256 of the active pack; without it, the built-in pack is active."""

TEXT_PACK_SETTING = "text-pack"
"""Setting of a library: `name@version` and the SHA-256 of the image-text pack that finds photos by descriptions."""


def text_model(setting: Callable[[str], str | None]) -> str | None:
    """Return `name@version` of the image-text pack; None if none is chosen."""
    named = setting(TEXT_PACK_SETTING)
    return None if named is None else named.partition(" ")[0]


def active_model(setting: Callable[[str], str | None]) -> str | None:
    """Return `name@version` of the active pack; None if none is chosen and this installation has none built in."""
    named = setting(PACK_SETTING)
    if named is not None:
        return named.partition(" ")[0]
    try:
        return builtin_model()
    except PackNotFound:
        return None
