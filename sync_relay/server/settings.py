"""What the owner of a relay chooses, and the bounds that protect it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sync_relay.wire import DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DAY: Final = 86_400
DATABASE_VARIABLE: Final = "SAFELIGHT_RELAY_DATABASE_URL"
BLOBS_VARIABLE: Final = "SAFELIGHT_RELAY_BLOBS"
ORIGINS_VARIABLE: Final = "SAFELIGHT_RELAY_ORIGINS"
PROXIES_VARIABLE: Final = "SAFELIGHT_RELAY_TRUST_PROXY"
THIS_MACHINE: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Limits:
    """Bounds in seconds, bytes and requests a second. Rates are (a second, in one burst), counted by each worker."""

    challenge_seconds: int = 120
    session_seconds: int = 3_600
    delete_grace: int = 30 * DAY
    prune_grace: int = 30 * DAY
    upload_patience: int = 14 * DAY
    mailbox_seconds: int = 600
    mailboxes: int = 500
    mailboxes_per_library: int = 5
    invite_seconds: int = 30 * DAY
    part_bytes: int = 8 << 20
    uploads: int = 24
    uploads_of_one_library: int = 8
    idle_seconds: float = 60.0
    head_seconds: float = 30.0
    proofs: int = 2
    library_rate: tuple[float, float] = (500.0, 2_000.0)
    anonymous_rate: tuple[float, float] = (20.0, 300.0)
    pairing_rate: tuple[float, float] = (2.0, 40.0)


@dataclass(frozen=True)
class Settings:
    """Where a relay keeps things, and where it answers.

    `database_url` and `blobs_url` decide the storage: SQLite and a folder in `data` unless they name another.
    `origins` are the addresses (`https://host[:port]`) that sign-ins may be made for; loopback ones are added.
    `proxies` are the addresses and networks whose `X-Forwarded-For` is believed when sign-ins are counted.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    database_url: str = ""
    blobs_url: str = ""
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = THIS_MACHINE
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    metrics_port: int | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def database(self) -> str:
        """The database's URL, with the driver that SQLAlchemy needs."""
        if not self.database_url:
            return f"sqlite+aiosqlite:///{self.data.absolute() / 'relay.db'}"
        scheme, separator, rest = self.database_url.partition("://")
        drivers = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite+aiosqlite"}
        return drivers.get(scheme, scheme) + separator + rest

    @property
    def blobs(self) -> str:
        """The URL or the path of the blobs' store."""
        return self.blobs_url or str(self.data.absolute() / "blobs")

    @property
    def scheme(self) -> str:
        """What clients reach this process by, if no proxy stands before it."""
        return "https" if self.tls_certificate else "http"


class Environment(NamedTuple):
    """What the environment says; empty where it does not."""

    database_url: str
    blobs_url: str
    origins: tuple[str, ...]
    proxies: tuple[str, ...]


def from_environment(environment: Mapping[str, str] | None = None) -> Environment:
    """Return what the variables of this relay say. Lists are separated by commas or spaces."""
    values = os.environ if environment is None else environment

    def several(name: str) -> tuple[str, ...]:
        return tuple(values.get(name, "").replace(",", " ").split())

    return Environment(
        values.get(DATABASE_VARIABLE, ""),
        values.get(BLOBS_VARIABLE, ""),
        several(ORIGINS_VARIABLE),
        several(PROXIES_VARIABLE),
    )
