"""A pytest plugin: says how tests ended, and fails the run where the product is not of the folder tested."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

PRODUCT: Final = ("core", "crdt", "crypto", "ml", "sync_relay", "tui")
ELSEWHERE: Final = 99
"""The exit status of a run that tested another tree."""
ENDED: Final = "ended:"
"""Begins a line for each test that ended with an error: when, by which name, with what; separated by tabs."""

_ended: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Take note of what a test raised; the report is left to others."""
    if call.excinfo is not None:
        said = str(call.excinfo.value).partition("\n")[0]
        _ended.append("\t".join((ENDED, call.when, item.nodeid, f"{call.excinfo.typename}: {said}")))


def pytest_unconfigure() -> None:
    """Say how they ended."""
    sys.stdout.write("".join(f"\n{line}\n" for line in _ended))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look where everything that was imported came from."""
    root = session.config.rootpath
    files = (
        Path(str(module.__file__))
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in PRODUCT and getattr(module, "__file__", None)
    )
    if not all(file.is_relative_to(root) for file in files):
        session.exitstatus = ELSEWHERE
