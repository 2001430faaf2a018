"""Relays on every storage there is here, and devices of throw-away libraries.

A storage is a pair of URLs. The suite runs on SQLite and a folder; `SAFELIGHT_TEST_POSTGRESQL` (a database's
URL) and `SAFELIGHT_TEST_S3` (a bucket's URL, credentials in AWS_…) add those, with nothing else to change.
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
from sync_relay.server.settings import Limits, Settings
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

STORAGES = ["sqlite+folder"]
if os.environ.get("SAFELIGHT_TEST_POSTGRESQL"):
    STORAGES.append("postgresql+folder")
if os.environ.get("SAFELIGHT_TEST_S3"):
    STORAGES.append("sqlite+s3")


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


@pytest.fixture(params=STORAGES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Where a fresh relay keeps things, on each storage. Parts are small, so that small blobs have several."""
    database, blobs = request.param.split("+")
    with contextlib.ExitStack() as stack:
        yield Settings(
            data=tmp_path / "relay",
            database_url=stack.enter_context(own_schema()) if database == "postgresql" else "",
            blobs_url=os.environ["SAFELIGHT_TEST_S3"] + "/" + secrets.token_hex(8) if blobs == "s3" else "",
            limits=Limits(part_bytes=64 << 10),
        )


@contextlib.contextmanager
def own_schema() -> Iterator[str]:
    """Give the URL of a PostgreSQL database of which a test has nothing but a schema of its own."""
    url = os.environ["SAFELIGHT_TEST_POSTGRESQL"]
    name = f"relay_{secrets.token_hex(6)}"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(CreateSchema(name))
    try:
        yield f"{url}?options=-csearch_path%3D{name}"
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
def relay(settings: Settings, clock: Clock) -> Iterator[Relay]:
    running = Relay(settings, clock)
    yield running
    running.stop()
    assert '"broken"' not in running.log.getvalue(), running.log.getvalue()
