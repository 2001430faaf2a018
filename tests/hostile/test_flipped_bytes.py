"""Scenario 1: a relay flips bits, or cuts things off: in its database, in its store of blobs, on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from core.errors import BlobDamaged, BlobMissing, RelayRefused, RelayUnreachable
from core.originals import Originals
from core.sync.engine import SyncEngine
from core.sync.patience import Patience
from sync_relay import errors
from sync_relay.client import RelayClient
from tests.core.remote_device import beside
from tests.hostile.invariant import holds
from tests.hostile.world import flipped
from tests.sync_relay.faults import Faults, Garble, Truncate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.world import World

# What an envelope is made of (docs/formats.md): where each field begins, and is flipped.
ENVELOPE = {
    "preamble": 0,
    "version": 6,
    "library": 8,
    "device": 40,
    "number": 79,
    "previous": 80,
    "epoch": 112,
    "membership": 144,
    "random": 176,
    "commitment": 208,
    "ciphertext": 240,
    "signature": -1,
}
NAMED = {"previous", "epoch", "membership", "random", "commitment", "ciphertext", "signature", "library"}
"""With these altered, what is left still says whose envelope it was."""


class TestFlippedBytes:
    @pytest.mark.scenario(1, "in an envelope", alarm=("forged", "withheld"))
    def test_no_field_of_an_envelope_in_the_database(self, world: World) -> None:
        first, second = world.first, world.second
        world.photo(first)
        world.sync(first)
        ((seq, data), *later) = world.unseen(first, second)
        assert later, "what builds on it arrives, and waits"
        name = f"envelope {seq} of device {first.id.hex()[:12]}"
        bad = {field: flipped(data, at) for field, at in ENVELOPE.items()}
        bad |= {"cut": data[:-1], "half": data[: len(data) // 2], "longer": data + b"\0", "empty": b""}
        for field, body in bad.items():
            with world.stored((first.id, seq), body):
                world.sync(second)
            kept = second.engine.alarms.list()
            assert {alarm.name for alarm in kept} == {"forged", "withheld"}, field
            assert all(name in alarm.message for alarm in kept if alarm.name == "withheld" or field in NAMED), field
            assert second.library.log.head(first.id)[0] < seq, field
            second.engine.alarms.clear()
        holds(world, name)

    @pytest.mark.scenario(1, "in a membership entry", alarm=("forged", "withheld"))
    def test_no_part_of_a_membership_entry_in_the_database(self, world: World) -> None:
        first, second = world.first, world.second
        entry = beside(first.library).rotate()
        first.library.add_entries([entry])
        world.photo(first)
        world.sync(first)
        step = max(1, len(entry.data) // 12)
        bad = [flipped(entry.data, at) for at in (*range(0, len(entry.data), step), -1)]
        bad += [entry.data[:-1], entry.data[: len(entry.data) // 2], entry.data + b"\0", b""]
        for body in bad:
            with world.database() as database:
                database.execute("UPDATE item SET body = ? WHERE kind = 2 AND body = ?", (body, entry.data))
            world.sync(second)
            assert "forged" in {alarm.name for alarm in second.engine.alarms.list()}
            assert entry.hash not in second.library.members.membership.entries
            second.engine.alarms.clear()
            with world.database() as database:
                database.execute("UPDATE item SET body = ? WHERE kind = 2 AND body = ?", (entry.data, body))
        holds(world)

    @pytest.mark.scenario(1, "in a blob", alarm="blob-damaged")
    def test_no_byte_of_a_stored_blob(self, world: World) -> None:
        """Of three chunks: in what each blob begins with, in each chunk and at its end; and cut off anywhere."""
        photo = world.photo(world.first, size=150_000)
        world.sync(world.first, world.second)
        second, stored = world.second, world.object_of(world.blob_of(photo))
        good = stored.read_bytes()
        places = (0, 7, 8, 39, 40, 65_591, 65_592, 131_143, 131_144, -17, -1)
        bad = [flipped(good, at) for at in places]
        bad += [good[:length] for length in (0, 8, 40, 65_592, len(good) - 1)]
        for body in bad:
            stored.write_bytes(body)
            with (
                Originals(second.library) as originals,
                pytest.raises((BlobDamaged, BlobMissing, RelayUnreachable)) as raised,
            ):
                originals.ensure(photo.pid)
            assert raised.value.hint
            if isinstance(raised.value, BlobDamaged):
                world.heard.append(raised.value)
            assert not second.library.blobs.exists(world.blob_of(photo))
        stored.write_bytes(good)
        with Originals(second.library) as originals:
            copy = originals.ensure(photo.pid)
        assert second.library.blobs.read(copy.blob_id, copy.key) == photo.content
        holds(world, world.blob_of(photo).hex()[:12])

    @pytest.mark.scenario(1, "in a sign-in or a token")
    def test_no_letter_of_a_token(self, world: World) -> None:
        first = world.first
        client = world.relay.client()
        client.sign_in(first.secrets, first.library.library_id)
        good = client.token
        assert client.pull().items
        for at, letter in enumerate(good):
            client.token = good[:at] + ("A" if letter != "A" else "B") + good[at + 1 :]
            with pytest.raises(errors.NotSignedIn):
                client.pull()
        for cut in (1, len(good) // 2):
            client.token = good[:-cut]
            with pytest.raises(errors.NotSignedIn):
                client.pull()
        holds(world)

    @pytest.mark.scenario(1, "in an answer of the relay")
    @pytest.mark.parametrize("direction", ["taking", "giving"])
    def test_no_answer(self, world: World, direction: str) -> None:
        """Each answer of a sync has a bit flipped at its beginning, in its middle or at its end, or is cut short."""
        first, second = world.first, world.second
        device, other = (second, first) if direction == "taking" else (first, second)
        world.photo(first)
        world.sync(first)
        whole = Faults()
        over(device, whole)
        changes: list[Callable[[bytes], bytes]] = [
            lambda body: flipped(body, 1) if body else b"?",
            lambda body: flipped(body, len(body) * 2 // 3) if body else b"?",
            lambda body: flipped(body, -1) if body else b"?",
        ]
        for number in range(len(whole.asked)):
            world.photo(first, month=f"20{10 + number}-03")
            if direction == "taking":
                world.sync(other)
            change = Garble(changes[number % 3]) if number % 4 else Truncate(number + 3)
            over(device, Faults(at={number: change}))
        # What a flipped answer says may be a named alarm, and need not: it may be no more than a repeated request.
        assert {kept.name for kept in device.engine.alarms.list()} <= {"forged", "withheld", "rolled-back", "forked"}
        device.engine.alarms.clear()
        holds(world)


def over(device: Any, network: Faults) -> None:
    """Sync a device once over a network that alters something; what it says of that is the network's fault."""
    engine = SyncEngine(
        device.library,
        connect=lambda url: RelayClient(url, transport=network.transport(url)),
        patience=lambda: Patience(tries=3, pause=lambda _: None),
    )
    try:
        error = engine.run().worst_error
    finally:
        engine.close()
    assert error is None or isinstance(error, RelayRefused | RelayUnreachable), error
