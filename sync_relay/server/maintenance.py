"""Backing up, restoring and examining a relay that keeps things in SQLite and a folder; examining any other.

A backup is a folder like the relay's own: the database, copied first, and then the blobs it names. Blobs never change,
so the relay goes on meanwhile. A restored relay gets another generation, by which clients notice that positions begin
again; what it lost since the backup they still have, and bring it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, update

from sync_relay.errors import Refused
from sync_relay.server import ledger, tables
from sync_relay.server.blobs import blob_object
from sync_relay.server.database import Database
from sync_relay.server.objects import ObjectMissing, Objects
from sync_relay.server.parts import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sync_relay.server.settings import Settings

DATABASE_FILE: Final = "relay.db"
BLOBS_FOLDER: Final = "blobs"
_PAGE: Final = 500


@dataclass(frozen=True)
class Examined:
    """How many blobs were looked at, and which are not what their rows say: (library, blob)."""

    blobs: int
    lost: tuple[tuple[bytes, bytes], ...]


async def back_up(settings: Settings, target: Path) -> Examined:
    """Copy a relay, running or not, into the new folder `target`; `lost` are blobs that it had lost before."""
    _require_local(settings)
    await asyncio.to_thread(_copy_database, settings.data / DATABASE_FILE, _new_folder(target) / DATABASE_FILE)
    async with _opened(settings, settings.data) as live, _opened(settings, target) as copy:
        blobs, missing = 0, []
        async for row in _stored(copy):
            blobs += 1
            name = blob_object(row.library_id, row.id, row.attempt)
            if not await asyncio.to_thread(
                _copy_file, settings.data / BLOBS_FOLDER / name, target / BLOBS_FOLDER / name
            ):
                missing.append((row.library_id, row.id))
        # Some may have been deleted while the copy was made: those are no loss.
        lost = [blob for blob in missing if await _is_stored(live, blob)]
        await _forget(copy, missing)
    return Examined(blobs, tuple(lost))


async def restore(settings: Settings, source: Path) -> Examined:
    """Make a relay anew, in a folder that is empty, from a backup; every blob is hashed on the way."""
    _require_local(settings)
    if not await asyncio.to_thread((source / DATABASE_FILE).is_file):
        raise Refused(f"{source} is no backup of a relay", hint="Name the folder that `backup` made.")
    await asyncio.to_thread(_copy_database, source / DATABASE_FILE, _new_folder(settings.data) / DATABASE_FILE)
    await asyncio.to_thread(_copy_folder, source / BLOBS_FOLDER, settings.data / BLOBS_FOLDER)
    async with _opened(settings, settings.data) as parts:
        await begin_generation(parts)
        examined = await examine(parts, deep=True)
        await _forget(parts, examined.lost)
    return examined


async def examine(parts: Parts, *, deep: bool) -> Examined:
    """Look whether every blob is in the store with its size; `deep`: and with its hash, which reads all of it."""
    blobs, lost = 0, []
    async for row in _stored(parts):
        blobs += 1
        name = blob_object(row.library_id, row.id, row.attempt)
        try:
            good = await parts.objects.size(name) == row.size and (not deep or await parts.objects.hash(name) == row.id)
        except ObjectMissing:
            good = False
        if not good:
            lost.append((row.library_id, row.id))
    return Examined(blobs, tuple(lost))


async def begin_generation(parts: Parts) -> None:
    """Let clients notice that this database is of a backup, and its positions of an earlier time.

    They are told when they sign in: so all of them have to, and no nonce that was given before is good again.
    """
    async with parts.database.write() as connection:
        for name, size in (("generation", tables.GENERATION_BYTES), ("challenge-key", tables.CHALLENGE_KEY_BYTES)):
            await connection.execute(
                update(tables.relay).where(tables.relay.c.name == name).values(value=secrets.token_bytes(size))
            )
        await connection.execute(delete(tables.session))


async def delete_strays(parts: Parts) -> int:
    """Delete objects that no row names; return how many. What is being uploaded meanwhile may be among them.

    They are left by processes that were killed, and by blobs that came after the backup a database is of.
    """
    strays = []
    async for name in parts.objects.names():
        folder, _, rest = name.partition("/")
        if folder in {"blobs", "parts"} and not await _is_named(parts, folder, rest):
            strays.append(name)
    await parts.objects.delete(strays)
    return len(strays)


async def _is_named(parts: Parts, folder: str, rest: str) -> bool:
    """Return whether a row names this object: a blob by its attempt, stored or under way; a part by its own name."""
    if folder == "parts":
        query = select(tables.part.c.object).where(
            tables.part.c.attempt == rest.partition("/")[0], tables.part.c.object == f"{folder}/{rest}"
        )
    else:
        library, _, name = rest.split("/", 2)
        blob, _, attempt = name.partition(".")
        query = select(tables.blob.c.attempt).where(
            tables.blob.c.library_id == bytes.fromhex(library),
            tables.blob.c.id == bytes.fromhex(blob),
            tables.blob.c.attempt == attempt,
        )
    async with parts.database.read() as connection:
        return (await connection.execute(query)).first() is not None


async def forget_lost(parts: Parts, examined: Examined) -> None:
    """Let the relay say that it does not have what it lost: clients that do then upload it again."""
    await _forget(parts, examined.lost)


def _require_local(settings: Settings) -> None:
    if settings.database_url or settings.blobs_url:
        raise Refused(
            "this relay keeps things elsewhere than in its folder",
            hint="Back up PostgreSQL with pg_dump first and the bucket with its own tools then, in this order. After "
            "putting them back, `safelight-relay doctor --restored` lets clients know.",
        )


def _new_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Refused(f"{folder} is not empty", hint="Name a new folder.")
    return folder


def _copy_database(source: Path, target: Path) -> None:
    if not source.is_file():
        raise Refused(f"there is no relay in {source.parent}", hint="Name the folder that `serve --data` has.")
    target.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _copy_file(source: Path, target: Path) -> bool:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with source.open("rb") as one, target.open("xb") as other:
            shutil.copyfileobj(one, other, 1 << 20)
            other.flush()
            os.fsync(other.fileno())
    except FileNotFoundError:
        return False
    return True


def _copy_folder(source: Path, target: Path) -> None:
    for file in sorted(source.rglob("*")):
        if file.is_file():
            _copy_file(file, target / file.relative_to(source))


@contextlib.asynccontextmanager
async def _opened(settings: Settings, folder: Path) -> AsyncIterator[Parts]:
    there = replace(settings, data=folder)
    database = Database(there.database)
    try:
        await database.migrate()
        yield Parts(database, Objects(there.blobs), settings.limits)
    finally:
        await database.close()


async def _stored(parts: Parts) -> AsyncIterator[tables.StoredBlob]:
    """Yield the rows of all stored blobs, a page at a time."""
    last = (b"", b"")
    while True:
        after = (tables.blob.c.library_id > last[0]) | (
            (tables.blob.c.library_id == last[0]) & (tables.blob.c.id > last[1])
        )
        async with parts.database.read() as connection:
            rows = (
                await connection.execute(
                    select(tables.blob)
                    .where(tables.blob.c.stored, after)
                    .order_by(tables.blob.c.library_id, tables.blob.c.id)
                    .limit(_PAGE)
                )
            ).all()
        for row in rows:
            yield tables.StoredBlob(row.library_id, row.id, row.attempt, row.size)
        if len(rows) < _PAGE:
            return
        last = (rows[-1].library_id, rows[-1].id)


async def _is_stored(parts: Parts, blob: tuple[bytes, bytes]) -> bool:
    async with parts.database.read() as connection:
        found = await connection.scalar(
            select(tables.blob.c.stored).where(tables.blob.c.library_id == blob[0], tables.blob.c.id == blob[1])
        )
    return bool(found)


async def _forget(parts: Parts, blobs: tuple[tuple[bytes, bytes], ...] | list[tuple[bytes, bytes]]) -> None:
    for library_id, blob_id in blobs:
        this = (tables.blob.c.library_id == library_id) & (tables.blob.c.id == blob_id)
        async with parts.database.write() as connection:
            await ledger.take(connection, library_id, 0)
            row = (await connection.execute(select(tables.blob).where(this))).first()
            if row is not None:
                await connection.execute(delete(tables.blob).where(this))
                await ledger.credit(connection, library_id, row.size, 1)
        if row is not None:
            await parts.objects.delete([blob_object(library_id, blob_id, row.attempt)])
