"""Fuzzing a target for a while in a process of its own, and making what it found small."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.kept_inputs import CORPUS, FAULT, inputs
from tests.fuzz.targets import TARGETS
from tests.fuzz.watched import Fault, watch

if TYPE_CHECKING:
    from tests.fuzz.target import Target

RSS_MIB = 1024
_BACKSTOP_SECONDS = 120
"""After so long by the clock even a process that counts its own time is taken for stuck."""
_START_SECONDS = 60
_EXECUTED = re.compile(rb"stat::number_of_executed_units:\s+(\d+)")
_FROM_OUTSIDE = frozenset({1, 2, 15})
"""Signals by which somebody ends a process that has done nothing wrong."""
_NOT_SMALLER = ("signal ", "Too", "not repeatable")
"""Faults that cost the process, or seconds each time."""
_TRIES = 3000
_DIGITS = re.compile(r"[^A-Za-z0-9]+")


@dataclass
class Outcome:
    """What fuzzing one target has come to: inputs tried, and each fault with the smallest input that makes it."""

    inputs: int = 0
    faults: list[tuple[Fault, bytes]] = field(default_factory=list)


def is_there() -> bool:
    """Tell whether this machine has what guides fuzzing by coverage."""
    return find_spec("atheris") is not None


def fuzz(target: Target, seconds: int, seed: int, work: Path) -> Outcome:
    """Fuzz `target` for about so many seconds; inputs that reach something new are kept in `work`, for the next time.

    Two runs with one seed begin alike, and part where the machine's speed decides.
    """
    known = work / target.name
    known.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="safelight-faults-") as found:
        command = [
            sys.executable, "-P", "-m", "tests.fuzz.child", target.name, found, str(known), str(CORPUS / target.name),
            f"-max_total_time={seconds}", f"-seed={seed % 0xFFFF_FFFF + 1}", f"-rss_limit_mb={RSS_MIB}",
            f"-timeout={_BACKSTOP_SECONDS}", f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=0",
        ]  # fmt: skip
        try:
            ended = subprocess.run(
                command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                timeout=seconds + _BACKSTOP_SECONDS + _START_SECONDS,
            )  # fmt: skip
            said, code = ended.stderr, ended.returncode
        except subprocess.TimeoutExpired as late:
            said, code = late.stderr or b"", 1
        count = _EXECUTED.search(said)
        outcome = Outcome(int(count[1]) if count is not None else 0)
        places: set[str] = set()
        for data in [path.read_bytes() for path in sorted(Path(found).iterdir())]:
            fault = check(target, data)
            if fault is not None and fault.place not in places:
                places.add(fault.place)
                outcome.faults.append((fault, smaller(target, data, fault)))
        if code and -code not in _FROM_OUTSIDE and not outcome.faults:
            last = said.decode("utf-8", "replace").strip().splitlines()[-12:]
            outcome.faults.append((Fault(f"ended with status {code}", " | ".join(last)[-600:]), b""))
    return outcome


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
