"""A relay to try things with: starts one on this machine, prints an invite and the commands to type, ends with ^C.

The relay is the real one, in a process of its own, on SQLite and a folder: what is tried here is what a server does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import NoReturn

DEFAULT_PORT = 7465
_PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.1
_ANSWER_S = 2.0
"""Whoever has the port may listen and say nothing; the relay then has long ended, and is looked at again."""
# -P keeps a folder named `core` or `crypto` where this is started from off the import path.
_RELAY = (sys.executable, "-P", "-m", "sync_relay.server")


class RelayDidNotStart(Exception):
    """The relay's process ended, or does not answer."""


@contextlib.contextmanager
def running_relay(folder: Path, port: int) -> Iterator[str]:
    """Run a relay on loopback that keeps what it has in `folder`; gives its URL once it answers, and ends it at last.

    Raises:
        RelayDidNotStart: what went wrong stands on standard error.
    """
    serve = [*_RELAY, "serve", "--data", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "serve.log"
    # In a session of its own, so that ^C reaches this program alone, which then ends it.
    with (
        log.open("wb") as told,
        subprocess.Popen(serve, stdout=told, stderr=subprocess.STDOUT, start_new_session=True) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            if not _answers(process, url):
                sys.stderr.write(log.read_text(errors="replace"))
                raise RelayDidNotStart(f"the relay did not start on port {port}; --port chooses another")
            yield url
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)


def new_invite(folder: Path) -> str:
    """An invite of the relay that keeps what it has in `folder`: it founds one library there."""
    made = subprocess.run([*_RELAY, "invite", "--data", str(folder), "--json"], check=True, stdout=subprocess.PIPE)
    return str(json.loads(made.stdout)["invite"])


def instructions(url: str, invite: str, folder: Path) -> str:
    """What to type in a second terminal."""
    safelight = _command()
    return f"""
A relay answers at {url} and keeps what it gets in {folder}.

In a second terminal, for a library you have (or first: {safelight} init):

    {safelight} relay use {url} --invite {invite}
    {safelight} sync
    {safelight} relay status

A second device of that library is another folder here. It shows a code, which the third terminal takes:

    {safelight} device add

    export SAFELIGHT_LIBRARY=$HOME/safelight-second SAFELIGHT_STATE_DIR=$HOME/safelight-second-state
    {safelight} join {url} CODE
    {safelight} search

When you are done: {safelight} relay remove {url}
docs/sync.md says more. ^C here ends the relay.
"""


def _command() -> str:
    """How `safelight` is called beside this program: by its name where a shell finds it."""
    beside = Path(sys.executable).with_name("safelight")
    if shutil.which("safelight") is not None or not beside.is_file():
        return "safelight"
    with contextlib.suppress(ValueError):
        return str(beside.relative_to(Path.cwd()))
    return str(beside)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=_ANSWER_S):  # noqa: S310 - loopback, as above
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(_LOOK_EVERY_S)
    return False


def main() -> None:
    """Read the options, run a relay until ^C."""
    parser = argparse.ArgumentParser(prog="make relay", description=__doc__)
    parser.add_argument(
        "data", type=Path, nargs="?", help="keep what the relay gets in this folder (default: a temporary one)"
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.ExitStack() as stack:
        if options.data is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="safelight-relay-"))) / "relay"
        else:
            folder = options.data.resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        try:
            url = stack.enter_context(running_relay(folder, options.port))
        except RelayDidNotStart as error:
            sys.exit(f"make relay: {error}")
        print(instructions(url, new_invite(folder), folder), flush=True)  # noqa: T201 - this is what it is for
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
