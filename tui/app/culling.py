"""A round of culling: which photos are looked at one after the other, what was decided, and what undo goes back to.

Near-duplicates are looked at together, a few at a time. Nothing here changes the library: the decisions are handed over
when they are confirmed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from core.culling import CullDecisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Verdict = Literal["keep", "reject"]
MOST_TOGETHER = 4
"""Photos beside each other: with more of them nobody sees which is sharp."""


@dataclass(frozen=True)
class Decision:
    """What was decided on one photo; None: nothing yet."""

    verdict: Verdict | None = None
    favourite: bool | None = None
    rating: int | None = None


@dataclass(frozen=True)
class _Step:
    """What a key changed, and which photo it was about: for undo."""

    focused: bytes
    before: dict[bytes, Decision]


@dataclass(frozen=True)
class Arrangement:
    """Stops, how many photos come before each, and the moment at which that was found out."""

    stops: list[tuple[bytes, ...]]
    before: list[int]
    moment: tuple[int, int, int]


class CullRound:
    """Photos in stops of one or several, a place among them, decisions."""

    def __init__(self, photos: Iterable[bytes], start: int = 0) -> None:
        """Look at `photos`, beginning with number `start`."""
        self.photos = tuple(photos)
        self.stops: list[tuple[bytes, ...]] = [(pid,) for pid in self.photos]
        self.total = len(self.photos)
        self.stop = max(0, min(start, self.total - 1))
        self.focus = 0
        self._decisions: dict[bytes, Decision] = {}
        self._counts: Counter[Verdict] = Counter()
        self._steps: list[_Step] = []
        self._before = _counted(self.stops)

    @property
    def here(self) -> tuple[bytes, ...]:
        """The photos that are looked at now: one, or near-duplicates."""
        return self.stops[self.stop] if self.stops else ()

    @property
    def focused(self) -> bytes | None:
        """The photo that keys are about."""
        return self.here[self.focus] if self.here else None

    @property
    def place(self) -> int:
        """The number of the focused photo, from 1."""
        return self._before[self.stop] + self.focus + 1

    def of(self, pid: bytes) -> Decision:
        """Return what was decided on a photo."""
        return self._decisions.get(pid, Decision())

    def count(self, verdict: Verdict) -> int:
        """Return how many photos are to be kept, or were rejected."""
        return self._counts[verdict]

    @property
    def undecided(self) -> int:
        """How many photos are neither kept nor rejected."""
        return self.total - self.count("keep") - self.count("reject")

    @property
    def has_decisions(self) -> bool:
        """Whether anything would be lost."""
        return bool(self._decisions)

    def result(self) -> CullDecisions:
        """Return the decisions as the library carries them out."""
        decided = self._decisions.items()
        return CullDecisions(
            rejected=[pid for pid, decision in decided if decision.verdict == "reject"],
            favourites={pid: decision.favourite for pid, decision in decided if decision.favourite is not None},
            ratings={pid: decision.rating for pid, decision in decided if decision.rating is not None},
        )

    def group(self, groups: Sequence[Sequence[bytes]]) -> None:
        """Look at near-duplicates together; see `arrange`."""
        while not self.follow(self.arrange(groups)):
            pass

    def arrange(self, groups: Sequence[Sequence[bytes]]) -> Arrangement:
        """Return stops with near-duplicates together, best first, from the next one on; before the first key also here.

        What was decided, and what is being looked at, stays as it is. May be called in a thread: it changes nothing.
        """
        moment = self._moment
        first = self.stop if not self._steps and len(self.here) == 1 else self.stop + 1
        before, after = self.stops[:first], self.stops[first:]
        ahead = {pid for stop in after for pid in stop if pid not in self._decisions}
        group_of: dict[bytes, list[bytes]] = {}
        for group in groups:
            members = [pid for pid in group if pid in ahead]
            if len(members) > 1:
                group_of.update(dict.fromkeys(members, members))
        seen: set[bytes] = set()
        for stop in after:
            if stop[0] in seen:
                continue
            together = group_of.get(stop[0]) if len(stop) == 1 else None
            before += _side_by_side(together) if together else [stop]
            seen.update(together or stop)
        return Arrangement(before, _counted(before), moment)

    def follow(self, arrangement: Arrangement) -> bool:
        """Take over an arrangement; False where a key was pressed since it was made, and another one is needed."""
        if arrangement.moment != self._moment:
            return False
        current = self.focused
        self.stops, self._before = arrangement.stops, arrangement.before
        self.focus = self.here.index(current) if current in self.here else 0
        return True

    @property
    def _moment(self) -> tuple[int, int, int]:
        return len(self.stops), self.stop, len(self._steps)

    def move(self, step: int) -> bool:
        """Go to the photo beside, at the end of those shown together to the next stop; False where there is none."""
        if 0 <= self.focus + step < len(self.here):
            self.focus += step
            return True
        return self.go(step)

    def go(self, step: int) -> bool:
        """Go to another stop; False where there is none."""
        if not 0 <= self.stop + step < len(self.stops):
            return False
        self.stop += step
        self.focus = 0 if step > 0 else len(self.here) - 1
        return True

    def point_at(self, focus: int) -> None:
        """Make another of the photos shown the one that keys are about."""
        self.focus = max(0, min(focus, len(self.here) - 1))

    def keep(self) -> bool:
        """Keep this photo; of those beside it, reject what is undecided. Go on; False at the end of all."""
        focused = self.focused
        changes: dict[bytes, Decision] = {}
        for pid in self.here:
            decision = self.of(pid)
            if pid == focused:
                changes[pid] = replace(decision, verdict="keep")
            elif decision.verdict is None:
                changes[pid] = replace(decision, verdict="reject")
        self._decide(changes)
        return self.go(1)

    def keep_all(self) -> bool:
        """Keep all that are shown together, and go on; False at the end of all."""
        self._decide({pid: replace(self.of(pid), verdict="keep") for pid in self.here})
        return self.go(1)

    def reject(self) -> bool:
        """Reject this photo; go to the next one of these that is undecided, else on; False at the end of all."""
        focused = self.focused
        if focused is None:
            return False
        self._decide({focused: replace(self.of(focused), verdict="reject")})
        order = [*range(self.focus + 1, len(self.here)), *range(self.focus)]
        following = next((at for at in order if self.of(self.here[at]).verdict is None), None)
        if following is None:
            return self.go(1)
        self.focus = following
        return True

    def favourite(self, *, wanted: bool) -> None:
        """Make this photo a favourite, or not."""
        if self.focused is not None:
            self._decide({self.focused: replace(self.of(self.focused), favourite=wanted)})

    def rate(self, stars: int) -> None:
        """Rate this photo 0 to 5."""
        if self.focused is not None:
            self._decide({self.focused: replace(self.of(self.focused), rating=stars)})

    def undo(self) -> bool:
        """Take the last decision back, and go where it was made; False where there is none."""
        if not self._steps:
            return False
        step = self._steps.pop()
        self._put(step.before)
        # Stops may have been made longer since.
        self.stop = next(at for at, stop in enumerate(self.stops) if step.focused in stop)
        self.focus = self.here.index(step.focused)
        return True

    def _decide(self, changes: dict[bytes, Decision]) -> None:
        if self.focused is not None:
            self._steps.append(_Step(self.focused, {pid: self.of(pid) for pid in changes}))
            self._put(changes)

    def _put(self, decisions: dict[bytes, Decision]) -> None:
        for pid, decision in decisions.items():
            for verdict, by in ((self.of(pid).verdict, -1), (decision.verdict, 1)):
                if verdict is not None:
                    self._counts[verdict] += by
            if decision == Decision():
                self._decisions.pop(pid, None)
            else:
                self._decisions[pid] = decision


def _counted(stops: Sequence[tuple[bytes, ...]]) -> list[int]:
    """Return how many photos come before each stop, and how many there are."""
    return [0, *accumulate(map(len, stops))]


def _side_by_side(group: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Return a group in parts that fit beside each other, none of them a single photo if it can be helped."""
    parts = -(-len(group) // MOST_TOGETHER)
    size, longer = divmod(len(group), parts)
    cut: list[tuple[bytes, ...]] = []
    at = 0
    for part in range(parts):
        end = at + size + (1 if part < longer else 0)
        cut.append(tuple(group[at:end]))
        at = end
    return cut
