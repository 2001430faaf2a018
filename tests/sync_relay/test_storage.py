from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.dialects import registry
from sqlalchemy.schema import CreateTable

from sync_relay import errors
from sync_relay.server import database as database_module
from sync_relay.server import ledger, libraries, log, removal, tables
from sync_relay.server.blobs import Blobs, Interrupted
from sync_relay.server.database import Database, newest_revision
from sync_relay.server.objects import ObjectMissing, Objects
from sync_relay.server.parts import Parts
from sync_relay.server.sessions import token_bytes
from sync_relay.statements import Place, make_delete, make_prune
from sync_relay.wire import KIND_ENVELOPE, KIND_PRUNE, AppendEntries, CreateLibrary
from tests.sync_relay.conftest import EVERY_STORAGE, Library, new_library

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sync_relay.server.settings import Settings
    from tests.sync_relay.conftest import Clock

STORAGES = EVERY_STORAGE
DAY = 86_400


@pytest.fixture
def parts(settings: Settings, clock: Clock, loop: Any) -> Iterator[Parts]:
    database = Database(settings.database)
    loop(database.migrate())
    yield Parts(database, Objects(settings.blobs), settings.limits, clock)
    loop(database.close())


async def found(parts: Parts, library: Library, *, quota: int = 10**9, objects: int = 10**6) -> None:
    invite = await libraries.make_invite(parts, quota_bytes=quota, quota_objects=objects)
    request = CreateLibrary(invite=invite, genesis=library.genesis.entry)
    await libraries.found(parts, request, token_bytes(invite))


async def in_pieces(*pieces: bytes, breaks: bool = False) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if breaks:
        raise Interrupted


async def upload(parts: Parts, library: Library, content: bytes) -> bytes:
    blob_id = hashlib.blake2b(content, digest_size=32).digest()
    state = await Blobs(parts).receive(
        library.genesis.library_id, blob_id, offset=0, size=len(content), body=in_pieces(content)
    )
    assert state.state == "stored"
    return blob_id


async def content_of(parts: Parts, library: Library, blob_id: bytes) -> bytes:
    blobs = Blobs(parts)
    name, size = await blobs.stored(library.genesis.library_id, blob_id)
    return b"".join([piece async for piece in await blobs.read(name, 0, size)])


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
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
        connection.commit()
    with pytest.raises(errors.Unavailable):
        loop(database.check())
    monkeypatch.setattr(database_module, "_upgrade", lambda _connection: None)
    copy = loop(database.migrate())
    loop(database.close())
    assert copy.name == f"relay.db.before-{newest_revision()}-from-0000"
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


def test_an_upload_goes_on_at_any_byte(parts: Parts, library: Library, loop: Any) -> None:
    content = os.urandom(200_000)
    blob_id = hashlib.blake2b(content, digest_size=32).digest()

    async def scenario() -> None:
        await found(parts, library)
        blobs = Blobs(parts)
        library_id = library.genesis.library_id
        cuts = [0, 1, 65_536, 65_537, 131_000, 199_999, 200_000]
        for start, end in itertools.pairwise(cuts):
            with pytest.raises(Interrupted):
                await blobs.receive(
                    library_id,
                    blob_id,
                    offset=start,
                    size=len(content),
                    body=in_pieces(content[start:end], breaks=True),
                )
            state = (await blobs.states(library_id, [blob_id])).blobs[0]
            assert (state.state, state.offset) == ("partial", end)
        done = await blobs.receive(library_id, blob_id, offset=200_000, size=len(content), body=in_pieces())
        assert done.state == "stored"
        assert await content_of(parts, library, blob_id) == content
        async with parts.database.read() as connection:
            assert (await connection.execute(select(tables.part))).all() == []
            assert (await ledger.usage(connection, library_id)).bytes == len(content) + len(library.genesis.entry)

    loop(scenario())


def test_two_that_upload_one_blob_at_once_end_with_one(parts: Parts, library: Library, loop: Any) -> None:
    content = os.urandom(300_000)
    blob_id = hashlib.blake2b(content, digest_size=32).digest()

    async def slowly() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 50_000):
            yield content[start : start + 50_000]
            await asyncio.sleep(0)

    async def scenario() -> None:
        await found(parts, library)
        blobs = Blobs(parts)

        async def whole() -> None:
            offset = 0
            while True:
                try:
                    state = await blobs.receive(
                        library.genesis.library_id,
                        blob_id,
                        offset=offset,
                        size=len(content),
                        body=in_pieces(content[offset:]) if offset else slowly(),
                    )
                except errors.OffsetMismatch as mismatch:
                    offset = mismatch.details.offset or 0
                else:
                    assert state.state == "stored"
                    return

        await asyncio.gather(whole(), whole())
        assert await content_of(parts, library, blob_id) == content

    loop(scenario())


def test_a_photo_costs_one_transaction_and_one_object(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library)
        content = os.urandom(60_000)
        transactions: list[object] = []
        transact = parts.database.transact

        async def counted(work: Any) -> Any:
            transactions.append(work)
            return await transact(work)

        parts.database.transact = counted  # type: ignore[method-assign]
        blob_id = await upload(parts, library, content)
        assert len(transactions) == 1
        assert await content_of(parts, library, blob_id) == content
        names = [name async for name in parts.objects.names() if not name.startswith("relay-check")]
        assert len(names) == 1
        async with parts.database.read() as connection:
            usage = await ledger.usage(connection, library.genesis.library_id)
        assert (usage.bytes, usage.objects) == (len(content) + len(library.genesis.entry), 2)

    loop(scenario())


@pytest.mark.parametrize("others", ["begun", "stored"])
def test_a_blob_that_comes_whole_while_others_send_it(parts: Parts, library: Library, loop: Any, others: str) -> None:
    """Whoever is first, there is one blob, counted once, and whoever is not is told where it stands."""
    content = os.urandom(50_000)
    blob_id = hashlib.blake2b(content, digest_size=32).digest()

    async def scenario() -> None:
        await found(parts, library)
        library_id, blobs = library.genesis.library_id, Blobs(parts)

        async def while_others_send() -> AsyncIterator[bytes]:
            yield content[:10]
            if others == "stored":
                await upload(parts, library, content)
            else:
                with pytest.raises(Interrupted):
                    await blobs.receive(
                        library_id, blob_id, offset=0, size=len(content), body=in_pieces(content[:7], breaks=True)
                    )
            yield content[10:]

        state = await blobs.receive(library_id, blob_id, offset=0, size=len(content), body=while_others_send())
        assert (state.state, state.offset) == ("stored", len(content))
        assert await content_of(parts, library, blob_id) == content
        state = await blobs.receive(library_id, blob_id, offset=7, size=len(content), body=in_pieces(content[7:]))
        assert state.state == "stored"
        assert len([name async for name in parts.objects.names()]) == 1
        async with parts.database.read() as connection:
            usage = await ledger.usage(connection, library_id)
            assert (await connection.execute(select(tables.part))).all() == []
        assert (usage.bytes, usage.objects) == (len(content) + len(library.genesis.entry), 2)

    loop(scenario())


def test_a_photo_that_does_not_fit_any_more_leaves_nothing(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library, quota=len(library.genesis.entry) + 50_000)
        library_id, blobs = library.genesis.library_id, Blobs(parts)
        content = os.urandom(30_000)
        blob_id = hashlib.blake2b(content, digest_size=32).digest()

        async def while_another_takes_the_room() -> AsyncIterator[bytes]:
            await upload(parts, library, os.urandom(30_000))
            yield content

        with pytest.raises(errors.QuotaFull) as full:
            await blobs.receive(library_id, blob_id, offset=0, size=len(content), body=while_another_takes_the_room())
        assert full.value.details.over == 10_000
        assert (await blobs.states(library_id, [blob_id])).blobs[0].state == "absent"
        assert len([name async for name in parts.objects.names()]) == 1
        async with parts.database.read() as connection:
            assert (await ledger.usage(connection, library_id)).objects == 2

    loop(scenario())


@pytest.mark.parametrize("size", [1_000, 200_000])
def test_bytes_that_are_not_the_blob_leave_nothing(parts: Parts, library: Library, loop: Any, size: int) -> None:
    async def scenario() -> None:
        await found(parts, library)
        blobs = Blobs(parts)
        library_id = library.genesis.library_id
        with pytest.raises(errors.BlobDamaged):
            await blobs.receive(library_id, b"i" * 32, offset=0, size=size, body=in_pieces(bytes(size)))
        assert (await blobs.states(library_id, [b"i" * 32])).blobs[0].state == "absent"
        async with parts.database.read() as connection:
            assert (await ledger.usage(connection, library_id)).objects == 1
            assert (await connection.execute(select(tables.part))).all() == []

    loop(scenario())


def test_a_part_that_the_storage_lost_makes_the_upload_begin_again(parts: Parts, library: Library, loop: Any) -> None:
    content = os.urandom(150_000)
    blob_id = hashlib.blake2b(content, digest_size=32).digest()

    async def scenario() -> None:
        await found(parts, library)
        blobs = Blobs(parts)
        library_id = library.genesis.library_id
        await blobs.receive(library_id, blob_id, offset=0, size=len(content), body=in_pieces(content[:100_000]))
        async with parts.database.read() as connection:
            name = (await connection.execute(select(tables.part.c.object))).scalars().first()
        assert name is not None
        await parts.objects.delete([name])
        with pytest.raises(errors.BlobDamaged):
            await blobs.receive(
                library_id, blob_id, offset=100_000, size=len(content), body=in_pieces(content[100_000:])
            )
        assert await upload(parts, library, content) == blob_id

    loop(scenario())


def test_a_blob_lost_by_the_storage_is_named_before_anything_is_sent(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library)
        blobs = Blobs(parts)
        blob_id = await upload(parts, library, b"ciphertext")
        name, size = await blobs.stored(library.genesis.library_id, blob_id)
        await parts.objects.delete([name])
        with pytest.raises(errors.NoSuchBlob):
            await blobs.read(name, 0, size)
        with pytest.raises(errors.NoSuchBlob):
            await blobs.prove(library.genesis.library_id, blob_id, bytes(32))
        with pytest.raises(ObjectMissing):
            await parts.objects.hash(name)

    loop(scenario())


def test_a_deleted_blob_goes_after_its_grace_and_not_before(
    parts: Parts, library: Library, loop: Any, clock: Clock
) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        gone, kept = await upload(parts, library, b"gone"), await upload(parts, library, b"kept")
        statement = make_delete(library.founder.secrets, library_id, [gone, kept], time=clock.now)
        assert (await removal.append_statements(parts, library_id, [statement])).stored == 1
        clock.now += 29 * DAY
        assert await removal.sweep(parts) == {}
        assert await content_of(parts, library, gone) == b"gone"
        assert await upload(parts, library, b"kept") == kept  # uploading it again takes the deletion back
        assert (await removal.append_statements(parts, library_id, [statement])).stored == 0  # and stays taken back
        clock.now += DAY
        assert (await removal.sweep(parts)) == {"blobs": 1}
        states = (await Blobs(parts).states(library_id, [gone, kept])).blobs
        assert [state.state for state in states] == ["absent", "stored"]
        clock.now += 40 * DAY
        assert await removal.sweep(parts) == {}

    loop(scenario())


def test_an_upload_nobody_goes_on_with_is_cleared_away(parts: Parts, library: Library, loop: Any, clock: Clock) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        await Blobs(parts).receive(library_id, b"i" * 32, offset=0, size=9, body=in_pieces(b"half"))
        clock.now += 15 * DAY
        assert (await removal.sweep(parts))["uploads"] == 1
        async with parts.database.read() as connection:
            assert (await ledger.usage(connection, library_id)).objects == 1

    loop(scenario())


def test_pruned_envelopes_leave_their_names_and_free_their_space(
    parts: Parts, library: Library, loop: Any, clock: Clock
) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        one, other = library.founder, library.phrase
        history = [one.write() for _ in range(3)]
        covered = Place(one.id, one.seq, one.previous)
        await log.append(parts, library_id, [*history, one.write(b"checkpoint"), other.write(b"confirmed")])
        statement = make_prune(
            one.secrets,
            library_id,
            checkpoint=Place(one.id, 4, one.previous),
            confirmation=Place(other.id, 1, other.previous),
            covered=[covered],
            time=0,
        )
        before = await log.pull(parts, library_id, 0, 100)
        await removal.append_statements(parts, library_id, [statement])
        clock.now += 29 * DAY
        assert await removal.sweep(parts) == {}
        clock.now += DAY
        assert await removal.sweep(parts) == {"envelopes": 3}
        after = await log.pull(parts, library_id, 0, 100)
        assert [item.position for item in after.items[:-1]] == [item.position for item in before.items]
        assert [(item.seq, item.body) for item in after.items if item.kind == KIND_ENVELOPE and item.seq] == [
            (1, None),
            (2, None),
            (3, None),
        ]
        assert after.items[-1].kind == KIND_PRUNE
        async with parts.database.read() as connection:
            held = await ledger.usage(connection, library_id)
        assert held.bytes == sum(len(item.body) for item in after.items if item.body)
        # The chain goes on, and repeats of what was pruned are known for what they are.
        assert (await log.append(parts, library_id, [history[0], one.write()])).stored == 1
        with pytest.raises(errors.SequenceConflict):
            await log.append(parts, library_id, [one.seal(2, b"p" * 32, b"forged history")])

    loop(scenario())


def test_prune_entries_that_contradict_the_relay_are_refused(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        one = library.founder
        await log.append(parts, library_id, [one.write(), one.write()])
        good = Place(one.id, 2, one.previous)
        absent = Place(one.id, 7, b"h" * 32)
        for checkpoint, covered in [
            (absent, Place(one.id, 1, b"h" * 32)),
            (good, good),
            (good, Place(one.id, 1, b"another" + bytes(25))),
        ]:
            statement = make_prune(
                one.secrets, library_id, checkpoint=checkpoint, confirmation=good, covered=[covered], time=0
            )
            with pytest.raises(errors.PruneRefused):
                await removal.append_statements(parts, library_id, [statement])
        assert len((await log.pull(parts, library_id, 0, 100)).items) == 3

    loop(scenario())


def test_a_chain_whose_beginning_was_pruned_elsewhere_goes_on_here(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        one, other = library.founder, library.phrase
        lost = [one.write() for _ in range(3)]
        covered = Place(one.id, 3, one.previous)
        await log.append(parts, library_id, [other.write()])
        checkpoint = Place(other.id, 1, other.previous)
        statement = make_prune(
            other.secrets, library_id, checkpoint=checkpoint, confirmation=checkpoint, covered=[covered], time=0
        )
        fourth = one.write()
        with pytest.raises(errors.SequenceGap):
            await log.append(parts, library_id, [fourth])
        await removal.append_statements(parts, library_id, [statement])
        assert (await log.append(parts, library_id, [*lost, fourth])).stored == 1

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
