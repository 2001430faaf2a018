"""`safelight unlock`: start the agent."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import library_options

if TYPE_CHECKING:
    from tui.cli.session import Session

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d+[smhd])+")


class Duration(click.ParamType[int]):
    """A time such as `8h`, `45m` or `1h30m`, as seconds."""

    name = "duration"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Seconds, at least one."""
        if isinstance(value, int):
            return value
        text = str(value).replace(" ", "")
        seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))
        if not _DURATION.fullmatch(text) or seconds < 1:
            self.fail(f"'{output.plain(str(value))}' is no time: write 8h, 45m or 1h30m", parameter, context)
        return seconds


@click.command("unlock")
@click.option("--for", "lifetime", type=Duration(), default="8h", show_default=True, metavar="TIME", help="How long.")
@library_options
def command(session: Session, lifetime: int) -> None:
    """Keep the library open for a while, so that commands ask for no passphrase.

    A small process keeps this device's keys in memory until the time is up, `safelight lock`, or the machine restarts.
    """
    from core.agent import start_agent
    from core.layout import Layout
    from core.library_file import LibraryFile

    secrets = session.unlock_by_passphrase()
    library_id = LibraryFile.read(Layout(session.root).library_file).library_id
    status = start_agent(library_id, session.root, secrets, lifetime)
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.expires_at))
    output.say(f"Unlocked until {until}; `safelight lock` ends it before.")
