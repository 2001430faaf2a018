"""One relay as this process sees it: its client, what is remembered of it, and what it is known to hold.

While a process stays connected it knows the relay's newest envelopes without asking: from the first answer, and from
what passed since. So a small edit costs one small request.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from core.errors import RolledBack
from core.log import NO_HASH, name_envelope
from core.log import RelayState as State
from core.sync.introduction import sign_in
from sync_relay import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from core.errors import IntegrityAlarm
    from core.library import Library
    from core.log import RelayState, Vector
    from core.sync.alarms import SyncAlarms
    from core.sync.patience import Patience
    from core.sync.relays import RelayFacts, Relays
    from core.sync.report import RelayReport
    from sync_relay.client import RelayClient

Answer = TypeVar("Answer")

_REMEMBER_EVERY_S: Final = 3_600
_GIVEN_BACK: Final = (
    "This device gives it back what it holds; sync the others too. Ask the relay's owner what happened."
)


class Link:
    """One relay of one library, for one run of sync or for as long as a process watches."""

    def __init__(
        self, library: Library, relays: Relays, client: RelayClient, alarms: SyncAlarms, patience: Patience
    ) -> None:
        """Know what is remembered of the relay; connect to nothing yet."""
        self.client = client
        self.url = client.url
        self.patience = patience
        self.alarms = alarms
        self.report: RelayReport
        self.state: RelayState
        self.facts: RelayFacts
        self.vector: Vector | None = None
        """The newest envelope of each device at the relay; None: not known, or not any more."""
        self.new_alarms: list[IntegrityAlarm] = []
        self.entries_digest = b""
        """Which membership entries the relay says that it has, as of when it was last asked for its vector."""
        self.asked_past: Vector = {}
        """What the relay named as its newest when the envelopes past this device's were last asked for."""
        self._library = library
        self._relays = relays
        self._saved: tuple[RelayState, RelayFacts] | None = None
        self._traffic = (0, 0)
        self.looks_again = False
        """Whether this run asks once more for what the relay was asked for before, and did not give out as it is."""
        self._has_lost = self._asks_anew = self._doubts = False
        self.load()

    def load(self) -> None:
        """Read what is remembered: another process may have gone on."""
        self.state, self.facts = self._relays.state(self.url)
        self._saved = (self.state, self.facts)

    def begin(self, *, full: bool = True) -> None:
        """Begin a run: what another process remembered meanwhile counts, and traffic is counted from here.

        With `full`, what the relay holds is asked anew, in case it kept something back, and so is what did not hold
        when it came: an owner puts a damaged database right, and nobody else may write for a long time.
        """
        self.load()
        self.looks_again = full
        if full:
            self.asked_past = {}
        self._asks_anew = full or self._doubts
        self._doubts = False
        self._traffic = (self.client.traffic.sent, self.client.traffic.received)

    def count_traffic(self) -> None:
        """Write the traffic of the run into its report."""
        traffic = self.client.traffic
        self.report.bytes_up, self.report.bytes_down = (
            traffic.sent - self._traffic[0],
            traffic.received - self._traffic[1],
        )

    @property
    def is_connected(self) -> bool:
        """Tell whether this process has signed in, and nothing has gone wrong since."""
        return self.client.session is not None and self.vector is not None

    def ask(self, request: Callable[[], Answer]) -> Answer:
        """Return what `request` to the client returns, with the run's patience."""
        return self.patience.run(request)

    def connect(self) -> wire.Session:
        """Sign in, unless that was done, and notice a relay that was put back or is another than before."""
        session = self.client.session
        if session is None or self.vector is None:
            session = self.ask(lambda: sign_in(self._library, self.client))
            self._notice_another_history(session)
        return session

    def reset(self) -> None:
        """Forget what was known of the relay by being connected: the next run asks anew."""
        self.vector = None

    def disbelieve(self, device: bytes, known: tuple[int, bytes]) -> None:
        """Remember no more of what the relay says of a device than is `known`; the next run asks it anew."""
        if self.vector is not None:
            self.vector[device] = known
        self._doubts = True

    def heads(self) -> Vector:
        """Return the relay's vector, asking for it where it is not known; it may never be behind what it was."""
        if self.vector is None or self._asks_anew:
            self._asks_anew = False
            heads = self.ask(self.client.heads)
            vector = {head.device_id: (head.seq, head.hash) for head in heads.heads}
            self._compare(vector)
            self.vector, self.entries_digest = vector, heads.entries
        return self.vector

    def holds(self, device: bytes, seq: int, envelope_hash: bytes) -> None:
        """Note that the relay has an envelope, and hence all before it in its chain."""
        if self.vector is not None and self.vector.get(device, (0, NO_HASH))[0] < seq:
            self.vector[device] = (seq, envelope_hash)

    def remember(self, *, done: bool = False) -> None:
        """Store what is known of the relay, if it is something new; `done`: this device is up to date with it."""
        if self.vector is not None:
            membership = self._library.members.membership
            acknowledged = [
                (device, seq, hashed)
                for device, (seq, hashed) in sorted(self.vector.items())
                # Of a device that nobody knows it has nothing to lose that anybody would miss.
                if device in membership.members or device in membership.departed
            ]
            self.facts = msgspec.structs.replace(self.facts, acknowledged=acknowledged)
        now = int(time.time())
        changed = (self.state, self.facts) != self._saved
        if done and (changed or abs(now - self.facts.at) > _REMEMBER_EVERY_S):
            self.facts = msgspec.structs.replace(self.facts, at=now)
            changed = True
        if changed:
            self._relays.set_state(self.url, self.state, self.facts)
            self._saved = (self.state, self.facts)

    def raise_(self, alarm: IntegrityAlarm) -> None:
        """Keep an alarm about this relay or about what it gave out."""
        if self.alarms.raise_(alarm, self.url):
            self.new_alarms.append(alarm)

    def start_over(self, generation: bytes) -> None:
        """Count nothing that was read from the relay or given to it any more."""
        self.state = State(generation=generation)
        self.facts = msgspec.structs.replace(
            self.facts, entries=[], given_out=b"", purged=b"", lacking=[], statements=[]
        )

    def _notice_another_history(self, session: wire.Session) -> None:
        known = self.state.generation
        if known and session.generation == known and session.position >= self.state.cursor:
            return
        cursor = self.state.cursor
        self.start_over(session.generation)
        self.reset()
        self.heads()
        if session.generation == known and not self._has_lost:
            self.raise_(
                RolledBack(
                    f"the relay {self.url} ends at position {session.position} and had come to {cursor}: its database "
                    "was put back to an earlier state",
                    hint=_GIVEN_BACK,
                )
            )
        self.remember()

    def holds_entries(self, names: Iterable[bytes]) -> None:
        """Note that the relay has membership entries."""
        known = {*self.facts.entries, *names}
        if len(known) != len(self.facts.entries):
            # What it once gave out is what it was put back to, if it is seen to have that again.
            self.facts = msgspec.structs.replace(self.facts, entries=sorted(known), given_out=b"")

    def has_other_entries(self) -> bool:
        """Tell whether the relay says that it has other membership entries than it gave out or was given.

        It may have lost some, and been brought as far again by others since. And it may have got some at positions that
        were read before it was put back: no vector names what adds a device that has written nothing. Of what it gave
        out some may have been refused here, and is not asked for each time.
        """
        if not self.entries_digest:
            return False
        known = wire.entries_digest([self._library.library_id, *self.facts.entries])
        return self.entries_digest not in {known, self.facts.given_out}

    def miss_entries(self, lost: Collection[bytes]) -> None:
        """Raise the alarm if there are membership entries that the relay held, and does not give out any more."""
        if lost:
            self.raise_(
                RolledBack(
                    f"the relay {self.url} lacks {len(lost)} membership entries that it had, one of them "
                    f"{min(lost).hex()[:8]}: it was put back from an older backup, or lost data",
                    hint=_GIVEN_BACK,
                )
            )

    def _compare(self, vector: Vector) -> None:
        """Raise the alarm if the relay holds less than it once said it holds."""
        lost = [
            (device, vector.get(device, (0, NO_HASH))[0], seq)
            for device, (seq, _) in sorted(self.facts.vector.items())
            if vector.get(device, (0, NO_HASH))[0] < seq
        ]
        self._has_lost = bool(lost)
        if not lost:
            return
        count = sum(seq - now for _, now, seq in lost)
        device, _, seq = lost[0]
        others = f", and of {len(lost) - 1} more devices" if len(lost) > 1 else ""
        self.raise_(
            RolledBack(
                f"the relay {self.url} lacks {count} envelopes that it had, the last of them "
                f"{name_envelope(device, seq)}{others}: it was put back from an older backup, or lost data",
                hint=_GIVEN_BACK,
            )
        )
        # Whatever else went with them: read and filled anew.
        self.start_over(self.state.generation)


def moved_on(state: RelayState, cursor: int) -> RelayState:
    """Return the state with the relay's log read up to `cursor`."""
    return replace(state, cursor=cursor)
