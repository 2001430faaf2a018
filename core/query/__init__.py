"""The query language: what a person types to choose photos, parsed to a tree that equal questions share.

docs/search.md describes the language to users; :mod:`core.query.grammar` holds its grammar, :mod:`core.query.fields`
its fields. What a tree finds is decided in :mod:`core.catalog.query_sql`.
"""

from __future__ import annotations

from core.query.grammar import Query, parse

__all__ = ["Query", "parse"]
