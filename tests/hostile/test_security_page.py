"""The table in docs/security.md is that of the tests, and no part of a scenario is without one."""

from __future__ import annotations

import pytest

from tests.hostile.scenarios import SCENARIOS
from tests.hostile.table import BEGIN, END, NOT_RUN, PAGE, Mark, marks, render, rows


@pytest.fixture(scope="module")
def found() -> list[Mark]:
    return marks()


def test_every_part_of_every_scenario_has_a_test(found: list[Mark]) -> None:
    shown = {(mark.scenario, mark.clause) for mark in found}
    missing = [
        (number, clause)
        for number, scenario in SCENARIOS.items()
        for place, clause in enumerate(scenario.clauses)
        if (number, place) not in shown
    ]
    assert missing == []


def test_the_page_has_the_rows_of_the_marks(found: list[Mark]) -> None:
    shown = rows(PAGE.read_text(encoding="utf-8"))
    expected = rows(BEGIN + render(found, {mark: mark.told for mark in found}) + END)
    again = "run python -P -m tests.hostile.table"
    assert [row.split(" | ")[:2] for row in shown] == [row.split(" | ")[:2] for row in expected], again
    wrong = [row for row, right in zip(shown, expected, strict=True) if row != right and NOT_RUN not in row]
    assert wrong == [], again
