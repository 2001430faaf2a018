"""A library on two devices, a relay between them, and everything that an adversary may put its hands on.

Relay, sockets, folders and keys are real. What the adversary can do is here: `lies` alters what the relay answers to a
device, `database` its rows, `object_of` its stored blobs; `mallory` is a member with keys of its own. What must never
be seen is planted with every photo: the name of its file, a caption, a label and a pattern of its pixels.
`tests/hostile/invariant.py` then says what has to hold.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpcore2

from core import edits
from crdt.documents import shard_name
from crdt.operations import Put
from crdt.records import CopyRecord, PhotoFacts
from crdt.schema import copy_key, pid_key
from crypto.membership import entry_hash
from sync_relay import wire
from sync_relay.client_sockets import RelayTransport
from sync_relay.client_url import read_address
from sync_relay.server.settings import Limits, Settings
from tests.core import remote_device
from tests.core.sync.conftest import Device, Home, prepared_pair
from tests.hostile.conftest import Hostile, LyingClient
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from core.errors import IntegrityAlarm

PIXELS = 48


class Wire(httpcore2.NetworkBackend):
    """Real sockets; all bytes that go over them are kept."""

    def __init__(self) -> None:
        self._real = httpcore2.SyncBackend()
        self.bytes = bytearray()

    def connect_tcp(self, *arguments: Any, **more: Any) -> httpcore2.NetworkStream:
        return _Heard(self._real.connect_tcp(*arguments, **more), self.bytes)


class _Heard(httpcore2.NetworkStream):
    def __init__(self, real: httpcore2.NetworkStream, heard: bytearray) -> None:
        self._real = real
        self._heard = heard

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        content = self._real.read(max_bytes, timeout)
        self._heard += content
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._heard += buffer
        self._real.write(buffer, timeout)

    def close(self) -> None:
        self._real.close()

    def get_extra_info(self, info: str) -> Any:
        return None if info == "socket" else self._real.get_extra_info(info)


@dataclass
class Planted:
    """One photo, and what of it nobody else may ever see."""

    pid: bytes
    device: Device
    name: str
    caption: str
    label: str
    pixels: bytes
    content: bytes = field(repr=False)


@dataclass
class World:
    """Honest devices, their relay, and what was done on them."""

    home: Home
    relay: Relay
    wire: Wire = field(default_factory=Wire)
    planted: list[Planted] = field(default_factory=list)
    lies: dict[bytes, dict[str, Callable[[Any], Any]]] = field(default_factory=lambda: defaultdict(dict))
    expected: set[str] = field(default_factory=set)
    """Names of the alarms that the test's mark promises."""
    heard: list[IntegrityAlarm] = field(default_factory=list)
    checked: bool = False
    _mallory: Hostile | None = None

    @property
    def first(self) -> Device:
        return self.home.devices[0]

    @property
    def second(self) -> Device:
        return self.home.devices[1]

    def let_in(self, device: Device) -> Device:
        """Have a device speak to its relays over the wire that is listened to, and be lied to."""
        if device._engine is not None:
            device._engine.close()
            device._engine = None

        def connect(url: str) -> LyingClient:
            transport = RelayTransport(read_address(url), backend=self.wire)
            return LyingClient(url, self.lies[device.secrets.device_id], transport=transport)

        device.connect = connect
        return device

    def mallory(self) -> Hostile:
        """A member with real keys, whose program does as it likes."""
        if self._mallory is None:
            self._mallory = Hostile(remote_device.pair(self.first.library))
            self.sync(self.first, self.second)
        self._mallory.knows(self.first.library)
        return self._mallory

    def photo(self, device: Device, *, month: str = "2024-05", size: int = 1000) -> Planted:
        """Import a photo of `size` bytes on a device, and caption and label it there."""
        number = len(self.planted)
        word = secrets.token_hex(6)
        pixels = os.urandom(PIXELS)
        content = (pixels * (size // PIXELS + 1))[:size]
        found = Planted(b"", device, f"zebra{word}.jpg", f"caption{word}", f"label{word}", pixels, content)
        library = device.library
        hasher = library.epoch.photo_hasher()
        hasher.update(content)
        found.pid = hasher.digest()
        clock = f"{month}-{number % 28 + 1:02}T12:00:00"
        facts = PhotoFacts(width=4000, height=3000, size=size, mime="image/jpeg", wall_clock=clock)
        ref = library.blobs.put_bytes(content)
        copy = CopyRecord(role="original", key=ref.key, size=size, file_name=found.name)
        operations = [
            Put("photo", pid_key(found.pid), facts.pack()),
            Put("copy", copy_key(found.pid, ref.id), copy.pack()),
        ]
        library.commit({shard_name(clock, found.pid): operations}, action="import", summary="import of 1")
        edits.set_caption(library, [found.pid], found.caption)
        edits.add_label(library, [found.pid], found.label)
        self.planted.append(found)
        return found

    def blob_of(self, photo: Planted) -> bytes:
        (copy,) = photo.device.library.catalog.copies(photo.pid)
        return copy.blob_id

    def sync(self, *devices: Device, rounds: int = 1) -> list[IntegrityAlarm]:
        """Sync devices in turn; return all new alarms."""
        found: list[IntegrityAlarm] = []
        for _ in range(rounds):
            for device in devices:
                found += device.engine.run().alarms
        self.heard += found
        return found

    @contextlib.contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """Open the relay's database while the relay runs, as whoever owns its machine can."""
        (file,) = self.relay.base_settings.data.glob("*.db")
        connection = sqlite3.connect(file, timeout=30)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def object_of(self, blob: bytes) -> Path:
        """Return the file in which the relay keeps a blob."""
        (found,) = [
            path for path in self.relay.base_settings.data.rglob("*") if path.is_file() and blob.hex() in path.name
        ]
        return found

    @contextlib.contextmanager
    def stored(self, envelope: tuple[bytes, int], body: bytes) -> Iterator[None]:
        """Have the relay's database hold other bytes as (device, seq) for a while."""
        where = "kind = 1 AND device_id = ? AND seq = ?"
        with self.database() as database:
            ((kept,),) = database.execute(f"SELECT body FROM item WHERE {where}", envelope).fetchall()  # noqa: S608
            database.execute(f"UPDATE item SET body = ? WHERE {where}", (body, *envelope))  # noqa: S608
        try:
            yield
        finally:
            with self.database() as database:
                database.execute(f"UPDATE item SET body = ? WHERE {where}", (kept, *envelope))  # noqa: S608

    @contextlib.contextmanager
    def given_out(self, kind: int, body: bytes) -> Iterator[None]:
        """Have the relay's log hold one thing more for a while, as its newest."""
        with self.database() as database:
            ((position,),) = database.execute("SELECT position + 1 FROM library").fetchall()
            database.execute("UPDATE library SET position = ?", (position,))
            database.execute(
                "INSERT INTO item (library_id, position, kind, hash, size, body) SELECT id, ?, ?, ?, ?, ? FROM library",
                (position, kind, secrets.token_bytes(32), len(body), body),
            )
        try:
            yield
        finally:
            with self.database() as database:
                database.execute("DELETE FROM item WHERE position = ?", (position,))

    def unseen(self, device: Device, to: Device) -> list[tuple[int, bytes]]:
        """Return (seq, bytes) of the envelopes of a device that another one does not have yet."""
        seq = to.library.log.heads().get(device.id, (0, b""))[0]
        return [(stored.seq, stored.data) for stored in device.library.log.envelopes_of(device.id, seq, 1000)]


def found_world(folder: Path) -> World:
    """Return two devices of one library and their relay, which have synced."""
    prepared = prepared_pair()
    home, data = Home(folder), folder / "relay"
    prepared.write_relay(data)
    relay = Relay(Settings(data=data, limits=Limits(part_bytes=64 << 10)), Clock(), port=prepared.port)
    prepared.write_devices(home)
    world = World(home, relay)
    for device in home.devices:
        world.let_in(device)
    world.sync(world.first, world.second)
    return world


def flipped(data: bytes, at: int) -> bytes:
    """Return `data` with one bit of the byte `at` another."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def only_envelopes(change: Callable[[list[wire.Item]], Iterable[wire.Item]]) -> Callable[[wire.LogPage], wire.LogPage]:
    """Return a lie about pages of the log: other items in place of the envelopes, everything else as it is."""

    def altered(page: wire.LogPage) -> wire.LogPage:
        envelopes = [item for item in page.items if item.kind == wire.KIND_ENVELOPE]
        others = [item for item in page.items if item.kind != wire.KIND_ENVELOPE]
        return wire.LogPage(items=[*others, *change(envelopes)], position=page.position, more=page.more)

    return altered


def no_news_of_members(device: Device) -> Callable[[wire.LogPage], wire.LogPage]:
    """Return a lie about pages of the log: without the membership entries that a device does not know yet."""

    def altered(page: wire.LogPage) -> wire.LogPage:
        known = {device.library.library_id, *device.library.members.membership.entries}
        items = [
            item
            for item in page.items
            if item.kind != wire.KIND_MEMBERSHIP or item.body is None or entry_hash(item.body) in known
        ]
        return wire.LogPage(items=items, position=page.position, more=page.more)

    return altered
