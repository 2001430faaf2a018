"""Any sequence of what users, networks and attackers do to a library on several devices, as Hypothesis draws it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.soak.beginning import beginning
from tests.soak.counts import Counts
from tests.soak.mischief import Fault
from tests.soak.runs import Run
from tests.soak.steps import AMOUNTS, MOST_DEVICES, MOST_FAULTS, REQUESTS, TABLE, Faults, Step
from tests.soak.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soak.steps import Domain, Kind

_OFTEN: Final = 5
"""Kinds of steps of this weight are two rules of the machine, which takes one rule as often as another."""


class Devices(RuleBasedStateMachine):
    """Devices, a relay, and whoever stands between them; the rules are those of `TABLE`."""

    counts: ClassVar = Counts()
    """What machines of this class have done."""
    last: ClassVar[Run | None] = None
    """The run that ended last: after a failure, the one that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(seed=st.integers(0, 1 << 16), more=st.integers(0, MOST_DEVICES - 2))
    def begin(self, seed: int, more: int) -> None:
        self.world = World(beginning(), seed)
        for by in range(more):
            self.world.add_device(by)

    def teardown(self) -> None:
        if self.world is None:
            return
        world = self.world
        try:
            if sys.exception() is not None:  # of a step: what comes after it means nothing
                return
            steps = world.steps
            world.check()
            self.counts.steps += steps
            self.counts.alarms += world.alarms
        finally:
            type(self).last = Run.of(world)
            note(str(self.last))
            world.close()


def _strategy(domain: Domain) -> st.SearchStrategy[Any]:
    if isinstance(domain, Faults):
        fault = st.builds(Fault, st.sampled_from(domain.kinds), st.sampled_from(REQUESTS), st.sampled_from(AMOUNTS))
        return st.lists(fault, min_size=1, max_size=MOST_FAULTS)
    return st.sampled_from(domain)


def _rule(name: str, kind: Kind) -> Callable[..., None]:
    def take(self: Devices, **arguments: object) -> None:
        assert self.world is not None
        Step(kind.method, named=arguments).take(self.world)

    take.__name__ = name
    drawn: dict[str, Any] = {argument: _strategy(domain) for argument, domain in kind.domains.items()}
    made: Callable[[Callable[..., None]], Callable[..., None]] = rule(**drawn)
    return precondition(lambda self: self.world is not None and kind.when(self.world))(made(take))


for _name, _kind in TABLE.items():
    setattr(Devices, _name, _rule(_name, _kind))
    if _kind.weight >= _OFTEN:
        setattr(Devices, f"{_name}_more", _rule(f"{_name}_more", _kind))
