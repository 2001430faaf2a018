"""The steps that a run is made of: one as it was taken, and the table of what may be drawn, and how often.

Whoever draws steps draws them from here: Hypothesis (`tests.soak.machine`) and plain chance (`tests.soak.drawn`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.soak.mischief import HARMLESS, KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.soak.world import World

MOST_DEVICES: Final = 4
MOST_FAULTS: Final = 3
"""That go wrong in one run of sync."""


@dataclass(frozen=True)
class Step:
    """A call of one of `World`'s methods; as text it is that call, which can be written into a test."""

    method: str
    arguments: tuple[object, ...] = ()
    named: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the call."""
        told = [repr(one) for one in self.arguments] + [f"{name}={value!r}" for name, value in self.named.items()]
        return f"world.{self.method}({', '.join(told)})"

    def take(self, world: World) -> None:
        """Make the call."""
        getattr(world, self.method)(*self.arguments, **self.named)


@dataclass(frozen=True)
class Faults:
    """From one to `MOST_FAULTS` faults of these kinds."""

    kinds: Sequence[str]


Domain = Sequence[object] | Faults
"""What an argument is drawn from."""


def _always(_: World) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """One kind of step: the method, what each argument is drawn from, how often it comes, and when it does anything."""

    method: str
    domains: Mapping[str, Domain] = field(default_factory=dict)
    weight: float = 1
    when: Callable[[World], bool] = _always


DEVICES: Final = range(MOST_DEVICES)
PHOTOS: Final = range(8)
REQUESTS: Final = range(13)
"""Before which of a sync's requests something happens."""
AMOUNTS: Final = range(1 << 16)
EITHER: Final = (False, True)

TABLE: Final[Mapping[str, Kind]] = {
    # What users do
    "add_photos": Kind(
        "add_photos", {"number": DEVICES, "count": range(1, 3), "month": range(2), "same": EITHER}, weight=3
    ),
    "edit": Kind("edit", {"number": DEVICES, "what": range(9), "photo": PHOTOS, "value": range(6)}, weight=6),
    "undo": Kind("undo", {"number": DEVICES}, weight=2),
    "purge": Kind("purge", {"number": DEVICES, "photo": PHOTOS}),
    "add_device": Kind("add_device", {"by": DEVICES}, when=lambda world: len(world.devices) < MOST_DEVICES),
    "revoke": Kind("revoke", {"number": DEVICES, "by": DEVICES}),
    "restart": Kind("restart", {"number": DEVICES, "killed": EITHER}),
    "keep_all": Kind("keep_all", {"number": DEVICES, "wanted": EITHER}),
    "free": Kind("free", {"number": DEVICES, "single_copy": EITHER}),
    "checkpoint": Kind("checkpoint", {"number": DEVICES}),
    # Sync
    "sync": Kind("sync", {"number": DEVICES, "plan": ([],), "originals": (None, None, True)}, weight=6),
    "sync_with_a_liar": Kind("sync", {"number": DEVICES, "plan": Faults(KINDS)}, weight=3),
    "sync_over_a_bad_network": Kind("sync", {"number": DEVICES, "plan": Faults(sorted(HARMLESS))}, weight=2),
    "sync_two": Kind("sync_two", {"number": DEVICES, "other": DEVICES, "at": REQUESTS}, weight=2),
    "edit_meanwhile": Kind("edit_meanwhile", {"number": DEVICES, "at": REQUESTS, "value": range(100)}),
    "kill": Kind("kill", {"number": DEVICES, "at": REQUESTS}),
    # The relay
    "release": Kind("release", when=lambda world: world.crook.holds_something),
    "withhold": Kind("withhold", {"author": DEVICES, "reader": DEVICES, "back": range(4)}),
    "relent": Kind("relent", when=lambda world: bool(world.crook.hidden)),
    "back_up": Kind("back_up"),
    "roll_back": Kind("roll_back", {"announced": EITHER}, when=lambda world: world.has_a_backup),
    "fork": Kind("fork", {"members": range(1, 2**MOST_DEVICES - 1)}, when=lambda world: len(world.crook.relays) == 1),
    "join": Kind("join", {"second": EITHER}, when=lambda world: len(world.crook.relays) > 1),
    "months_pass": Kind("months_pass", {"count": range(1, 3)}),
    # A member
    "hostile_writes": Kind("hostile_writes", {"what": range(7), "victim": DEVICES}),
    "revoke_hostile": Kind("revoke_hostile", {"by": DEVICES}, when=lambda world: world.member is not None),
}
"""By names of their own, which say what the method's does not."""
