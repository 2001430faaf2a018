"""Take each guard out, in a copy of the tree, and see its test fail.

    python -P -m tests.guards              all of them, two at a time
    python -P -m tests.guards NAME...      some
    python -P -m tests.guards --write      all, or those named, and what was found into docs/guards.md
    python -P -m tests.guards --list       their names
    python -P -m tests.guards --jobs 1     one after the other

First, all those tests are run on copies as they are: they have to pass. Ends with status 1 where a guard survives.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from tests.guards.origin import ENDED, PRODUCT
from tests.guards.register import ROOT, Guard, drift, read_register

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PAGE: Final = ROOT / "docs" / "guards.md"
FAILS: Final = "fails without it"
SURVIVES: Final = "SURVIVES"
BROKEN: Final = "cannot be told"
NOT_TRIED: Final = "not tried yet"
_MISTAKES: Final = ("NameError", "UnboundLocalError", "SyntaxError", "ImportError", "ModuleNotFoundError", "TypeError")
"""How a test ends when it was not the guard that was missing, but the replacement that was wrong."""
_LIMIT_S: Final = 300
_NICENESS: Final = 5
_JOBS: Final = max(1, min(2, os.cpu_count() or 1))


@dataclass(frozen=True)
class Outcome:
    """What became of a guard's test without the guard: `told` is one of three words, `why` how the test ended."""

    guard: Guard
    told: str
    why: str
    seconds: float


@dataclass(frozen=True)
class Ended:
    """How a test ended that did not pass: at its `setup`, `call` or `teardown`."""

    when: str
    test: str
    error: str


class Tree:
    """A copy of the repository's files, as they are now, in which guards are taken out."""

    def __init__(self, folder: Path) -> None:
        """Copy what git knows of, changed or not."""
        self.folder = folder
        git = shutil.which("git") or "git"
        listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
        for name in filter(None, os.fsdecode(listed).split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self._changed_at = int(time.time())
        self._environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"}
        # Real photos lie beside the checkout, if anywhere, and not beside the copy.
        self._environment.setdefault("SAFELIGHT_TEST_DATA", str(ROOT.parent / "shared" / "data"))

    @contextlib.contextmanager
    def without(self, guard: Guard) -> Iterator[None]:
        """Take a guard out for the block."""
        before = {cut.file: (self.folder / cut.file).read_text(encoding="utf-8") for cut in guard.cuts}
        after = dict(before)
        for cut in guard.cuts:
            after[cut.file] = after[cut.file].replace(cut.was, cut.now)
        try:
            self._put(after)
            yield
        finally:
            self._put(before)

    def run(self, tests: Sequence[str]) -> tuple[int, str]:
        """Run tests of the copy; return pytest's status and what it said."""
        command = [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.guards.origin",
        ]
        try:
            done = subprocess.run(
                [*command, "--no-header", "--tb=line", *tests],
                cwd=self.folder,
                env=self._environment,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_LIMIT_S * max(1, len(tests) // 10),
            )
        except subprocess.TimeoutExpired:
            return -1, "it took too long"
        return done.returncode, done.stdout

    def check_imports(self) -> None:
        """Exit unless every package of the product comes from the copy."""
        code = f"import {', '.join(PRODUCT)}; print(*({', '.join(f'{name}.__file__' for name in PRODUCT)},), sep='\\n')"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=self.folder,
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
        )
        for file in done.stdout.split("\n")[: len(PRODUCT)]:
            if not Path(file).is_relative_to(self.folder):
                sys.exit(f"guards: {file} is not in the copy of the tree")

    def _put(self, sources: dict[str, str]) -> None:
        # Compiled modules are told from their sources by whole seconds: each text gets a second of its own.
        for file, text in sources.items():
            self._changed_at += 1
            (self.folder / file).write_text(text, encoding="utf-8")
            os.utime(self.folder / file, (self._changed_at, self._changed_at))


def try_without(tree: Tree, guard: Guard) -> Outcome:
    """Run a guard's test without the guard."""
    begun = time.monotonic()
    with tree.without(guard):
        status, said = tree.run([guard.test])
    seconds = time.monotonic() - begun
    if status == 0:
        return Outcome(guard, SURVIVES, "the test passes", seconds)
    ended = [one for one in _ended(said) if one.test.partition("[")[0] == guard.test.partition("[")[0]]
    why = ended[0].error if ended else said[-600:]
    if status != 1 or not ended or ended[0].when != "call" or why.startswith(_MISTAKES):
        return Outcome(guard, BROKEN, f"status {status}: {why}", seconds)
    return Outcome(guard, FAILS, why, seconds)


def try_each(guards: Sequence[Guard], jobs: int) -> Iterator[Outcome]:
    """Yield what becomes of each guard's test without it, in their order, `jobs` of them at a time.

    Exits where the tests do not pass with every guard in place; says which are skipped here, and does not try those.
    """
    with contextlib.ExitStack() as stack:
        trees = [Tree(Path(stack.enter_context(_folder())).resolve()) for _ in range(jobs)]
        trees[0].check_imports()
        workers = stack.enter_context(ThreadPoolExecutor(jobs))
        # Neighbours share files, and files their fixtures: each tree gets a stretch of them.
        tests = sorted({guard.test for guard in guards})
        stretches = [tests[len(tests) * job // jobs : len(tests) * (job + 1) // jobs] for job in range(jobs)]
        whole = [(tree, stretch) for tree, stretch in zip(trees, stretches, strict=True) if stretch]
        skipped: set[str] = set()
        for status, said in workers.map(lambda one: one[0].run(one[1]), whole):
            if status:
                sys.exit(f"guards: the tests do not pass with every guard in place (status {status})\n{said[-3000:]}")
            skipped |= {one.test for one in _ended(said)}
        sys.stderr.write("".join(f"guards: {test} is skipped here, and not tried\n" for test in sorted(skipped)))
        free: SimpleQueue[Tree] = SimpleQueue()
        for tree in trees:
            free.put(tree)

        def tried(guard: Guard) -> Outcome:
            tree = free.get()
            try:
                return try_without(tree, guard)
            finally:
                free.put(tree)

        yield from workers.map(tried, [guard for guard in guards if guard.test not in skipped])


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="guards-", ignore_cleanup_errors=True)


def _ended(said: str) -> list[Ended]:
    return [Ended(*line.split("\t", 3)[1:]) for line in said.splitlines() if line.startswith(f"{ENDED}\t")]


def table(guards: Sequence[Guard], results: Mapping[str, str], page: str = "") -> str:
    """Return the page of all guards; those without a result keep what their row in `page` has, if it is as it was."""
    before = dict(line.rsplit(" | ", 1) for line in page.splitlines() if line.startswith("| `"))
    rows = []
    for guard in guards:
        file, _, place = guard.test.partition("::")
        files = ", ".join(f"`{name}`" for name in dict.fromkeys(cut.file for cut in guard.cuts))
        attack = guard.attack + (f" Taken out with it: {guard.also}" if guard.also else "")
        attack += f" Behind it: {guard.behind}" if guard.behind else ""
        row = f"| `{guard.name}` ({files}) | {_cell(attack)} | [{file.removeprefix('tests/')}](../{file}) `{place}`"
        result = results.get(guard.name) or before.get(row, NOT_TRIED).removesuffix(" |")
        rows.append(f"{row} | {result} |")
    count = sum(row.endswith(f" {FAILS} |") for row in rows)
    return (
        "# Guards, and the tests that fail without them\n\n"
        "Each of these stops an attack. `make guards` takes them out, each for itself, in a copy of the tree, and\n"
        "runs the test named beside it, which has passed there just before and has to fail then. What is taken out\n"
        "stands in `tests/guards/register.toml`; this page is made by `python -P -m tests.guards --write`.\n\n"
        "*Taken out with it* is another guard that catches the same; *behind it* is what stops the attack all the\n"
        "same, later, at a higher price or with a worse name.\n\n"
        f"{count} of {len(rows)} guards: {FAILS}.\n\n"
        "| guard | stops | test | result |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 where a guard survives, or cannot be told."""
    parser = argparse.ArgumentParser(prog="python -P -m tests.guards", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a guard, by its name (default: all)")
    parser.add_argument("--write", action="store_true", help="write what was found into docs/guards.md")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--jobs", type=int, default=_JOBS, metavar="N", help=f"guards at a time (default: {_JOBS})")
    asked = parser.parse_args(arguments)
    guards = read_register()
    if asked.list:
        sys.stdout.write("".join(f"{guard.name}\n" for guard in guards))
        return 0
    unknown = set(asked.names) - {guard.name for guard in guards}
    if unknown:
        parser.error(f"no such guard: {', '.join(sorted(unknown))}")
    everything = guards
    guards = [guard for guard in guards if not asked.names or guard.name in asked.names]
    wrong = drift(guards)
    if wrong:
        sys.stderr.write("".join(f"guards: {one}\n" for one in wrong))
        return 1
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    outcomes = []
    for outcome in try_each(guards, max(1, min(asked.jobs, len(guards)))):
        outcomes.append(outcome)
        sys.stdout.write(
            f"{outcome.told:18}{outcome.guard.name:34}{outcome.guard.test}\n"
            f"{outcome.seconds:5.1f} s{'':11}{outcome.why[:200]}\n"
        )
        sys.stdout.flush()
    bad = [outcome for outcome in outcomes if outcome.told != FAILS]
    sys.stdout.write(f"{len(outcomes) - len(bad)} of {len(outcomes)} guards: {FAILS}\n")
    if asked.write:
        page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        PAGE.write_text(table(everything, {one.guard.name: one.told for one in outcomes}, page), encoding="utf-8")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
