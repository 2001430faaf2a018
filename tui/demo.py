"""The demo: the commands a newcomer would type, run for real on a throw-away library.

Nothing here reaches round the command line: what the demo shows is what `safelight` does.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Photographs among the pictures that scikit-image's wheel carries (its data/README.txt names their authors and
# licences); the others are test patterns, drawings, and what microscopes and telescopes saw.
BUNDLED_PHOTOS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "rocket.jpg",
)
SEARCHES_SHOWN = 4


def bundled_photos() -> list[Path]:
    """Return the photographs of the `demo` extra, without importing the package that carries them.

    Raises:
        FileNotFoundError: the extra is not installed.

    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the demo's photos come with the extra `demo`: pip install 'safelight[demo]'")
    folder = Path(spec.origin).parent / "data"
    return [folder / name for name in BUNDLED_PHOTOS if (folder / name).is_file()]


class Shell:
    """Runs `safelight` commands on one library, showing each as a user would type it."""

    def __init__(self, folder: Path) -> None:
        self._environment = dict(
            os.environ,
            SAFELIGHT_LIBRARY=str(folder / "library"),
            SAFELIGHT_PASSPHRASE_FILE=str(folder / "passphrase"),
            SAFELIGHT_DATA_DIR=str(folder / "packs"),
            SAFELIGHT_STATE_DIR=str(folder / "state"),
        )

    def _command(self, arguments: Sequence[str]) -> list[str]:
        # -P keeps a folder named `core` or `ml` where the demo is started from off the import path.
        return [sys.executable, "-P", "-m", "tui.cli", *arguments]

    def show(self, *arguments: str, accepted: tuple[int, ...] = (0,), shown_as: str | None = None) -> None:
        """Print the command line, run it with its output passed through, and stop the demo when it fails."""
        typed = shown_as or " ".join(f"'{part}'" if " " in part or ":" in part else part for part in arguments)
        print(f"\n$ safelight {typed}", flush=True)  # noqa: T201 - the demo is shown
        result = subprocess.run(self._command(arguments), env=self._environment, check=False)
        if result.returncode not in accepted:
            raise SystemExit(result.returncode)

    def json_lines(self, *arguments: str) -> list[dict[str, object]]:
        """Run a command with `--json` and return its lines."""
        command = self._command([*arguments, "--json"])
        result = subprocess.run(command, env=self._environment, check=True, stdout=subprocess.PIPE)
        return [json.loads(line) for line in result.stdout.splitlines()]


def run(photos: Sequence[Path], model: Path | None, folder: Path) -> None:
    """Create a library in `folder`, import `photos` into it, label them and show what searches find."""
    passphrase = folder / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(secrets.token_hex(16))
    shell = Shell(folder)
    shell.show("init", "--name", "demo", "--yes")
    if model is not None:
        shell.show("model", "add", str(model))
        name = next(str(line["name"]) for line in shell.json_lines("model", "list") if not line["builtin"])
        shell.show("model", "use", name)
    shown = f"import {photos[0]}" if len(photos) == 1 else f"import …/{photos[0].name} … ({len(photos)} photos)"
    shell.show("import", *map(str, photos), accepted=(0, 7), shown_as=shown)
    shell.show("search", "--limit", "25")
    found: set[str] = set()
    searches = 0
    for label in sorted(shell.json_lines("label", "list"), key=lambda line: (-int(str(line["photos"])), line["name"])):
        query = f'label:"{label["name"]}"'
        photos_found = {str(photo["id"]) for photo in shell.json_lines("search", query)}
        if photos_found <= found:
            continue  # `drink` after `coffee` would show the same photo again
        found |= photos_found
        shell.show("search", query)
        if searches == 0:
            shell.show("why", min(photos_found)[:8])
        searches += 1
        if searches == SEARCHES_SHOWN:
            break
    print("\nThe library was a throw-away one and is gone. Start your own: safelight init")  # noqa: T201 - shown


def main() -> None:
    """Read the demo's two options and run it in a temporary folder."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of your own photos, or one photo")
    parser.add_argument("--model", type=Path, help="the folder of a model pack of your own")
    options = parser.parse_args()
    photos = [options.photos] if options.photos else bundled_photos()
    with tempfile.TemporaryDirectory(prefix="safelight-demo-") as folder:
        run(photos, options.model, Path(folder))


if __name__ == "__main__":
    main()
