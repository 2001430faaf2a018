"""A process is killed, loses its power, or meets a full or failing disk, between any two steps that it takes on files.

Nothing acknowledged is lost, nothing is there in part, the next process goes on, and both devices agree in the end.

`make soak` does the same for longer, from other seeds.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.crash.arrivals import Joining, Recovering
from tests.crash.household import Household
from tests.crash.migrations import MIGRATIONS, migration
from tests.crash.operations import Checkpointing, Editing, Importing, Pruning, Rotating, Syncing
from tests.crash.relay_operations import Freeing, Serving
from tests.crash.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.migrations import Founding, Upgrading, UpgradingRelay
    from tests.crash.operation import Operation

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
    """Return the household of all of these tests, as it was in the beginning."""
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(shared.state))
    shared.begin_anew()
    return shared


def strike(operation: Operation, chance: random.Random, *kinds: str) -> None:
    """Strike, and let what fails say how to repeat it."""
    rounds = Rounds(operation, chance)
    for number, kind in enumerate(kinds, 1):
        try:
            rounds.strike(kind)
        except AssertionError as error:
            error.add_note(f"strike {number}: {rounds.what}, with seed {SEED}")
            raise


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_edits(household: Household) -> None:
    strike(Editing(household), household.chance, *["kill", "cut"] * 3, "full", "broken", "full", "broken")
    household.settle()


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_imports(household: Household) -> None:
    strike(Importing(household), household.chance, "kill", "cut", "kill", "full", "broken")
    household.settle()


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_syncs(household: Household) -> None:
    strike(Syncing(household), household.chance, "kill", "cut", "kill", "full", "broken")


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_checkpoints(household: Household) -> None:
    strike(Checkpointing(household), household.chance, "kill", "cut", "kill")


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_prunes(household: Household) -> None:
    pruning = Pruning(household)
    strike(pruning, household.chance, "kill", "cut", "kill")
    pruning.newcomer()


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_rotations(household: Household) -> None:
    strike(Rotating(household), household.chance, *["kill", "cut"] * 2, "full", "broken")
    household.settle()


@pytest.mark.scenario(12, "kill -9 between any two steps")
@pytest.mark.parametrize("kind", [Joining, Recovering], ids=lambda kind: kind.name)
def test_arrivals(household: Household, kind: type[Joining | Recovering]) -> None:
    strike(kind(household), household.chance, "kill", "cut")


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_originals_that_make_room(household: Household) -> None:
    strike(Freeing(household), household.chance, "kill", "cut", "kill")


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_relays(household: Household) -> None:
    strike(Serving(household), household.chance, *["kill", "cut"] * 2, "full", "broken")


@pytest.mark.scenario(12, "kill -9 between any two steps")
@pytest.mark.parametrize("kind", MIGRATIONS, ids=lambda kind: kind.name)
def test_migrations(kind: type[Founding | Upgrading | UpgradingRelay]) -> None:
    chance = random.Random(SEED)
    with migration(kind, chance) as operation:
        strike(operation, chance, "kill", "cut", "full" if chance.random() < 0.5 else "broken")
