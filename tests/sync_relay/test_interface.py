"""What the relay says about itself: the OpenAPI document, health, metrics, the page, its log, its limits."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sync_relay import errors, wire
from sync_relay.server.application import EVENTS, application
from sync_relay.server.openapi import document
from sync_relay.server.operations import OPERATIONS, Access
from sync_relay.server.rates import Addresses, Rate
from sync_relay.server.service import Service, origins
from sync_relay.server.settings import Settings
from tests.sync_relay.running_relay import raise_named

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sync_relay.conftest import Library
    from tests.sync_relay.running_relay import Client, Relay


def test_the_document_has_every_route_and_no_other(tmp_path: Path) -> None:
    app = application(Service(Settings(data=tmp_path)))
    routes = {
        (getattr(route, "path", ""), method.lower())
        for route in app.routes
        for method in getattr(route, "methods", None) or ()
    }
    described = {(path, method) for path, methods in document()["paths"].items() for method in methods}
    assert routes == described
    assert EVENTS in document()["info"]["description"]


def test_the_document_is_whole() -> None:
    text = json.dumps(document())
    schemas = document()["components"]["schemas"]
    for reference in re.findall(r'"\$ref": "([^"]+)"', text):
        assert reference.removeprefix("#/components/schemas/") in schemas
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    known = set(errors.BY_NAME)
    assert {name for response in responses(document()) for name in response.get("x-errors", ())} <= known


def responses(described: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        response
        for methods in described["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
    ]


BODIES: list[tuple[str, bytes]] = [
    ("", b""),
    (wire.JSON, b""),
    (wire.JSON, b"{}"),
    (wire.JSON, b"[" * 5_000),
    (wire.JSON, b'{"envelopes": ["!"], "ids": [""], "nonce": "AA==", "body": ""}'),
    (wire.JSON, b"\xff\xfe"),
    (wire.MSGPACK, b"\xc1"),
    (wire.MSGPACK, b"\xdd\xff\xff\xff\xff"),
    (wire.MSGPACK, msgspec.msgpack.encode({"device_id": bytes(32), "library_id": bytes(32), "nonce": bytes(40)})),
    ("text/html", b"<html>"),
    (wire.BINARY, b"x"),
]
FILLED = {"{blob}": ["0" * 64, "x"], "{number}": ["1", "-1", "9" * 30]}


def paths(path: str) -> list[str]:
    for name, values in FILLED.items():
        if name in path:
            return [path.replace(name, value) for value in values]
    return [path, path + "?after=-1&limit=x", path + "?after=9999999999999999999", path + "?limit=0"]


def test_whatever_is_sent_is_answered_as_the_document_says(relay: Relay, library: Library) -> None:
    """Each operation, with bodies that are wrong in every way at hand: only documented answers, and never a 500."""
    member = relay.found(library)
    stranger = relay.client()
    relay.service.anonymous_rate = relay.service.pairing_rate = Rate(1e6, 1e6, lambda: 0.0)
    described = document()["paths"]
    for operation in OPERATIONS:
        expected = described[operation.path][operation.method.lower()]["responses"]
        clients = (member, stranger) if operation.access in {Access.MEMBER, Access.MAILBOX} else (stranger,)
        for client in clients:
            for path in paths(operation.path):
                for media, body in BODIES if operation.body or operation.streams_in else BODIES[:2]:
                    check(client, operation.method, path, media, body, expected)


def check(client: Client, method: str, path: str, media: str, body: bytes, expected: dict[str, Any]) -> None:
    response = client.request(
        method, path, content=body, headers={"accept": wire.JSON} | ({"content-type": media} if media else {})
    )
    told = expected.get(str(response.status_code))
    assert told is not None, (method, path, media, body[:20], response.status_code, response.text)
    assert response.status_code < 500
    if response.status_code >= 400:
        assert response.headers[wire.ERROR_NAME] in told["x-errors"], (method, path, media, body[:20], response.text)
        if method != "HEAD":
            assert msgspec.json.decode(response.content, type=wire.ErrorBody).message


def test_a_query_that_an_operation_does_not_know_is_refused_and_nothing_is_done(relay: Relay, library: Library) -> None:
    """What is left out in silence may have said what not to give, or how much."""
    client = relay.found(library)
    for operation in OPERATIONS:
        if operation.access is Access.MAILBOX:
            continue  # its path names a mailbox, and none is there
        path = operation.path.replace("{blob}", "0" * 64).replace("{device}", "0" * 64).replace("{seq}", "1")
        for query in ("unknown=1", "=", "After=1", "after=1&after=1", "after=0&limit=1&until=2"):
            response = client.request(operation.method, f"{path}?{query}", headers={"accept": wire.JSON})
            assert (response.status_code, response.headers[wire.ERROR_NAME]) == (400, "malformed"), (path, query)
    assert client.pull().position == 1


def test_people_read_json_and_clients_messagepack(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    as_json = client.request("GET", "/v1/usage", headers={"accept": "*/*"})
    assert as_json.headers["content-type"] == wire.JSON
    packed = client.request("GET", "/v1/usage")
    assert packed.headers["content-type"] == wire.MSGPACK
    assert msgspec.json.decode(as_json.content, type=wire.Usage) == msgspec.msgpack.decode(
        packed.content, type=wire.Usage
    )
    asked = client.request(
        "POST", "/v1/blobs/query", content=b'{"ids": []}', headers={"content-type": "application/json; charset=utf-8"}
    )
    assert asked.status_code == 200


def test_bodies_over_their_bound_are_refused_unread(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    for operation in OPERATIONS:
        if operation.body is None or "{" in operation.path:
            continue
        head = (
            f"{operation.method} {operation.path} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {client.token}\r\n"
            f"content-type: {wire.JSON}\r\ncontent-length: {operation.body_limit + 1}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as connection:
            connection.sendall(head.encode())  # and nothing of the body: who waits for it, waits for ever
            with connection.makefile("rb") as answer:
                assert answer.readline().split()[1] == b"413"


def test_a_body_without_a_length_is_bounded_too(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    response = client.request(
        "POST",
        "/v1/blobs/query",
        content=iter([bytes(60_000), bytes(60_000)]),
        headers={"content-type": wire.MSGPACK},
    )
    with pytest.raises(errors.TooLarge):
        raise_named(response)


def test_unknown_paths_and_methods_are_named(relay: Relay) -> None:
    client = relay.client()
    assert client.request("GET", "/nothing").headers[wire.ERROR_NAME] == "no-such-path"
    assert client.request("GET", "/v1/").headers[wire.ERROR_NAME] == "no-such-path"
    refused = client.request("DELETE", "/v1/log")
    assert (refused.status_code, refused.headers[wire.ERROR_NAME]) == (405, "wrong-method")
    assert client.request("HEAD", "/v1/log").status_code == 405


def test_the_relay_says_what_it_is_and_what_it_cannot_see(relay: Relay) -> None:
    client = relay.client()
    assert client.ask("GET", "/v1", None, wire.About).protocols == [1]
    page = client.request("GET", "/")
    assert "What it cannot see" in page.text
    assert "30 days" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.request("GET", "/healthz", headers={"accept": wire.JSON}).json() == {"status": "ok"}
    assert client.request("GET", "/openapi.json").json() == document()


def test_readiness_follows_database_and_storage(relay: Relay) -> None:
    client = relay.client()
    assert client.request("GET", "/readyz").status_code == 200

    async def broken() -> None:
        raise errors.Unavailable("the disk is gone")

    relay.service.parts.objects.check = broken  # type: ignore[method-assign]
    relay.service.checked_until = 0
    response = client.request("GET", "/readyz")
    assert (response.status_code, response.headers[wire.ERROR_NAME]) == (503, "unavailable")
    assert client.request("GET", "/healthz").status_code == 200


def test_logs_and_metrics_name_nobody(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    client.append(library.founder.write())
    name = client.store(b"ciphertext")
    client.request("GET", f"/v1/blobs/{name.hex()}")
    relay.run(no_wait())
    metrics = msgspec.json.encode(metrics_text(relay)).decode()
    for text in (relay.log.getvalue(), metrics):
        assert "append" in text
        for secret in (library.genesis.library_id, library.founder.id, name, library.founder.previous):
            assert secret.hex() not in text
        for word in (client.token, "127.0.0.1", "localhost"):
            assert word not in text.replace('"host": "127.0.0.1"', "")
    for line in relay.log.getvalue().splitlines():
        assert json.loads(line)["event"]


async def no_wait() -> None:
    """Nothing: by when it has run, the relay's loop has done what came before it."""


def metrics_text(relay: Relay) -> str:
    from prometheus_client.exposition import generate_latest

    return generate_latest(relay.service.metrics.registry).decode()


def test_a_fault_is_answered_without_what_caused_it(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    before = relay.log.getvalue()

    async def broken(*_given: object) -> None:
        raise ValueError("a secret")

    relay.service.blobs.states = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(errors.Broken) as failed:
        client.blob(bytes(32))
    assert "secret" not in str(failed.value)
    line = json.loads(next(one for one in relay.log.getvalue()[len(before) :].splitlines() if "broken" in one))
    assert (line["error"], line["operation"]) == ("ValueError", "blob-states")
    assert line["request"] in (failed.value.hint or "")
    assert "secret" not in relay.log.getvalue()
    relay.log.truncate(0)


def test_buckets_fill_with_time_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    rate = Rate(2, 3, lambda: now[0])
    for _ in range(3):
        rate.take(b"one")
    with pytest.raises(errors.TooManyRequests) as slowed:
        rate.take(b"one")
    assert slowed.value.details.retry_after == 1
    rate.take(b"another")
    now[0] += 0.5
    rate.take(b"one")
    monkeypatch.setattr("sync_relay.server.rates._MOST", 10)
    for key in range(100):
        rate.take(key.to_bytes(2, "big"))
    assert len(rate._buckets) <= 11


def test_addresses_are_kept_as_keys_that_mean_nothing() -> None:
    one, other = Addresses(), Addresses()
    assert one.key("192.0.2.1") != one.key("192.0.2.2")
    assert one.key("192.0.2.1") != other.key("192.0.2.1")
    assert one.key("2001:db8::1") == one.key("2001:db8::2")
    assert one.key("2001:db8:0:1::1") != one.key("2001:db8::1")
    assert one.key(None) == one.key("")


def test_origins_are_the_owners_and_loopback() -> None:
    from pathlib import Path

    plain = Settings(data=Path(), host="0.0.0.0", port=7465, origins=("https://relay.example",))  # noqa: S104
    assert origins(plain) == {
        "https://relay.example",
        "http://127.0.0.1:7465",
        "http://localhost:7465",
        "http://[::1]:7465",
    }
    tls = Settings(data=Path(), host="relay.example", port=443, tls_certificate=Path("cert"))
    assert "https://relay.example" in origins(tls)
