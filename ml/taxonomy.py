"""From a model's narrow classes to the words people search for.

A taxonomy is a graph of labels: each has parents (more general labels) and may hold classes, named by their WordNet
ids. What a class is worth counts for every label above it, once, however many ways lead there: thirty dog breeds at
0.03 each are a confident *dog*.
"""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ml.errors import TaxonomyInvalid
from ml.toml_source import KeyPath, TomlSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUILTIN = "imagenet"
_FOLDER = Path(__file__).parent / "taxonomy"
_IMAGENET = 1000
_MAX_NAME = 200
"""Bytes of a label in UTF-8: what a library's label keys hold."""
_MAX_ABOVE = 32
"""More general labels that a label may have, and labels that a class may count for; in the built-in taxonomy it is a
handful. A class table of 4 kB from another device could otherwise ask for gigabytes."""


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One label of a taxonomy."""

    name: str
    parents: tuple[str, ...] = ()
    wnids: tuple[str, ...] = ()
    """Classes that are directly this label; those of its children need not be repeated."""
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    """Replaces the pack's threshold for this label."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal[1]
    label: tuple[Label, ...]
    class_names: dict[str, str] = {}
    imagenet_1k: tuple[str, ...] = ()


class Taxonomy:
    """Labels, the classes they hold, and what lies above what."""

    def __init__(
        self,
        labels: Iterable[Label] = (),
        class_names: Mapping[str, str] | None = None,
        imagenet_1k: tuple[str, ...] = (),
    ) -> None:
        """Use ``Taxonomy.load``, which checks; ``Taxonomy()`` is the empty one."""
        self.labels: dict[str, Label] = {label.name: label for label in labels}
        self.class_names: Mapping[str, str] = class_names or {}
        """Class id to the name people know it by."""
        if not imagenet_1k and len(self.class_names) == _IMAGENET:
            imagenet_1k = tuple(sorted(self.class_names))
        self.imagenet_1k = imagenet_1k
        """The ids of the 1,000 ImageNet classes in output order, which is that of the ids; empty when unknown."""
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._holders: dict[str, list[str]] = {}
        for label in self.labels.values():
            for wnid in label.wnids:
                self._holders.setdefault(wnid, []).append(label.name)

    @classmethod
    def load(cls, source: str | Path) -> Taxonomy:
        """Return the taxonomy in a file, or the built-in one of that name (``"imagenet"``).

        Raises TaxonomyInvalid with file and line, also when there is no such file.
        """
        return _builtin(source) if isinstance(source, str) else cls.parse(_read(source), str(source))

    @classmethod
    def parse(cls, data: bytes, name: str) -> Taxonomy:
        """Return the taxonomy in ``data``; ``name`` is how errors call the file. Raises TaxonomyInvalid."""
        toml = TomlSource(data, name, TaxonomyInvalid)
        file = toml.convert(_File)
        _check(file, toml)
        return cls(file.label, file.class_names, file.imagenet_1k)

    def holders(self, class_id: str) -> tuple[str, ...]:
        """Return the labels that hold the class directly, in the file's order."""
        return tuple(self._holders.get(class_id, ()))

    def ancestors(self, label: str) -> tuple[str, ...]:
        """Everything above ``label``, nearest first, each once; not the label itself."""
        known = self._ancestors.get(label)
        if known is None:
            found: dict[str, None] = {}
            level: list[str] = [label]
            while level:
                above = (parent for name in level if name in self.labels for parent in self.labels[name].parents)
                level = [parent for parent in above if parent not in found]
                found.update(dict.fromkeys(level))
            known = self._ancestors[label] = tuple(found)
        return known

    def labels_of(self, class_id: str) -> frozenset[str]:
        """Every label that the class counts for: its holders and all that is above them."""
        holders = self.holders(class_id)
        return frozenset(holders).union(*(self.ancestors(label) for label in holders))

    def classes_of(self, label: str) -> frozenset[str]:
        """Every class id that counts for ``label``."""
        return frozenset(class_id for class_id in self._holders if label in self.labels_of(class_id))

    def roll_up(self, classes: Iterable[tuple[str, float]]) -> dict[str, float]:
        """Sum ``(class id, probability)`` pairs up the graph: label to probability."""
        sums: dict[str, float] = {}
        for class_id, probability in classes:
            for label in self.labels_of(class_id):
                sums[label] = sums.get(label, 0.0) + probability
        return sums


@functools.cache
def _builtin(name: str) -> Taxonomy:
    if not name.isidentifier():
        raise TaxonomyInvalid(f'"{name}" cannot be a built-in taxonomy', source=name, line=None)
    path = _FOLDER / f"{name}.toml"
    return Taxonomy.parse(_read(path), str(path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as cause:
        raise TaxonomyInvalid("there is no such taxonomy", source=str(path), line=None) from cause
    except OSError as cause:
        raise TaxonomyInvalid(f"cannot be read: {cause.strerror}", source=str(path), line=None) from cause


def name_problem(name: str) -> str | None:
    """Why ``name`` cannot be a label, or None."""
    if not name or name != name.strip():
        return "is empty or has spaces around it"
    if not name.isprintable():
        return "has characters that cannot be shown"
    if name != unicodedata.normalize("NFC", name):
        return "is not in Unicode's composed form (NFC)"
    if len(name.encode()) > _MAX_NAME:
        return f"is longer than {_MAX_NAME} bytes"
    return None


def _check(file: _File, toml: TomlSource) -> None:
    lines: dict[str, int] = {}
    for index, label in enumerate(file.label):
        key: KeyPath = ("label", index, "name")
        if problem := name_problem(label.name):
            raise toml.invalid(f"the label {label.name!r} {problem}", key)
        if label.name.casefold() in lines:
            raise toml.invalid(f'there are two labels "{label.name}"', key)
        lines[label.name.casefold()] = index
    names = {label.name for label in file.label}
    for index, label in enumerate(file.label):
        for parent in label.parents:
            if parent not in names:
                raise toml.invalid(
                    f'"{label.name}" has the parent "{parent}", which is no label here', ("label", index, "parents")
                )
    for class_id, name in file.class_names.items():
        if problem := name_problem(name):
            raise toml.invalid(f"the name of {class_id} {problem}", ("class_names", class_id))
    if file.imagenet_1k and not len(file.imagenet_1k) == len(set(file.imagenet_1k)) == _IMAGENET:
        raise toml.invalid("imagenet_1k must be 1,000 different ids", ("imagenet_1k",))
    _check_classes(file, _labels_above(file, toml), toml)


def _check_classes(file: _File, above: Mapping[str, set[str]], toml: TomlSource) -> None:
    counts_for: dict[str, set[str]] = {}
    for index, label in enumerate(file.label):
        for wnid in label.wnids:
            labels = counts_for.setdefault(wnid, set())
            labels |= {label.name, *above[label.name]}
            if len(labels) > _MAX_ABOVE:
                raise toml.invalid(f"{wnid} counts for more than {_MAX_ABOVE} labels", ("label", index, "wnids"))


def _labels_above(file: _File, toml: TomlSource) -> dict[str, set[str]]:
    """Follow the labels down from those without parents: what is never reached goes round in a circle."""
    waiting = {label.name: set(label.parents) for label in file.label}
    children: dict[str, list[str]] = {}
    for name, parents in waiting.items():
        for parent in parents:
            children.setdefault(parent, []).append(name)
    places = {label.name: index for index, label in enumerate(file.label)}
    above: dict[str, set[str]] = {name: set() for name in waiting}
    free = [name for name, parents in waiting.items() if not parents]
    while free:
        name = free.pop()
        del waiting[name]
        for child in children.get(name, ()):
            above[child] |= {name, *above[name]}
            if len(above[child]) > _MAX_ABOVE:
                raise toml.invalid(
                    f'"{child}" has more than {_MAX_ABOVE} labels above it', ("label", places[child], "parents")
                )
            waiting[child].discard(name)
            if not waiting[child]:
                free.append(child)
    if waiting:
        index = min(places[name] for name in waiting)
        raise toml.invalid(
            f'"{file.label[index].name}" is above or below itself: {", ".join(sorted(waiting)[:5])} form a circle',
            ("label", index, "parents"),
        )
    return above
