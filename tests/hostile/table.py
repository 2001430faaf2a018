"""The table in docs/security.md: what is attacked, by which test, with which result.

    python -P -m tests.hostile.table                    run every marked test, and write the table
    python -P -m tests.hostile.table tests/a.py …       run those of some files; other rows stay as they are
    python -P -m tests.hostile.table -n 2               run every one in two processes
    python -P -m tests.hostile.table --results A.xml …  take what `pytest --junitxml` wrote of runs before

What is in the table is read from the marks in the sources (`marks`); how it ended is known by running them.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

from tests.hostile.scenarios import SCENARIOS

TESTS: Final = Path(__file__).resolve().parents[1]
PAGE: Final = TESTS.parent / "docs" / "security.md"
BEGIN: Final = "<!-- table: made by python -P -m tests.hostile.table -->"
END: Final = "<!-- end of table -->"
NOT_RUN: Final = "not run when this was written"
_MARK: Final = "mark.scenario("


@dataclass(frozen=True, order=True)
class Mark:
    """One test, or class of tests, and the part of a scenario that it shows."""

    scenario: int
    clause: int
    test: str
    """As pytest names it: `tests/x.py::TestY::test_z`."""
    alarms: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What a user sees of it."""
        names = ", ".join(f"`{alarm}`" for alarm in self.alarms)
        return f"held; named {names}" if names else "held"


def marks(tests: Path = TESTS) -> list[Mark]:
    """Return the marks below a folder of tests. Raises `ValueError` where one names a scenario or part that is none."""
    found: list[Mark] = []
    for path in sorted(tests.rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if _MARK in source:
            name = path.relative_to(tests.parent).as_posix()
            found += _of(ast.parse(source, filename=name), name)
    return sorted(found)


def _of(parent: ast.Module | ast.ClassDef, name: str) -> list[Mark]:
    found = []
    for node in parent.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            below = f"{name}::{node.name}"
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("mark.scenario"):
                    found += _read(decorator, below)
            if isinstance(node, ast.ClassDef):
                found += _of(node, below)
    return found


def _read(call: ast.Call, test: str) -> list[Mark]:
    number, *clauses = (ast.literal_eval(argument) for argument in call.args)
    more = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    alarms = more.pop("alarm", ())
    known = SCENARIOS[number].clauses if number in SCENARIOS else ()
    if more or not clauses or not set(clauses) <= set(known):
        raise ValueError(f"{test}: no such part of scenario {number}: {clauses} {more}")
    named = (alarms,) if isinstance(alarms, str) else tuple(alarms)
    return [Mark(number, known.index(clause), test, named) for clause in clauses]


class Outcomes:
    """A pytest plugin that remembers how each test ended, and reads what earlier runs wrote."""

    def __init__(self) -> None:
        self.by_test: dict[str, set[str]] = defaultdict(set)

    def read(self, results: Path) -> None:
        """Take in a file of `pytest --junitxml`; what it says of a test counts more than files before it."""
        found: dict[str, set[str]] = defaultdict(set)
        for case in ET.parse(results).getroot().iter("testcase"):  # noqa: S314 (our own file)
            ended = {child.tag for child in case}
            outcome = "failed" if ended & {"failure", "error"} else "skipped" if "skipped" in ended else "passed"
            found[f"{case.get('classname')}.{case.get('name', '').partition('[')[0]}"].add(outcome)
        self.by_test.update(found)

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = _dotted(report.nodeid.partition("[")[0])
        if report.when == "call" or report.outcome != "passed":
            self.by_test[name].add(report.outcome)

    def of(self, mark: Mark) -> str:
        """Say how the test, or every test of the class, ended."""
        name = _dotted(mark.test)
        ended = [
            outcome
            for test, outcomes in self.by_test.items()
            if test == name or test.startswith(f"{name}.")
            for outcome in outcomes
        ]
        if "failed" in ended:
            return "**FAILED**"
        if "passed" not in ended:
            return NOT_RUN
        return mark.told


def _dotted(test: str) -> str:
    return test.replace(".py::", ".").replace("::", ".").replace("/", ".")


def run(found: list[Mark], *arguments: str) -> Outcomes:
    """Run the marked tests."""
    outcomes = Outcomes()
    files = sorted({mark.test.partition("::")[0] for mark in found})
    pytest.main(["-m", "scenario", "-q", "-p", "no:cacheprovider", *arguments, *files], plugins=[outcomes])
    return outcomes


def render(found: list[Mark], results: dict[Mark, str]) -> str:
    """Return the table: a part of it for each scenario, a row for each part of a scenario and test."""
    lines = []
    for number, scenario in SCENARIOS.items():
        lines += [f"### {number}. {scenario.title}", "", "| what | test | result |", "|---|---|---|"]
        for mark in found:
            if mark.scenario == number:
                lines.append(row(mark, results[mark]))
        lines.append("")
    return "\n".join(lines)


def row(mark: Mark, result: str) -> str:
    """Return the row of a mark."""
    file, _, test = mark.test.removeprefix("tests/").partition("::")
    clause = SCENARIOS[mark.scenario].clauses[mark.clause]
    return f"| {clause} | [{file}](../tests/{file}) `{test}` | {result} |"


def rows(page: str) -> list[str]:
    """Return the rows of the table in a page."""
    part = page.partition(BEGIN)[2].partition(END)[0]
    return [line for line in part.splitlines() if re.match(r"\|(?!---| what )", line)]


def main() -> int:
    """Run all marked tests and write the table; the exit status tells whether all attacks were held off."""
    parser = argparse.ArgumentParser(prog="python -P -m tests.hostile.table", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="files of tests to run; others keep the rows that they have")
    parser.add_argument("-n", dest="processes", default="0", help="how many processes run tests (0: this one)")
    parser.add_argument("--results", nargs="+", type=Path, help="files of earlier runs, in place of a run now")
    chosen = parser.parse_args()
    found = marks()
    if chosen.results:
        outcomes = Outcomes()
        for results in chosen.results:
            outcomes.read(results)
    else:
        wanted = [mark for mark in found if not chosen.files or mark.test.partition("::")[0] in chosen.files]
        outcomes = run(wanted, *(["-n", chosen.processes] if chosen.processes != "0" else []))
    results = {mark: outcomes.of(mark) for mark in found}
    page = PAGE.read_text(encoding="utf-8")
    if chosen.files:
        known = rows(page)
        results |= {mark: mark.told for mark in found if results[mark] == NOT_RUN and row(mark, mark.told) in known}
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{render(found, results)}\n{END}{after}", encoding="utf-8")
    wrong = [mark for mark, result in results.items() if result != mark.told]
    sys.stdout.write(f"{len(found)} rows of {len(SCENARIOS)} scenarios, {len(wrong)} not held or not run\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
