"""``calibration.toml``: the thresholds of one pack, fitted on labelled photos.

A pack may ship one, listed in ``[files]`` and pinned there like all its files. One that the user fits
(``model calibrate``) is the user's own word: it lies apart from the packs, in ``calibrations/name@version.toml`` of the
same data folder, is pinned by nothing, and goes before the pack's. It names the manifest that it was fitted for, and
says nothing of any other.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ml.builtin import data_folder
from ml.errors import CalibrationInvalid, PackError
from ml.toml_source import TomlSource

if TYPE_CHECKING:
    from pathlib import Path

    from ml.calibration_fit import Thresholds
    from ml.pack import Pack

CALIBRATION_NAME = "calibration.toml"
_MAX_BYTES = 1 << 20
_log = logging.getLogger(__name__)

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds, 0-1, of labels and of classes under their own names."""

    format: Literal[1] = 1
    model: str
    """``name@version`` of the pack."""
    manifest: str | None = None
    """SHA-256 of its manifest; None in a calibration that the pack itself ships."""
    precision: Share
    """Share of the narrowest labels shown that was asked for."""
    photos: int
    """On how many it was fitted."""
    likelihood: Share
    """How likely a label is right at its threshold."""
    temperature: float
    """By which the labels' log-odds were too large; for information."""
    threshold: Share
    class_threshold: Share
    labels: dict[str, Share] = {}
    """Labels with a threshold of their own."""
    classes: dict[str, Share] = {}
    """Classes with a threshold of their own, by name."""

    @classmethod
    def of(cls, thresholds: Thresholds, pack: Pack, precision: float, *, shipped: bool = False) -> Calibration:
        """Return what a fit for ``pack`` found; ``shipped`` with the pack, or the user's own."""
        return cls(
            model=pack.model,
            manifest=None if shipped else pack.sha256,
            precision=precision,
            photos=thresholds.photos,
            likelihood=round(thresholds.likelihood, 4),
            temperature=round(thresholds.temperature, 3),
            threshold=thresholds.labels,
            class_threshold=thresholds.classes,
            labels=thresholds.by_label,
            classes=thresholds.by_class,
        )

    def toml(self) -> str:
        """Return the file's text."""
        lines = [f"# Fitted on {self.photos:,} labelled photos; docs/models.md says how.", "format = 1"]
        for key in (
            "model",
            "manifest",
            "precision",
            "photos",
            "likelihood",
            "temperature",
            "threshold",
            "class_threshold",
        ):
            value = getattr(self, key)
            if value is not None:
                lines.append(f"{key} = {_quoted(value) if isinstance(value, str) else value}")
        for title, thresholds in (("labels", self.labels), ("classes", self.classes)):
            if thresholds:
                lines += ["", f"[{title}]"]
                lines += [f"{_quoted(name)} = {value}" for name, value in sorted(thresholds.items())]
        return "\n".join(lines) + "\n"


def read_calibration(data: bytes, name: str) -> Calibration:
    """Return the calibration in ``data``; ``name`` is how errors call the file. Raises CalibrationInvalid."""
    return TomlSource(data, name, CalibrationInvalid).convert(Calibration)


def calibration_of(pack: Pack) -> Calibration | None:
    """Return the calibration that applies to the pack: the user's own, else the one it ships, else None.

    Raises CalibrationInvalid for a damaged one, and for one that was fitted for another pack.
    """
    own = own_calibration_path(pack.model)
    try:
        with own.open("rb") as stream:
            found, name = read_calibration(stream.read(_MAX_BYTES), str(own)), str(own)
    except OSError:
        if CALIBRATION_NAME not in pack.manifest.files:
            return None
        name = str(pack.folder / CALIBRATION_NAME)
        found = read_calibration(pack.read(CALIBRATION_NAME), name)
    if found.model != pack.model or found.manifest not in (None, pack.sha256):
        raise CalibrationInvalid(
            f"was fitted for another pack than the {pack.model} that is installed",
            source=name,
            line=None,
            hint=f"Fit it again: safelight model calibrate DIR --pack {pack.name}.",
        )
    return found


def usable_calibration(pack: Pack) -> Calibration | None:
    """Return what applies, or None where that cannot be used: a bad file must not take the labels away."""
    try:
        return calibration_of(pack)
    except CalibrationInvalid as error:
        _log.warning("calibration_unusable: %s", error)
        return None


def own_calibration_path(model: str) -> Path:
    """Where the user's own calibration of ``name@version`` lies, or would."""
    return data_folder() / "calibrations" / f"{model}.toml"


def keep_calibration(calibration: Calibration) -> Path:
    """Write the user's own calibration, whole or not at all, and return where. Raises PackError."""
    path = own_calibration_path(calibration.model)
    fresh = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(calibration.toml(), encoding="utf-8")
        fresh.replace(path)
    except OSError as cause:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise PackError(f"{path}: cannot be written: {cause.strerror or type(cause).__name__}") from cause
    return path


def forget_calibration(model: str) -> bool:
    """Remove the user's own calibration of ``name@version``; tells whether there was one. Raises PackError."""
    path = own_calibration_path(model)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as cause:
        raise PackError(f"{path}: cannot be removed: {cause.strerror or type(cause).__name__}") from cause
    return True


def _quoted(text: str) -> str:
    """Return a TOML basic string; JSON's escapes are TOML's."""
    return msgspec.json.encode(text).decode()
