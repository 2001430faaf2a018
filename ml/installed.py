"""The packs on this machine: the built-in one, and those the user added.

Each added pack is a folder ``name@version`` below the packs folder. A pack is put together in a folder of its own,
checked and tried there, and then renamed: it is installed whole or not at all.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import platformdirs

from ml.builtin import builtin_folder, builtin_model
from ml.errors import DownloadFailed, MlError, PackError, PackExists, PackNotFound
from ml.manifest import MANIFEST_NAME, MODEL_NAME, is_pack_name, is_pack_version, load_manifest
from ml.pack import AnyPack, ImageTextPack, Pack, PackFiles, builtin_pack, describe_pack, open_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml.download import Progress

_ABANDONED_S = 86_400
_INCOMING, _OUTGOING = ".incoming-", ".outgoing-"
_PARTIAL = ".partial-"  # then the SHA-256 of the model of which this is the beginning
_PARTIAL_S = 14 * _ABANDONED_S
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_MANIFEST = 1 << 20
_Kind = TypeVar("_Kind", bound=PackFiles)


@dataclass(frozen=True)
class InstalledPack:
    """One line of ``model list``."""

    model: str
    """``name@version``."""
    folder: Path
    builtin: bool
    pack: AnyPack | None
    """None when it cannot be opened."""
    problem: MlError | None


def packs_folder() -> Path:
    """Where added packs live: ``SAFELIGHT_DATA_DIR``, else the platform's data folder, and ``packs`` below it."""
    root = os.environ.get("SAFELIGHT_DATA_DIR")
    return (Path(root) if root else platformdirs.user_data_path("safelight", appauthor=False)) / "packs"


def installed_packs() -> list[InstalledPack]:
    """Every pack on this machine, the built-in one first, the others by name; damaged ones with their problem."""
    found: list[InstalledPack] = []
    with contextlib.suppress(PackNotFound):
        found.append(_look_at(builtin_model(), builtin_folder(), Pack.open, builtin=True))
    found.extend(_look_at(folder.name, folder, _open, builtin=False) for folder in _folders())
    return found


def find_pack(name: str) -> Pack:
    """Return the labelling pack called ``name`` or ``name@version``; without a version, the built-in one or the newest.

    Raises PackNotFound, with the nearest name as hint, and what ``Pack.open`` raises.
    """
    return builtin_pack() if _builtin_is(name) else _opened(_folder_of(name), Pack)


def find_image_text_pack(name: str, *, verify: bool = True) -> ImageTextPack:
    """Return the image-text pack called ``name`` or ``name@version``, the newest without a version.

    Without ``verify`` its files are checked when they are read: hashing both encoders takes longer than a search.
    Raises PackNotFound, with the nearest name as hint, and what ``ImageTextPack.open`` raises.
    """
    if _builtin_is(name):
        return ImageTextPack.open(builtin_folder())
    return _opened(_folder_of(name), ImageTextPack, verify=verify)


def find_any_pack(name: str) -> AnyPack:
    """Return the pack called ``name`` or ``name@version``, of whatever kind; raises as ``find_pack``."""
    return builtin_pack() if _builtin_is(name) else _open(_folder_of(name))


def _folder_of(name: str) -> Path:
    wanted, _, version = name.partition("@")
    # Names also come from other devices' results: only a well-formed one is ever made into a path.
    if is_pack_name(wanted) and (not version or is_pack_version(version)):
        folders = [f for f in _folders() if f.name == name or (not version and f.name.partition("@")[0] == wanted)]
        if folders:
            return max(folders, key=lambda folder: _version_order(folder.name.partition("@")[2]))
    raise _not_found(name)


def add_pack(
    source: str | Path,
    *,
    manifest: Path | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
    limit: int | None = None,
) -> AnyPack:
    """Install the pack at ``source`` and return it as installed.

    ``source`` is a folder, or an address: that of a ``pack.toml`` whose SHA-256 is ``sha256``, beside which its files
    lie; or, with ``manifest``, that of the model file itself, while the other files lie beside the manifest. With a
    folder, ``manifest`` is a pack.toml that is elsewhere. The same pack twice is no error. ``limit`` is the size of the
    model, bytes, where that is known: no more is fetched. What was fetched of one stays for the next try.

    Raises PackExists when another pack of that name and version is installed, DownloadFailed, and everything that
    opening the pack and loading its model raises: what is installed has run.
    """
    from ml.trial import try_pack

    packs = packs_folder()
    with _writing(packs), _staging(packs) as staging, _naming(source, staging, manifest):
        if isinstance(source, str) and "://" in source:
            _download(source, staging, manifest, sha256, progress, limit)
        else:
            _copy_pack(Path(source), staging, manifest, sha256)
        pack = open_pack(staging)
        present = _present(pack)
        if present is not None:
            return present
        try_pack(staging, repeats=1)
        _publish(staging, packs / pack.model)
    return _open(packs / pack.model)


def remove_pack(name: str) -> str:
    """Delete the added pack ``name`` or ``name@version``, damaged or not, and return its ``name@version``.

    Raises PackNotFound; PackError for the built-in pack and where a name without version means several.
    """
    folders = [folder for folder in _folders() if name in (folder.name, folder.name.partition("@")[0])]
    if len(folders) > 1:
        raise PackError(
            f"there are {len(folders)} versions of {name}", hint=f"Name one: {', '.join(f.name for f in folders)}."
        )
    if not folders:
        if _builtin_is(name):
            raise PackError(f"{name} is part of Safelight and stays")
        raise _not_found(name)
    with _writing(folders[0].parent):
        _discard(folders[0])
    return folders[0].name


def _look_at(model: str, folder: Path, open_: Callable[[Path], AnyPack], *, builtin: bool) -> InstalledPack:
    try:
        return InstalledPack(model, folder, builtin, pack=open_(folder), problem=None)
    except MlError as problem:
        return InstalledPack(model, folder, builtin, pack=None, problem=problem)


def _builtin_is(name: str) -> bool:
    """Tell whether ``name``, with or without a version, is the built-in pack's."""
    try:
        model = builtin_model()
    except PackNotFound:
        return False
    return name in (model, model.partition("@")[0])


def _not_found(name: str) -> PackNotFound:
    names = [folder.name for folder in _folders()]
    with contextlib.suppress(PackNotFound):
        names.append(builtin_model())
    near = difflib.get_close_matches(name, [*names, *(known.partition("@")[0] for known in names)], n=1)
    hint = f'Did you mean "{near[0]}"?' if near else "`safelight model list` shows the installed ones."
    return PackNotFound(f'no pack "{name}" is installed', hint=hint)


def _folders() -> list[Path]:
    try:
        entries = sorted(packs_folder().iterdir())
    except OSError:
        return []
    return [entry for entry in entries if _is_pack_folder(entry)]


def _is_pack_folder(path: Path) -> bool:
    name, _, version = path.name.partition("@")
    return is_pack_name(name) and is_pack_version(version) and path.is_dir()


def _open(folder: Path) -> AnyPack:
    return _opened(folder, type(describe_pack(folder)))


def _opened(folder: Path, kind: type[_Kind], *, verify: bool = True) -> _Kind:
    pack = kind.open(folder) if verify else kind.describe(folder)
    if pack.model != folder.name:
        raise PackError(f"{folder}: holds the pack {pack.model}", hint="Remove the folder and add the pack again.")
    return pack


def _version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Order 1.10 after 1.9, and 1.0rc1 before 1.0: a word comes before the end, and the end before a number."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return (*((2, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), (1, 0, ""))


def _copy_pack(source: Path, staging: Path, manifest: Path | None, sha256: str | None) -> None:
    if not source.is_dir():
        raise PackNotFound(
            f"{source}: not a folder", hint="Name the folder that holds pack.toml, model.onnx and labels.txt."
        )
    # Opened where it is, for errors that name the user's own files.
    pack = open_pack(source, manifest)
    if sha256 is not None and pack.sha256 != sha256:
        raise DownloadFailed(f"{source}: the SHA-256 of its manifest is {pack.sha256}, not {sha256} as pinned")
    (staging / MANIFEST_NAME).write_bytes(pack.manifest_bytes)
    for name in pack.manifest.files:
        (staging / name).write_bytes(pack.read(name))


def _download(
    url: str, staging: Path, manifest: Path | None, sha256: str | None, progress: Progress | None, limit: int | None
) -> None:
    # Here, because they bring the whole of http and TLS, and every search asks this module for its model.
    from urllib.parse import quote, urljoin

    from ml.download import MAX_BYTES, check_url, fetch

    check_url(url)
    if manifest is not None:
        described = describe_pack(manifest.parent, manifest)
        pinned = described.manifest.files[MODEL_NAME]
        if sha256 not in (None, pinned):
            raise DownloadFailed(f"{manifest} pins the model to {pinned}, not to {sha256}")
        (staging / MANIFEST_NAME).write_bytes(described.manifest_bytes)
        for name in described.manifest.files:
            if name != MODEL_NAME:
                (staging / name).write_bytes(described.read(name))
        partial = staging.with_name(f"{_PARTIAL}{pinned}")
        fetch(url, staging / MODEL_NAME, pinned, progress=progress, partial=partial, limit=limit or MAX_BYTES)
        return
    if sha256 is None or not _SHA256.fullmatch(sha256):
        raise DownloadFailed(
            f"{url}: its SHA-256 is needed before it is fetched",
            hint="Give the 64 lower-case hex digits that the pack's author publishes: --sha256 HEX.",
        )
    fetch(url, staging / MANIFEST_NAME, sha256, limit=_MAX_MANIFEST, progress=progress)
    for name, digest in load_manifest(staging / MANIFEST_NAME).files.items():
        fetch(urljoin(url, quote(name)), staging / name, digest, progress=progress)


@contextlib.contextmanager
def _naming(source: str | Path, staging: Path, manifest: Path | None) -> Iterator[None]:
    """Make errors name the files that the user knows, not their copies, which are gone when the error is read."""
    named = {} if manifest is None else {MANIFEST_NAME: str(manifest)}
    others = f"{Path(source)}{os.sep}"
    if isinstance(source, str) and "://" in source:
        if manifest is None:
            others = f"{source.rpartition('/')[0]}/"
        else:
            named[MODEL_NAME], others = source, f"{manifest.parent}{os.sep}"
    try:
        yield
    except MlError as error:
        text = str(error)
        for name, known in named.items():
            text = text.replace(str(staging / name), known)
        error.args = (text.replace(f"{staging}{os.sep}", others),)
        raise


def _present(pack: AnyPack) -> AnyPack | None:
    """Return the pack of this name and version that is here already, if it is this very one and whole."""
    if _builtin_is(pack.model):
        return _same(builtin_pack(), pack)
    folder = packs_folder() / pack.model
    try:
        return _same(_open(folder), pack)
    except PackExists:
        raise
    except MlError:
        return None  # absent or damaged: what was just checked takes its place


def _same(present: AnyPack, pack: AnyPack) -> AnyPack:
    if present.sha256 != pack.sha256:
        raise PackExists(
            f"another pack {pack.model} is installed",
            hint=f"Give the new one a version of its own, or remove the other: safelight model remove {pack.model}.",
        )
    return present


def _publish(staging: Path, target: Path) -> None:
    for path in staging.iterdir():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
    try:
        staging.rename(target)
    except OSError:
        # Something is there: a damaged pack, or what another process has just added, which may be as good.
        if _present(describe_pack(staging)) is None:
            _discard(target)
            staging.rename(target)


def _discard(folder: Path) -> None:
    """Take a pack out of sight in one step, then delete it."""
    outgoing = folder.with_name(f"{_OUTGOING}{os.urandom(8).hex()}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(outgoing)
    shutil.rmtree(outgoing, ignore_errors=True)


@contextlib.contextmanager
def _writing(packs: Path) -> Iterator[None]:
    """Make sure of the packs folder and of its tidiness; what the system refuses is a PackError."""
    try:
        packs.mkdir(parents=True, exist_ok=True)
        _sweep(packs)
        yield
    except OSError as cause:
        raise PackError(f"{packs}: cannot be written to: {cause.strerror or type(cause).__name__}") from cause


@contextlib.contextmanager
def _staging(packs: Path) -> Iterator[Path]:
    folder = packs / f"{_INCOMING}{os.urandom(8).hex()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(packs: Path) -> None:
    """Remove what an add or remove that was killed has left; not what another process may be making now."""
    for entry in packs.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process has just finished with it
            if entry.name.startswith((_INCOMING, _OUTGOING)) and time.time() - entry.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name.startswith(_PARTIAL) and time.time() - entry.stat().st_mtime > _PARTIAL_S:
                entry.unlink(missing_ok=True)
