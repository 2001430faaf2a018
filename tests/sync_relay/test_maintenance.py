from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sync_relay import errors, wire
from sync_relay.server.__main__ import run
from sync_relay.server.database import newest_revision
from sync_relay.server.objects import Objects
from sync_relay.server.settings import Settings
from tests.sync_relay.conftest import new_library, own_schema
from tests.sync_relay.real_servers import programs
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sync_relay.conftest import Clock, Library


@pytest.fixture
def local(relay: Relay) -> Relay:
    if relay.settings.database_url or relay.settings.blobs_url:
        pytest.skip("of SQLite and a folder only")
    return relay


def objects(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "blobs" / "blobs").rglob("*") if path.is_file())


def test_a_backup_of_a_running_relay_brings_it_back(
    local: Relay, library: Library, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = local.found(library)
    envelope = library.founder.write()
    client.append(envelope)
    name = client.store(b"ciphertext")
    client.upload(b"i" * 32, b"half of it", size=100)
    data, backup, again = local.settings.data, tmp_path / "backup", tmp_path / "again"
    assert run(["backup", str(backup), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"blobs": 1, "lost": []}
    before = client.sign_in(library.founder.secrets, library.genesis.library_id)
    client.append(library.founder.write())
    client.store(b"after the backup")

    assert run(["restore", str(backup), "--data", str(again)]) == 0
    restored = Relay(settings_at(local, again), clock)
    try:
        client = restored.client()
        session = client.sign_in(library.founder.secrets, library.genesis.library_id)
        assert session.position == 2
        assert session.generation != before.generation
        assert client.pull(after=3).position == 2
        assert client.request("GET", f"/v1/blobs/{name.hex()}").content == b"ciphertext"
        assert client.append(*library.founder.written).stored == 1
        client.store(b"after the backup")
    finally:
        restored.stop()
    assert run(["restore", str(backup), "--data", str(again)]) == 1
    assert "not empty" in capsys.readouterr().err


def settings_at(relay: Relay, folder: Path) -> Any:
    from dataclasses import replace

    return replace(relay.base_settings, data=folder)


def test_what_the_disk_lost_is_found_named_and_uploaded_again(
    local: Relay, library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = local.found(library)
    gone, changed, good = client.store(b"gone"), client.store(b"changed"), client.store(b"good")
    data = str(local.settings.data)
    for path in objects(local.settings.data):
        if path.name.startswith(gone.hex()):
            path.unlink()
        elif path.name.startswith(changed.hex()):
            path.write_bytes(b"CHANGED")
    assert run(["doctor", "--data", data, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["blobs"], said["lost"]) == (3, [gone.hex()])
    found = {finding["check"]: finding for finding in said["findings"]}
    assert {"folder", "disk", "database", "use", "quotas", "promised", "tidying"} == set(found)
    assert found["use"]["detail"].startswith("1 library with 2 keys")
    assert all(library.genesis.library_id.hex() not in finding["detail"] for finding in found.values())
    assert run(["doctor", "--data", data, "--deep", "--forget-lost", "--json"]) == 1
    assert sorted(json.loads(capsys.readouterr().out)["lost"]) == sorted([gone.hex(), changed.hex()])
    assert [client.blob(name).state for name in (gone, changed, good)] == ["absent", "absent", "stored"]
    client.store(b"gone")
    client.store(b"changed")
    assert run(["doctor", "--data", data, "--deep"]) == 0


def test_a_damaged_backup_restores_the_rest(
    local: Relay, library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = local.found(library)
    client.store(b"one")
    client.store(b"other")
    backup, again = tmp_path / "backup", tmp_path / "again"
    assert run(["backup", str(backup), "--data", str(local.settings.data)]) == 0
    objects(backup)[0].write_bytes(b"???")
    assert run(["restore", str(backup), "--data", str(again), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["lost"]) == 1
    assert len(objects(again)) == 1
    assert run(["backup", str(tmp_path / "x"), "--data", str(tmp_path / "nothing")]) == 1
    assert "no relay" in capsys.readouterr().err
    assert run(["restore", str(tmp_path / "x"), "--data", str(tmp_path / "y")]) == 1
    assert "no backup" in capsys.readouterr().err


def test_a_relay_elsewhere_is_not_backed_up_by_half(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["backup", str(tmp_path / "b"), "--data", str(tmp_path), "--blobs", "s3://bucket"]
    assert run(arguments) == 1
    assert "pg_dump" in capsys.readouterr().err


def test_a_relay_elsewhere_is_put_back_as_the_guide_says(
    elsewhere: Relay, library: Library, clock: Clock, postgresql_url: str, tmp_path: Path
) -> None:
    """PostgreSQL dumped and then the bucket copied; both lost, both put back; clients notice, and lose nothing."""
    settings = elsewhere.base_settings
    client = elsewhere.found(library)
    client.append(library.founder.write())
    kept = client.store(b"kept")
    dump = tmp_path / "relay.dump"
    postgres("pg_dump", postgresql_url, "--format=custom", f"--schema={schema(settings)}", f"--file={dump}")
    bucket = elsewhere.run(contents(elsewhere))
    before = client.sign_in(library.founder.secrets, library.genesis.library_id)
    client.append(library.founder.write())
    after = client.store(b"stored after the backup")
    elsewhere.stop()

    postgres("psql", postgresql_url, "--quiet", "--command", f'DROP SCHEMA "{schema(settings)}" CASCADE')
    elsewhere.log.truncate(0)
    postgres("pg_restore", postgresql_url, "--single-transaction", dump)
    assert run(["doctor", "--restored", *named(settings)]) == 0
    elsewhere.start()
    stale = elsewhere.client()
    stale.token = before.token
    with pytest.raises(errors.NotSignedIn):  # so that every client hears of it at once
        stale.pull()
    client = elsewhere.client()
    session = client.sign_in(library.founder.secrets, library.genesis.library_id)
    assert session.position == 2
    assert session.generation != before.generation
    assert client.append(*library.founder.written).stored == 1
    assert client.request("GET", f"/v1/blobs/{kept.hex()}").content == b"kept"
    assert client.blob(after).state == "absent"  # its object is there, but no row names it
    assert client.store(b"stored after the backup") == after
    elsewhere.stop()
    objects_now = set(asyncio.run(contents_of(settings)))
    assert set(bucket) < objects_now
    assert run(["doctor", "--deep", "--delete-strays", *named(settings)]) == 0
    assert len(objects_now) - len(asyncio.run(contents_of(settings))) == 1
    elsewhere.start()


def test_a_bucket_that_is_older_than_its_database_is_noticed(elsewhere: Relay, library: Library) -> None:
    settings = elsewhere.base_settings
    client = elsewhere.found(library)
    kept, lost = client.store(b"kept"), client.store(b"lost")
    name = next(name for name in elsewhere.run(contents(elsewhere)) if lost.hex() in name)
    elsewhere.run(elsewhere.service.parts.objects.delete([name]))
    assert run(["doctor", *named(settings)]) == 1
    assert run(["doctor", "--restored", *named(settings)]) == 1
    assert run(["doctor", "--deep", *named(settings)]) == 0
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    assert [client.blob(blob).state for blob in (kept, lost)] == ["stored", "absent"]


@pytest.fixture
def elsewhere(postgresql_url: str, s3_url: str, tmp_path: Path, clock: Clock) -> Iterator[Relay]:
    with own_schema(postgresql_url) as database_url:
        blobs = f"{s3_url}/{secrets.token_hex(8)}"
        relay = Relay(Settings(data=tmp_path / "relay", database_url=database_url, blobs_url=blobs), clock)
        yield relay
        relay.stop()


def schema(settings: Settings) -> str:
    return settings.database_url.rpartition("search_path%3D")[2]


def named(settings: Settings) -> list[str]:
    return [
        "--data", str(settings.data), "--database-url", settings.database_url, "--blobs", settings.blobs_url,
    ]  # fmt: skip


def postgres(program: str, url: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's own programs, those of the wheel that the server is of."""
    command = [str(programs() / program), f"--dbname={url}", *(str(argument) for argument in arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


async def contents(relay: Relay) -> list[str]:
    return [name async for name in relay.service.parts.objects.names()]


async def contents_of(settings: Settings) -> list[str]:
    return [name async for name in Objects(settings.blobs).names()]


def test_a_relay_of_the_first_revision_is_brought_up_to_date(local: Relay, library: Library, clock: Clock) -> None:
    """Put back to the tables of revision 0001, with what they hold: the next start copies and migrates them."""
    client = local.found(library)
    client.append(library.founder.write())
    name = client.store(b"ciphertext")
    local.stop()
    file = local.settings.data / "relay.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP INDEX ix_blob_unfinished")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    local.start()
    copy = file.with_name(f"relay.db.before-{newest_revision()}-from-0001")
    assert copy.is_file()
    client = local.client()
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    assert client.pull(1).items[0].body == library.founder.written[0]
    assert client.request("GET", f"/v1/blobs/{name.hex()}").content == b"ciphertext"
    local.stop()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'ix_blob_unfinished'").fetchone()[0]
    # And back, as the guide says where an upgrade has to be undone: the copy in place of the database.
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    copy.replace(file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (2,)
    local.start()


def test_a_quota_is_shown_and_changed_while_the_relay_runs(
    local: Relay, library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    client = local.found(library, quota_bytes=1_000)
    with pytest.raises(errors.QuotaFull):
        client.append(library.founder.write())
    data, name = str(local.settings.data), library.genesis.library_id.hex()
    assert run(["quota", "--data", data, name, "--quota", "1MB", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quota_bytes"] == 10**6
    assert client.append(*library.founder.written).stored == 1
    assert run(["quota", "--data", data, name]) == 0
    assert "quota bytes    1000000" in capsys.readouterr().out
    assert run(["quota", "--data", data, "00" * 32, "--quota", "1MB"]) == 1
    assert "library" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(["quota", "--data", data, "not an id"])


def test_a_library_is_removed_with_everything_of_it_and_of_no_other(elsewhere: Relay, library: Library) -> None:
    relay, other = elsewhere, new_library()
    client, kept = relay.found(library), relay.found(other)
    for one, mine in ((client, library), (kept, other)):
        one.append(mine.founder.write())
        one.store(b"ciphertext")
        one.upload(b"i" * 32, b"half of it", size=100)
        one.ask("POST", "/v1/mailboxes", None, wire.MailboxSide)
    assert run(["remove", "--yes", library.genesis.library_id.hex(), *named(relay.base_settings)]) == 0
    with pytest.raises(errors.NotSignedIn):
        client.pull()
    with pytest.raises(errors.NotAMember):
        relay.client().sign_in(library.founder.secrets, library.genesis.library_id)
    assert kept.pull(1).items[0].body == other.founder.written[0]
    left = relay.run(contents(relay))
    assert left
    assert not [name for name in left if library.genesis.library_id.hex() in name]
    assert run(["doctor", "--deep", "--delete-strays", *named(relay.base_settings)]) == 0
    assert relay.run(contents(relay)) == left
