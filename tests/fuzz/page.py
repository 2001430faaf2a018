"""The page docs/fuzzing.md: what is fuzzed, by which target, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.targets import PARTS, TARGETS

if TYPE_CHECKING:
    from tests.fuzz.target import Target

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "fuzzing.md"

_BEGINNING = """\
# What is fuzzed

Whatever reads bytes of strangers has a target: a function that gives bytes to a reader, and the errors by which it may
refuse them. Anything else is a fault: another error, two seconds of work, half a gigabyte of memory, a process that
ends, or a format that does not say again what was read. Where a signature, a seal, a checksum or compression comes
first, the target makes one that holds, as a hostile member could.

`make soak` fuzzes with coverage to go by, which [atheris](https://github.com/google/atheris) gives on 64-bit Linux, and
damages good inputs at random elsewhere; it says which. `make test` tries all inputs that are kept, which are the good
ones, those that coverage led to and those that were faults once, and more that are damaged at random.
[CONTRIBUTING.md](../CONTRIBUTING.md) says how to run one target.

This page is made by `python -P -m tests.fuzz --write` from the targets.
"""

_UNREAD = {
    "Raw photos and HEIC": "Decoded by LibRaw and libheif, which are not Python, in a worker with bounds on memory, "
    "pixels and time that can write nothing. Nothing here can make a small HEIC file to begin with.",
    "A model's weights and operators": "`onnx_file` reads a model first, and refuses what a pack may not hold; then "
    "ONNX Runtime loads it.",
    "Automerge's form of whole documents": "Changes of others are read by our own reader first (`change`, "
    "`change_content`, `snapshot_changes`); whole documents are sealed by this device, and loaded in a worker.",
    "What is behind the seals of derived files and of the device's secrets": "Sealed by this device: who can make "
    "those has its keys. Damage to them is tried (`derived_file`, `sealed_file`, `device_secrets`).",
    "What this device notes for itself in its log": "Written by this device alone.",
    "Rows of a relay's database, a relay's settings": "The operator's own. What clients send is read by "
    "`relay_request` and `relay_request_fields`, and by schemathesis in the tests of the relay.",
    "What the agent is asked": "One byte, by processes of the same user.",
    "Settings of the app": "The user's own.",
}

_ENDING = """
`tests/fuzz/test_parsers.py` looks through the whole program for calls that take bytes apart: a module that has some
needs a target, or a line there that says whose bytes they are.
"""


def page() -> str:
    """Return the page, as it should be."""
    lines = [_BEGINNING, "## Targets", "", "| target | reads | refuses by | through |", "|---|---|---|---|"]
    parts: dict[str, list[Target]] = {part.__name__: [] for part in PARTS}
    for target in TARGETS.values():
        parts[target.read.__module__].append(target)
    lines += [_row(target) for targets in parts.values() for target in targets]
    lines += ["", "## What no target reads", "", "| what | why |", "|---|---|"]
    lines += [f"| {what} | {why} |" for what, why in _UNREAD.items()]
    return "\n".join([*lines, _ENDING])


def _row(target: Target) -> str:
    said = " ".join((target.read.__doc__ or "").split())
    refusals = ", ".join(f"`{refusal.__name__}`" for refusal in target.refusals) or "nothing"
    modules = ", ".join(f"`{module}`" for module in target.covers)
    return f"| `{target.name}` | {said.replace('|', '/')} | {refusals} | {modules} |"
