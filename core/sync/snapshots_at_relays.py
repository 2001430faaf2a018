"""Looking whether a relay still has the snapshots that devices which are new begin with.

Nobody who has been there from the start would notice that one is gone: a relay that lost it, or was asked by a member
to remove it. Whoever still has the bytes gives them again; where nobody has, a checkpoint is made in the place of the
one that names them (`core.sync.checkpoints.replace_lost`).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from core.errors import DeletedInUse, RolledBack
from core.sync.dropped import dropped
from core.sync.seen_checkpoints import is_behind, look, snapshots_of
from core.sync.who_deleted import who_deleted
from crdt.documents import is_document_name
from sync_relay import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from core.library import Library
    from core.sync.link import Link
    from core.sync.seen_checkpoints import SeenCheckpoint

_MOST: Final = 256
"""How many a relay is asked about in one run: as many as there are documents, of more than these some each time."""
_DIGEST_BYTES: Final = 16
_REASONS: Final = (wire.KIND_ENVELOPE, wire.KIND_PRUNE)


class SnapshotsAtRelay:
    """Those of one library that new devices need, or will, and what one relay has of them."""

    def __init__(self, library: Library, link: Link) -> None:
        """Find out which they are; the relay is asked by whoever uses this."""
        self._library = library
        self._link = link
        self._names: dict[bytes, frozenset[bytes]] = {}
        self._seen = look(library)
        relied_on = self._seen.relied_on(library.members.membership, dropped(library, self._seen))
        needed = sorted({blob for known in relied_on for blob in self._named(known)})
        if len(needed) > _MOST:
            start = int.from_bytes(secrets.token_bytes(4), "big") % len(needed)
            needed = sorted((needed + needed)[start : start + _MOST])
        self.asked = needed
        """The ids to ask the relay about."""
        self.nowhere: set[bytes] = set()
        """Those of the newest checkpoints that the relay lacks, and nobody who could be asked has."""

    def keep(self, states: Mapping[bytes, str], give: Callable[[Sequence[bytes]], set[bytes]]) -> None:
        """Give the relay again what it lacks or is about to remove, and raise the alarm over it.

        `states` are the relay's answers. `give` gives what there is of some, and returns what there is nowhere.
        """
        absent = {blob for blob in self.asked if states[blob] in {"absent", "partial"}}
        leaving = {blob for blob in self.asked if states[blob] == "leaving"}
        # Whoever made something superfluous said so before it asked for this: it may be what is unread.
        link = self._link
        if leaving and link.ask(lambda: link.client.log(link.state.cursor, 1, _REASONS)).items:
            leaving = set()
        digest = hashlib.blake2b(b"".join(self.asked), digest_size=_DIGEST_BYTES).digest()
        had_all = self._link.facts.snapshots == digest
        if absent or leaving:
            newest = {blob for known in self._seen.newest() for blob in self._named(known)}
            self.nowhere = give(sorted(absent | leaving)) & newest
            self._tell(absent, leaving, had_all=had_all)
        facts = digest if self.asked and not self.nowhere else b""
        if self._link.facts.snapshots != facts:
            self._link.facts = msgspec.structs.replace(self._link.facts, snapshots=facts)

    def _tell(self, absent: set[bytes], leaving: set[bytes], *, had_all: bool) -> None:
        authors = who_deleted(self._library, self._link, absent | leaving)
        told = [blob for blob in absent | leaving if blob in authors or blob in leaving]
        wrong = [blob for blob in told if not self._is_no_wonder(blob, authors.get(blob))]
        if wrong:
            names = " and ".join(
                f"device {one.hex()[:12]}" for one in sorted({authors[b] for b in wrong if b in authors})
            )
            who = f"{names} asked the relay {self._link.url}" if names else f"the relay {self._link.url} was asked"
            self._link.raise_(
                DeletedInUse(
                    f"{who} to remove {len(wrong)} snapshots, which devices that are new begin with",
                    hint="It gets them again. Look at that device in `safelight device list`, and revoke it if it is "
                    "not in your hands.",
                )
            )
        lost = absent.difference(told)
        if lost and had_all:
            self._link.raise_(
                RolledBack(
                    f"the relay {self._link.url} lacks {len(lost)} snapshots that it had, which devices that are new "
                    "begin with",
                    hint="It gets them again. Ask the relay's owner what happened.",
                )
            )

    def _is_no_wonder(self, blob: bytes, author: bytes | None) -> bool:
        """Tell whether an honest device asked for this: it had confirmed a checkpoint in which others took its place.

        It did not know of the one that names it again. A device that was revoked is out of the house already.
        """
        if author in self._library.members.membership.departed:
            return True
        return any(
            (author is None or known.confirmed_by(author) is not None)
            and blob not in self._named(known)
            and any(is_behind(other, known) and blob in self._named(other) for other in self._seen.checkpoints)
            for known in self._seen.checkpoints
        )

    def _named(self, known: SeenCheckpoint) -> frozenset[bytes]:
        name = known.place.hash
        if name not in self._names:
            self._names[name] = frozenset(
                one.blob for one in snapshots_of(self._library, known) if is_document_name(one.document)
            )
        return self._names[name]
