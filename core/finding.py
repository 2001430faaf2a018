"""What `safelight doctor` says of one thing; apart from `core.diagnosis`, so that its help loads no library."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing looked at, and whether it is as it should be; `hint` says what to do where it is not."""

    check: str
    ok: bool
    detail: str
    hint: str | None = None
