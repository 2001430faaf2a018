"""`relay leakage` against the relay's own database: nothing that it stores is missing from what is said."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from core import edits
from core.sync.leakage import STORED, leakage
from core.sync.purged import finish_purges
from sync_relay.server.tables import METADATA

if TYPE_CHECKING:
    from core.sync.leakage import Leakage
    from tests.core.sync.conftest import Device, Home
    from tests.sync_relay.running_relay import Relay

# What the relay makes up by itself tells nothing of a library, and the times at which it writes are its own clock's.
OWN = {"attempt", "updated_at", "created_at", "gone_at", "due_at", "expires_at", "selector", "object", "start", "name"}
OF_LIBRARY = ("library", "member", "item", "head", "prune", "blob")


def rows(relay: Relay) -> dict[str, list[dict[str, object]]]:
    with closing(sqlite3.connect(relay.base_settings.data / "relay.db")) as database:
        database.row_factory = sqlite3.Row
        return {
            table.name: [dict(row) for row in database.execute(f'SELECT * FROM "{table.name}"')]  # noqa: S608
            for table in METADATA.sorted_tables
        }


def told(found: Leakage) -> set[str]:
    """Every value of the report, as text."""
    values: set[str] = set()

    def gather(value: object) -> None:
        if isinstance(value, dict):
            for part in value.values():
                gather(part)
        elif isinstance(value, list):
            for part in value:
                gather(part)
        else:
            values.add(str(value))

    gather(json.loads(json.dumps(dataclasses.asdict(found))))
    return values


def test_nothing_that_the_relay_stores_is_missing(home: Home, pair: tuple[Device, Device], relay: Relay) -> None:
    first, second = pair
    pids = first.photos(5)
    first.sync()
    second.sync()
    second.photos(2, month="2023-02")
    second.sync()
    edits.purge(first.library, pids[:1])
    first.sync()
    finish_purges(first.library)
    home.revoke(second)
    first.sync()
    found = leakage(first.library, relay.url)
    assert {f"{table.name}.{column.name}" for table in METADATA.sorted_tables for column in table.columns} == set(
        STORED
    )
    values = told(found)
    stored = rows(relay)
    assert all(stored[name] for name in ("member", "item", "head", "blob"))
    for table in OF_LIBRARY:
        for row in stored[table]:
            for column, value in row.items():
                if column in OWN | {"body"} or value is None:
                    continue
                text = value.hex() if isinstance(value, bytes) else str(value)
                assert text in values or (column in {"active", "stored"} and value in (0, 1)), (table, column, text)
    # As many, not only the same: each row of the log and each file has its own line.
    assert [item.position for item in found.items] == sorted(row["position"] for row in stored["item"])  # type: ignore[type-var]
    assert [(item.hash, item.size) for item in found.items] == [
        (row["hash"].hex(), row["size"])  # type: ignore[attr-defined]
        for row in sorted(stored["item"], key=lambda row: int(str(row["position"])))
    ]
    assert {(file.id, file.size) for file in found.files} == {
        (row["id"].hex(), row["size"])  # type: ignore[attr-defined]
        for row in stored["blob"]
    }
    assert {(device.id, device.active) for device in found.devices} == {
        (row["device_id"].hex(), bool(row["active"]))  # type: ignore[attr-defined]
        for row in stored["member"]
    }


def test_what_follows_is_said_in_numbers_of_this_library(home: Home, relay: Relay) -> None:
    device = home.found()
    device.engine.relays.use(relay.url, relay.invite())
    pids = device.photos(5)
    device.sync()
    edits.purge(device.library, pids[:1])
    device.sync()
    found = leakage(device.library, relay.url)
    text = " ".join(found.sentences())
    assert (found.originals, sum(found.hours)) == (4, device.library.log.count())
    assert max(burst.files for burst in found.bursts) == 5
    assert [(word.kind, len(word.names)) for word in found.words] == [("delete", 1)]
    assert f"knows that {len(found.devices)} keys" in text
    assert "to within" in text
    assert found.devices[0].name != found.devices[1].name
