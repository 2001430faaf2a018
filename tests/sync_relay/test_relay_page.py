"""docs/relay.md names what there is."""

from __future__ import annotations

from pathlib import Path

from sync_relay.server.__main__ import _parser
from sync_relay.server.application import EVENTS
from sync_relay.server.operations import OPERATIONS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "relay.md").read_text(encoding="utf-8")


def test_the_page_names_every_operation() -> None:
    for operation in OPERATIONS:
        assert f"`{operation.method} {operation.path}`" in PAGE, operation.name
    assert f"`GET {EVENTS}`" in PAGE


def test_the_page_names_every_command_and_option() -> None:
    commands = next(action.choices for action in _parser()._actions if action.choices)
    assert isinstance(commands, dict)
    for name, command in commands.items():
        assert f"| `{name} --data DIR" in PAGE, name
        for action in command._actions:
            for option in action.option_strings:
                assert option in {"-h", "--help"} or f"`{option}" in PAGE or f"{option} " in PAGE, option
