"""Runs of steps that plain chance draws, in swarms: each run leaves out some kinds of steps.

A. Groce, C. Zhang, E. Eide, Y. Chen and J. Regehr, "Swarm testing", ISSTA 2012: a run that has everything in it seldom
gets far with any one thing (what is withheld is let go, what is forked is joined), and what a fault needs is often that
something else does not happen. A run goes by its number alone.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from tests.soak.beginning import beginning
from tests.soak.mischief import Fault
from tests.soak.runs import Failure, Run
from tests.soak.steps import AMOUNTS, MOST_DEVICES, MOST_FAULTS, REQUESTS, TABLE, Faults, Step
from tests.soak.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.soak.counts import Counts
    from tests.soak.steps import Domain

LEAST_STEPS: Final = 20
MOST_STEPS: Final = 140
_LEFT_OUT: Final = 0.4


def swarm(chance: random.Random) -> dict[str, float]:
    """Return the kinds of steps of one run, by their names, and how often each comes; devices sync in all of them."""
    weights = {name: kind.weight for name, kind in TABLE.items() if chance.random() >= _LEFT_OUT}
    return weights | {"sync": 4}


def _argument(chance: random.Random, domain: Domain) -> object:
    if not isinstance(domain, Faults):
        return chance.choice(domain)
    count = chance.randint(1, MOST_FAULTS)
    return [Fault(chance.choice(domain.kinds), chance.choice(REQUESTS), chance.choice(AMOUNTS)) for _ in range(count)]


def _step(chance: random.Random, world: World, weights: Mapping[str, float]) -> Step:
    there = [name for name in weights if TABLE[name].when(world)]
    kind = TABLE[chance.choices(there, [weights[name] for name in there])[0]]
    return Step(kind.method, named={name: _argument(chance, domain) for name, domain in kind.domains.items()})


def run(number: int, counts: Counts) -> Failure | None:
    """Take the run of this number, and count it; return how it failed, if it did."""
    chance = random.Random(number)
    weights = swarm(chance)
    world = World(beginning(), number)
    try:
        for by in range(chance.randint(0, MOST_DEVICES - 2)):
            world.add_device(by)
        for _ in range(chance.randint(LEAST_STEPS, MOST_STEPS)):
            _step(chance, world, weights).take(world)
        steps = world.steps
        world.check()
    except Exception as error:  # noqa: BLE001 - whatever comes is what this looks for
        return Failure(Run.of(world), error)
    else:
        counts.steps += steps
        counts.alarms += world.alarms
    finally:
        world.close()
    return None
