"""A process is killed, loses its power, or meets a full or failing disk, between any two steps that it takes on files.

Nothing acknowledged is lost, nothing is there in part, the next process goes on, and both devices agree in the end.

`make soak` does the same for longer, from other seeds.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.crash.household import Household
from tests.crash.operations import Checkpointing, Editing, Importing, Pruning, Rotating, Syncing
from tests.crash.rounds import Rounds, can_cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.operations import Operation

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

SEED = 6


@pytest.fixture(scope="module")
def shared() -> Iterator[Household]:
    with Household(random.Random(SEED)) as household:
        yield household


@pytest.fixture
def household(shared: Household, monkeypatch: pytest.MonkeyPatch) -> Household:
    """Return the household that goes through all of these tests: each leaves it settled."""
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(shared.state))
    return shared


def strike(household: Household, operation: Operation, *kinds: str) -> None:
    rounds = Rounds(operation, household.chance)
    for number, kind in enumerate(kinds, 1):
        try:
            rounds.strike(kind)
        except AssertionError as error:
            error.add_note(f"strike {number}: {rounds.what}, with seed {SEED}")
            raise
    household.settle()


def test_edits(household: Household) -> None:
    strike(household, Editing(household), *["kill", "cut"] * 6, "full", "broken", "full", "broken")


def test_imports(household: Household) -> None:
    strike(household, Importing(household), *["kill", "cut"] * 4, "full", "broken")


def test_syncs(household: Household) -> None:
    strike(household, Syncing(household), *["kill", "cut"] * 3, "full", "broken")


def test_checkpoints(household: Household) -> None:
    strike(household, Checkpointing(household), *["kill", "cut"] * 2, "full")


def test_prunes(household: Household) -> None:
    pruning = Pruning(household)
    strike(household, pruning, "kill", "cut", "kill", "full")
    pruning.newcomer()


def test_rotations(household: Household) -> None:
    strike(household, Rotating(household), *["kill", "cut"] * 3, "full", "broken")


def test_power_cuts_are_tried() -> None:
    if not can_cut():
        pytest.skip("this Python hides the functions of its SQLite: kills took the place of power cuts")
