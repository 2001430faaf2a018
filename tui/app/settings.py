"""What a person set for the app on this machine: keys and looks, in `keys.toml` and `app.toml`, both in the clear.

They hold nothing of any library. A file that cannot be read changes nothing, and is said to be so. The app writes only
`app.toml`, a line of it at a time: comments and what a later version knows stay as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import platformdirs

from tui.app.keys import action_ids
from tui.app.themes import THEMES

FOLDER_VARIABLE = "SAFELIGHT_CONFIG_DIR"

DEFAULT_LOCK_AFTER: Final = 15
"""Minutes: long enough to look at a photo, short enough for a desk that somebody left."""
MAX_LOCK_AFTER: Final = 24 * 60
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "theme": tuple(theme.name for theme in THEMES),
    "density": ("small", "medium", "large"),
    "graphics": ("auto", "kitty", "sixel", "halfblock", "none"),
    "colour": ("auto", "none"),
}
"""The words that a setting of `app.toml` may be."""


class SettingsRefused(Exception):
    """`app.toml` cannot be changed; the message says why."""


@dataclass(frozen=True)
class Settings:
    """What both files say, and what was wrong with them.

    Attributes:
        keys: keys by action id.
        theme: the theme's name; None: what the terminal has the colours for.
        density: size of the tiles; None: medium.
        graphics: how pictures are shown, `auto` as the terminal can. Read when the app starts.
        colour: `none` is as `NO_COLOR`. Read when the app starts.
        lock_after: minutes without a key or the mouse after which the library is locked; 0: never.
        complaints: what was wrong with the files, a line each.
    """

    keys: dict[str, str] = field(default_factory=dict)
    theme: str | None = None
    density: str | None = None
    graphics: str = "auto"
    colour: str = "auto"
    lock_after: int = DEFAULT_LOCK_AFTER
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
    app: dict[str, Any] = {}
    for name, value in _read("app.toml", complaints).items():
        wrong = _wrong(name, value)
        if wrong is None and (name in CHOICES or name == "lock_after"):
            app[name] = value
        elif wrong is not None:
            complaints.append(f"app.toml: {wrong}")
    return Settings(keys=keys, complaints=tuple(complaints), **app)


def changed(settings: Settings, name: str, value: str | int) -> Settings:
    """Return the settings with another value, which is written to `app.toml` first.

    Raises:
        SettingsRefused: the value is none of this setting, or the file cannot be written, or not be read as it is.
    """
    wrong = _wrong(name, value)
    if wrong is not None:
        raise SettingsRefused(wrong)
    path = settings_folder() / "app.toml"
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        tomllib.loads(text)
        after = _with_line(text, name, json.dumps(value))
        if tomllib.loads(after).get(name) != value:
            raise SettingsRefused(f"app.toml says {name} in a way that only its author can change")
        _write(path, after)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsRefused("app.toml cannot be read as it is; mend it or remove it") from error
    except OSError as error:
        raise SettingsRefused(f"app.toml cannot be written: {error.strerror or type(error).__name__}") from error
    return replace(settings, **{name: value})  # type: ignore[arg-type]  # checked above


def _wrong(name: str, value: object) -> str | None:
    """Say what is wrong with a setting of `app.toml`; None where nothing is, or a later version knows it."""
    if name in CHOICES and value not in CHOICES[name]:
        return f"{name} is one of {', '.join(CHOICES[name])}"
    if name == "lock_after" and not (type(value) is int and 0 <= value <= MAX_LOCK_AFTER):
        return f"lock_after is a number of minutes up to {MAX_LOCK_AFTER}, or 0 for never"
    return None


def _with_line(text: str, name: str, value: str) -> str:
    """Return the text with the setting's line in place of the one that is there, or before everything else."""
    line = f"{name} = {value}"
    lines = text.splitlines()
    for at, one in enumerate(lines):
        if one.lstrip().startswith("["):
            break
        if re.match(rf"\s*{name}\s*=", one):
            lines[at] = line
            return "\n".join(lines) + "\n"
    lines.insert(0, line)
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _read(name: str, complaints: list[str]) -> dict[str, Any]:
    try:
        with (settings_folder() / name).open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        complaints.append(f"{name} cannot be used: {type(error).__name__}")
        return {}
