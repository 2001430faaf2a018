"""The table in docs/security.md is that of the tests, and no part of a scenario is without one."""

from __future__ import annotations

import pytest

from tests.hostile.scenarios import SCENARIOS
from tests.hostile.table import BEGIN, END, PAGE, Mark, marks, render, rows


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


def test_the_page_has_the_rows_of_the_marks_and_each_attack_is_held_off(found: list[Mark]) -> None:
    expected = rows(BEGIN + render(found, {mark: mark.told for mark in found}) + END)
    assert rows(PAGE.read_text(encoding="utf-8")) == expected, "run python -P -m tests.hostile.table"
