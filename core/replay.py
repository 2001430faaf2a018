"""A document made anew from what is true: the base that the log builds on, and the envelopes of the log."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

from crdt.errors import ChangeNotApplied, CrdtError
from crdt.replica import Replica, new_actor

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.base import Base
    from core.log import StoredEnvelope
    from core.members import Members
    from core.rehearsal import Rehearsal

Parts = list[tuple["StoredEnvelope", list[bytes]]]
"""The changes of one document, with the envelopes that brought them, in the order of the log."""


def replay(
    document: str,
    parts: Parts,
    base: Base,
    members: Members,
    rehearsal: Rehearsal,
    refuse: Callable[[StoredEnvelope, CrdtError], None],
) -> tuple[Replica, bool]:
    """Return a document made from its base and its envelopes, and whether all of the base is here.

    `refuse` is told of envelopes whose changes cannot be accepted; they are left out.
    """

    def make() -> Replica:
        return Replica.create(document, new_actor(members.device_id))

    replica, complete = base.load(make)
    rehearsal.run(replica, parts)
    if not complete:
        # Much of it waits for what is not here; it is made again when that comes.
        rehearsal.postpone(document)
        for stored, changes in parts:
            with contextlib.suppress(CrdtError):
                rehearsal.check(changes)
                author = stored.device
                replica.apply(changes, author=author, continues=members.continued_by(author), bounded=False)
        return replica, False
    try:
        # All at once: the CRDT engine takes two thousand changes in the time of a few calls.
        for author, group in itertools.groupby(parts, key=lambda part: part[0].device):
            changes = [change for _, listed in group for change in listed]
            rehearsal.check(changes)
            replica.apply(changes, author=author, continues=members.continued_by(author), bounded=False)
    except CrdtError:
        replica = _one_by_one(make, list(parts), base, members, rehearsal, refuse)
    return replica, True


def _one_by_one(
    make: Callable[[], Replica],
    parts: Parts,
    base: Base,
    members: Members,
    rehearsal: Rehearsal,
    refuse: Callable[[StoredEnvelope, CrdtError], None],
) -> Replica:
    """Replay what holds of `parts`, and take the rest out of the list."""
    while True:
        replica, _ = base.load(make)
        for part in list(parts):
            stored, changes = part
            continues = members.continued_by(stored.device)
            try:
                rehearsal.check(changes)
                replica.apply(changes, author=stored.device, continues=continues, bounded=False)
            except CrdtError as error:
                refuse(stored, error)
                parts.remove(part)
                if isinstance(error, ChangeNotApplied):
                    break  # it broke the replica, which has to be made again without it
        else:
            return replica
