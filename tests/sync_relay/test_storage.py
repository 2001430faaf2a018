"""The log and the accounts of a relay, on every storage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.dialects import registry
from sqlalchemy.schema import CreateTable

from sync_relay import errors
from sync_relay.server import database as database_module
from sync_relay.server import ledger, libraries, log, tables
from sync_relay.server.database import Database, newest_revision
from sync_relay.server.sessions import token_bytes
from sync_relay.wire import AppendEntries, CreateLibrary
from tests.sync_relay.conftest import EVERY_STORAGE, Library, new_library
from tests.sync_relay.on_storage import DAY, found, upload

if TYPE_CHECKING:
    from sync_relay.server.parts import Parts
    from tests.sync_relay.conftest import Clock

STORAGES = EVERY_STORAGE


def test_the_migrations_make_the_tables_that_the_code_uses(parts: Parts, loop: Any) -> None:
    async def differences() -> list[Any]:
        async with parts.database.write() as connection:
            return await connection.run_sync(
                lambda bind: compare_metadata(MigrationContext.configure(bind), tables.METADATA)
            )

    assert loop(differences()) == []
    loop(parts.database.check())


def test_a_database_that_is_behind_is_copied_before_it_is_migrated(
    tmp_path: Any, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "relay.db"
    database = Database(f"sqlite+aiosqlite:///{file}")
    assert loop(database.migrate()) is None
    assert loop(database.migrate()) is None
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    with pytest.raises(errors.Unavailable):
        loop(database.check())
    monkeypatch.setattr(database_module, "_upgrade", lambda _connection: None)
    copy = loop(database.migrate())
    loop(database.close())
    assert copy.name == f"relay.db.before-{newest_revision()}-from-0001"
    assert copy.stat().st_mode & 0o077 == 0 or os.name == "nt"
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM relay").fetchone() == (2,)


def test_every_table_can_be_made_in_postgresql() -> None:
    dialect = registry.load("postgresql")()
    for table in tables.METADATA.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect)).startswith("\nCREATE TABLE")


def test_sqlite_keeps_nothing_that_is_not_on_the_disk(parts: Parts, loop: Any) -> None:
    if not parts.database.is_sqlite:
        pytest.skip("of SQLite only")

    async def pragmas() -> list[Any]:
        async with parts.database.read() as connection:
            names = ("synchronous", "journal_mode", "temp_store", "foreign_keys")
            return [(await connection.execute(text(f"PRAGMA {name}"))).scalar_one() for name in names]

    assert loop(pragmas()) == [2, "wal", 2, 1]


def test_appending_at_once_gives_positions_in_the_order_of_the_commits(
    parts: Parts, library: Library, loop: Any
) -> None:
    async def race() -> None:
        await found(parts, library)
        one, other = library.founder, library.phrase
        envelopes = [(device, device.write()) for _ in range(20) for device in (one, other)]

        async def write(device: Any) -> None:
            for author, envelope in envelopes:
                if author is device:
                    await log.append(parts, library.genesis.library_id, [envelope])

        async def read() -> list[int]:
            seen: list[int] = []
            while len(seen) < 41:
                page = await log.pull(parts, library.genesis.library_id, seen[-1] if seen else 0, 3)
                seen += [item.position for item in page.items]
                await asyncio.sleep(0)
            return seen

        seen, *_ = await asyncio.gather(read(), write(one), write(other))
        everything = await log.pull(parts, library.genesis.library_id, 0, 1000)
        # What was read while others wrote misses nothing of what is there now.
        assert seen == [item.position for item in everything.items]

    loop(race())


def test_of_two_that_continue_one_chain_differently_one_is_told(parts: Parts, library: Library, loop: Any) -> None:
    async def race() -> None:
        await found(parts, library)
        device = library.founder
        rivals = [device.seal(1, device.previous, text) for text in (b"one", b"other")]
        results = await asyncio.gather(
            *(log.append(parts, library.genesis.library_id, [rival]) for rival in rivals), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["Appended", "SequenceConflict"]
        page = await log.pull(parts, library.genesis.library_id, 1, 10)
        assert [item.body in rivals for item in page.items] == [True]

    loop(race())


def test_nothing_of_a_refused_batch_stays(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library)
        first, _, third = library.founder.write(), library.founder.write(), library.founder.write()
        with pytest.raises(errors.SequenceGap) as gap:
            await log.append(parts, library.genesis.library_id, [first, third])
        assert (gap.value.details.index, gap.value.details.seq) == (1, 1)
        assert (await log.heads(parts, library.genesis.library_id)).heads == []
        async with parts.database.read() as connection:
            assert (await ledger.usage(connection, library.genesis.library_id)).objects == 1

    loop(scenario())


def test_quotas_say_how_much_is_over(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library, quota=2_000, objects=3)
        library_id = library.genesis.library_id
        envelopes = [library.founder.write() for _ in range(3)]
        with pytest.raises(errors.QuotaFull) as full:
            await log.append(parts, library_id, envelopes)
        used = len(library.genesis.entry)
        over = used + sum(map(len, envelopes)) - 2_000
        assert full.value.details == errors.ErrorDetails(quota="bytes", over=over, limit=2_000, used=used)
        await log.append(parts, library_id, envelopes[:2])
        with pytest.raises(errors.QuotaFull) as objects:
            await upload(parts, library, b"x")
        assert (objects.value.details.quota, objects.value.details.over) == ("objects", 1)

    loop(scenario())


def test_pages_end_at_their_bounds(parts: Parts, library: Library, loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        await log.append(parts, library_id, [library.founder.write(os.urandom(5_000)) for _ in range(4)])
        page = await log.pull(parts, library_id, 1, 3)
        assert ([item.position for item in page.items], page.more) == ([2, 3, 4], True)
        monkeypatch.setattr(log, "MAX_PAGE_BYTES", 12_000)
        page = await log.pull(parts, library_id, 1, 100)
        assert ([item.position for item in page.items], page.more) == ([2, 3], True)
        monkeypatch.setattr(log, "MAX_PAGE_BYTES", 1)
        page = await log.pull(parts, library_id, 4, 100)
        assert ([item.position for item in page.items], page.more) == ([5], False)
        assert (await log.pull(parts, library_id, 99, 100)).position == 5

    loop(scenario())


def test_an_invite_founds_one_library_and_a_repeat_is_no_error(parts: Parts, loop: Any, clock: Clock) -> None:
    async def scenario() -> None:
        invite = await libraries.make_invite(parts, quota_bytes=10**6, quota_objects=100)

        async def use(genesis: bytes) -> Any:
            return await libraries.found(parts, CreateLibrary(invite=invite, genesis=genesis), token_bytes(invite))

        first = new_library().genesis.entry
        assert await use(first) == await use(first)
        with pytest.raises(errors.InviteRefused):
            await use(new_library().genesis.entry)
        invite = await libraries.make_invite(parts, quota_bytes=10**6, quota_objects=100)
        with pytest.raises(errors.LibraryExists):
            await use(first)
        with pytest.raises(errors.Forged):
            await use(first[:-1] + bytes([first[-1] ^ 1]))
        clock.now += 31 * DAY
        with pytest.raises(errors.InviteRefused):
            await use(new_library().genesis.entry)

    loop(scenario())


def test_bytes_that_are_no_membership_entry_are_not_stored(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        with pytest.raises(errors.Malformed):
            await libraries.append_entries(parts, library_id, AppendEntries(entries=[b"something else"]))
        repeat = AppendEntries(entries=[library.genesis.entry])
        assert (await libraries.append_entries(parts, library_id, repeat)).stored == 0

    loop(scenario())


def test_more_at_once_than_there_are_connections_is_an_outage_and_no_fault(
    parts: Parts, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool: Any = parts.database._reading.sync_engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.01)

    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(pool.size() + pool._max_overflow):
                await stack.enter_async_context(parts.database.read())
            with pytest.raises(errors.Unavailable, match="more to do"):
                await stack.enter_async_context(parts.database.read())
        await parts.database.check()

    loop(scenario())
