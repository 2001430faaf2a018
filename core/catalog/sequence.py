"""All photos a query finds, in order, as small as a hundred thousand of them can be: for a list that is scrolled.

Ids are kept end to end in one `bytes`, and days as one array: making 100,000 `bytes` objects and rows would take longer
than everything else between a key press and its result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from sqlalchemy import func, select

from core.catalog.connection import driver_connection
from core.catalog.tables import photo
from core.query.values import DAY_MS
from crdt.documents import PID_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    from sqlalchemy.engine import Connection

_NO_TIME_MS = -(1 << 62)
_ROWS = select(
    func.json_group_array(photo.c.id),
    func.json_group_array(func.coalesce(photo.c.taken, _NO_TIME_MS)),
    func.group_concat(func.hex(photo.c.pid), ""),
).select_from(photo)
_integers = msgspec.json.Decoder(list[int])

NO_DAY = np.iinfo(np.int32).min
"""Stands in `PhotoSequence.days` for a photo without a date."""


@dataclass(frozen=True, eq=False)
class PhotoSequence:
    """Photos in an order. `days` are counted from 1970-01-01 by the camera's clock, `NO_DAY` where there is none."""

    ids: bytes
    days: npt.NDArray[np.int32]

    @classmethod
    def empty(cls) -> PhotoSequence:
        """Return no photos."""
        return cls(b"", np.empty(0, dtype=np.int32))

    def __len__(self) -> int:
        return len(self.ids) // PID_BYTES

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.ids[index * PID_BYTES : (index + 1) * PID_BYTES]

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))

    def slice(self, start: int, stop: int) -> list[bytes]:
        """Return the ids from `start` up to `stop`, as far as there are any."""
        ids = self.ids
        first, end = max(0, start) * PID_BYTES, min(stop, len(self)) * PID_BYTES
        return [ids[place : place + PID_BYTES] for place in range(first, end, PID_BYTES)]

    def index(self, pid: bytes) -> int | None:
        """Return where a photo stands, or None."""
        place = self.ids.find(pid)
        while place >= 0 and place % PID_BYTES:  # across the border of two others
            place = self.ids.find(pid, place + 1)
        return None if place < 0 else place // PID_BYTES


class SequenceMaker:
    """Turns numbers of photos into sequences; what it has read holds as long as it `is_current`."""

    def __init__(self, connection: Connection) -> None:
        """Read all ids and days through this connection."""
        self._driver = driver_connection(connection)
        self._changes = self._driver.total_changes
        numbers, times, joined = connection.execute(_ROWS).one()
        known = np.asarray(_integers.decode(numbers), dtype=np.int64)
        size = int(known.max()) + 1 if known.size else 1
        self._ids = np.zeros((size, PID_BYTES), dtype=np.uint8)
        self._days = np.full(size, NO_DAY, dtype=np.int32)
        if known.size:
            self._ids[known] = np.frombuffer(bytes.fromhex(joined), dtype=np.uint8).reshape(-1, PID_BYTES)
            taken = np.asarray(_integers.decode(times), dtype=np.int64)
            days = np.where(taken == _NO_TIME_MS, NO_DAY, taken // DAY_MS)
            self._days[known] = days.astype(np.int32)

    def is_current(self) -> bool:
        """Tell whether nothing was written since."""
        return self._driver.total_changes == self._changes

    def sequence(self, numbers: Sequence[int]) -> PhotoSequence:
        """Return these photos."""
        chosen = np.asarray(numbers, dtype=np.int64)
        return PhotoSequence(self._ids[chosen].tobytes(), self._days[chosen])
