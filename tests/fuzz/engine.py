"""Fuzzing a target for a while in a process of its own, and making what it found small."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.fuzz.dictionaries import dictionary
from tests.fuzz.kept_inputs import CORPUS, FAULT, inputs
from tests.fuzz.targets import TARGETS
from tests.fuzz.watched import Fault, watch

if TYPE_CHECKING:
    from tests.fuzz.target import Target

RSS_MIB = 1024
_BACKSTOP_SECONDS = 120
"""After so long by the clock even a process that counts its own time is taken for stuck."""
_STATISTICS = {
    "inputs": re.compile(r"stat::number_of_executed_units:\s+(\d+)"),
    "a second": re.compile(r"stat::average_exec_per_sec:\s+(\d+)"),
}
_REACHED = re.compile(r"^#\d+\s+(?:INITED|NEW|REDUCE|pulse|RELOAD|DONE)\s+cov: (\d+) ft: (\d+)", re.MULTILINE)
_FROM_OUTSIDE = frozenset({1, 2, 15})
"""Signals by which somebody ends a process that has done nothing wrong."""
_NOT_SMALLER = ("signal ", "Too", "not repeatable")
"""Faults that cost the process, or seconds each time."""
_TRIES = 3000
_DIGITS = re.compile(r"[^A-Za-z0-9]+")


@dataclass
class Outcome:
    """What fuzzing one target has come to: inputs tried, and each fault with the smallest input that makes it.

    `edges` and `features` are libFuzzer's counts, of what the kept inputs reach and of what was reached in the end:
    branches and comparisons of the product's Python, and how often each was taken.
    """

    inputs: int = 0
    a_second: int = 0
    edges: tuple[int, int] = (0, 0)
    features: tuple[int, int] = (0, 0)
    faults: list[tuple[Fault, bytes]] = field(default_factory=list)

    def __str__(self) -> str:
        edges, features = (f"{begun:,} to {ended:,}" for begun, ended in (self.edges, self.features))
        tried = f"{self.inputs:,} inputs, {self.a_second:,} a second"
        return f"{tried}, edges {edges}, features {features}, {len(self.faults)} faults"


def is_there() -> bool:
    """Tell whether this machine has what guides fuzzing by coverage."""
    return find_spec("atheris") is not None


class Guided:
    """A process that fuzzes with coverage to go by, one target after the other, each in a fork of it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.fuzz.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def fuzz(self, target: Target, seconds: int, seed: int, work: Path) -> Outcome:
        """Fuzz `target` for about so many seconds; what reaches something new is kept in `work`, for the next time.

        Two runs with one seed begin alike, and part where the machine's speed decides.
        """
        known = work / target.name
        known.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="safelight-faults-") as place:
            found, said, words = Path(place, "found"), Path(place, "said"), Path(place, "words")
            found.mkdir()
            options = [
                str(known), str(CORPUS / target.name), f"-max_total_time={seconds}",
                f"-seed={seed % 0xFFFF_FFFF + 1}", f"-rss_limit_mb={RSS_MIB}", f"-timeout={_BACKSTOP_SECONDS}",
                f"-artifact_prefix={found}/", "-print_final_stats=1",
            ]  # fmt: skip
            if words.write_text(dictionary(target.covers), "ascii"):
                options.append(f"-dict={words}")  # it takes no empty one
            code = self._ask(target.name, str(found), str(said), seconds + _BACKSTOP_SECONDS, options)
            told = said.read_text("utf-8", "replace") if said.exists() else ""
            outcome = _counts(told)
            places: set[str] = set()
            for data in [path.read_bytes() for path in sorted(found.iterdir())]:
                fault = check(target, data)
                if fault is not None and fault.place not in places:
                    places.add(fault.place)
                    outcome.faults.append((fault, smaller(target, data, fault)))
        if code and -code not in _FROM_OUTSIDE and not outcome.faults:
            last = told.strip().splitlines()[-12:] or ["python -P -m tests.fuzz.child says why"]
            outcome.faults.append((Fault(f"ended with status {code}", " | ".join(last)[-600:]), b""))
        return outcome

    def _ask(self, *request: object) -> int:
        """Return the exit status of what was asked for; 1 if the process itself has ended."""
        pipes = self._process.stdin, self._process.stdout
        assert pipes[0] is not None
        assert pipes[1] is not None
        try:
            pipes[0].write(json.dumps(request) + "\n")
            pipes[0].flush()
        except OSError:
            return 1
        return int(pipes[1].readline() or 1)


def _counts(said: str) -> Outcome:
    """Return what libFuzzer counted; noughts where it was ended before it said so."""
    numbers = {key: int(match[1]) for key, form in _STATISTICS.items() if (match := form.search(said)) is not None}
    reached = [(int(edges), int(features)) for edges, features in _REACHED.findall(said)] or [(0, 0)]
    edges, features = zip(reached[0], reached[-1], strict=True)
    return Outcome(numbers.get("inputs", 0), numbers.get("a second", 0), edges, features)


def check(target: Target, data: bytes) -> Fault | None:
    """Return the fault that `data` makes, found in a process that it may take down; None if it makes none."""
    with tempfile.NamedTemporaryFile(prefix="safelight-input-") as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-P", "-m", "tests.fuzz", target.name, "--input", file.name]
        try:
            ended = subprocess.run(command, check=False, capture_output=True, timeout=_BACKSTOP_SECONDS)
        except subprocess.TimeoutExpired:
            return Fault("TooSlow by the clock", f"no answer within {_BACKSTOP_SECONDS} seconds")
    if ended.returncode == 0:
        return None
    if ended.returncode < 0:
        return Fault(f"signal {-ended.returncode}", "the process was ended")
    return watch(target, data) or Fault("not repeatable", ended.stdout.decode("utf-8", "replace")[-300:])


def smaller(target: Target, data: bytes, fault: Fault) -> bytes:
    """Return a part of `data` that makes the same fault; as it is where that would cost too much, or the process."""
    if fault.place.startswith(_NOT_SMALLER):
        return data
    tries, step = 0, max(1, len(data) // 2)
    while step and tries < _TRIES:
        at = 0
        while at < len(data) and tries < _TRIES:
            tries += 1
            shorter = data[:at] + data[at + step :]
            again = watch(target, shorter)
            if again is not None and again.place == fault.place:
                data = shorter
            else:
                at += step
        step //= 2
    return data


def fault_name(fault: Fault) -> str:
    """Return the name of the file that keeps an input which makes `fault`."""
    return FAULT + _DIGITS.sub("-", fault.place).strip("-").lower()[:80]


def replay(name: str) -> dict[str, Fault]:
    """Return the faults that the kept inputs of a target make, by their names: none, if all is well."""
    found = {file_name: watch(TARGETS[name], data) for file_name, data in inputs(name).items()}
    return {file_name: fault for file_name, fault in found.items() if fault is not None}
