"""Several devices of one library, and relays between them: real ones, over real sockets."""

from __future__ import annotations

import atexit
import functools
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from core.library import Library
from core.sync.engine import SyncEngine
from core.sync.patience import Patience
from crdt.documents import LIBRARY
from crypto import kdf
from crypto.epochs import must_rotate, open_epochs
from crypto.keys import DeviceSecrets
from crypto.membership_change import countersign, draft_add, revoke, rotate
from crypto.membership_entry import NO_ENVELOPE, Cut
from sync_relay.server.running import bind
from sync_relay.server.settings import Limits, Settings
from tests.core.conftest import Bench
from tests.core.empty_library import empty_library, read_folder, write_folder
from tests.core.one_worker import _one_worker
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from core.catalog.records import PhotoRecord
    from core.sync.relays import Connect
    from core.sync.report import SyncReport

__all__ = ["_one_worker"]

PASSPHRASE = b"correct horse battery staple"
COSTS = kdf.new_parameters(*kdf.FLOOR)


def patience() -> Patience:
    """Try as often as in earnest, without waiting."""
    return Patience(pause=lambda _: None)


@dataclass
class Device:
    """One device of a library: its folder, and its library while it is open."""

    root: Path
    secrets: DeviceSecrets
    library: Library
    connect: Connect | None = None
    _engine: SyncEngine | None = None

    @property
    def id(self) -> bytes:
        return self.library.device_id

    @property
    def bench(self) -> Bench:
        return Bench(self.root, self.secrets, "")

    @property
    def engine(self) -> SyncEngine:
        if self._engine is None:
            more: dict[str, Any] = {} if self.connect is None else {"connect": self.connect}
            self._engine = SyncEngine(self.library, patience=patience, **more)
        return self._engine

    def sync(self, **more: Any) -> SyncReport:
        """Sync, and expect that all is well."""
        report = self.engine.run(**more)
        if report.worst_error is not None:
            raise report.worst_error
        assert self.library.alarms == []
        return report

    def photos(self, count: int = 1, **more: Any) -> list[bytes]:
        return self.bench.add_photos(self.library, count, blobs=True, seed=secrets.token_hex(4), **more)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self.library.close()

    def reopen(self) -> None:
        self.close()
        self.library = Library.open(self.root, self.secrets)


@dataclass
class Home:
    """The devices of one library, made without pairing: entries are handed from one to the other."""

    folder: Path
    devices: list[Device] = field(default_factory=list)

    def found(self) -> Device:
        root = self.folder / "device 0"
        made = empty_library(PASSPHRASE, "device 0")
        made.write(root)
        self.devices.append(Device(root, made.secrets, Library.open(root, made.secrets)))
        return self.devices[0]

    def add(self, relays: list[str] | None = None, by: int = 0) -> Device:
        """Add a device that knows the membership entries, and the relays, of device `by`; it has synced nothing."""
        inviter = self.devices[by].library
        newcomer = DeviceSecrets.generate()
        members = inviter.members
        draft = draft_add(
            members.membership, members.secrets, members.keyring, newcomer.device_id, newcomer.exchange_public
        )
        inviter.add_entries([countersign(draft, inviter.library_id, newcomer)])
        root = self.folder / f"device {len(self.devices)}"
        entries = inviter.log.membership_entries()
        genesis = entries.pop(inviter.library_id)
        library = Library.create_from(root, PASSPHRASE, newcomer, genesis, list(entries.values()), kdf=COSTS)
        device = Device(root, newcomer, library)
        device.engine.relays.remember(self.devices[by].engine.relays.urls() if relays is None else relays)
        self.devices.append(device)
        return device

    def revoke(self, device: Device, by: int = 0) -> None:
        """Revoke a device as of what device `by` has of it, and rotate."""
        library = self.devices[by].library
        members = library.members
        seq, hashed = library.log.head(device.id)
        cut = Cut(seq, hashed) if seq else NO_ENVELOPE
        entry = revoke(members.membership, members.secrets, device.id, cut)
        library.add_entries([entry])
        if must_rotate(members.membership, members.keyring):
            library.add_entries(
                [rotate(members.membership, members.secrets, open_epochs(members.membership, members.secrets))]
            )

    def close(self) -> None:
        for device in self.devices:
            device.close()


@dataclass(frozen=True)
class PreparedPair:
    """Two devices of a library that use one relay, all of them closed: made once a process, and copied.

    The relay's address is in the library, so every copy has the same port, which nobody else is given in between.
    """

    devices: tuple[DeviceSecrets, ...]
    files: dict[str, bytes | None]
    state: dict[str, bytes | None]
    reserved: socket.socket

    @property
    def port(self) -> int:
        port: int = self.reserved.getsockname()[1]
        return port

    def write_relay(self, data: Path) -> None:
        """Write what the relay has stored."""
        write_folder(data, {name[6:]: content for name, content in self.files.items() if name.startswith("relay/")})

    def write_devices(self, home: Home) -> None:
        """Write the devices, and open them; the second has not synced yet."""
        write_folder(Path(os.environ["SAFELIGHT_STATE_DIR"]), self.state)
        write_folder(home.folder, {name: one for name, one in self.files.items() if name.startswith("device ")})
        for number, known in enumerate(self.devices):
            root = home.folder / f"device {number}"
            home.devices.append(Device(root, known, Library.open(root, known)))


@functools.cache
def prepared_pair() -> PreparedPair:
    """Make two devices of one library, and its relay: a quarter of a second of work, with which most tests begin."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
        reserved = bind("127.0.0.1", 0)
        atexit.register(reserved.close)
        settings = Settings(data=folder / "files" / "relay", limits=Limits(part_bytes=64 << 10))
        relay = Relay(settings, Clock(), port=reserved.getsockname()[1])
        home = Home(folder / "files")
        first = home.found()
        first.engine.relays.use(relay.url, relay.invite())
        first.sync()
        home.add()
        first.sync()
        home.close()
        relay.stop()
        devices = tuple(device.secrets for device in home.devices)
        return PreparedPair(devices, read_folder(folder / "files"), read_folder(folder / "state"), reserved)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Give a library that nobody has founded yet."""
    home = Home(tmp_path)
    yield home
    home.close()


@pytest.fixture
def new_relay(tmp_path: Path) -> Iterator[Callable[..., Relay]]:
    """Give a function that starts a relay; each has a folder of its own."""
    started: list[Relay] = []

    def start(prepared: PreparedPair | None = None, **limits: Any) -> Relay:
        data = tmp_path / f"relay {len(started)}"
        limits.setdefault("part_bytes", 64 << 10)
        if prepared is not None:
            prepared.write_relay(data)
        port = 0 if prepared is None else prepared.port
        started.append(Relay(Settings(data=data, limits=Limits(**limits)), Clock(), port=port))
        return started[-1]

    yield start
    for relay in started:
        if relay.thread.is_alive():
            relay.stop()
        assert '"broken"' not in relay.log.getvalue(), relay.log.getvalue()


@pytest.fixture
def relay(request: pytest.FixtureRequest, new_relay: Callable[..., Relay]) -> Relay:
    """One relay; where a test asks for `pair` too, the one that both devices use."""
    return new_relay(prepared_pair() if "pair" in request.fixturenames else None)


@pytest.fixture
def pair(home: Home, relay: Relay) -> tuple[Device, Device]:
    """Two devices that use one relay; the second has not synced yet."""
    prepared_pair().write_devices(home)
    first, second = home.devices
    return first, second


def shown(device: Device) -> dict[str, Any]:
    """Return all that a device shows of its library."""
    device.library.refresh()
    catalog = device.library.catalog
    photos = [*catalog.search(""), *catalog.search("is:trash")]
    return {
        "photos": sorted((_photo(photo) for photo in photos), key=str),
        "albums": sorted((album.name, catalog.album_pids(album.id)) for album in catalog.albums()),
        "devices": sorted(device.library.replica_items(LIBRARY, "device")),
        "relays": device.engine.relays.urls(),
        "bundles": sorted(
            (pid.hex(), str(ref)) for pid, ref in catalog.thumbnails([photo.pid for photo in photos]).items()
        ),
    }


def _photo(photo: PhotoRecord) -> Any:
    # The order in which equal things came in is a device's own.
    return sorted((name, str(getattr(photo, name))) for name in photo.__struct_fields__ if name != "id")


def converged(*devices: Device) -> None:
    """Assert that all devices show the same, and have the same envelopes."""
    first, *others = devices
    for other in others:
        assert shown(other) == shown(first)
        assert other.library.log.heads() == first.library.log.heads()


class PutBack:
    """Puts a relay's folder back to what it was when it was saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, relay: Relay) -> None:
        relay.stop()
        shutil.copytree(relay.base_settings.data, self._folder)
        relay.start()

    def __call__(self, relay: Relay) -> None:
        relay.stop()
        shutil.rmtree(relay.base_settings.data)
        shutil.copytree(self._folder, relay.base_settings.data)
        relay.start()


@pytest.fixture
def put_back(tmp_path: Path) -> PutBack:
    return PutBack(tmp_path / "relay's backup")
