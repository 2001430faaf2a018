"""Every call over a network that fails: it ends as it should or with an error of two kinds, and repeating it heals."""

from __future__ import annotations

import io
import secrets
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sync_relay import errors, wire
from sync_relay.client import RelayClient, Unreachable
from sync_relay.server.rates import Rate
from sync_relay.statements import make_delete
from tests.sync_relay.faults import Answer, Fault, Faults, Garble, Lose, Refuse, Repeat, Truncate, Wait, boundaries
from tests.sync_relay.running_relay import blob_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sync_relay.conftest import Library
    from tests.sync_relay.running_relay import Relay

CONTENT = bytes(range(256)) * 2
LARGE = secrets.token_bytes(200_000)


@dataclass
class Scene:
    """A library at a relay, with something of everything in it, and a client that is signed in."""

    relay: Relay
    library: Library
    client: RelayClient

    def over(self, faults: Faults) -> RelayClient:
        """Return a client that is signed in as the same device, over a network with faults."""
        client = RelayClient(self.relay.url, transport=faults.transport(self.relay.url))
        client._signed_in = self.client._signed_in
        return client


@pytest.fixture
def scene(relay: Relay, library: Library) -> Iterator[Scene]:
    relay.service.library_rate = relay.service.anonymous_rate = Rate(1e9, 1e9, lambda: 0.0)
    client = RelayClient(relay.url)
    client.found(relay.invite(), library.genesis.entry)
    client.sign_in(library.founder.secrets, library.genesis.library_id, 0)
    client.append([library.founder.write(), library.phrase.write()])
    client.upload(blob_id(CONTENT), io.BytesIO(CONTENT), len(CONTENT))
    yield Scene(relay, library, client)
    client.close()


def download(client: RelayClient, scene: Scene) -> bytes:
    with client.download(blob_id(CONTENT)) as pieces:
        return b"".join(pieces)


def upload(client: RelayClient, scene: Scene) -> Any:
    content = secrets.token_bytes(300)
    return again(lambda: client.upload(blob_id(content), io.BytesIO(content), len(content)).state)


def append(client: RelayClient, scene: Scene) -> int:
    envelope = scene.library.founder.write()
    again(lambda: client.append([envelope]))
    assert scene.client.log(0).items[-1].body == envelope
    return client.append([envelope]).stored


def state(client: RelayClient, scene: Scene) -> int:
    gone = make_delete(scene.library.founder.secrets, scene.library.genesis.library_id, [bytes(32)], time=0)
    again(lambda: client.append_statements([gone]))
    return client.append_statements([gone]).stored


CALLS: dict[str, Callable[[RelayClient, Scene], Any]] = {
    "about": lambda client, _: client.about().protocols,
    "usage": lambda client, _: client.usage(),
    "log": lambda client, _: client.log(0),
    "past": lambda client, scene: client.past({scene.library.founder.id: (1, bytes(32))}),
    "envelope": lambda client, scene: client.envelope(scene.library.founder.id, 1),
    "heads": lambda client, _: client.heads(),
    "blob-states": lambda client, _: client.blob_states([blob_id(CONTENT), bytes(32)]),
    "download": download,
    "prove": lambda client, _: client.prove(blob_id(CONTENT), bytes(32)),
    "sign-in": lambda client, scene: client.sign_in(scene.library.phrase.secrets, None, 0).library_id,
    "upload": upload,
    "append": append,
    "state": state,
}


def again(call: Callable[[], Any]) -> Any:
    """Call until it goes well, as callers of a client do: the network fails once."""
    try:
        return call()
    except (Unreachable, errors.RelayError):
        return call()


def cut(direction: str, place: int) -> Faults:
    return Faults(cut_sent=place) if direction == "cut_sent" else Faults(cut_received=place)


@pytest.mark.parametrize("name", CALLS)
def test_a_cut_connection_heals_by_repeating(name: str, scene: Scene) -> None:
    call = CALLS[name]
    whole = Faults()
    with scene.over(whole) as client:
        expected = call(client, scene)
    for direction, total, marks in (
        ("cut_sent", whole.sent, whole.sent_marks),
        ("cut_received", whole.received, whole.received_marks),
    ):
        for place in boundaries(total, every=0, marks=marks)[::3]:
            faults = cut(direction, place)
            with scene.over(faults) as client:
                assert again(partial(call, client, scene)) == expected, (direction, place)
            assert faults.happened


@pytest.mark.parametrize("direction", ["cut_sent", "cut_received"])
def test_an_edit_survives_a_cut_wherever_it_is(direction: str, scene: Scene) -> None:
    whole = Faults()
    with scene.over(whole) as client:
        client.append([scene.library.founder.write()])
    total = whole.sent if direction == "cut_sent" else whole.received
    written = list(scene.library.founder.written)
    marks = whole.sent_marks if direction == "cut_sent" else whole.received_marks
    for place in sorted({*boundaries(total, every=0, marks=marks), *range(0, total, 9)}):
        faults = cut(direction, place)
        envelope = scene.library.founder.write()
        with scene.over(faults) as client:
            with pytest.raises(Unreachable):
                client.append([envelope])
            assert faults.happened
            stored = client.append([envelope]).stored
        # Cut before the relay had all of it, it has nothing; cut on the way back, it has everything.
        assert stored == (1 if direction == "cut_sent" else 0), place
        written.append(envelope)
    position, found = 0, []
    while True:
        page = scene.client.log(position, kinds=[wire.KIND_ENVELOPE])
        found += [item.body for item in page.items]
        position = page.position
        if not page.more:
            break
    assert [body for body in found if body in set(written)] == written


def test_an_upload_goes_on_after_a_cut_anywhere(scene: Scene) -> None:
    whole = Faults()
    with scene.over(whole) as client:
        client.upload(blob_id(LARGE), io.BytesIO(LARGE), len(LARGE))
    for place in boundaries(whole.sent)[::8]:
        content = secrets.token_bytes(len(LARGE))
        name = blob_id(content)
        with scene.over(Faults(cut_sent=place)) as client:
            with pytest.raises(Unreachable):
                client.upload(name, io.BytesIO(content), len(content))
            at = client.blob_states([name])[0].offset
            assert client.upload(name, io.BytesIO(content), len(content), offset=at).state == "stored"
            with client.download(name) as pieces:
                assert b"".join(pieces) == content


def test_a_download_goes_on_after_a_cut_anywhere(scene: Scene) -> None:
    scene.client.upload(blob_id(LARGE), io.BytesIO(LARGE), len(LARGE))
    for place in boundaries(len(LARGE) + 200)[::8]:
        with scene.over(Faults(cut_received=place)) as client:
            kept = bytearray()
            with pytest.raises(Unreachable):
                collect(client, kept)
            collect(client, kept)
            assert kept == LARGE


def collect(client: RelayClient, kept: bytearray) -> None:
    with client.download(blob_id(LARGE), len(kept)) as pieces:
        for piece in pieces:
            kept += piece


ERRORS = [
    errors.TooManyRequests("slower", details=errors.ErrorDetails(retry_after=1)),
    errors.QuotaFull("full", details=errors.ErrorDetails(quota="bytes", over=1, limit=2, used=2)),
    errors.Broken("broken"),
    errors.Unavailable("away"),
]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.name)
def test_errors_of_the_relay_come_as_they_are(error: errors.RelayError, done: bool, scene: Scene) -> None:
    envelope = scene.library.founder.write()
    with scene.over(Faults(at={0: Answer.named(error, after_it_was_done=done)})) as client:
        with pytest.raises(type(error)) as raised:
            client.append([envelope])
        assert raised.value.details == error.details
        assert client.append([envelope]).stored == (0 if done else 1)


ODD: list[Fault] = [
    Lose(),
    Refuse(),
    Repeat(),
    Answer(502, b"<html>bad gateway", {"content-type": "text/html"}),
    Answer(503, b"{}", {"content-type": "application/json"}),
    Answer(429, b"", {}),
    Answer(302, b"", {"location": "https://elsewhere.example/"}),
    Answer(200, b"<html>", {"content-type": "text/html"}),
    Answer(204, b"", {}),
    Garble(lambda body: b""),
    Garble(lambda body: b"\xc1" + body),
    Garble(lambda body: body + b"\0"),
    Garble(lambda body: body[::-1]),
    Garble(lambda body: b"\xdd\xff\xff\xff\xff"),
    Garble(lambda body: b"\x91" * 10_000),
    Truncate(0),
    Truncate(1),
    Truncate(20),
]


@pytest.mark.parametrize("name", CALLS)
def test_odd_answers_are_one_of_two_errors_and_heal(name: str, scene: Scene) -> None:
    call = CALLS[name]
    with scene.over(Faults()) as client:
        expected = call(client, scene)
    for fault in ODD:
        if name == "download" and isinstance(fault, Garble | Truncate):
            continue  # a blob's bytes, and whether they are all of it, are for the caller to check
        with scene.over(Faults(at={0: fault})) as client:
            assert again(partial(call, client, scene)) == expected, fault


def test_a_request_may_wait_while_something_else_happens(scene: Scene) -> None:
    event = threading.Event()
    with scene.over(Faults(at={0: Wait(event)})) as client:
        answers: list[wire.Heads] = []
        asking = threading.Thread(target=lambda: answers.append(client.heads()))
        asking.start()
        scene.client.append([scene.library.founder.write()])
        event.set()
        asking.join(60)
        assert answers[0].position == 4


def test_boundaries_are_everywhere_in_what_is_short() -> None:
    assert boundaries(5) == [0, 1, 2, 3, 4]
    long = boundaries(1 << 20, marks=[777_777])
    assert {0, 1, 65_535, 65_536, 65_537, 777_776, 777_778, (1 << 20) - 1} <= set(long)
    assert len(long) < 500
