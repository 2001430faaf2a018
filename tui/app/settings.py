"""What a person set for the app on this machine: keys and theme, in `keys.toml` and `app.toml`, both in the clear.

They hold nothing of any library. A file that cannot be read changes nothing, and is said to be so.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from tui.app.keys import action_ids

FOLDER_VARIABLE = "SAFELIGHT_CONFIG_DIR"


@dataclass(frozen=True)
class Settings:
    """Keys by action id, the theme's name, the density of the grid; and what was wrong with the files."""

    keys: dict[str, str] = field(default_factory=dict)
    theme: str | None = None
    density: str | None = None
    complaints: tuple[str, ...] = ()


def settings_folder() -> Path:
    """Return the folder of the files: `SAFELIGHT_CONFIG_DIR`, else the platform's."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else platformdirs.user_config_path("safelight", appauthor=False)


def read_settings() -> Settings:
    """Read both files, those that are there."""
    complaints: list[str] = []
    keys: dict[str, str] = {}
    table = _read("keys.toml", complaints).get("keys", {})
    for action, wanted in table.items() if isinstance(table, dict) else ():
        if action not in action_ids():
            complaints.append(f"keys.toml: there is no action {action!r}")
        elif not isinstance(wanted, str) or not wanted.strip():
            complaints.append(f'keys.toml: {action} needs keys, as in "ctrl+x,f3"')
        else:
            keys[action] = wanted
    app = _read("app.toml", complaints)
    theme, density = app.get("theme"), app.get("density")
    return Settings(
        keys,
        theme if isinstance(theme, str) else None,
        density if isinstance(density, str) else None,
        tuple(complaints),
    )


def _read(name: str, complaints: list[str]) -> dict[str, Any]:
    try:
        with (settings_folder() / name).open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        complaints.append(f"{name} cannot be used: {type(error).__name__}")
        return {}
