"""The guards there are: what each stops, how it is taken out, and the test that fails without it (`register.toml`)."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
REGISTER: Final = Path(__file__).with_name("register.toml")


@dataclass(frozen=True)
class Cut:
    """`was`, which occurs exactly once in `file` (in the repository), and what stands there without the guard."""

    file: str
    was: str
    now: str


@dataclass(frozen=True)
class Guard:
    """A guard of the product.

    `attack` is one sentence; `test` is named as pytest names it. `also` says which other guard catches the same, and is
    taken out together with it, because each stands in for the other. `behind` says what stops the attack even without
    this guard: then the test fails because that happens later, costs more, or is named worse.
    """

    name: str
    attack: str
    test: str
    cuts: tuple[Cut, ...]
    also: str = ""
    behind: str = ""


def read_register(path: Path = REGISTER) -> list[Guard]:
    """Return the guards in the order in which they are written down."""
    with path.open("rb") as file:
        listed = tomllib.load(file)["guard"]
    return [
        Guard(
            one["name"],
            one["attack"],
            one["test"],
            tuple(Cut(**cut) for cut in one["cut"]),
            one.get("also", ""),
            one.get("behind", ""),
        )
        for one in listed
    ]


def drift(guards: list[Guard], root: Path = ROOT) -> list[str]:
    """Return what of the register fits the sources no more."""
    wrong = [f"{guard.name}: two guards have this name" for guard in guards if _count(guards, guard.name) > 1]
    sources: dict[str, str] = {}
    tests: dict[str, set[str]] = {}
    for guard in guards:
        for cut in guard.cuts:
            if cut.file not in sources:
                sources[cut.file] = (root / cut.file).read_text(encoding="utf-8") if (root / cut.file).exists() else ""
            count = sources[cut.file].count(cut.was)
            if count != 1:
                wrong.append(f"{guard.name}: its source occurs {count} times in {cut.file}")
        file, _, place = guard.test.partition("::")
        if file not in tests:
            tests[file] = _tests_of(root / file)
        if place.partition("[")[0] not in tests[file]:
            wrong.append(f"{guard.name}: there is no test {guard.test}")
    return wrong


def _count(guards: list[Guard], name: str) -> int:
    return sum(guard.name == name for guard in guards)


def _tests_of(path: Path) -> set[str]:
    """Return the tests in a file, as pytest names them, and classes that hold some."""
    found: set[str] = set()
    if not path.exists():
        return found
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found.update(f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return found
