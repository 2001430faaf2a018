"""What came from elsewhere, from a relay or another device: checked, and stored once it is accepted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.envelope_body import EnvelopeBody
    from core.errors import SyncAlarm
    from core.library import Library


@dataclass
class Arrival:
    """What became of what arrived.

    `entries` new membership entries and `accepted` envelopes were stored (those accepted now that had been held
    included); `held` envelopes wait for what is missing; `known` things were here already. `forked_self` is the place
    of an envelope that somebody else wrote under one of this device's own numbers: it has to become a new device.
    """

    entries: int = 0
    accepted: int = 0
    held: int = 0
    known: int = 0
    alarms: list[SyncAlarm] = field(default_factory=list)
    forked_self: tuple[int, bytes] | None = None


class Ingest:
    """Takes in what relays give out; whatever it is, in whatever order, any number of times."""

    def __init__(self, library: Library) -> None:
        """Store into `library`."""
        self._library = library

    def entries(self, entries: Iterable[bytes]) -> Arrival:
        """Take in membership entries; envelopes that waited for them are accepted."""
        raise NotImplementedError

    def envelopes(self, envelopes: Iterable[bytes]) -> Arrival:
        """Take in envelopes; `Library.refresh` shows those that are accepted."""
        raise NotImplementedError

    def unaccounted(self) -> list[SyncAlarm]:
        """Return an alarm for each device of which others have seen envelopes that this log lacks.

        To be asked for when all relays have been read to their ends.
        """
        raise NotImplementedError

    def merge_base(self, checkpoint_envelope: bytes) -> EnvelopeBody:
        """Build on a checkpoint: its envelope is stored, what it covers counts as accepted. Returns what is in it."""
        raise NotImplementedError
