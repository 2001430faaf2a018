"""docs/commands.md says what the commands say."""

from __future__ import annotations

from pathlib import Path

from tui.cli.reference import commands_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == commands_page(), "run: python -m tui.cli.reference > docs/commands.md"
