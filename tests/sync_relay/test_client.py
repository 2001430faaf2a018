"""Every call of the client against a real relay, over real sockets."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
from typing import TYPE_CHECKING

import pytest

from crypto.epochs import open_epochs
from crypto.keys import DeviceSecrets
from crypto.membership import evaluate
from crypto.membership_change import countersign, draft_add, revoke
from crypto.membership_entry import NO_ENVELOPE
from sync_relay import errors, wire
from sync_relay.client import RelayClient, Unreachable
from sync_relay.statements import make_delete
from tests.sync_relay.running_relay import blob_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sync_relay.conftest import Clock, Library
    from tests.sync_relay.running_relay import Relay


@pytest.fixture
def client(relay: Relay, library: Library) -> Iterator[RelayClient]:
    """The founder's client, signed in."""
    with founded(relay, library) as made:
        yield made


def founded(relay: Relay, library: Library) -> RelayClient:
    made = RelayClient(relay.url)
    made.found(relay.invite(), library.genesis.entry)
    made.sign_in(library.founder.secrets, library.genesis.library_id, relay.clock())
    return made


def test_what_one_device_appends_another_reads(relay: Relay, library: Library, client: RelayClient) -> None:
    assert client.about().protocols == [wire.PROTOCOL]
    written = [library.founder.write(b"%d" % number) for number in range(3)]
    assert client.append(written) == wire.Appended(position=4, stored=3)
    assert client.append(written).stored == 0
    assert client.append([]) == wire.Appended(position=0, stored=0)
    with RelayClient(relay.url + "/") as other:
        session = other.sign_in(library.phrase.secrets, None, 0)
        assert session.library_id == library.genesis.library_id
        assert session.position == 4
        page = other.log(0)
        assert [item.body for item in page.items] == [library.genesis.entry, *written]
        assert not page.more
        assert other.log(page.position).items == []
        assert [(head.device_id, head.seq) for head in other.heads().heads] == [(library.founder.id, 3)]
        assert other.usage().objects == 4
        first = other.log(0, limit=1)
        assert first.more
        assert first.position == 1


def test_the_log_can_be_read_by_kind(library: Library, client: RelayClient) -> None:
    client.append([library.founder.write()])
    gone = make_delete(library.founder.secrets, library.genesis.library_id, [secrets.token_bytes(32)], time=0)
    client.append_statements([gone])
    client.append([library.founder.write()])
    for kinds, positions in {
        (wire.KIND_ENVELOPE,): [2, 4],
        (wire.KIND_MEMBERSHIP,): [1],
        (wire.KIND_DELETE, wire.KIND_MEMBERSHIP): [1, 3],
        (wire.KIND_PRUNE,): [],
        wire.KINDS: [1, 2, 3, 4],
    }.items():
        assert [item.position for item in client.log(0, kinds=kinds).items] == positions
    assert client.log(2, kinds=[wire.KIND_PRUNE]).position == 2
    assert client.log(9, kinds=[wire.KIND_PRUNE]).position == 4


def test_envelopes_past_a_vector_come_in_the_order_of_the_log(library: Library, client: RelayClient) -> None:
    ones, others = [], []
    for _ in range(3):
        ones.append(library.founder.write())
        others.append(library.phrase.write())
        client.append([ones[-1], others[-1]])
    here, there = library.founder.id, library.phrase.id
    assert [item.body for item in client.past({}).items] == [
        body for pair in zip(ones, others, strict=True) for body in pair
    ]
    page = client.past({here: (2, bytes(32)), secrets.token_bytes(32): (7, bytes(32)), there: (0, bytes(32))})
    assert [item.body for item in page.items] == [others[0], others[1], ones[2], others[2]]
    page = client.past({here: (2, bytes(32))}, limit=2)
    assert [item.body for item in page.items] == others[:2]
    assert page.more
    rest = client.past({here: (2, bytes(32))}, after=page.position, limit=2)
    assert [item.body for item in rest.items] == [ones[2], others[2]]
    assert not rest.more
    nothing = client.past({here: (3, bytes(32)), there: (3, bytes(32))})
    assert (nothing.items, nothing.position) == ([], 0)


def test_a_vector_may_be_long(library: Library, client: RelayClient) -> None:
    client.append([library.founder.write()])
    vector = {secrets.token_bytes(32): (number, bytes(32)) for number in range(1, wire.MAX_COVERED)}
    assert len(client.past(vector).items) == 1


def test_one_envelope_is_found_by_its_place(library: Library, client: RelayClient) -> None:
    written = [library.founder.write(), library.founder.write()]
    client.append(written)
    assert client.envelope(library.founder.id, 2) == written[1]
    assert client.envelope(library.founder.id, 3) is None
    assert client.envelope(library.phrase.id, 1) is None


def test_many_envelopes_go_in_several_requests(library: Library, client: RelayClient) -> None:
    written = [library.founder.write() for _ in range(wire.MAX_ITEMS + 5)]
    written += [library.founder.write(secrets.token_bytes(700_000)) for _ in range(3)]
    assert client.append(written).stored == len(written)
    position, bodies = 0, []
    while True:
        page = client.log(position, kinds=[wire.KIND_ENVELOPE])
        bodies += [item.body for item in page.items]
        position = page.position
        if not page.more:
            break
    assert bodies == written


def test_entries_and_statements_are_appended(relay: Relay, library: Library, client: RelayClient) -> None:
    newcomer = DeviceSecrets.generate()
    membership = evaluate(library.genesis, [])
    keyring = open_epochs(membership, library.founder.secrets)
    draft = draft_add(membership, library.founder.secrets, keyring, newcomer.device_id, newcomer.exchange_public)
    added = countersign(draft, library.genesis.library_id, newcomer)
    assert client.append_entries([added.data]).stored == 1
    statements = [
        make_delete(library.founder.secrets, library.genesis.library_id, [secrets.token_bytes(32)], time=number)
        for number in range(wire.MAX_STATEMENTS + 1)
    ]
    assert client.append_statements(statements).stored == len(statements)
    with RelayClient(relay.url) as theirs:
        theirs.sign_in(newcomer, library.genesis.library_id, 0)
        revoked = revoke(membership.with_entries([added]), library.founder.secrets, newcomer.device_id, NO_ENVELOPE)
        client.append_entries([revoked.data])
        for _ in range(2):
            with pytest.raises(errors.NotAMember):
                theirs.heads()


def test_blobs_go_up_and_come_down(library: Library, client: RelayClient) -> None:
    content = secrets.token_bytes(1_000_003)
    name = blob_id(content)
    assert client.blob_states([name, bytes(32)])[0].state == "absent"
    told: list[int] = []
    state = client.upload(name, io.BytesIO(content), len(content), progress=told.append)
    assert (state.state, state.size) == ("stored", len(content))
    assert told[-1] == len(content)
    assert client.upload(name, io.BytesIO(content), len(content)).state == "stored"
    with client.download(name) as whole:
        assert (whole.size, whole.length) == (len(content), len(content))
        assert b"".join(whole) == content
    with client.download(name, 10, 5) as part:
        assert (part.size, part.offset, part.length) == (len(content), 10, 5)
        assert b"".join(part) == content[10:15]
    with client.download(name, 1_000_000) as rest:
        assert b"".join(rest) == content[1_000_000:]
    nonce = secrets.token_bytes(32)
    assert client.prove(name, nonce) == hashlib.blake2b(content, digest_size=32, key=nonce).digest()
    for offset, length in ((len(content), None), (len(content) - 1, 2)):
        with pytest.raises(errors.WrongRange), client.download(name, offset, length):
            pass
    with pytest.raises(errors.NoSuchBlob), client.download(bytes(32)):
        pass
    assert client.traffic.sent > 2 * len(content)


def test_an_upload_goes_on_where_the_relay_says(library: Library, client: RelayClient) -> None:
    content = secrets.token_bytes(300_000)
    name = blob_id(content)

    class Cut(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 100_000:
                raise OSError("the disk went away")
            return super().read(min(size or 0, 50_000))

    with pytest.raises(OSError, match="disk"):
        client.upload(name, Cut(content), len(content))
    states = client.blob_states([name])
    assert client.upload(name, io.BytesIO(content), len(content), offset=states[0].offset).state == "stored"
    other = secrets.token_bytes(200_000)
    state = client.upload(blob_id(other), io.BytesIO(other), len(other), offset=70_000)
    assert state.state == "stored"
    with client.download(blob_id(other)) as back:
        assert b"".join(back) == other


def test_a_file_that_is_too_short_or_not_the_blob_is_named(client: RelayClient) -> None:
    content = secrets.token_bytes(1000)
    with pytest.raises(EOFError):
        client.upload(blob_id(content), io.BytesIO(content[:500]), 1000)
    with pytest.raises(errors.BlobDamaged):
        client.upload(
            blob_id(content), io.BytesIO(content[::-1]), 1000, offset=client.blob_states([blob_id(content)])[0].offset
        )


def test_devices_meet_in_a_mailbox(relay: Relay, client: RelayClient) -> None:
    mine = client.open_mailbox()
    with RelayClient(relay.url) as newcomer:
        theirs = newcomer.claim_mailbox(mine.number)
        newcomer.leave_letter(theirs, b"hello")
        newcomer.leave_letter(theirs, b"again")
        letters = client.collect_letters(mine)
        assert (letters.letters, letters.claimed) == ([b"hello", b"again"], True)
        assert client.collect_letters(mine, 1).letters == [b"again"]
        client.leave_letter(mine, b"welcome")
        assert newcomer.collect_letters(theirs).letters == [b"welcome"]
        with pytest.raises(errors.MailboxClaimed):
            newcomer.claim_mailbox(mine.number)
        client.close_mailbox(mine)
        with pytest.raises(errors.NoSuchMailbox):
            newcomer.collect_letters(theirs)


def test_a_listener_hears_of_new_positions(relay: Relay, library: Library, client: RelayClient) -> None:
    with client.listen() as listener:
        assert listener.wait(60) == 1
        assert listener.wait(0) is None
        client.append([library.founder.write()])
        assert listener.wait(60) == 2
        listener.close()
        with pytest.raises(Unreachable):
            listener.wait(60)


def test_a_token_that_ended_is_renewed_once_for_all_threads(
    relay: Relay, library: Library, clock: Clock, client: RelayClient
) -> None:
    before = client.session
    clock.now += 10 * 3600
    together = threading.Barrier(8)
    failed: list[BaseException] = []

    def ask() -> None:
        together.wait(60)
        try:
            client.heads()
        except BaseException as error:  # noqa: BLE001 (told in the main thread)
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert client.session != before
    log = relay.log.getvalue()
    assert log.count('"operation": "sign-in"') == 2
    content = secrets.token_bytes(2_000_000)
    clock.now += 10 * 3600
    assert client.upload(blob_id(content), io.BytesIO(content), len(content)).state == "stored"
    clock.now += 10 * 3600
    with client.download(blob_id(content)) as back:
        assert b"".join(back) == content
    clock.now += 10 * 3600
    with client.listen() as listener:
        assert listener.wait(60) == 1


def test_without_signing_in_there_is_an_error(relay: Relay) -> None:
    with RelayClient(relay.url) as client, pytest.raises(errors.NotSignedIn):
        client.heads()
