"""What relays were told to drop: for that, whoever is new needs a checkpoint that is vouched for now.

Relays carry out whatever prune entry a member signed, whoever vouches for its checkpoint later on. So each device
remembers what the entries cover that it came across, and looks whether a checkpoint stands for all of it that it holds
(`core.sync.checkpoints`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from crypto.errors import CryptoError
from sync_relay.statements import Prune, read_statement
from sync_relay.wire import KIND_PRUNE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from core.library import Library
    from core.log import Vector
    from core.sync.seen_checkpoints import Seen
    from sync_relay.wire import Item

_FACT: Final = "told to drop"
_Told = dict[bytes, dict[bytes, tuple[int, bytes]]]
"""By who said so: of each device, the newest place. A word of one hides no word of another."""


def note_prunes(library: Library, items: Iterable[Item]) -> None:
    """Remember what the prune entries among `items` of a relay's log cover, if they are by members or former ones."""
    prunes = list(_read(library, items))
    if not prunes:
        return
    known = _told(library)
    fresh = {author: dict(places) for author, places in known.items()}
    for prune in prunes:
        places = fresh.setdefault(prune.device_id, {})
        for place in prune.covered:
            if place.seq > places.get(place.device_id, (0, b""))[0] and library.members.is_known(place.device_id):
                places[place.device_id] = (place.seq, place.hash)
    if fresh != known:
        with library.log.transaction() as transaction:
            transaction.set_fact(_FACT, msgspec.msgpack.encode(fresh))


def dropped(library: Library, seen: Seen) -> Vector:
    """Return what relays have dropped, or will, of what is here: of each device the newest place.

    That is what prune entries cover, and checkpoints that anybody confirmed, and what this log builds on. A place that
    is not here, or is another one here, is nobody's loss.
    """
    log = library.log
    found: Vector = dict(log.base())
    for device, place in _places(library, seen):
        if place[0] > found.get(device, (0, b""))[0] and log.hash_at(device, place[0]) == place[1]:
            found[device] = place
    return found


def _places(library: Library, seen: Seen) -> Iterator[tuple[bytes, tuple[int, bytes]]]:
    for places in _told(library).values():
        yield from places.items()
    for known in seen.checkpoints:
        if known.confirmations and not known.beyond:
            yield from known.vector.items()


def _read(library: Library, items: Iterable[Item]) -> Iterator[Prune]:
    for item in items:
        with contextlib.suppress(CryptoError):  # no word of anybody's
            said = read_statement(item.body or b"", library.library_id) if item.kind == KIND_PRUNE else None
            if isinstance(said, Prune) and library.members.is_known(said.device_id):
                yield said


def _told(library: Library) -> _Told:
    packed = library.log.fact(_FACT)
    with contextlib.suppress(msgspec.MsgspecError):  # then the next entries tell
        if packed is not None:
            return msgspec.msgpack.decode(packed, type=_Told)
    return {}
