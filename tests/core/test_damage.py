"""Random damage to any file of a library: it is named or it does no harm, and nothing ever fails without a name."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest

from core import edits, history
from core.errors import CoreError, IntegrityAlarm, UnknownFormat
from core.library import Library
from core.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.core.conftest import Bench

PAGE = 4096


def damaged(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    at = rng.randrange(len(changed))
    page = at // PAGE * PAGE
    length = len(changed[page : page + PAGE])
    match rng.choice(["flip", "cut", "zeros", "noise", "another page"]):
        case "flip":
            changed[at] ^= 1 << rng.randrange(8)
        case "cut":
            del changed[at:]
        case "zeros":
            changed[at : at + 64] = bytes(len(changed[at : at + 64]))
        case "noise":
            changed[page : page + PAGE] = rng.randbytes(length)
        case _:
            other = rng.randrange(len(changed)) // PAGE * PAGE
            changed[page : page + length] = changed[other : other + length].ljust(length, b"\0")
    return bytes(changed)


@pytest.fixture
def original(bench: Bench, tmp_path: Path) -> Path:
    with bench.open() as library:
        pids = bench.add_photos(library, 30, blobs=True)
        for number in range(10):
            edits.set_caption(library, pids[number : number + 3], f"caption {number} " * 20)
    shutil.copytree(bench.root, tmp_path / "original")
    return tmp_path / "original"


@pytest.mark.scenario(1, "in a file of the library")
@pytest.mark.parametrize("seed", range(4))
def test_damage_is_named_or_harmless(bench: Bench, original: Path, seed: int) -> None:
    rng = random.Random(seed)
    with bench.open() as library:
        expected = library.catalog.search("")
    outcomes = set()
    for _ in range(12):
        shutil.rmtree(bench.root)
        shutil.copytree(original, bench.root)
        derived = list((bench.root / "derived").iterdir())
        if rng.random() < 0.5:
            shutil.rmtree(bench.root / "derived")
            derived = []
        log = bench.root / "log.db"
        files = [log, log, log, bench.root / "library.toml", *(path for path in derived if path.stat().st_size)]
        path = rng.choice(files)
        path.write_bytes(damaged(path.read_bytes(), rng))
        outcomes.add(outcome(bench, expected))
    assert len(outcomes) > 1


def outcome(bench: Bench, expected: Sequence[object]) -> str:
    try:
        library = Library.open(bench.root, Library.unlock(bench.root, bench.passphrase))
    except (IntegrityAlarm, UnknownFormat) as alarm:
        assert alarm.hint  # noqa: PT017  which of several places raises is the question
        return alarm.name
    with library:
        shown = library.catalog.search("")
        list(history.entries(library))
        problems = verify(library, deep=True).problems
        assert all(problem.hint for problem in problems)
        if shown != expected:
            assert library.alarms, "something is missing, and nobody says so"
        try:
            edits.create_album(library, "life goes on")
        except CoreError as error:
            assert problems, f"{error} came without a warning by verify"  # noqa: PT017  as above
        return library.alarms[0].name if library.alarms else "harmless"
