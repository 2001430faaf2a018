"""The register of guards fits the sources; that each test fails without its guard is shown by `make guards`."""

from __future__ import annotations

from tests.guards.__main__ import PAGE, table
from tests.guards.register import drift, read_register


def test_every_guard_is_there_once_and_every_test_exists() -> None:
    assert drift(read_register()) == []


def test_the_page_has_the_guards_of_the_register_as_they_were_tried() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert table(read_register(), {}, page) == page, "try what changed: python -P -m tests.guards --write NAME..."
