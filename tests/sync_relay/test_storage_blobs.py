"""Blobs of a relay, on every storage: uploads that go on, that meet, that end; and what is deleted."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from sync_relay import errors
from sync_relay.server import ledger, removal, tables
from sync_relay.server.blobs import Blobs, Interrupted
from sync_relay.server.objects import ObjectMissing
from sync_relay.statements import make_delete
from tests.sync_relay.conftest import EVERY_STORAGE, Library
from tests.sync_relay.on_storage import DAY, content_of, found, in_pieces, upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sync_relay.server.parts import Parts
    from tests.sync_relay.conftest import Clock

STORAGES = EVERY_STORAGE


def test_more_than_was_said_is_not_read_on(parts: Parts, library: Library, loop: Any) -> None:
    taken = 0

    async def without_end() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(10_000)

    async def scenario() -> None:
        await found(parts, library)
        with pytest.raises(errors.RelayError):
            await Blobs(parts).receive(library.genesis.library_id, bytes(32), offset=0, size=15_000, body=without_end())

    loop(scenario())
    assert taken == 2


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
