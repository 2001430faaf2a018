"""Which model labels a library's photos, how its stored results become labels, and why a photo has the labels it has.

A library stores what a model said of a photo (the strongest raw classes), never the labels: those are derived when the
catalog is built, so thresholds and taxonomy can change without another inference. Deriving needs the model's class
table, which is small: it comes from the pack where that is installed, and else from the library itself, where
`use_pack` leaves it for devices that never see the pack. A model whose classes are known from neither gives no labels.
"""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from core.active_model import PACK_SETTING, active_model
from core.errors import PackRefused
from crdt.documents import LIBRARY
from crdt.errors import CrdtError
from crdt.operations import Delete, Operation, Put
from crdt.records import AutoRecord
from crdt.schema import label_name
from ml.classes import ClassTable, class_table
from ml.errors import MlError
from ml.installed import find_pack
from ml.labels import LabelRules, RawClasses, Reason
from ml.pack import Pack, builtin_pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.teaching import TaughtReason
    from core.vocabulary import WordReason

_log = logging.getLogger(__name__)

_CLASSES_SETTING = "classes:"
"""Prefix of the settings that hold a model's packed class table."""
_MAX_SETTING = 4096
Setting = Callable[[str], str | None]


class LabelledLibrary(Protocol):
    """What this module needs of a library."""

    def setting(self, name: str) -> str | None:
        """Return a setting, or None."""

    def commit(self, changes: Mapping[str, Sequence[Operation]], *, action: str, summary: str) -> object:
        """Make an edit."""

    def replica_items(self, document: str, map_name: str, prefix: str = "") -> Iterator[tuple[str, object]]:
        """Return keys and values of a map."""


def active_pack(library: LabelledLibrary) -> Pack:
    """Return the pack that labels this library's photos: the one it names, else the built-in one.

    Raises `PackRefused` when that pack is not installed here, is damaged, or is another one of the same name.
    """
    setting = library.setting(PACK_SETTING)
    with _refusals():
        if setting is None:
            return builtin_pack()
        model, _, sha256 = setting.partition(" ")
        pack = find_pack(model)
    if sha256 and pack.sha256 != sha256:
        raise PackRefused(
            f"the pack {model} on this machine is not the one this library was labelled with (its manifest differs)",
            hint=f"Add the pack with the manifest {sha256[:12]}…, or choose this one: safelight model use {model}.",
        )
    return pack


def use_pack(library: LabelledLibrary, pack: Pack) -> None:
    """Make `pack` the one that labels this library's photos, on all its devices; results of others are kept.

    With the built-in pack the library names none, and so goes on to the built-in pack of every later version.
    Raises `PackRefused` when its labels cannot be derived.
    """
    named = Put("setting", PACK_SETTING, f"{pack.model} {pack.sha256}")
    settings: list[Operation] = [Delete("setting", PACK_SETTING) if pack.builtin else named]
    with _refusals():
        packed = base64.b85encode(class_table(pack).pack()).decode("ascii")
    if len(packed) <= _MAX_SETTING:  # thousands of names of its own: labels then need the pack on each device
        settings.append(Put("setting", _CLASSES_SETTING + pack.model, packed))
    library.commit({LIBRARY: settings}, action="model.use", summary=f"labels by {pack.model}")


class Labeller:
    """Turns stored results into labels; for the catalog. Not for use by several threads at once."""

    def __init__(self, setting: Setting | None = None) -> None:
        """Read settings of the library by `setting`; without it only installed packs are known."""
        self._setting = setting
        self._rules: dict[str, LabelRules | None] = {}

    def __call__(self, model: str, classes: RawClasses) -> list[tuple[str, float]]:
        """Return the labels to show, `(name as stored, score 0-1)`, best first; none when the model is unknown."""
        rules = self.rules(model)
        return [] if rules is None else rules.choose(classes)

    def rules(self, model: str) -> LabelRules | None:
        """Return how `model`'s classes become labels, or None when that is not known here."""
        if model not in self._rules:
            self._rules[model] = self._find_rules(model)
        return self._rules[model]

    def forget(self) -> None:
        """Look again: a pack was added or removed, or another one chosen."""
        self._rules.clear()

    def _find_rules(self, model: str) -> LabelRules | None:
        reason = "no version"
        if "@" in model:  # else any version of the pack would do, and its classes may be others
            try:
                return LabelRules(class_table(find_pack(model)), _stored_name)
            except (MlError, OSError) as error:
                reason = type(error).__name__
        packed = self._setting(_CLASSES_SETTING + model) if self._setting is not None else None
        if packed is not None:
            try:
                return LabelRules(ClassTable.unpack(base64.b85decode(packed)), _stored_name)
            except (MlError, ValueError) as error:
                reason = type(error).__name__
        _log.info("model_unknown: %s", reason)
        return None


@dataclass(frozen=True)
class ModelResult:
    """What one model said of a photo."""

    model: str
    active: bool
    """Whether search uses it."""
    at: int | None
    """When, UTC seconds."""
    known: bool
    """Whether the model's classes are known here; if not, `classes` have numbers for names and there are no reasons."""
    classes: tuple[tuple[str, str | None, float], ...]
    """(name, WordNet id, probability), strongest first."""
    reasons: tuple[Reason, ...]
    """How each label was reached or missed, most probable first."""
    crops: tuple[str, ...] = ()
    """What of the photo the model looked at, "centre" or "whole"; the mean of several answers counts."""


@dataclass(frozen=True)
class Explanation:
    """Everything that decides a photo's labels."""

    results: tuple[ModelResult, ...]
    """The active model's first."""
    added: tuple[str, ...]
    """Labels the user gave; they hold whatever a model says."""
    rejected: tuple[str, ...]
    """Labels the user took away; they stay away whatever a model says."""
    taught: tuple[TaughtReason, ...] = ()
    """Labels learnt from the user's examples."""
    words: tuple[WordReason, ...] = ()
    """Labels that the user described by words."""


def explain(
    library: LabelledLibrary,
    document: str,
    pid: bytes,
    label: str | None = None,
    *,
    labeller: Labeller | None = None,
    taught: Sequence[TaughtReason] = (),
    words: Sequence[WordReason] = (),
) -> Explanation:
    """Return why the photo `pid` in `document` has its labels, or how `label` alone was reached or missed.

    `taught` and `words` are what `core.teaching.reasons` and `core.vocabulary.reasons` say of it.
    Raises `PackRefused` for a `label` that cannot be one.
    """
    labeller = Labeller(library.setting) if labeller is None else labeller
    try:
        wanted = None if label is None else label_name(label)
    except CrdtError as error:
        raise PackRefused(str(error), hint=error.hint) from error
    active = active_model(library.setting)
    prefix = f"{pid.hex()}/"
    results: list[ModelResult] = []
    for key, packed in library.replica_items(document, "auto", prefix):
        if isinstance(packed, bytes):
            with contextlib.suppress(CrdtError):  # a damaged record of another device explains nothing
                model = key.removeprefix(prefix)
                results.append(_result(labeller, model, AutoRecord.unpack(packed), wanted, active=model == active))
    results.sort(key=lambda result: (not result.active, -(result.at or 0), result.model))
    own = {
        key.removeprefix(prefix): value
        for key, value in library.replica_items(document, "label", prefix)
        if isinstance(value, bool) and wanted in (None, key.removeprefix(prefix))
    }
    return Explanation(
        tuple(results),
        added=tuple(sorted(name for name, given in own.items() if given)),
        rejected=tuple(sorted(name for name, given in own.items() if not given)),
        taught=tuple(taught),
        words=tuple(words),
    )


def _result(labeller: Labeller, model: str, record: AutoRecord, wanted: str | None, *, active: bool) -> ModelResult:
    rules = labeller.rules(model)
    classes = record.classes()
    if rules is None:
        numbered = tuple((f"class {index}", None, probability) for index, probability in classes)
        return ModelResult(model, active, record.at, known=False, classes=numbered, reasons=())
    entries = rules.table.entries
    named = tuple((entries[i].name, entries[i].class_id, p) for i, p in classes if i < len(entries))
    reasons = tuple(reason for reason in rules.reasons(classes) if wanted in (None, reason.label))
    if wanted is not None and not reasons and (unreached := rules.unreached(wanted)) is not None:
        reasons = (unreached,)
    return ModelResult(model, active, record.at, known=True, classes=named, reasons=reasons, crops=rules.table.crops)


def _stored_name(name: str) -> str:
    """Return the name as a library stores labels, so that a rejection finds it; nothing if none could store it."""
    try:
        return label_name(name)
    except CrdtError:
        return ""


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except MlError as error:
        raise PackRefused(str(error), hint=error.hint) from error
