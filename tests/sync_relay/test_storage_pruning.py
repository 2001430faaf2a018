"""Prune entries at a relay, on every storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sync_relay import errors
from sync_relay.server import ledger, log, removal
from sync_relay.statements import Place, make_prune
from sync_relay.wire import KIND_ENVELOPE, KIND_PRUNE
from tests.sync_relay.conftest import EVERY_STORAGE, Library
from tests.sync_relay.on_storage import DAY, found

if TYPE_CHECKING:
    from sync_relay.server.parts import Parts
    from tests.sync_relay.conftest import Clock

STORAGES = EVERY_STORAGE


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


@pytest.mark.scenario(9, "envelopes are pruned too early")
def test_prune_entries_that_contradict_the_relay_are_refused(parts: Parts, library: Library, loop: Any) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        one = library.founder
        envelopes = [one.write()]
        first = Place(one.id, 1, one.previous)
        await log.append(parts, library_id, [*envelopes, one.write()])
        good = Place(one.id, 2, one.previous)
        absent = Place(one.id, 7, b"h" * 32)
        for checkpoint, covered in [
            (absent, first),
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


def test_a_library_whose_chains_were_pruned_elsewhere_begins_with_the_checkpoint(
    parts: Parts, library: Library, loop: Any
) -> None:
    async def scenario() -> None:
        await found(parts, library)
        library_id = library.genesis.library_id
        one = library.founder
        lost = [one.write() for _ in range(3)]
        covered = Place(one.id, 3, one.previous)
        checkpoint = one.write()
        place = Place(one.id, 4, one.previous)
        confirmation = one.write()
        words: dict[str, Any] = {"checkpoint": place, "confirmation": Place(one.id, 5, one.previous), "time": 0}
        statement = make_prune(one.secrets, library_id, covered=[covered], **words)
        assert (await removal.append_statements(parts, library_id, [statement])).stored == 1
        assert (await log.append(parts, library_id, [*lost, checkpoint, confirmation])).stored == 2
        # From then on, what a prune entry names has to be here.
        elsewhere = words | {"checkpoint": Place(one.id, 9, b"h" * 32)}
        further = make_prune(one.secrets, library_id, covered=[Place(one.id, 4, place.hash)], **elsewhere)
        with pytest.raises(errors.PruneRefused):
            await removal.append_statements(parts, library_id, [further])

    loop(scenario())
