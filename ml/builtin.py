"""The pack that ships with Safelight: where it lies, and what it is called.

Apart from ``ml.pack``, because every command that opens a library asks for the name, and few for the pack.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import platformdirs

from ml.errors import PackNotFound

BUILTIN_FOLDER = Path(__file__).parent / "packs" / "safelight-mini"
_MANIFEST = "pack.toml"


def data_folder() -> Path:
    """Where what the user adds lives: ``SAFELIGHT_DATA_DIR``, else the platform's data folder."""
    root = os.environ.get("SAFELIGHT_DATA_DIR")
    return Path(root) if root else platformdirs.user_data_path("safelight", appauthor=False)


def builtin_folder() -> Path:
    """Return the built-in pack's folder. Raises PackNotFound when this installation lacks the pack."""
    if not (BUILTIN_FOLDER / _MANIFEST).is_file():
        raise PackNotFound(
            "the built-in pack safelight-mini is not part of this installation",
            hint="Reinstall Safelight, or add a pack of your own: safelight model add FOLDER.",
        )
    return BUILTIN_FOLDER


def builtin_model() -> str:
    """Return ``name@version`` of the built-in pack, from its manifest alone. Raises PackNotFound."""
    path = builtin_folder() / _MANIFEST
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return f"{values['name']}@{values['version']}"
    except (OSError, ValueError, KeyError) as cause:
        raise PackNotFound(f"{path}: the built-in pack is damaged", hint="Reinstall Safelight.") from cause
