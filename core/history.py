"""What was done to the library, newest first, and taking it back.

An edit is undone by a new edit: where a key still holds what the edit left, what was there before is put back; what
has changed since is left alone. Photos that an import added go to the trash, because undo never destroys. Undoing
again goes one edit further back; an undo itself is not undone.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.envelope_body import GROUP_BYTES, KIND_CHANGES, EnvelopeBody, Inverse, split_pids
from core.errors import IntegrityAlarm, NothingToUndo
from crdt.documents import PID_BYTES
from crdt.operations import Delete, Operation, Put
from crdt.schema import pid_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.library import Library

UNDO = "undo"

_GroupKey = tuple[bytes, bytes]
"""The device that an edit's author goes back to (itself, unless it is a copy), and the edit's group."""


@dataclass(frozen=True)
class HistoryEntry:
    """One edit, whatever the number of its envelopes.

    `at` is UTC seconds by the clock of its device; `photos_added` counts the photos that are new with it.
    """

    group: bytes
    at: int
    device: bytes
    action: str
    summary: str
    photos_added: int
    undone: bool


@dataclass(frozen=True)
class UndoReceipt:
    """What an undo did: values put back, values left alone because they changed since, photos moved to the trash."""

    group: bytes
    action: str
    summary: str
    restored: int
    kept: int
    trashed: int


@dataclass
class _Group:
    """The envelopes of one edit, gathered newest first."""

    device: bytes
    newest: EnvelopeBody
    photos_added: int = 0
    complete: bool = False
    bodies: list[EnvelopeBody] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What was done: an import is one edit of as many envelopes as it took, each of which tells its own part."""
        if not self.photos_added:
            return self.newest.summary
        return f"{self.photos_added} photo{'' if self.photos_added == 1 else 's'} imported"


def entries(library: Library, limit: int | None = None) -> Iterator[HistoryEntry]:
    """Yield the edits of all devices, the newest first, at most `limit`.

    Envelopes that are damaged are left out, and told in `library.alarms`.
    """
    library.refresh()
    undone: set[_GroupKey] = set()
    left = limit
    for key, group in _groups(library, undone):
        if left is not None:
            if left <= 0:
                return
            left -= 1
        newest = group.newest
        yield HistoryEntry(
            key[1], newest.at, group.device, newest.action, group.summary, group.photos_added, key in undone
        )


def undo(library: Library) -> UndoReceipt:
    """Take back the newest edit of this device that has not been taken back; raises `NothingToUndo`."""
    library.refresh()
    undone: set[_GroupKey] = set()
    for key, group in _groups(library, undone):
        if group.device != library.device_id or key in undone or group.newest.action == UNDO:
            continue
        if group.photos_added or any(body.inverse for body in group.bodies):
            return _take_back(library, key[1], group)
    raise NothingToUndo("there is no edit of this device to take back", hint="`safelight log` lists what was done.")


def _take_back(library: Library, group_id: bytes, group: _Group) -> UndoReceipt:
    changes: dict[str, list[Operation]] = {}
    restored = kept = trashed = 0
    for inverse in _compose(group.bodies):
        now = library.replica_get(inverse.document, inverse.map, inverse.key)
        if type(now) is not type(inverse.after) or now != inverse.after:
            kept += 1
            continue
        restored += 1
        before = inverse.before
        operation = Delete(inverse.map, inverse.key) if before is None else Put(inverse.map, inverse.key, before)
        changes.setdefault(inverse.document, []).append(operation)
    now_s = int(time.time())
    for body in group.bodies:
        for added in body.added:
            for pid in split_pids(added.pids, PID_BYTES):
                key = pid_key(pid)
                if any(library.replica_get(added.document, name, key) is not None for name in ("trash", "purged")):
                    kept += 1
                    continue
                trashed += 1
                changes.setdefault(added.document, []).append(Put("trash", key, now_s))
    summary, own = f"taken back: {group.summary}", secrets.token_bytes(GROUP_BYTES)
    written = library.commit(changes, action=UNDO, summary=summary, group=own, inverse=False, undoes=group_id)
    if written.seq is None:
        # All of it was changed since, or purged. The log says even so that it was taken back: the next undo would find
        # the same edit again, and never get past it.
        library.commit_record(EnvelopeBody(KIND_CHANGES, now_s, [], [], own, UNDO, summary, undoes=group_id))
    return UndoReceipt(group_id, group.newest.action, group.summary, restored, kept, trashed)


def _compose(bodies: list[EnvelopeBody]) -> list[Inverse]:
    """Return one inverse a key for a whole group, whose bodies come newest first."""
    whole: dict[tuple[str, str, str], Inverse] = {}
    for body in bodies:
        for inverse in reversed(body.inverse):
            place = (inverse.document, inverse.map, inverse.key)
            newer = whole.get(place)
            after = inverse.after if newer is None else newer.after
            whole[place] = Inverse(*place, inverse.before, after)
    return list(whole.values())


def _groups(library: Library, undone: set[_GroupKey]) -> Iterator[tuple[_GroupKey, _Group]]:
    """Yield the groups in the order of their newest envelopes; fills `undone` with what later groups took back."""
    open_groups: OrderedDict[_GroupKey, _Group] = OrderedDict()
    for stored in library.log.newest_first(library.raise_alarm):
        try:
            body = library.chain.open(stored)
        except IntegrityAlarm as alarm:
            library.raise_alarm(alarm)
            continue
        if body.kind != KIND_CHANGES:
            continue
        # Nobody but its author adds to an edit, or takes it back; a copy goes on with what the device before it began.
        line = (library.members.continued_by(stored.device) or (stored.device,))[-1]
        group = open_groups.get((line, body.group))
        if group is None:
            group = open_groups[line, body.group] = _Group(stored.device, body)
        group.bodies.append(body)
        group.photos_added += sum(len(added.pids) // PID_BYTES for added in body.added)
        if body.undoes is not None:
            undone.add((line, body.undoes))
        # The first part of a group is its oldest: nothing more of it will come.
        group.complete = group.complete or body.part <= 1
        while open_groups and next(iter(open_groups.values())).complete:
            yield open_groups.popitem(last=False)
    yield from open_groups.items()
