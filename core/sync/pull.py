"""Taking from a relay what this device lacks: membership entries, then envelopes, page by page.

A page is stored before the cursor moves past it, so a process that is killed reads it again, which changes nothing.
Where a relay is read for the first time, or not where it was left, the envelopes past this device's vector are asked
for instead of the whole log.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import msgspec

from core.errors import IntegrityAlarm, Withheld
from core.log import NO_HASH, name_envelope
from core.sync.dropped import note_prunes
from core.sync.link import moved_on
from core.sync.turn import Turn
from crypto.membership import entry_hash
from sync_relay import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.ingest import Arrival
    from core.log import Vector

_RULES: Final = (wire.KIND_MEMBERSHIP, wire.KIND_PRUNE)


class Pull(Turn):
    """Reads one relay's log to its end; its progress counts envelopes ("pull"), and snapshots ("checkpoint")."""

    _pulled = 0
    _doubt = _has_told = _entries_doubt = _has_read_past = False

    def run(self) -> None:
        """Read on from where this device left the relay."""
        session = self._link.connect()
        if self._link.state.cursor == 0:
            self._read_past(session.position)
        else:
            self._bootstrap([])
            for page in self._pages():
                if not page.items and page.position < self._link.state.cursor:
                    # Put back between the sign-in and now: the next run begins anew.
                    self._link.reset()
                    return
                if self._needs_checkpoint(page):
                    if not self._read_past(page.position if not page.more else session.position):
                        return
                    continue
                self._take(page)
                self._move_to(page.position)
        lacks = self._is_behind() or self._lacks_rules()
        # The relay's vector may have shown only now that what was counted as read is another history's.
        if lacks or not (self._link.state.cursor or self._has_read_past):
            self._read_past(self._link.state.cursor)
        self._report_claims()

    def _pages(self) -> Iterator[wire.LogPage]:
        client = self._link.client
        while True:
            after = self._link.state.cursor
            page = self._link.ask(functools.partial(client.log, after))
            yield page
            if not page.more:
                return

    def _read_past(self, position: int) -> bool:
        """Take all rules of the relay, then the envelopes past this device's vector; the cursor goes to `position`.

        Where something was pruned that no checkpoint brought here, it stays where it is: the next run asks again.
        Tells whether it moved.
        """
        self._has_read_past = True
        prunes = self._read_rules()
        self._bootstrap(prunes)
        client, after = self._link.client, 0
        vector = self._library.log.heads()
        complete = True
        while True:
            page = self._link.ask(functools.partial(client.past, vector, after))
            self._take(page)
            complete = not self._report_pruned(page) and complete
            if not page.more:
                break
            after = page.position
        self._link.asked_past = dict(self._link.heads())
        if complete:
            self._move_to(max(position, self._link.state.cursor))
        return complete

    def _read_rules(self) -> list[wire.Item]:
        """Take all membership entries of the relay, whatever of them was read before; return its prune entries.

        What it is known to hold is known anew by it: a relay that was put back, and was brought as far again by others
        since, looks as before, and would never be given the entries that it lost.
        """
        client, after = self._link.client, 0
        prunes: list[wire.Item] = []
        before = set(self._link.facts.entries)
        given_out: set[bytes] = set()
        self._link.facts = msgspec.structs.replace(self._link.facts, entries=[])
        while True:
            page = self._link.ask(functools.partial(client.log, after, kinds=_RULES))
            self._take(page)
            given_out.update(map(entry_hash, _entries(page)))
            prunes += (item for item in page.items if item.kind == wire.KIND_PRUNE)
            if not page.more:
                break
            after = page.position
        self._link.facts = msgspec.structs.replace(self._link.facts, given_out=wire.entries_digest(given_out))
        self._link.miss_entries(before.difference(self._link.facts.entries))
        return prunes

    def _bootstrap(self, prunes: list[wire.Item]) -> None:
        """Take a checkpoint that was offered, if it has to be, and go on with fetching one that was taken before."""
        if not prunes and not self._library.base.missing():
            return
        from core.sync.bootstrap import bootstrap

        try:
            bootstrap(
                self._library,
                self._link.client,
                self._transfers,
                prunes,
                lambda done, count: self._progress("checkpoint", done, count),
            )
        except IntegrityAlarm as alarm:
            self._has_told = True
            self._link.raise_(alarm)
        self._library.refresh()

    def _needs_checkpoint(self, page: wire.LogPage) -> bool:
        heads = self._library.log.heads()
        return any(
            item.kind == wire.KIND_ENVELOPE
            and item.body is None
            and (item.seq or 0) > heads.get(item.device_id or b"", (0, NO_HASH))[0]
            for item in page.items
        )

    def _take(self, page: wire.LogPage) -> None:
        """Store what a page holds, membership entries first: envelopes are judged by them."""
        genesis = self._library.library_id  # which every device has
        entries = [entry for entry in _entries(page) if entry_hash(entry) != genesis]
        envelopes = [item.body for item in page.items if item.kind == wire.KIND_ENVELOPE and item.body is not None]
        if entries:
            arrival = self._library.ingest.entries(entries)
            self._note(arrival)
            self._entries_doubt = self._entries_doubt or bool(arrival.alarms)
            self._know_entries(entries)
        if envelopes:
            self._note(self._library.ingest.envelopes(envelopes))
        note_prunes(self._library, page.items)
        for item in page.items:
            if item.device_id is not None and item.seq is not None and item.hash is not None:
                self._link.holds(item.device_id, item.seq, item.hash)
        if envelopes:
            self._note_heads(envelopes)
        self._progress("pull", self._pulled, None)

    def _note(self, arrival: Arrival) -> None:
        self._pulled += arrival.entries + arrival.accepted
        self._link.report.pulled += arrival.entries + arrival.accepted
        # What was refused may have been altered on the way: it is asked for once more.
        self._doubt = self._doubt or bool(arrival.alarms)
        for alarm in arrival.alarms:
            self._link.raise_(alarm)
        if arrival.forked_self is not None:
            seq = arrival.forked_self[0]
            self.forked_self = seq if self.forked_self is None else min(seq, self.forked_self)

    def _note_heads(self, envelopes: list[bytes]) -> None:
        """The relay holds what it has just given out, if that is what was accepted: a header alone may say anything."""
        from crypto.envelope import envelope_hash, read_header
        from crypto.errors import CryptoError

        newest: dict[bytes, int] = {}
        for envelope in reversed(envelopes):
            try:
                header = read_header(envelope)
            except (CryptoError, ValueError):
                continue
            if header.seq > newest.get(header.device_id, 0):
                hashed = envelope_hash(envelope)
                if self._library.log.hash_at(header.device_id, header.seq) == hashed:
                    newest[header.device_id] = header.seq
                    self._link.holds(header.device_id, header.seq, hashed)

    def _know_entries(self, entries: list[bytes]) -> None:
        membership = self._library.members.membership  # what was refused is nothing that the relay is to have
        held = {name for name in map(entry_hash, entries) if name in membership.entries or name in membership.pending}
        self._link.holds_entries(held)

    def _move_to(self, position: int) -> None:
        self._link.state = moved_on(self._link.state, position)
        self._link.remember()

    def _is_behind(self) -> bool:
        """Tell whether the relay names newer envelopes than were read: its numbers were given out anew."""
        heads = self._link.heads()
        if heads == self._link.asked_past and not self._doubt:
            return False
        ours = self._library.log.heads()
        return any(
            seq > ours.get(device, (0, NO_HASH))[0] and self._may_count(device, ours) and self._lacks_next(device, ours)
            for device, (seq, _) in heads.items()
        )

    def _lacks_rules(self) -> bool:
        """Tell whether to ask once more for membership entries: one was refused, or some were not given out."""
        return self._entries_doubt or (
            self._link.looks_again and not self._has_read_past and self._link.has_other_entries()
        )

    def _report_claims(self) -> None:
        """Raise the alarm for what the relay says it holds, and did not give out although everything was asked for.

        It would not be given what it says it has, and what it keeps back of others nobody else may have.
        """
        if self._doubt or self._has_told:
            return  # it was named for what it did give out, or said was pruned
        ours = self._library.log.heads()
        for device, (seq, _) in sorted(self._link.heads().items()):
            known = ours.get(device, (0, NO_HASH))
            if seq > known[0] and self._may_count(device, ours) and self._lacks_next(device, ours):
                self._link.disbelieve(device, known)
                self._link.raise_(
                    Withheld(
                        f"the relay {self._link.url} says that it holds {name_envelope(device, seq)}, and does not "
                        "give out what leads to it",
                        hint="Use another relay as well; ask this one's owner what happened.",
                    )
                )

    def _lacks_next(self, device: bytes, ours: Vector) -> bool:
        """Tell whether the envelope after the newest of a device is not even held: then it is no use to wait."""
        following = ours.get(device, (0, NO_HASH))[0] + 1
        return all(seq != following for seq, *_ in self._library.log.held_links(device))

    def _may_count(self, device: bytes, ours: Vector) -> bool:
        """Tell whether what a device wrote next counts: it is a member, or a member has seen it and built on it."""
        members, known = self._library.members.membership.members, ours.get(device, (0, NO_HASH))[0]
        return device in members or any(
            named == device and seq > known and author in members for named, seq, _, author in self._library.log.named()
        )

    def _report_pruned(self, page: wire.LogPage) -> bool:
        """Raise the alarm for what is said to be pruned, and stands under no checkpoint that could be taken.

        Tells whether there is such a thing.
        """
        heads = self._library.log.heads()
        for item in page.items:
            if item.kind != wire.KIND_ENVELOPE or item.body is not None or item.device_id is None or item.seq is None:
                continue
            if item.seq > heads.get(item.device_id, (0, NO_HASH))[0]:
                self._has_told = True
                self._link.raise_(
                    Withheld(
                        f"the relay {self._link.url} says that {name_envelope(item.device_id, item.seq)} was pruned, "
                        "and gives out no checkpoint that holds it",
                        hint="Sync with another relay, or with a device that has it.",
                    )
                )
                return True
        return False


def _entries(page: wire.LogPage) -> list[bytes]:
    return [item.body for item in page.items if item.kind == wire.KIND_MEMBERSHIP and item.body is not None]
