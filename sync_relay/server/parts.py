"""What every part of the relay works with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_relay.server.database import Database
    from sync_relay.server.objects import Objects
    from sync_relay.server.settings import Limits


def utc_seconds() -> int:
    """Return the time, in UTC seconds."""
    return int(time.time())


@dataclass(frozen=True)
class Parts:
    """The storage of one relay, its bounds, and the clock it expires things by."""

    database: Database
    objects: Objects
    limits: Limits
    clock: Callable[[], int] = field(default=utc_seconds)
