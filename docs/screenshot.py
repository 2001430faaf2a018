"""Makes docs/search.svg: a real session in a terminal of 100 columns, on the demo's photos and the built-in model.

python -P docs/screenshot.py
"""

from __future__ import annotations

import io
import os
import pty
import re
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tui.demo import bundled_photos

COLUMNS = 100
# The drawing must not fetch a font from anywhere when somebody looks at it.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
SESSION = (
    ("search", "--limit", "8"),
    ("search", "label:vehicle"),
    ("why", "{found}"),
    ("search", "labl:coffee"),
)


def typed(arguments: tuple[str, ...]) -> str:
    """Return a command line as a user would type it."""
    return "safelight " + " ".join(f"'{part}'" if ":" in part else part for part in arguments)


def on_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    """Return what `command` shows on a terminal, escape sequences included."""
    parent, child = pty.openpty()
    process = subprocess.Popen(command, env=environment, stdin=child, stdout=child, stderr=child)
    os.close(child)
    shown = bytearray()
    while True:
        try:
            data = os.read(parent, 65536)
        except OSError:  # Linux reports the end of a terminal's output as an error
            break
        if not data:
            break
        shown += data
    process.wait()
    os.close(parent)
    return shown.decode().replace("\r\n", "\n")


def main() -> None:
    """Run the session and draw it."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        passphrase = folder / "passphrase"
        passphrase.touch(mode=0o600)
        passphrase.write_text(secrets.token_hex(16))
        environment = dict(
            os.environ,
            TERM="xterm-256color",
            COLUMNS=str(COLUMNS),
            LINES="40",
            SAFELIGHT_LIBRARY=str(folder / "library"),
            SAFELIGHT_PASSPHRASE_FILE=str(passphrase),
            SAFELIGHT_STATE_DIR=str(folder / "state"),
            SAFELIGHT_DATA_DIR=str(folder / "data"),
            SAFELIGHT_RUNTIME_DIR=str(folder / "run"),
        )
        safelight = [sys.executable, "-P", "-m", "tui.cli"]
        subprocess.run([*safelight, "init", "--yes"], env=environment, check=True, capture_output=True)
        photos = [str(photo) for photo in bundled_photos()]
        subprocess.run([*safelight, "import", *photos], env=environment, check=True, capture_output=True)
        completed = subprocess.run(
            [*safelight, "search", "label:vehicle"], env=environment, check=True, capture_output=True
        )
        identity = completed.stdout.decode().split("\t")[0][:8]
        for arguments in SESSION:
            line = tuple(part.format(found=identity) for part in arguments)
            console.print(Text.assemble(("$ ", "bold green"), (typed(line), "bold")))
            console.print(Text.from_ansi(on_a_terminal([*safelight, *line], environment)))
    console.save_svg(str(Path(__file__).with_name("search.svg")), title="safelight", code_format=FORMAT)


if __name__ == "__main__":
    main()
