"""The SQLite database in memory that a catalog lives in: opened, set up, written out as bytes and read back.

SQLAlchemy and `serialize` must work on one and the same SQLite connection: a pool of exactly one.
"""

from __future__ import annotations

import math
import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from core.catalog.tables import APPLICATION_ID, CREATE_WORDS, VERSION, metadata
from core.errors import UnknownFormat
from core.new_tables import make_tables
from core.query.fields import EARTH_KM

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

# A database read from bytes is copied into this cache page by page: the tables that every query looks at fit, the rest
# need not be in memory twice. Looking at 100,000 photos takes 15 ms with SQLite's own 2 MB, and 12 ms with this.
_CACHE_KIBIBYTES = 32_768


def empty_database() -> Connection:
    """Return a new catalog without rows."""
    connection = _connect(None)
    make_tables(connection, metadata)
    connection.execute(CREATE_WORDS)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.commit()
    return connection


def open_database(data: bytes) -> Connection:
    """Return the catalog that :func:`write_database` wrote.

    Raises:
        UnknownFormat: if another version of the program wrote it, or it is no catalog.
    """
    try:
        connection = _connect(data or b"nothing")
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    except (sqlite3.Error, DBAPIError, OverflowError) as error:
        raise UnknownFormat("the catalog cannot be read", hint="`safelight rebuild` makes it anew") from error
    if (version, application) != (VERSION, APPLICATION_ID):
        connection.close()
        raise UnknownFormat(
            f"the catalog has version {version}, this program reads version {VERSION}",
            hint="`safelight rebuild` makes it anew",
        )
    return connection


def write_database(connection: Connection) -> bytes:
    """Return the whole database as bytes."""
    connection.commit()
    return driver_connection(connection).serialize()


def driver_connection(connection: Connection) -> sqlite3.Connection:
    """Return the SQLite connection under SQLAlchemy's."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError("the catalog's connection is not SQLite's")
    return driver


def _connect(data: bytes | None) -> Connection:
    # The library serialises access by a lock of its own; threads may take turns.
    driver = sqlite3.connect(":memory:", check_same_thread=False, cached_statements=512)
    if data is not None:
        driver.deserialize(data)
    # Even a database in memory writes what outgrows its cache while sorting to temporary files, in the clear, unless it
    # is told not to. The journal of one that was read from bytes stays in memory by itself; nothing promises that.
    for pragma in (
        "temp_store = MEMORY",
        "journal_mode = MEMORY",
        "synchronous = OFF",
        f"cache_size = -{_CACHE_KIBIBYTES}",
    ):
        driver.execute(f"PRAGMA {pragma}")
    driver.create_function("ground_km", 4, ground_km, deterministic=True)
    engine = create_engine(
        "sqlite://",
        creator=lambda: driver,
        poolclass=StaticPool,
        query_cache_size=1000,
        hide_parameters=True,  # captions and keys have no place in error messages
    )
    return engine.connect()


def ground_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Kilometres between two places in degrees along the ground of a sphere (haversine)."""
    north, other_north = math.radians(latitude), math.radians(other_latitude)
    half_north = math.sin((other_north - north) / 2)
    half_east = math.sin(math.radians(other_longitude - longitude) / 2)
    chord = half_north * half_north + math.cos(north) * math.cos(other_north) * half_east * half_east
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(chord)))
