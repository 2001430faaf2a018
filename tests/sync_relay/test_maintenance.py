from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sync_relay.server.__main__ import run
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
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
    assert json.loads(capsys.readouterr().out) == {"blobs": 3, "lost": [gone.hex()]}
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
