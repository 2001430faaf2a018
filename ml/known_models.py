"""Models that can be added by name: where they are, and the manifests that pin them. Reading it fetches nothing."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ml.errors import ManifestInvalid, PackNotFound
from ml.manifest import MODEL_NAME, Manifest, is_pack_name, load_manifest
from ml.toml_source import TomlSource

CATALOGUE = Path(__file__).parent / "catalogue"


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    url: str
    bytes: Annotated[int, msgspec.Meta(gt=0)]
    top1: float


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal[1]
    model: tuple[_Entry, ...]


@dataclass(frozen=True)
class KnownModel:
    """One entry of the catalogue."""

    name: str
    url: str
    size: int
    """Of the model, bytes."""
    top1: float
    """As its makers state it for ImageNet's validation photos, per cent."""
    manifest: Manifest
    path: Path
    """Of the manifest."""

    @property
    def sha256(self) -> str:
        """Of the model file."""
        return self.manifest.files[MODEL_NAME]


def known_models(folder: Path | None = None) -> list[KnownModel]:
    """Every model of the catalogue, in its order. Raises ManifestInvalid for a damaged one."""
    folder = folder or CATALOGUE
    path = folder / "catalogue.toml"
    toml = TomlSource(path.read_bytes(), str(path), ManifestInvalid)
    found = []
    for index, entry in enumerate(toml.convert(_File).model):
        if not is_pack_name(entry.name):
            raise toml.invalid(f'"{entry.name}" cannot name a pack', ("model", index, "name"))
        described = folder / f"{entry.name}.toml"
        manifest = load_manifest(described)
        if manifest.name != entry.name or not isinstance(manifest, Manifest):
            raise toml.invalid(f"{described.name} describes another model", ("model", index, "name"))
        found.append(KnownModel(entry.name, entry.url, entry.bytes, entry.top1, manifest, described))
    return found


def known_model(name: str, folder: Path | None = None) -> KnownModel:
    """Return the model called ``name``. Raises PackNotFound, with the nearest name as hint."""
    models = known_models(folder)
    found = next((model for model in models if model.name == name), None)
    if found is None:
        near = difflib.get_close_matches(name, [model.name for model in models], n=1)
        hint = f'Did you mean "{near[0]}"?' if near else "`safelight model list --available` shows what there is."
        raise PackNotFound(f'"{name}" is no folder, no address and no model of the catalogue', hint=hint)
    return found
