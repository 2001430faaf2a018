"""Adversaries: a relay that lies, and a member with real keys whose program does as it likes.

Devices and relays are real ones, over real sockets, as in `tests/core/sync`. Each test asserts what has to hold
whatever the adversary does: nothing in the clear leaves, no local edit is lost, honest devices converge or a named
alarm says which device and which envelope, and every file that was saved loads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from core.envelope_body import KIND_CHANGES, Accepted, DocumentChanges, EnvelopeBody
from core.verify import log_problems
from crdt.replica import Replica, new_actor
from crypto.membership import verify_genesis
from sync_relay.client import RelayClient
from tests.core import remote_device
from tests.core.one_worker import _one_worker
from tests.core.sync.conftest import Device, Home, home, new_relay, pair, put_back, relay, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from core.errors import IntegrityAlarm
    from core.library import Library
    from crdt.operations import Operation
    from sync_relay import wire
    from tests.core.remote_device import Remote
    from tests.hostile.world import World
    from tests.sync_relay.running_relay import Client, Relay

__all__ = ["_one_worker", "home", "new_relay", "pair", "put_back", "relay"]


@pytest.fixture(scope="class")
def world_of_class(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One library on two devices for all tests of a class: each leaves it healed."""
    from tests.hostile.world import found_world

    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
        world = found_world(folder)
        try:
            yield world
        finally:
            world.home.close()
            world.relay.stop()


@pytest.fixture
def world(world_of_class: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give the world of the class; a test that ends without the invariant asserted has shown nothing."""
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(world_of_class.home.folder / "state"))
    named = [mark.kwargs.get("alarm", ()) for mark in request.node.iter_markers("scenario")]
    world_of_class.expected = {name for names in named for name in ([names] if isinstance(names, str) else names)}
    world_of_class.checked = False
    failed = request.session.testsfailed
    yield world_of_class
    assert world_of_class.checked or request.session.testsfailed > failed


@dataclass
class Hostile:
    """A member with real keys and no library: it knows all that a member may, and writes what it likes."""

    remote: Remote
    replicas: dict[str, Replica] = field(default_factory=dict)

    @property
    def id(self) -> bytes:
        return self.remote.id

    @property
    def library_id(self) -> bytes:
        return verify_genesis(self.remote.genesis).library_id

    def at(self, relay: Relay) -> Client:
        """Return a client of a relay, signed in."""
        client = relay.client()
        client.sign_in(self.remote.secrets, self.library_id)
        return client

    def body(self, kind: int = KIND_CHANGES, **fields: Any) -> EnvelopeBody:
        made = EnvelopeBody(kind, 1_700_000_000, [], [], bytes(16), "edit", "an edit")
        return msgspec.structs.replace(made, **fields)

    def edit(self, document: str, *operations: Operation, **fields: Any) -> bytes:
        """Return an envelope with a well-formed change of a document."""
        replica = self.replicas.setdefault(document, Replica.create(document, new_actor(self.id)))
        change = replica.edit(list(operations))
        assert change is not None
        return self.remote.write(body=self.body(payload=[DocumentChanges(document, [change])], **fields))

    def knows(self, library: Library) -> None:
        """Learn what a device knows of the membership."""
        self.remote.learn(library.members.membership.entries.values())


@pytest.fixture
def mallory(pair: tuple[Device, Device]) -> Hostile:
    """A third device of the library of `pair`, which both of these know; they have synced."""
    first, second = pair
    found = Hostile(remote_device.pair(first.library))
    for device in (first, second, first):
        device.sync()
    return found


class LyingClient(RelayClient):
    """A relay whose answers are altered on their way, by what `lies` names."""

    def __init__(self, url: str, lies: dict[str, Callable[[Any], Any]], **more: Any) -> None:
        super().__init__(url, **more)
        self._lies = lies

    def _told(self, what: str, answer: Any) -> Any:
        lie = self._lies.get(what)
        return answer if lie is None else lie(answer)

    def log(self, *arguments: Any, **more: Any) -> wire.LogPage:
        page: wire.LogPage = self._told("log", super().log(*arguments, **more))
        return page

    def past(self, *arguments: Any, **more: Any) -> wire.LogPage:
        page: wire.LogPage = self._told("past", super().past(*arguments, **more))
        return page

    def heads(self) -> wire.Heads:
        heads: wire.Heads = self._told("heads", super().heads())
        return heads

    def envelope(self, device: bytes, seq: int) -> bytes | None:
        envelope: bytes | None = self._told("envelope", super().envelope(device, seq))
        return envelope

    def blob_states(self, ids: Sequence[bytes]) -> list[wire.BlobState]:
        states: list[wire.BlobState] = self._told("blob_states", super().blob_states(ids))
        return states

    def append(self, envelopes: Sequence[bytes]) -> wire.Appended:
        # A lie is told in place of doing it.
        lie = self._lies.get("append")
        appended: wire.Appended = super().append(envelopes) if lie is None else lie(envelopes)
        return appended

    def upload(self, blob_id: bytes, source: Any, size: int, **more: Any) -> wire.BlobState:
        lie = self._lies.get("upload")
        state: wire.BlobState = super().upload(blob_id, source, size, **more) if lie is None else lie(blob_id)
        return state


def lie_to(device: Device, **lies: Callable[[Any], Any]) -> dict[str, Callable[[Any], Any]]:
    """Have every relay lie to a device from now on; what is returned can be changed, or cleared."""
    if device._engine is not None:
        device._engine.close()
        device._engine = None
    device.connect = lambda url: LyingClient(url, lies)
    return lies


def sync_all(*devices: Device, rounds: int = 3) -> list[IntegrityAlarm]:
    """Sync devices in turn; return all alarms."""
    found: list[IntegrityAlarm] = []
    for _ in range(rounds):
        for device in devices:
            found += device.engine.run().alarms
    return found


def about(alarms: Sequence[IntegrityAlarm], device: bytes) -> list[str]:
    """Return the names of the alarms that name a device."""
    return [alarm.name for alarm in alarms if device.hex()[:12] in str(alarm)]


def still_sound(*devices: Device) -> None:
    """Assert that what every device has saved loads, and that replaying its log shows the same."""
    for device in devices:
        device.library.refresh()
        before = shown(device)
        device.library.save_derived()
        device.reopen()
        assert device.library.alarms == []
        assert log_problems(device.library) == []
        assert shown(device) == before
        device.library.rebuild_view()
        assert device.library.alarms == []
        assert shown(device) == before


def reads_nothing(relay: Relay, *words: str) -> None:
    """Assert that no file of a relay, and no line of its log, has any of these words."""
    files = [path.read_bytes() for path in relay.base_settings.data.rglob("*") if path.is_file()]
    for word in words:
        assert not any(word.encode() in content for content in files)
        assert word not in relay.log.getvalue()


def place(device: bytes, seq: int, envelope_hash: bytes) -> Accepted:
    return Accepted(device, seq, envelope_hash)


__all__ += [
    "Device",
    "Home",
    "Hostile",
    "LyingClient",
    "about",
    "lie_to",
    "place",
    "reads_nothing",
    "still_sound",
    "sync_all",
]
