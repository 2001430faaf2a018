"""Which image-text pack finds a library's photos by descriptions; it sits beside the pack that labels them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.active_model import TEXT_PACK_SETTING, text_model
from core.errors import NoTextEncoder
from crdt.documents import LIBRARY
from crdt.operations import Put
from ml.errors import MlError, PackNotFound
from ml.installed import find_image_text_pack
from ml.manifest import is_pack_name, is_pack_version

if TYPE_CHECKING:
    from core.labelling import LabelledLibrary
    from ml.pack import ImageTextPack

_HOW = "`safelight model add FOLDER --use` brings one, `safelight retag` lets it look at the photos: docs/models.md."


def text_pack(library: LabelledLibrary, *, verify: bool = True) -> ImageTextPack:
    """Return the image-text pack that this library names; without `verify` its files are checked when they are read.

    Raises:
        NoTextEncoder: it names none, or one that is not installed here, is damaged, or is another of the same name.
    """
    named = library.setting(TEXT_PACK_SETTING)
    model = text_model(library.setting)
    if named is None or model is None or not _is_model(model):
        raise NoTextEncoder(
            "descriptions need an image-text pack, such as MobileCLIP-S2 or CLIP ViT-B/32; this library has none",
            hint=_HOW,
        )
    try:
        pack = find_image_text_pack(model, verify=verify)
    except PackNotFound as error:
        raise NoTextEncoder(
            f"descriptions need the image-text pack {model}, which is not installed on this machine", hint=_HOW
        ) from error
    except MlError as error:
        raise NoTextEncoder(f"the image-text pack {model} cannot be used: {error}", hint=error.hint) from error
    sha256 = named.partition(" ")[2]
    if sha256 and pack.sha256 != sha256:
        raise NoTextEncoder(
            f"the image-text pack {model} on this machine is not the one this library uses (its manifest differs)",
            hint=f"Add the pack with the manifest {sha256[:12]}…, or choose this one: safelight model use {model}.",
        )
    return pack


def _is_model(model: str) -> bool:
    """Tell whether a pack can be called so: other devices write settings, too."""
    name, _, version = model.partition("@")
    return is_pack_name(name) and is_pack_version(version)


def use_text_pack(library: LabelledLibrary, pack: ImageTextPack) -> None:
    """Let `pack` find this library's photos by descriptions, on all its devices; vectors of others are kept."""
    named = Put("setting", TEXT_PACK_SETTING, f"{pack.model} {pack.sha256}")
    library.commit({LIBRARY: [named]}, action="model.use", summary=f"descriptions by {pack.model}")
