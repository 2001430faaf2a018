"""Relays on every storage there is, and devices of throw-away libraries.

A storage is a pair of URLs. A module names those it runs on as `STORAGES`: the conformance suite (`test_storage*`) all
four, what goes over HTTP the two ends (`BOTH_ENDS`), because requests reach storage only through what conforms, and
everything else SQLite and a folder. PostgreSQL and S3 are servers of their own (`real_servers`), started by the first
test that needs one and shared by all workers of a run; `SAFELIGHT_TEST_POSTGRESQL` (a database's URL) and
`SAFELIGHT_TEST_S3` (a bucket's URL, credentials in AWS_…) name others to use in their place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateSchema, DropSchema

from crypto.envelope import NO_PREVIOUS, EnvelopeHeader, envelope_hash, seal_envelope
from crypto.keys import DeviceSecrets, EpochKeys
from crypto.membership import Genesis, create_genesis, heads_hash, open_epoch, verify_genesis
from crypto.phrase import new_phrase, phrase_secrets
from sync_relay.server.database import Database
from sync_relay.server.objects import Objects
from sync_relay.server.parts import Parts
from sync_relay.server.settings import Limits, Settings
from tests.sync_relay.real_servers import POSTGRESQL_VARIABLE, S3_VARIABLE, shared
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

EVERY_STORAGE = ("sqlite+folder", "postgresql+folder", "sqlite+s3", "postgresql+s3")
BOTH_ENDS = ("sqlite+folder", "postgresql+s3")
SMALLEST = ("sqlite+folder",)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "settings" in metafunc.fixturenames:
        metafunc.parametrize("settings", getattr(metafunc.module, "STORAGES", SMALLEST), indirect=True)


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Device:
    """A member's device, and the chain it writes."""

    genesis: Genesis
    secrets: DeviceSecrets
    epoch: EpochKeys
    seq: int = 0
    previous: bytes = NO_PREVIOUS
    written: list[bytes] = field(default_factory=list)

    @property
    def id(self) -> bytes:
        return self.secrets.device_id

    @property
    def library_id(self) -> bytes:
        return self.genesis.library_id

    def seal(self, seq: int, previous: bytes, plaintext: bytes) -> bytes:
        header = EnvelopeHeader(
            self.library_id, self.id, seq, previous, self.epoch.epoch_id, heads_hash([self.library_id])
        )
        return seal_envelope(header, plaintext, self.secrets, self.epoch)

    def write(self, plaintext: bytes = b"an edit") -> bytes:
        envelope = self.seal(self.seq + 1, self.previous, plaintext)
        self.seq += 1
        self.previous = envelope_hash(envelope)
        self.written.append(envelope)
        return envelope


@dataclass
class Library:
    """A library of two members: the founding device, and the recovery phrase."""

    genesis: Genesis
    founder: Device
    phrase: Device


def new_library() -> Library:
    founder, phrase = DeviceSecrets.generate(), phrase_secrets(new_phrase())
    genesis = verify_genesis(create_genesis(founder, phrase))
    epoch = open_epoch(genesis, founder)
    return Library(genesis, Device(genesis, founder, epoch), Device(genesis, phrase, epoch))


@pytest.fixture
def library() -> Library:
    return new_library()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def real_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """PostgreSQL and S3, shared by the workers of this run: the folder above each worker's own is the run's."""
    base = tmp_path_factory.getbasetemp()
    with shared((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "relay-servers") as servers:
        yield servers


@pytest.fixture(scope="session")
def postgresql_url(request: pytest.FixtureRequest) -> str:
    url = os.environ.get(POSTGRESQL_VARIABLE)
    if url is None:
        servers = request.getfixturevalue("real_servers")
        url = servers.get("postgresql") or pytest.skip(f"no PostgreSQL here: {servers['why']['postgresql']}")
    return url


@pytest.fixture(scope="session")
def s3_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        if S3_VARIABLE not in os.environ:
            servers = request.getfixturevalue("real_servers")
            if "s3" not in servers:
                pytest.skip(f"no S3 server here: {servers['why']['s3']}")
            for name, value in servers["s3"].items():
                patch.setenv(name, value)
        yield os.environ[S3_VARIABLE]


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Where a fresh relay keeps things, on each storage. Parts are small, so that small blobs have several."""
    database, blobs = request.param.split("+")
    with contextlib.ExitStack() as stack:
        database_url = blobs_url = ""
        if database == "postgresql":
            database_url = stack.enter_context(own_schema(request.getfixturevalue("postgresql_url")))
        if blobs == "s3":
            blobs_url = f"{request.getfixturevalue('s3_url')}/{secrets.token_hex(8)}"
        yield Settings(
            data=tmp_path / "relay",
            database_url=database_url,
            blobs_url=blobs_url,
            limits=Limits(part_bytes=64 << 10),
        )


@contextlib.contextmanager
def own_schema(url: str) -> Iterator[str]:
    """Give the URL of a PostgreSQL database of which a test has nothing but a schema of its own."""
    name = f"relay_{secrets.token_hex(6)}"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(CreateSchema(name))
    try:
        yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
    finally:
        with engine.begin() as connection:
            connection.execute(DropSchema(name, cascade=True))
        engine.dispose()


@pytest.fixture
def loop() -> Iterator[Any]:
    """Run coroutines on one event loop, as a relay's process does."""
    with asyncio.Runner() as runner:

        def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return runner.run(coroutine)

        yield run


@pytest.fixture
def parts(settings: Settings, clock: Clock, loop: Any) -> Iterator[Parts]:
    database = Database(settings.database)
    loop(database.migrate())
    yield Parts(database, Objects(settings.blobs), settings.limits, clock)
    loop(database.close())


@pytest.fixture
def relay(settings: Settings, clock: Clock) -> Iterator[Relay]:
    running = Relay(settings, clock)
    yield running
    running.stop()
    assert '"broken"' not in running.log.getvalue(), running.log.getvalue()
