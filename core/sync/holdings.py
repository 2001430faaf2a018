"""What devices that keep every original say they hold, so that others may free theirs.

Such a device writes into the settings of the library, as `holds/<its id>`, up to which envelope of each device it has
every original they name: `<device>:<number>`, with blanks between. It says so after it has them, so its word lags and
never runs ahead; and it takes it back, together with the setting that makes it keep them, before it frees any.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from core.errors import IntegrityAlarm
from core.log import BLOB_FREED, BLOB_PURGED
from core.originals import HOLDS, keeps_every_original

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.envelope_body import EnvelopeBody
    from core.library import Library
    from core.log import Vector

HELD: Final = "originals held"
"""The fact of `log.db` under which this device remembers how far it has looked; `free` takes it away."""

_AT_ONCE: Final = 256
_MAX_TEXT: Final = 4096
_COPY: Final = re.compile(rb"([0-9a-f]{32})/([0-9a-f]{64})")
_PLACE: Final = re.compile(r"([0-9a-f]{64}):([0-9]{1,18})")


@dataclass(frozen=True)
class Holder:
    """Another device that keeps every original, and up to which envelopes it says it has them."""

    device_id: bytes
    held: dict[bytes, int]

    def has(self, places: Sequence[tuple[bytes, int]], base: Vector) -> bool:
        """Tell whether it has the originals of one of these envelopes, or, of none, those of a checkpoint."""
        if places:
            return any(self.held.get(device, 0) >= seq for device, seq in places)
        return bool(base) and all(self.held.get(device, 0) >= seq for device, (seq, _) in base.items())


def holders(library: Library) -> list[Holder]:
    """Return the other devices that keep every original, as far as they have said so. Revoked ones do not count."""
    found = []
    for device_id, member in library.members.membership.members.items():
        if device_id == library.device_id or member.is_phrase or not keeps_every_original(library, device_id):
            continue
        said = library.setting(HOLDS + device_id.hex()) or ""
        held = {bytes.fromhex(device): int(seq) for device, seq in _PLACE.findall(said)}
        if held:
            found.append(Holder(device_id, held))
    return found


def say_what_is_held(library: Library) -> bool:
    """Say anew what this device holds, where it keeps every original and that has changed; tell whether it did.

    To be called after originals were fetched. Looks only at envelopes that came in since the last time.
    """
    library.refresh()
    if not keeps_every_original(library) or library.doubts or library.base.missing():
        return False
    position, held, base = _remembered(library)
    if base != library.log.base():
        if not _has_all(library, [*library.catalog.pids(), *library.catalog.pids("is:trash")]):
            return False
        base = library.log.base()
        held.update({device: max(seq, held.get(device, 0)) for device, (seq, _) in base.items()})
    position = _look(library, position, held)
    back = [blob_id for blob_id in library.log.blobs_in_state(BLOB_FREED) if library.blobs.exists(blob_id)]
    if back or (position, held, base) != _remembered(library):
        with library.log.transaction() as transaction:
            transaction.set_fact(HELD, msgspec.msgpack.encode((position, held, base)))
            transaction.forget_blob_states(back, BLOB_FREED)
    newest = sorted(held.items(), key=lambda item: -item[1])
    text = ""
    for device, seq in newest:
        more = f"{text} {device.hex()}:{seq}".strip()
        text = more if len(more) <= _MAX_TEXT else text
    if not text or text == library.setting(HOLDS + library.device_id.hex()):
        return False
    library.set_setting(HOLDS + library.device_id.hex(), text)
    return True


def _look(library: Library, position: int, held: dict[bytes, int]) -> int:
    """Go through the envelopes past `position` as long as their originals are here; return how far it got."""
    purged = library.log.blobs_in_state(BLOB_PURGED)
    while page := library.log.past_position(position, _AT_ONCE):
        for stored in page:
            try:
                named = set(_copies(library.chain.open(stored)))
            except IntegrityAlarm as alarm:
                library.raise_alarm(alarm)
                return position
            gone = [pid for pid, blob_id in named if blob_id not in purged and not library.blobs.exists(blob_id)]
            if not _has_all(library, gone):
                return position
            position = stored.position
            if named:
                held[stored.device] = max(stored.seq, held.get(stored.device, 0))
    return position


def _has_all(library: Library, pids: Sequence[bytes]) -> bool:
    """Tell whether every original of these photos is here; what was purged has none."""
    return all(
        library.blobs.exists(copy.blob_id)
        for pid in dict.fromkeys(pids)
        for copy in library.catalog.copies(pid)
        if copy.role == "original"
    )


def _copies(body: EnvelopeBody) -> list[tuple[bytes, bytes]]:
    return [
        (bytes.fromhex(pid.decode()), bytes.fromhex(blob_id.decode()))
        for part in body.payload
        for change in part.changes
        for pid, blob_id in _COPY.findall(change)
    ]


def _remembered(library: Library) -> tuple[int, dict[bytes, int], Vector]:
    packed = library.log.fact(HELD)
    with contextlib.suppress(msgspec.MsgspecError):
        if packed is not None:
            return msgspec.msgpack.decode(packed, type=tuple[int, dict[bytes, int], dict[bytes, tuple[int, bytes]]])
    return 0, {}, {}
