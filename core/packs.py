"""The packs of this machine as commands and the app see them: listed, added, removed, tried, chosen for a library.

A thin layer over `ml`, for which a pack is a folder that runs: here are its errors in `core`'s tree, and which
library uses it. Packs lie in the clear in the platform's data folder and are not synced; which one is active is a
setting of the library.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import PackRefused
from ml.errors import MlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from PIL import Image

    from core.library import Library
    from ml.check import CheckReport
    from ml.check_image_text import ImageTextReport
    from ml.download import Progress
    from ml.evaluate import Evaluation
    from ml.installed import InstalledPack
    from ml.known_models import KnownModel
    from ml.pack import AnyPack


@dataclass(frozen=True)
class PackDescription:
    """One installed pack. What cannot be read of a damaged one is None, and `problem` says why; `size` is in bytes."""

    name: str
    version: str
    builtin: bool
    folder: str
    kind: str | None = None
    licence: str | None = None
    source: str | None = None
    classes: int | None = None
    size: int | None = None
    sha256: str | None = None
    problem: str | None = None

    @property
    def model(self) -> str:
        """`name@version`: how results name the pack that made them."""
        return f"{self.name}@{self.version}"


def list_packs() -> list[PackDescription]:
    """Every pack on this machine, the built-in one first, the others by name."""
    from ml.installed import installed_packs

    with _refusals():
        return [_describe_installed(found) for found in installed_packs()]


def add_pack(
    source: str, *, manifest: Path | None = None, sha256: str | None = None, progress: Progress | None = None
) -> PackDescription:
    """Install the pack in the folder, or at the address, `source`; see `ml.installed.add_pack`.

    Raises:
        PackRefused: it is no pack, not the pinned one, or does not run.
    """
    from ml import installed

    with _refusals():
        return _describe(installed.add_pack(source, manifest=manifest, sha256=sha256, progress=progress), builtin=False)


@dataclass(frozen=True)
class AvailableModel:
    """A model that can be added by its name; `size` is in bytes, `top1` per cent, as its makers state it."""

    name: str
    version: str
    url: str
    sha256: str
    size: int
    licence: str
    source: str
    top1: float


def available_models() -> list[AvailableModel]:
    """Every model of the catalogue that ships with Safelight; asks nothing of the network.

    Raises:
        PackRefused: the catalogue is damaged.
    """
    from ml.known_models import known_models

    with _refusals():
        return [_available(known) for known in known_models()]


def available_model(name: str) -> AvailableModel:
    """The model of the catalogue that is called `name`.

    Raises:
        PackRefused: there is none.
    """
    from ml.known_models import known_model

    with _refusals():
        return _available(known_model(name))


def add_available_model(name: str, *, url: str | None = None, progress: Progress | None = None) -> PackDescription:
    """Fetch a model of the catalogue, from `url` in place of the address there, and install it.

    Raises:
        PackRefused: there is none, it cannot be fetched, or what comes is not what the catalogue pins.
    """
    from ml import installed
    from ml.known_models import known_model

    with _refusals():
        known = known_model(name)
        pack = installed.add_pack(url or known.url, manifest=known.path, progress=progress, limit=known.size)
        return _describe(pack, builtin=False)


def _available(known: KnownModel) -> AvailableModel:
    manifest = known.manifest
    return AvailableModel(
        known.name, manifest.version, known.url, known.sha256, known.size, manifest.licence, manifest.source, known.top1
    )


def draft_manifest(folder: Path) -> str:
    """A first pack.toml, as text, for the folder's model.onnx and labels.txt; what had to be guessed is marked in it.

    Raises:
        PackRefused: there is no such model, or it is no classifier of pictures.
    """
    from ml import draft

    with _refusals():
        return draft.draft_manifest(folder)


def remove_pack(name: str) -> str:
    """Delete an added pack; returns its `name@version`. Results that it gave stay in the libraries.

    Raises:
        PackRefused: there is none, it is the built-in one, or there are several versions.
    """
    from ml import installed

    with _refusals():
        return installed.remove_pack(name)


def use_pack(library: Library, name: str) -> PackDescription:
    """Let an installed pack do its work for this library from now on, in place of another of its kind.

    A classifier labels the photos; an image-text pack finds them by descriptions.

    Raises:
        PackRefused: it is not installed, or damaged.
    """
    from core import labelling, text_pack
    from ml.installed import find_any_pack
    from ml.pack import ImageTextPack

    with _refusals():
        pack = find_any_pack(name)
    if isinstance(pack, ImageTextPack):
        text_pack.use_text_pack(library, pack)
    else:
        labelling.use_pack(library, pack)
    return _describe(pack, builtin=False)


def check_pack(name: str) -> CheckReport | ImageTextReport:
    """Load an installed pack's models and run them on generated pictures, and texts.

    Raises:
        PackRefused: it does not run, or does not answer as its manifest says.
    """
    from ml.installed import find_any_pack
    from ml.trial import try_pack

    with _refusals():
        return try_pack(find_any_pack(name).folder)


def evaluate_pack(name: str, folder: Path, *, progress: Callable[[int, int], object] | None = None) -> Evaluation:
    """Measure an installed pack on the photos below `folder`, which are named by what they show.

    Raises:
        PackRefused: the pack does not run, or the folder has no photo with a name it knows.
    """
    from ml import evaluate
    from ml.installed import find_pack

    with _refusals():
        threads = os.cpu_count() or 1
        return evaluate.evaluate(find_pack(name), folder, threads=threads, decode=_decode, progress=progress)


@dataclass(frozen=True)
class CalibrationResult:
    """What a fit found; precision and coverage are of photos that the thresholds had not seen."""

    model: str
    photos: int
    file: str
    precision: float
    """That was asked for."""
    held_out_precision: float | None
    """Of each half of the photos by thresholds fitted on the other; None where they are too few."""
    held_out_interval: tuple[float, float] | None
    """Of 95 %."""
    held_out_coverage: float | None


def calibrate_pack(
    name: str, folder: Path, *, precision: float, progress: Callable[[int, int], object] | None = None
) -> CalibrationResult:
    """Fit an installed pack's thresholds on the photos below `folder`, for a precision of 0-1, and keep them.

    They hold on this machine, until they are fitted again or forgotten.

    Raises:
        PackRefused: the pack does not run, there are no such photos, or no threshold reaches the precision.
    """
    from ml import evaluate
    from ml.calibration import Calibration, keep_calibration
    from ml.calibration_fit import fit
    from ml.installed import find_pack

    with _refusals():
        pack = find_pack(name)
        threads = os.cpu_count() or 1
        measured = evaluate.measure(pack, folder, threads=threads, decode=_decode, progress=progress)
        halves = evaluate.figures_of_halves(measured.rules, measured.photos, precision)
        thresholds = fit(measured.rules, evaluate.labelled(measured.photos), precision=precision)
        if thresholds is None:
            raise PackRefused(
                f"no threshold makes {precision:.0%} of {pack.model}'s labels right on these photos",
                hint="Ask for less with --precision, or give more photos: some hundreds, of many things.",
            )
        path = keep_calibration(Calibration.of(thresholds, pack, precision))
    held_out = None if halves is None else halves.all
    return CalibrationResult(
        model=pack.model,
        photos=len(measured.photos),
        file=str(path),
        precision=precision,
        held_out_precision=None if held_out is None else held_out.precision.share,
        held_out_interval=None if held_out is None else held_out.precision.interval,
        held_out_coverage=None if held_out is None else held_out.coverage.share,
    )


def forget_calibration(name: str) -> bool:
    """Go back to the thresholds that an installed pack came with; tells whether it had been calibrated here.

    Raises:
        PackRefused: there is no such pack.
    """
    from ml import calibration
    from ml.installed import find_pack

    with _refusals():
        return calibration.forget_calibration(find_pack(name).model)


def _decode(path: Path) -> Image.Image:
    """Open a photo as the import would: every format, and the same bounds."""
    from core.importing.decode import decode
    from core.importing.errors import FileRefused
    from core.importing.limits import STANDARD

    try:
        with path.open("rb") as stream:
            return decode(stream, path.name, STANDARD).image
    except FileRefused as error:
        raise OSError(str(error)) from error


def _describe_installed(found: InstalledPack) -> PackDescription:
    if found.pack is not None:
        return _describe(found.pack, builtin=found.builtin)
    name, _, version = found.model.partition("@")
    return PackDescription(name, version, found.builtin, str(found.folder), problem=str(found.problem))


def _describe(pack: AnyPack, *, builtin: bool) -> PackDescription:
    manifest = pack.manifest
    return PackDescription(
        name=pack.name,
        version=pack.version,
        builtin=builtin,
        folder=str(pack.folder),
        kind=manifest.kind,
        licence=manifest.licence,
        source=manifest.source,
        classes=getattr(manifest.output, "classes", None),
        size=pack.size(),
        sha256=pack.sha256,
    )


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except MlError as error:
        raise PackRefused(str(error), hint=error.hint) from error
