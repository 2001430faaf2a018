"""The client and a relay with a certificate: trusted, not trusted, and made for somebody else."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sync_relay.client import RelayClient, Unreachable
from sync_relay.client_sockets import RelayTransport
from sync_relay.client_url import read_address
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sync_relay.server.settings import Settings
    from tests.sync_relay.conftest import Clock, Library

x509 = pytest.importorskip("cryptography.x509")


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine that nobody signed but itself, and its key."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture
def tls_relay(settings: Settings, clock: Clock, tmp_path: Path) -> Iterator[Relay]:
    certificate, key = write_certificate(tmp_path)
    relay = Relay(replace(settings, tls_certificate=certificate, tls_key=key), clock)
    yield relay
    relay.stop()


def test_a_certificate_that_is_trusted(
    tls_relay: Relay, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with RelayClient(f"https://localhost:{tls_relay.port}") as client:
        client.found(tls_relay.invite(), library.genesis.entry)
        client.sign_in(library.founder.secrets, None, 0)
        client.append([library.founder.write(bytes(600_000)), library.founder.write()])
        assert len(client.log(0).items) == 3
        with client.listen() as listener:
            assert listener.wait(60) == 3
    other = RelayClient(f"https://127.0.0.1:{tls_relay.port}")
    with other, pytest.raises(Unreachable, match="does not trust"):
        other.about()


def test_only_one_thread_uses_the_connection_that_brings_news(
    tls_relay: Relay, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once corrupt what OpenSSL keeps of it: one connection in some hundreds broke, or stood still."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    users: dict[int, set[str]] = {}

    def told_of(kind: type, name: str) -> None:
        real = getattr(kind, name)

        def call(self: object, *arguments: object, **more: object) -> object:
            users.setdefault(id(self), set()).add(threading.current_thread().name)
            return real(self, *arguments, **more)

        monkeypatch.setattr(kind, name, call)

    with RelayClient(f"https://localhost:{tls_relay.port}") as client:
        client.found(tls_relay.invite(), library.genesis.entry)
        client.sign_in(library.founder.secrets, None, 0)
        for kind, names in ((ssl.SSLSocket, ("recv", "send")), (ssl.SSLObject, ("read", "write"))):
            for name in names:
                told_of(kind, name)
        with client.listen() as listener:
            assert listener.wait(60) == 1
    assert users
    assert all(len(threads) == 1 for threads in users.values())


def test_a_relay_ends_well_while_somebody_closes_a_connection_halfway(
    tls_relay: Relay, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with RelayClient(f"https://localhost:{tls_relay.port}") as client:
        client.found(tls_relay.invite(), library.genesis.entry)
        token = client.sign_in(library.founder.secrets, None, 0).token
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with context.wrap_socket(
        socket.create_connection(("127.0.0.1", tls_relay.port), 60), server_hostname="localhost"
    ) as line:
        line.sendall(
            b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Authorization: Bearer %s\r\n\r\n" % token.encode()
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 101")
        line.sendall(b"\x88\x80\0\0\0\0")  # goodbye; what the relay answers is read, what ends TLS is not answered
        while not (said := line.recv(4096)).startswith(b"\x88"):
            assert said
        tls_relay.stop()
    assert '"level": "error"' not in tls_relay.log.getvalue()


def test_a_certificate_that_nobody_vouches_for(tls_relay: Relay) -> None:
    client = RelayClient(f"https://localhost:{tls_relay.port}")
    with client, pytest.raises(Unreachable, match="certificate that this machine does not trust") as raised:
        client.about()
    assert "SSL_CERT_FILE" in (raised.value.hint or "")


class Proxy:
    """Passes connections on to one relay, whatever they ask for, and keeps what it was asked."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.asked: list[bytes] = []
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        connection, _ = self._listening.accept()
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += connection.recv(65_536)
        self.asked.append(asked)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        relay = socket.create_connection(("127.0.0.1", self._port))
        other = threading.Thread(target=self._pass_on, args=(connection, relay))
        other.start()
        self._pass_on(relay, connection)
        other.join(60)
        relay.close()
        connection.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._threads[0].join(60)
        self._listening.close()


def test_a_proxy_sees_an_address_and_nothing_else(
    tls_relay: Relay, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    url = f"https://localhost:{tls_relay.port}"
    with contextlib.closing(Proxy(tls_relay.port)) as proxy:
        through = RelayTransport(read_address(url), proxy=f"http://me:pass@127.0.0.1:{proxy.port}")
        with RelayClient(url, transport=through) as client:
            client.found(tls_relay.invite(), library.genesis.entry)
            client.sign_in(library.founder.secrets, None, 0)
            client.append([library.founder.write(bytes(600_000))])
            assert len(client.log(0).items) == 2
    assert len(proxy.asked) == 1
    assert proxy.asked[0].startswith(b"CONNECT localhost:")
    assert b"bearer" not in proxy.asked[0].lower()
    assert b"proxy-authorization: basic" in proxy.asked[0].lower()


def test_http_to_a_relay_with_a_certificate(tls_relay: Relay) -> None:
    with RelayClient(f"http://localhost:{tls_relay.port}") as client, pytest.raises(Unreachable) as raised:
        client.about()
    assert raised.value.hint
