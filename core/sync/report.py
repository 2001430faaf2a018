"""What a run of sync did, and what it is doing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from core.errors import CoreError, IntegrityAlarm, RelayRefused, RelayUnreachable

# Which failure a run is remembered by, the gravest first.
_GRAVITY: Final[tuple[type[CoreError], ...]] = (IntegrityAlarm, RelayRefused, RelayUnreachable)


@dataclass
class RelayReport:
    """What passed between this device and one relay.

    `pulled` and `pushed` count envelopes and membership entries, `blobs_up` and `blobs_down` blobs; `bytes_up` and
    `bytes_down` are the bytes of bodies. `error` is why the relay could not be brought up to date, None if it was.
    """

    url: str
    error: CoreError | None = None
    pulled: int = 0
    pushed: int = 0
    blobs_up: int = 0
    blobs_down: int = 0
    bytes_up: int = 0
    bytes_down: int = 0

    @property
    def moved(self) -> bool:
        """Whether anything passed."""
        return bool(self.pulled or self.pushed or self.blobs_up or self.blobs_down)


@dataclass
class SyncReport:
    """What one run did. `alarms` are those that are new with it; `missing` counts blobs that no relay has (yet)."""

    relays: list[RelayReport] = field(default_factory=list)
    alarms: list[IntegrityAlarm] = field(default_factory=list)
    missing: int = 0

    @property
    def worst_error(self) -> CoreError | None:
        """What the run is remembered by: an alarm, else a refusal, else a relay out of reach; None if all went well."""
        found = [*self.alarms, *(relay.error for relay in self.relays if relay.error is not None)]
        return min(found, key=_gravity, default=None)

    @property
    def moved(self) -> bool:
        """Whether anything passed."""
        return any(relay.moved for relay in self.relays)

    def add(self, other: SyncReport) -> None:
        """Add what another run did, with other relays."""
        self.relays += other.relays
        self.alarms += other.alarms
        self.missing = max(self.missing, other.missing)


@dataclass(frozen=True)
class SyncProgress:
    """What is being done: `stage` is `pull`, `push`, `upload`, `download` or `checkpoint`.

    `done` of `total` are counted in envelopes or blobs, and `bytes` in bytes since the stage began; `total` is None
    where nobody knows it.
    """

    url: str
    stage: str
    done: int
    total: int | None = None
    bytes: int = 0


def _gravity(error: CoreError) -> int:
    return next((rank for rank, kind in enumerate(_GRAVITY) if isinstance(error, kind)), len(_GRAVITY))
