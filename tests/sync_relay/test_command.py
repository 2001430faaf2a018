"""`safelight-relay` as its owner runs it: real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sync_relay import wire
from sync_relay.server.__main__ import read_origin, read_size, run
from tests.sync_relay.running_relay import Client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sync_relay.conftest import Library

COMMAND = [sys.executable, "-P", "-m", "sync_relay.server"]


def command(*arguments: str | Path) -> list[str]:
    return [*COMMAND, *(str(argument) for argument in arguments)]


def json_of(*arguments: str | Path) -> dict[str, Any]:
    result = subprocess.run(command(*arguments, "--json"), capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


class Process:
    """`safelight-relay serve` on a free port; its log tells which."""

    def __init__(self, data: Path, *more: str, **options: Any) -> None:
        self.process = subprocess.Popen(
            command("serve", "--data", data, "--port", "0", *more), stderr=subprocess.PIPE, text=True, **options
        )
        self.port = int(self.line("starting")["port"])
        self.ready = self.line("ready")

    def line(self, event: str) -> dict[str, Any]:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            line: dict[str, Any] = json.loads(text)
            if line["event"] == event:
                return line
        raise AssertionError(f"the relay ended without {event!r}")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stderr is not None
        self.log = self.process.stderr.read()
        self.process.stderr.close()
        return code


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "relay"


def test_a_relay_is_served_killed_and_served_again(data: Path, library: Library) -> None:
    relay = Process(data)
    client = Client(f"http://127.0.0.1:{relay.port}")
    invite = json_of("invite", "--data", data, "--quota", "1GB")["invite"]  # while it runs
    client.ask("POST", "/v1/libraries", wire.CreateLibrary(invite=invite, genesis=library.genesis.entry), wire.Usage)
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    assert client.ask("GET", "/v1/usage", None, wire.Usage).quota_bytes == 10**9
    client.append(library.founder.write())
    name = client.store(b"ciphertext")
    client.http.close()
    relay.end(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)

    relay = Process(data)
    client = Client(f"http://127.0.0.1:{relay.port}")
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    assert client.append(*library.founder.written) == wire.Appended(position=2, stored=0)
    assert client.request("GET", f"/v1/blobs/{name.hex()}").content == b"ciphertext"
    if os.name != "nt":
        with client.listen() as events:
            assert events.recv(timeout=60) == '{"position":2}'
            assert relay.end(signal.SIGTERM) == 0
    else:
        relay.end(signal.SIGTERM)
    client.http.close()
    figures = json_of("stats", "--data", data)
    assert (figures["libraries"], figures["devices"], figures["blobs"], figures["log_items"]) == (1, 2, 1, 2)
    assert figures["open_invites"] == 0


def test_what_the_relay_stores_is_its_owners_only(data: Path) -> None:
    relay = Process(data)
    relay.end(signal.SIGTERM)
    if os.name != "nt":
        assert data.stat().st_mode & 0o077 == 0
        assert (data / "relay.db").stat().st_mode & 0o077 == 0
        assert (data / "blobs").stat().st_mode & 0o077 == 0


def test_metrics_have_a_port_of_their_own(data: Path) -> None:
    relay = Process(data, "--metrics-port", "0")
    client = Client(f"http://127.0.0.1:{relay.ready['metrics_port']}")
    client.http.get(f"http://127.0.0.1:{relay.port}/healthz")
    assert "safelight_relay_requests_total" in client.http.get("/metrics").text
    assert client.http.get(f"http://127.0.0.1:{relay.port}/metrics").status_code == 404
    client.http.close()
    assert relay.end(signal.SIGTERM) == 0 or os.name == "nt"


@pytest.mark.parametrize(
    ("text", "size"),
    [("50GB", 50 * 10**9), ("1.5 GiB", 3 << 29), ("1000", 1000), ("2t", 2 * 10**12), ("7b", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "0", "50XB", "1e9", "9999999TB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(Exception, match="size"):
        read_size(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Relay.Example/", "https://relay.example"),
        ("https://relay.example:443", "https://relay.example"),
        ("https://relay.example:8443", "https://relay.example:8443"),
        ("http://localhost:7465", "http://localhost:7465"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
    ],
)
def test_origins(text: str, origin: str) -> None:
    assert read_origin(text) == origin


@pytest.mark.parametrize(
    "text", ["", "relay.example", "http://relay.example", "https://", "https://a/b", "ftp://a", "https://a:x"]
)
def test_no_origins(text: str) -> None:
    with pytest.raises(Exception, match="https://HOST"):
        read_origin(text)


def test_misuse_and_failures_have_their_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as usage:
        run(["serve", "--data", str(tmp_path), "--tls-cert", "cert.pem"])
    assert usage.value.code == 2
    assert "go together" in capsys.readouterr().err
    assert run(["serve", "--data", str(tmp_path), "--tls-cert", "no.pem", "--tls-key", "no.pem"]) == 1
    assert "no.pem" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--data", str(tmp_path), "--port", str(port)]) == 1
    assert f"port {port}" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run(["invite", "--data", str(blocked)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("safelight-relay: ")
    assert "Traceback" not in message


def test_a_damaged_database_is_named_and_left_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.mkdir()
    (data / "relay.db").write_bytes(b"this is no database" * 100)
    result = subprocess.run(
        command("serve", "--data", data, "--port", "0"), capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 1
    events = {line["event"]: line for line in map(json.loads, result.stderr.splitlines())}
    assert "not a database" in events["cannot-start"]["reason"]
    assert run(["invite", "--data", str(data)]) == 1
    message = capsys.readouterr().err
    assert "not a database" in message
    assert "restore" in message
    assert (data / "relay.db").read_bytes() == b"this is no database" * 100


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_server_loads_nothing_of_the_client_and_the_client_nothing_of_it() -> None:
    loaded = loaded_by("sync_relay.server.running")
    for stranger in ("onnxruntime", "automerge", "textual", "PIL", "numpy", "core", "crdt", "ml", "tui"):
        assert stranger not in loaded
    loaded = loaded_by("sync_relay.wire, sync_relay.statements")
    for stranger in ("sqlalchemy", "starlette", "uvicorn", "obstore", "alembic", "structlog"):
        assert stranger not in loaded
