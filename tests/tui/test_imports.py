"""What starting a command loads: seen in processes of their own, because tests load everything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tui.cli import command_table
from tui.cli.application import application

if TYPE_CHECKING:
    from tests.tui.conftest import CommandLine

SHOW = "import sys; print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running `code`."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nfinally:\n    {SHOW}"
    result = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    return set(result.stderr.split("\n"))


def loaded_by_command(*arguments: str) -> set[str]:
    return loaded_by(f"sys.argv = ['safelight', *{list(arguments)!r}]; from tui.cli.__main__ import main; main()")


def test_help_loads_nothing_but_its_table() -> None:
    loaded = loaded_by_command("--help")
    assert {
        name for name in loaded if name.split(".")[0] in {"tui", "core", "crypto", "crdt", "ml", "click", "rich"}
    } == {
        "tui",
        "tui.cli",
        "tui.cli.__main__",
        "tui.cli.command_table",
    }
    for heavy in ("re", "dataclasses", "typing", "inspect", "pathlib", "enum"):
        assert heavy not in loaded, heavy


@pytest.mark.parametrize("command", command_table.command_names())
def test_the_help_of_a_command_loads_no_library(command: str) -> None:
    loaded = loaded_by_command(command, "--help")
    for heavy in ("core.library", "sqlalchemy", "nacl", "automerge", "onnxruntime", "PIL", "numpy", "rich", "logging"):
        assert heavy not in loaded, heavy


def test_search_loads_only_what_it_needs(filled: CommandLine) -> None:
    loaded = loaded_by_command("search", "label:dog", "--json")
    for heavy in (
        "onnxruntime",
        "PIL",
        "pi_heif",
        "numpy",
        "textual",
        "rich",
        "structlog",
        "httpx",
        "core.importing.pipeline",
    ):
        assert heavy not in loaded, heavy


@pytest.mark.parametrize(
    ("package", "strangers"),
    [
        (
            "crypto.envelope, crypto.blob, crypto.membership",
            ("automerge", "sqlalchemy", "PIL", "onnxruntime", "crdt", "core"),
        ),
        ("crdt.replica", ("nacl", "sqlalchemy", "PIL", "onnxruntime", "crypto", "core")),
        ("ml.pack, ml.labels, ml.installed", ("nacl", "sqlalchemy", "automerge", "crypto", "crdt", "core")),
        ("core.library", ("click", "rich", "textual", "tui", "onnxruntime", "PIL")),
        ("core.importing.worker", ("nacl", "sqlalchemy", "automerge", "crypto", "core.library")),
    ],
)
def test_each_package_loads_only_its_own(package: str, strangers: tuple[str, ...]) -> None:
    loaded = loaded_by(f"import {package}")
    assert loaded.isdisjoint(strangers), loaded & set(strangers)


def test_the_table_and_the_commands_say_the_same() -> None:
    for name in command_table.command_names():
        command = application.get_command(application.make_context("safelight", [], resilient_parsing=True), name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(200).split(".")[0], name
    modules = {command_table.module_of(name) for name in command_table.command_names()}
    folder = Path(command_table.__file__).parent / "commands"
    assert {f"tui.cli.commands.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"} == modules


def test_only_core_is_known_to_the_interface() -> None:
    loaded = loaded_by("import tui.cli.application, tui.cli.session, tui.cli.options, tui.cli.output")
    assert loaded.isdisjoint({"core", "crypto", "crdt", "ml", "sync_relay"})
