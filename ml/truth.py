"""What a photo shows, as its folder or its name says it, in the words of a pack.

Either plainly, by names: a WordNet id (``n02123045_tabby.jpeg``), a class of the pack, or a label of its taxonomy,
which stands for all classes it holds. Or, for a well-known set of photos whose folders have names of their own, by a
table that was made by looking at the photos: ``ml/taxonomy/truth``.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from ml.errors import TaxonomyInvalid
from ml.taxonomy import Taxonomy
from ml.toml_source import TomlSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml.labels import LabelRules

_FOLDER = Path(__file__).parent / "taxonomy" / "truth"
_WORDNET_ID = re.compile(r"n\d{8}")
_COUNTER = re.compile(r"[\s_-]*\(?\d+\)?$")


@dataclass(frozen=True)
class Truth:
    """What is right to say of a photo."""

    name: str
    """The folder's or the file's name that says it."""
    outputs: frozenset[int]
    """Right outputs of the model; empty when it has no class for what the photo shows."""
    labels: frozenset[str]
    """Right labels, the general ones included; empty when there is no word for what the photo shows."""


class TruthFolder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the photos of one folder show; the head of ``ml/taxonomy/truth/caltech101.toml`` explains the keys."""

    name: str
    classes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    note: str = ""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal[1]
    taxonomy: str
    folder: tuple[TruthFolder, ...]


class TruthNames:
    """What plain names of folders and files mean to a pack."""

    def __init__(self, rules: LabelRules, lines: tuple[str, ...] = ()) -> None:
        """Collect every name: ids, the classes' names, their synonyms in the labels file's ``lines``, the labels."""
        self._held = rules.held_classes()
        self._outputs: dict[str, frozenset[int]] = {}
        for index, entry in enumerate(rules.table.entries):
            if index != rules.table.background:
                synonyms = lines[index].split(",") if lines else []
                for name in (entry.class_id, entry.name, *synonyms):
                    if name:
                        self._add(name, frozenset({index}))
        for label, outputs in self._held.items():
            self._add(label, outputs)

    def of(self, path: Path, root: Path) -> Truth:
        """Return what the name of the photo, or of its folder below ``root``, says; no outputs when that is unknown."""
        names = _names(path, root)
        name, outputs = next(
            ((name, found) for name in names if (found := self.outputs(name))), (names[0], frozenset())
        )
        # A folder called dog says nothing against terrier, nor against animal: what has no class in common is wrong.
        return Truth(name, outputs, frozenset(label for label, held in self._held.items() if held & outputs))

    def outputs(self, name: str) -> frozenset[int]:
        """Return the outputs that ``name`` means."""
        wordnet = _WORDNET_ID.match(name)
        if wordnet:
            return self._outputs.get(wordnet[0], frozenset())
        plain = _plain(name)
        for candidate in (plain, _COUNTER.sub("", plain)):
            for form in (candidate, candidate.removesuffix("s"), candidate.removesuffix("es")):
                if form in self._outputs:
                    return self._outputs[form]
        return frozenset()

    def _add(self, name: str, outputs: frozenset[int]) -> None:
        plain = _plain(name)
        self._outputs[plain] = self._outputs.get(plain, frozenset()) | outputs


class TruthTable:
    """What the folders of a known set of photos mean to a pack of the same taxonomy."""

    def __init__(self, folders: Iterable[TruthFolder], rules: LabelRules) -> None:
        """Look the folders' answers up among the pack's outputs."""
        taxonomy = rules.table.open_taxonomy()
        outputs = {entry.class_id: index for index, entry in enumerate(rules.table.entries)}
        self._truths: dict[str, Truth] = {}
        for folder in folders:
            answers, labels = _answers(folder, taxonomy)
            right = frozenset(outputs[class_id] for class_id in answers if class_id in outputs)
            self._truths[folder.name] = Truth(folder.name, right, labels)

    def of(self, path: Path, root: Path) -> Truth:
        """Return what the photo shows; nothing when no folder it lies in is one of the table."""
        names = _names(path, root)
        return next(
            (self._truths[name] for name in names if name in self._truths), Truth(names[0], frozenset(), frozenset())
        )


def known_truth(folder: Path, rules: LabelRules) -> TruthTable | None:
    """Return the table made for the photos below ``folder``, or None.

    A table is for a folder that is called after it, or whose folders are mostly (and at least ten) the table's, and for
    packs that use the taxonomy whose words it speaks.
    """
    try:
        present = {path.name for path in folder.iterdir() if path.is_dir()}
    except OSError:
        return None
    for path in sorted(_FOLDER.glob("*.toml")):
        table = _load(path)
        named = {entry.name for entry in table.folder}
        alike = len(present & named)
        if rules.table.taxonomy == table.taxonomy and (
            (folder.absolute().name == path.stem and alike) or alike >= max(10, 0.9 * len(present))
        ):
            return TruthTable(table.folder, rules)
    return None


def read_truth(data: bytes, name: str) -> tuple[TruthFolder, ...]:
    """Return the folders of a table of truths, checked against its taxonomy; raises TaxonomyInvalid."""
    return _parse(data, name).folder


@functools.cache
def _load(path: Path) -> _File:
    return _parse(path.read_bytes(), str(path))


def _parse(data: bytes, name: str) -> _File:
    toml = TomlSource(data, name, TaxonomyInvalid)
    file = toml.convert(_File)
    taxonomy = Taxonomy.load(file.taxonomy)
    seen: set[str] = set()
    for index, folder in enumerate(file.folder):
        if folder.name in seen:
            raise toml.invalid(f'the folder "{folder.name}" is there twice', ("folder", index, "name"))
        seen.add(folder.name)
        for class_id in folder.classes:
            if class_id not in taxonomy.class_names:
                raise toml.invalid(f'"{class_id}" is no class of {file.taxonomy}', ("folder", index, "classes"))
        for key, labels in (("kinds", folder.kinds), ("labels", folder.labels)):
            for label in labels:
                if label not in taxonomy.labels:
                    raise toml.invalid(f'"{label}" is no label of {file.taxonomy}', ("folder", index, key))
    return file


def _answers(folder: TruthFolder, taxonomy: Taxonomy) -> tuple[set[str], frozenset[str]]:
    """Return the right class ids and the right labels."""
    answers = set(folder.classes)
    labels: set[str] = set()
    for class_id in folder.classes:
        labels |= taxonomy.labels_of(class_id) | {taxonomy.class_names[class_id]}
    for kind in folder.kinds:
        held = taxonomy.classes_of(kind)
        answers |= held
        labels |= {taxonomy.class_names[class_id] for class_id in held}
        labels |= {label for label in taxonomy.labels if kind in taxonomy.ancestors(label)}
    for label in (*folder.kinds, *folder.labels):
        labels |= {label, *taxonomy.ancestors(label)}
    return answers, frozenset(labels)


def _names(path: Path, root: Path) -> list[str]:
    folders = path.relative_to(root).parts[:-1]
    # A folder given by itself, model eval photos/dog, says it with its own name.
    return list(folders) or [path.stem, root.absolute().name]


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFC", name).casefold()
    return re.sub(r"[\s_-]+", " ", text).strip()
