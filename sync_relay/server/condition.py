"""How a relay is, in plain words for its owner: its folder, its database, its room, and what it has promised.

Sums only, never which library: whoever looks after a relay need not know who uses it how.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import case, func, select, text

from sync_relay.server import tables
from sync_relay.server.libraries import statistics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sync_relay.server.parts import Parts
    from sync_relay.server.settings import Settings

_FREE_BYTES_WANTED: Final = 1_000_000_000
_OVERDUE_S: Final = 86_400
_NEARLY: Final = 0.9


class Finding(NamedTuple):
    """One thing looked at, and whether it is as it should be; `hint` says what to do where it is not."""

    check: str
    ok: bool
    detail: str
    hint: str | None = None


async def condition(parts: Parts, settings: Settings) -> list[Finding]:
    """Look at a relay, running or not, and say how it is. Nothing is changed."""
    found = list(await asyncio.to_thread(lambda: list(_folder(settings))))
    found += [finding async for finding in _database(parts, settings)]
    figures = await statistics(parts)
    found.append(
        Finding(
            "use",
            True,
            f"{_count(figures['libraries'], 'library', 'libraries')} with {figures['devices']:,} keys of members, the "
            f"phrases' among them; {_count(figures['log_items'], 'thing')} in their logs "
            f"({figures['log_bytes']:,} bytes), "
            f"{_count(figures['blobs'], 'file')} ({figures['blob_bytes']:,} bytes), "
            f"{_count(figures['uploads'], 'upload')} under way, {_count(figures['open_invites'], 'unused invite')}",
        )
    )
    found += [finding async for finding in _quotas(parts, settings, figures)]
    found += [finding async for finding in _overdue(parts)]
    return found


def _folder(settings: Settings) -> Iterator[Finding]:
    data = settings.data
    if not data.is_dir():
        yield Finding("folder", True, f"nothing is kept in {data}: database and files are elsewhere")
        return
    if os.name == "posix":
        mode = stat.S_IMODE(data.stat().st_mode)
        open_ = [path.name for path in sorted(data.iterdir()) if _is_open(path)] if mode & 0o077 else []
        yield Finding(
            "folder",
            not open_,
            f"{data}, mode {mode:o}" + (f"; others may read {', '.join(open_[:3])}" if open_ else ""),
            f"What is in it is encrypted; who talks to whom is not: chmod 700 '{data}'.",
        )
    free = shutil.disk_usage(data).free
    yield Finding(
        "disk",
        free >= _FREE_BYTES_WANTED,
        f"{free:,} bytes free in {data}",
        "Make room, or move the relay to a larger disk.",
    )


def _count(number: int, thing: str, things: str | None = None) -> str:
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def _is_open(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return bool(stat.S_IMODE(path.lstat().st_mode) & 0o077)
    return False


async def _database(parts: Parts, settings: Settings) -> AsyncIterator[Finding]:
    if settings.database_url and not settings.database_url.startswith("sqlite"):
        yield Finding("database", True, "answers; it is PostgreSQL, whose own tools check it")
        return
    async with parts.database.read() as connection:
        said = [str(row[0]) for row in await connection.execute(text("PRAGMA quick_check(3)"))]
    whole = said == ["ok"]
    yield Finding(
        "database",
        whole,
        "relay.db is whole" if whole else f"relay.db is damaged: {said[0]}",
        "Stop the relay and `safelight-relay restore` a backup; devices bring back what it lacks.",
    )


async def _quotas(parts: Parts, settings: Settings, figures: dict[str, int]) -> AsyncIterator[Finding]:
    columns = tables.library.c
    full = (columns.used_bytes >= columns.quota_bytes) | (columns.used_objects >= columns.quota_objects)
    nearly = (columns.used_bytes >= _NEARLY * columns.quota_bytes) | (
        columns.used_objects >= _NEARLY * columns.quota_objects
    )
    async with parts.database.read() as connection:
        at_end, near_end, used = (
            await connection.execute(
                select(
                    func.coalesce(func.sum(case((full, 1), else_=0)), 0),
                    func.coalesce(func.sum(case((nearly & ~full, 1), else_=0)), 0),
                    func.coalesce(func.sum(columns.used_bytes), 0),
                )
            )
        ).one()
    yield Finding(
        "quotas",
        True,
        f"{int(at_end):,} full and {int(near_end):,} nearly"
        + ("; `safelight-relay quota LIBRARY --quota SIZE` gives one more room" if at_end else ""),
    )
    if not settings.blobs_url and settings.data.is_dir():
        promised = max(0, figures["quota_bytes"] - int(used))
        free = (await asyncio.to_thread(shutil.disk_usage, settings.data)).free
        more = "" if promised <= free else ": more than there is, if all of it is used one day"
        yield Finding("promised", True, f"{promised:,} bytes may still come by the quotas, {free:,} are free{more}")


async def _overdue(parts: Parts) -> AsyncIterator[Finding]:
    late = parts.clock() - _OVERDUE_S
    async with parts.database.read() as connection:
        blobs = await connection.scalar(
            select(func.count()).select_from(tables.blob).where(tables.blob.c.gone_at < late)
        )
        prunes = await connection.scalar(
            select(func.count()).select_from(tables.prune).where(tables.prune.c.due_at < late)
        )
    overdue = int(blobs or 0) + int(prunes or 0)
    yield Finding(
        "tidying",
        not overdue,
        f"{overdue:,} things ought to be gone for a day" if overdue else "nothing that ought to be gone is still there",
        "A relay that is running removes them every hour: look whether it runs, and what its log says.",
    )
