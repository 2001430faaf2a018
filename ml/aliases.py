"""Other words for labels: what people type who mean them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from ml.errors import TaxonomyInvalid
from ml.taxonomy import BUILTIN, Taxonomy, name_problem
from ml.toml_source import TomlSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FOLDER = Path(__file__).parent / "taxonomy" / "aliases"


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal[1]
    aliases: dict[str, tuple[str, ...]]


def labels_meant(word: str) -> tuple[str, ...]:
    """Return the labels that another word for them means; none for a word that is no alias. ``word`` is case-folded."""
    return tuple(_builtin().get(word, ()))


def aliases_beginning(beginning: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the other words for labels that begin so, and what they mean. ``beginning`` is case-folded."""
    return ((alias, labels) for alias, labels in _builtin().items() if alias.startswith(beginning))


def read_aliases(data: bytes, name: str, taxonomy: Taxonomy) -> Mapping[str, tuple[str, ...]]:
    """Return the aliases in ``data``, checked against the taxonomy they are for; raises TaxonomyInvalid."""
    toml = TomlSource(data, name, TaxonomyInvalid)
    file = toml.convert(_File)
    known = {*taxonomy.labels, *taxonomy.class_names.values()}
    for alias, labels in file.aliases.items():
        key = ("aliases", alias)
        if problem := name_problem(alias):
            raise toml.invalid(f"the alias {alias!r} {problem}", key)
        if alias != alias.casefold():
            raise toml.invalid(f'"{alias}" must be in lower case', key)
        if alias in known:
            raise toml.invalid(f'"{alias}" is itself a label or a class', key)
        if not labels:
            raise toml.invalid(f'"{alias}" means nothing', key)
        for label in labels:
            if label not in known:
                raise toml.invalid(f'"{alias}" means "{label}", which is no label and no class', key)
    return file.aliases


@functools.cache
def _builtin() -> Mapping[str, tuple[str, ...]]:
    """Return the aliases of the built-in taxonomy; without the checks, which are made when it is changed."""
    path = _FOLDER / f"{BUILTIN}.toml"
    return TomlSource(path.read_bytes(), str(path), TaxonomyInvalid).convert(_File).aliases
