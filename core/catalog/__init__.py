"""The catalog: all that is known of the photos, in tables in memory, made from the documents, searched by queries."""

from __future__ import annotations

from core.catalog.catalog import Catalog
from core.catalog.records import AlbumRecord, Copy, DateSource, Extra, LabelRecord, PhotoRecord, ThumbRef
from core.catalog.selection import SORT_KEYS, SortKey

__all__ = [
    "SORT_KEYS",
    "AlbumRecord",
    "Catalog",
    "Copy",
    "DateSource",
    "Extra",
    "LabelRecord",
    "PhotoRecord",
    "SortKey",
    "ThumbRef",
]
