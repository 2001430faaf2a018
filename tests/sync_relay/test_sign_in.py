from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crypto.epochs import open_epochs
from crypto.keys import DeviceSecrets
from crypto.membership import evaluate
from crypto.membership_change import countersign, draft_add
from sync_relay import errors, statements, wire
from tests.sync_relay.conftest import Clock, Library, new_library

if TYPE_CHECKING:
    from tests.sync_relay.running_relay import Client, Relay


def test_a_member_signs_in_and_a_stranger_does_not(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    assert client.pull().items[0].body == library.genesis.entry
    assert relay.client().sign_in(library.phrase.secrets, library.genesis.library_id).position == 1
    with pytest.raises(errors.NotAMember):
        relay.client().sign_in(DeviceSecrets.generate(), library.genesis.library_id)
    with pytest.raises(errors.NotAMember):
        relay.client().sign_in(library.founder.secrets, b"no such library!" * 2)


def test_a_phrase_alone_finds_its_library(relay: Relay, library: Library) -> None:
    relay.found(library)
    session = relay.client().sign_in(library.phrase.secrets, None)
    assert session.library_id == library.genesis.library_id


def sign_in(client: Client, request: wire.SignIn) -> wire.Session:
    return client.ask("POST", "/v1/sign-in", request, wire.Session)


@pytest.mark.scenario(2, "an earlier answer or sign-in")
def test_a_challenge_is_good_once(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    secrets, library_id = library.founder.secrets, library.genesis.library_id
    request = client.signed(secrets, library_id, client.challenge(secrets.device_id, library_id).nonce)
    sign_in(client, request)
    with pytest.raises(errors.ChallengeRefused):
        sign_in(client, request)
    relay.stop()
    relay.start()
    with pytest.raises(errors.ChallengeRefused):
        sign_in(relay.client(), request)


def test_a_challenge_ends(relay: Relay, library: Library, clock: Clock) -> None:
    client = relay.found(library)
    secrets, library_id = library.founder.secrets, library.genesis.library_id
    challenge = client.challenge(secrets.device_id, library_id)
    clock.now += challenge.expires_in
    with pytest.raises(errors.ChallengeRefused):
        sign_in(client, client.signed(secrets, library_id, challenge.nonce))


def test_a_challenge_is_for_one_device_and_one_library(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    secrets, library_id = library.founder.secrets, library.genesis.library_id
    nonces = [
        client.challenge(library.phrase.id, library_id).nonce,
        client.challenge(secrets.device_id, b"another library." * 2).nonce,
        client.challenge(secrets.device_id, None).nonce,
        bytes(56),
        b"",
    ]
    for nonce in nonces:
        with pytest.raises(errors.ChallengeRefused):
            sign_in(client, client.signed(secrets, library_id, nonce))


@pytest.mark.scenario(1, "in a sign-in or a token")
def test_no_bit_of_a_sign_in_can_be_changed(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    secrets, library_id = library.founder.secrets, library.genesis.library_id
    nonce = client.challenge(secrets.device_id, library_id).nonce
    good = client.signed(secrets, library_id, nonce)
    other = statements.sign_in(DeviceSecrets.generate(), library_id, time=0, nonce=nonce, origin=client.origin)
    for signature, time in ((other, 0), (good.signature, 1), (bytes(64), 0)):
        with pytest.raises(errors.Forged):
            sign_in(
                client,
                wire.SignIn(
                    device_id=good.device_id,
                    library_id=library_id,
                    nonce=nonce,
                    origin=good.origin,
                    time=time,
                    signature=signature,
                ),
            )


@pytest.mark.scenario(2, "an earlier answer or sign-in")
def test_a_sign_in_that_was_made_for_another_relay_is_refused(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    secrets, library_id = library.founder.secrets, library.genesis.library_id
    nonce = client.challenge(secrets.device_id, library_id).nonce
    request = client.signed(secrets, library_id, nonce, origin="https://evil.example")
    with pytest.raises(errors.WrongOrigin):
        client.ask("POST", "/v1/sign-in", request, wire.Session, headers={"host": "evil.example"})


@pytest.mark.scenario(1, "in a sign-in or a token")
def test_tokens_end_and_are_not_guessed_from_their_beginnings(relay: Relay, library: Library, clock: Clock) -> None:
    client = relay.found(library)
    good = client.token
    for token in ("", "x", good[:-1], good + "A", good[:20] + "A" * 23, good.replace(good[-1], "=")):
        client.token = token
        with pytest.raises(errors.NotSignedIn):
            client.pull()
    client.token = good
    client.pull()
    clock.now += 3_600
    with pytest.raises(errors.NotSignedIn):
        client.pull()


def test_the_relay_has_no_token_and_no_invite_on_its_disk(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    invite = relay.invite()
    relay.stop()
    if relay.settings.database_url:
        pytest.skip("the database is not in a file here")
    stored = b"".join(path.read_bytes() for path in relay.settings.data.rglob("*") if path.is_file())
    assert library.founder.id in stored
    for secret in (client.token, invite):
        assert secret.encode() not in stored
    relay.start()


def test_signing_in_too_often_is_slowed_down(relay: Relay) -> None:
    client = relay.client()

    def ask_for_ever() -> None:
        for _ in range(10_000):
            client.challenge(bytes(32), None)

    with pytest.raises(errors.TooManyRequests) as slowed:
        ask_for_ever()
    assert (slowed.value.details.retry_after or 0) >= 1


def test_what_belongs_to_another_library_is_out_of_reach(relay: Relay, library: Library) -> None:
    other = new_library()
    mine, theirs = relay.found(library), relay.found(other)
    name = mine.store(b"my ciphertext")
    mine.append(library.founder.write())
    assert [item.body for item in theirs.pull().items] == [other.genesis.entry]
    assert theirs.blob(name).state == "absent"
    with pytest.raises(errors.NoSuchBlob):
        theirs.ask("POST", f"/v1/blobs/{name.hex()}/proof", wire.Prove(nonce=bytes(32)), wire.Proof)
    assert theirs.request("GET", f"/v1/blobs/{name.hex()}").status_code == 404
    with pytest.raises(errors.Forged):
        theirs.append(library.founder.written[0])
    with pytest.raises(errors.Forged):
        theirs.state(statements.make_delete(other.founder.secrets, library.genesis.library_id, [name], time=0))
    theirs.state(statements.make_delete(other.founder.secrets, other.genesis.library_id, [name], time=0))
    assert mine.blob(name).state == "stored"


def test_a_library_is_founded_by_a_device_that_joined_it_later(relay: Relay, library: Library) -> None:
    genesis, founder, newcomer = library.genesis, library.founder.secrets, DeviceSecrets.generate()
    membership = evaluate(genesis, [])
    draft = draft_add(
        membership, founder, open_epochs(membership, founder), newcomer.device_id, newcomer.exchange_public
    )
    added = countersign(draft, genesis.library_id, newcomer)
    client = relay.client()
    request = wire.CreateLibrary(invite=relay.invite(), genesis=genesis.entry, entries=[added.data])
    client.ask("POST", "/v1/libraries", request, wire.Usage)
    assert client.ask("POST", "/v1/libraries", request, wire.Usage).objects == 2
    assert client.sign_in(newcomer, genesis.library_id).position == 2
    assert [item.body for item in client.pull().items] == [genesis.entry, added.data]
    altered = added.data[:-1] + bytes([added.data[-1] ^ 1])
    other = new_library()
    for entries in ([altered], [added.data]):
        request = wire.CreateLibrary(invite=relay.invite(), genesis=other.genesis.entry, entries=entries)
        with pytest.raises((errors.Forged, errors.Malformed)):
            client.ask("POST", "/v1/libraries", request, wire.Usage)
