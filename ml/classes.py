"""What a model's outputs are called: all that is needed to turn its stored results into labels."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Annotated

import msgspec

from ml.calibration import usable_calibration
from ml.errors import LabelsInvalid, TaxonomyInvalid
from ml.manifest import Crop  # noqa: TC001  msgspec reads it at run time
from ml.taxonomy import BUILTIN, Taxonomy, name_problem

if TYPE_CHECKING:
    from ml.pack import Pack

DEFAULT_THRESHOLD = 0.6
"""Probability a label needs where the pack says nothing: on Caltech-101, about 90 % of the narrowest labels shown and
95 % of all are right then, and 73 % of the photos get one (mobilenet-v2)."""

_MAX_PACKED = 1 << 20
"""Largest packed table read, bytes after inflating."""
_MOST_OUTPUTS = 100_000
"""Of a model that a manifest may describe."""


Threshold = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class ClassEntry(msgspec.Struct, frozen=True, array_like=True):
    """One output of a model."""

    class_id: str | None
    """Id in the taxonomy, or None."""
    name: str
    """What people call it; empty for the background."""


class ClassTable(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is needed to turn a model's stored results into labels: much smaller than the model."""

    model: str
    """``name@version``."""
    entries: tuple[ClassEntry, ...]
    background: Annotated[int, msgspec.Meta(ge=-1, lt=_MOST_OUTPUTS)]
    threshold: Threshold
    taxonomy: str | None
    """Name of a built-in taxonomy, or None when ``taxonomy_text`` or nothing applies."""
    taxonomy_text: str | None = None
    """The pack's own taxonomy file."""
    class_threshold: Threshold | None = None
    """What a class needs to be shown under its own name; None: half the doubt that ``threshold`` leaves."""
    label_thresholds: dict[str, Threshold] = {}
    """Labels that need something else than ``threshold``."""
    class_thresholds: dict[str, Threshold] = {}
    """Classes, by name, that need something else than ``class_threshold``."""
    crops: Annotated[tuple[Crop, ...], msgspec.Meta(min_length=1, max_length=2)] = ("centre",)
    """What of a photo the model looked at."""

    def pack(self) -> bytes:
        """Return the table as bytes, for devices that do not have the pack; classes of ImageNet go without saying."""
        entries = () if self.entries == _imagenet_entries(self.background) else self.entries
        return zlib.compress(msgspec.msgpack.encode(msgspec.structs.replace(self, entries=entries)), 9)

    @classmethod
    def unpack(cls, packed: bytes) -> ClassTable:
        """Read what ``pack`` wrote; it may come from another device. Raises LabelsInvalid."""
        try:
            inflater = zlib.decompressobj()
            data = inflater.decompress(packed, _MAX_PACKED)
            if not inflater.eof:
                raise LabelsInvalid("a packed class table is cut off or too large")
            table = msgspec.msgpack.decode(data, type=cls)
            if not table.entries:
                table = msgspec.structs.replace(table, entries=_imagenet_entries(table.background))
            table.open_taxonomy()
        except (msgspec.MsgspecError, zlib.error, TaxonomyInvalid, RecursionError, UnicodeDecodeError) as cause:
            raise LabelsInvalid(f"a packed class table cannot be read: {type(cause).__name__}") from cause
        if any(entry.name and name_problem(entry.name) for entry in table.entries):
            raise LabelsInvalid("a packed class table has names that cannot be labels")
        return table

    def open_taxonomy(self) -> Taxonomy:
        """Return the taxonomy that applies; the empty one when there is none."""
        if self.taxonomy_text is not None:
            return Taxonomy.parse(self.taxonomy_text.encode(), f"taxonomy of {self.model}")
        return Taxonomy.load(self.taxonomy) if self.taxonomy is not None else Taxonomy()


def class_table(pack: Pack) -> ClassTable:
    """Return the class table of an opened pack, calibrated where it has been.

    Raises TaxonomyInvalid and what ``Pack.labels`` raises.
    """
    output = pack.manifest.output
    builtin, text = BUILTIN if output.wordnet is not None else None, None
    if pack.manifest.taxonomy is not None and pack.manifest.taxonomy in pack.manifest.files:
        builtin, text = None, pack.read(pack.manifest.taxonomy).decode("utf-8", "replace")
    elif pack.manifest.taxonomy is not None:
        builtin = pack.manifest.taxonomy
    table = ClassTable(
        model=pack.model,
        entries=(),
        background=output.background,
        threshold=output.threshold if output.threshold is not None else DEFAULT_THRESHOLD,
        taxonomy=builtin,
        taxonomy_text=text,
        crops=pack.manifest.input.crops,
    )
    calibration = usable_calibration(pack)
    if calibration is not None:
        table = msgspec.structs.replace(
            table,
            threshold=calibration.threshold,
            class_threshold=calibration.class_threshold,
            label_thresholds=calibration.labels,
            class_thresholds=calibration.classes,
        )
    taxonomy = table.open_taxonomy()
    ids = pack.class_ids()
    if ids is None:
        ids = _imagenet_ids(output.background) if output.wordnet is not None else (None,) * output.classes
    entries = [
        ClassEntry(class_id, "" if index == output.background else _display_name(class_id, line, taxonomy))
        for index, (class_id, line) in enumerate(zip(ids, pack.labels(), strict=True))
    ]
    return msgspec.structs.replace(table, entries=tuple(entries))


def _imagenet_entries(background: int) -> tuple[ClassEntry, ...]:
    taxonomy = Taxonomy.load(BUILTIN)
    ids = _imagenet_ids(background)
    return tuple(ClassEntry(i, taxonomy.class_names.get(i, i) if i is not None else "") for i in ids)


def _imagenet_ids(background: int) -> tuple[str | None, ...]:
    ids: list[str | None] = list(Taxonomy.load(BUILTIN).imagenet_1k)
    if background >= 0:
        ids.insert(background, None)
    return tuple(ids)


def _display_name(class_id: str | None, line: str, taxonomy: Taxonomy) -> str:
    """Return the taxonomy's name for the class, else the first of the synonyms in its line of the labels file."""
    name = taxonomy.class_names.get(class_id) if class_id is not None else None
    return name or line.split(",", maxsplit=1)[0].strip()
