"""How a file of vectors is put together: cases of one shape, bytes as lower-case hexadecimal, each fault named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "vectors"
Case = dict[str, Any]
ABSENT = "absent"
"""What a reader makes of a file that it makes anew: as if it were not there."""


def fixed(name: str, length: int = 32) -> bytes:
    """Return bytes in place of random ones."""
    return hashlib.shake_128(f"safelight vectors: {name}".encode()).digest(length)


def flipped(data: bytes, place: int, mask: int = 1) -> bytes:
    """Return `data` with the bits of `mask` flipped in one byte."""
    changed = bytearray(data)
    changed[place] ^= mask
    return bytes(changed)


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def case(name: str, expected: str, given: Case, output: Case | None = None) -> Case:
    """Return one case; `output` is what a reader returns of a good one."""
    made: Case = {"name": name, "expected": expected, "input": plain(given)}
    return made if output is None else {**made, "output": plain(output)}


def file_of(about: str, cases: list[Case]) -> str:
    """Return the text of one file of vectors."""
    names = [made["name"] for made in cases]
    if len(set(names)) != len(names):
        raise ValueError("two cases have one name")
    return json.dumps({"about": about, "cases": cases}, indent=1, ensure_ascii=False) + "\n"


def read(name: str) -> list[Case]:
    """Return the cases of a file of vectors."""
    cases: list[Case] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["cases"]
    return cases
