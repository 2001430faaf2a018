"""A run goes by its number alone, reads as a test, and is made small where it fails."""

from __future__ import annotations

import pytest

from tests.soak import drawn
from tests.soak.beginning import beginning
from tests.soak.counts import Counts
from tests.soak.mischief import Fault
from tests.soak.runs import Failure, Run, take
from tests.soak.shrinking import ddmin, shrink
from tests.soak.steps import Step
from tests.soak.world import World

_NUMBER = 50
"""Of a run with many kinds of steps in it that takes no second."""


def _fails(_: World) -> None:
    raise AssertionError("device 3 has lost 0123456789abcdef")


def test_steps_are_left_out_until_none_can_be() -> None:
    """Three of sixty matter, whatever lies between them."""
    steps = [Step("undo", (number,)) for number in range(60)]
    wanted = [steps[3], steps[4], steps[51]]
    tried = 0

    def fails(some: object) -> list[Step] | None:
        nonlocal tried
        tried += 1
        assert isinstance(some, list)
        return some if all(step in some for step in wanted) else None

    assert ddmin(steps, fails) == wanted
    assert tried < 120


def test_a_run_is_the_same_again_and_is_made_small_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What chance drew, what was noted of it, and what that says as text are one run."""
    monkeypatch.setattr(World, "check", _fails)
    found = drawn.run(_NUMBER, Counts())
    assert found is not None
    again = take(found.run)
    assert again is not None
    assert (str(again.run), again.place) == (str(found.run), found.place)
    pasted: dict[str, World] = {}
    try:
        with pytest.raises(AssertionError, match="device 3 has lost"):
            exec(str(found.run), {"World": World, "beginning": beginning, "Fault": Fault}, pasted)  # noqa: S102 (a test's text)
        assert Run.of(pasted["world"]) == found.run
    finally:
        pasted["world"].close()
    assert str(shrink(found, 60).run) == "world = World(beginning(), 50)\nworld.check()"
    assert str(shrink(found, 0).run) == str(found.run)


def test_two_runs_show_one_fault_where_only_numbers_differ() -> None:
    """A run is made small only as long as it fails in the same place."""

    def place(message: str) -> object:
        return Failure(Run(0, []), AssertionError(message)).place

    one = place("device 1 lacks its own envelope 12")
    assert one == place("device 2 lacks its own envelope 7")
    assert one != place("membership of device 1")
