"""A relay as a device sees it: every call of `docs/relay.md`, synchronous, to be used from several threads at once.

Each call asks once; whoever calls tries again. It returns what was asked for, raises an error that the relay named
(`sync_relay.errors.RelayError`), or `Unreachable`: whatever else may come out of a network, and every answer that no
relay gives. Repeating a call is always right. What the relay says is checked for form here and believed in nothing:
envelopes, entries and blobs are for the caller to verify.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from sync_relay import client_answers as answers
from sync_relay import errors, statements, wire
from sync_relay.client_http import Line, Traffic, Unreachable, UpdateNeeded
from sync_relay.client_transfers import Download, Source
from sync_relay.client_url import InvalidUrl, read_address, relay_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO, Self

    import httpx2

    from crypto.keys import DeviceSecrets
    from sync_relay.client_events import Listener

__all__ = ["Download", "InvalidUrl", "RelayClient", "Traffic", "Unreachable", "UpdateNeeded", "relay_url"]

Result = TypeVar("Result")

_RENEW_SECONDS: Final = 60
_LEAST_SECONDS: Final = 120
_BOUNDS: Final = (wire.MAX_ITEMS, wire.BATCH_BYTES)
_STATEMENT_BOUNDS: Final = (wire.MAX_STATEMENTS, wire.MAX_STATEMENT_BYTES)


@dataclass(frozen=True)
class _SignedIn:
    """Who is signed in, and how to sign in again. `renew_at` is by the monotonic clock."""

    secrets: DeviceSecrets
    session: wire.Session
    clock_offset: float
    renew_at: float


class RelayClient:
    """One relay. Close it when done; closed, it may still be used again."""

    def __init__(self, url: str, *, transport: httpx2.BaseTransport | None = None, timeout_s: float = 60) -> None:
        """Take the address of a relay (`InvalidUrl` if it cannot be one), and connect to nothing yet.

        `transport` takes the place of real connections, in tests. A request may take `timeout_s` seconds and one more
        for each 4 KiB that go over the line.
        """
        self._address = read_address(url)
        self._line = Line(self._address, transport, timeout_s)
        self._signing_in = threading.Lock()
        self._signed_in: _SignedIn | None = None
        self._restored = False

    @property
    def url(self) -> str:
        """The relay's address in its normal form."""
        return self._address.url

    @property
    def traffic(self) -> Traffic:
        """How many bytes of bodies went either way."""
        return self._line.traffic

    @property
    def session(self) -> wire.Session | None:
        """What the last signing in gave, the automatic ones included."""
        return self._signed_in.session if self._signed_in else None

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connections."""
        self.close()

    # Who is there, and who asks

    def about(self, *, timeout_s: float | None = None) -> wire.About:
        """Return what kind of relay this is; raise `UpdateNeeded` if it does not speak this program's protocol.

        `timeout_s` stands in for the client's own, where it is shorter.
        """
        about = self._line.ask("GET", wire.BASE, wire.About, timeout_s=timeout_s)
        if about.relay != "safelight":
            raise self._line.odd("what it is, and it is no relay of this kind")
        if wire.PROTOCOL not in about.protocols:
            raise UpdateNeeded(
                f"the relay at {self.url} does not speak version {wire.PROTOCOL} of the protocol",
                hint="Update Safelight on this device, or the relay, whichever is older.",
            )
        return about

    def sign_in(
        self, secrets: DeviceSecrets, library_id: bytes | None, now: int, entries: Sequence[bytes] = ()
    ) -> wire.Session:
        """Sign in as a device, to `library_id` or (None) to whatever library it is a member of.

        `now` is UTC seconds by this device's clock: told to the relay, relied on by nobody. From then on a token that
        ended is renewed by itself. `entries` are membership entries of `library_id`, each after those it names, for a
        relay that answered `NotAMember`: if they make the device a member, it keeps them. The last of them go along,
        as many as one request takes. Raises `NotAMember` among others.
        """
        with self._signing_in:
            self._signed_in, self._restored = None, False
            self._signed_in = self._begin(secrets, library_id, now - time.monotonic(), newest(entries))
            return self._signed_in.session

    def found(self, invite: str, genesis: bytes, entries: Sequence[bytes] = ()) -> wire.Usage:
        """Found a library with an invite of the relay's owner. Repeating it is no error.

        `entries` are its further membership entries, each after those it names: without them only the devices that
        genesis names can sign in.
        """
        request = wire.CreateLibrary(invite=invite, genesis=genesis, entries=list(entries))
        return self._line.ask("POST", "/v1/libraries", wire.Usage, body=request)

    def usage(self) -> wire.Usage:
        """Return what the library takes at this relay, and may take."""
        usage = self._member(lambda token: self._line.ask("GET", "/v1/usage", wire.Usage, token=token))
        if usage.library_id != self._library_id:
            raise self._line.odd("what another library takes")
        return usage

    # The log

    def log(self, after: int, limit: int = wire.MAX_ITEMS, kinds: Collection[int] = ()) -> wire.LogPage:
        """Return the items after a position, in order; of some kinds (`wire.KIND_…`) only, if any are given.

        Ask again after the page's `position` while there is `more`. A page without items whose position is *below*
        `after` says that the relay was put back to an earlier state.
        """
        mask = f"&kinds={wire.kinds_mask(kinds)}" if kinds else ""
        path = f"/v1/log?after={after}&limit={limit}{mask}"
        page = self._member(
            lambda token: self._line.ask("GET", path, wire.LogPage, token=token, limit=answers.PAGE_BYTES)
        )
        return answers.checked_page(self._line, page, after, limit, kinds)

    def past(
        self, vector: Mapping[bytes, tuple[int, bytes]], after: int = 0, limit: int = wire.MAX_ITEMS
    ) -> wire.LogPage:
        """Return the envelopes past a vector {device: (seq, hash)} in the order of the log, after a position of it."""
        covered = [wire.Covered(device_id=device, seq=seq) for device, (seq, _) in sorted(vector.items()) if seq]
        request = wire.Past(after=after, limit=limit, covered=covered)
        page = self._member(
            lambda token: self._line.ask(
                "POST", "/v1/log/past", wire.LogPage, body=request, token=token, limit=answers.PAGE_BYTES
            )
        )
        return answers.checked_page(self._line, page, after, limit, (wire.KIND_ENVELOPE,))

    def envelope(self, device: bytes, seq: int) -> bytes | None:
        """Return one envelope, or None if the relay does not have it (any more)."""
        path = f"/v1/envelopes/{device.hex()}/{seq}"
        try:
            item = self._member(
                lambda token: self._line.ask("GET", path, wire.Item, token=token, limit=answers.PAGE_BYTES)
            )
        except errors.NoSuchEnvelope:
            return None
        return answers.checked_envelope(self._line, item, self._library_id, device, seq)

    def heads(self) -> wire.Heads:
        """Return the relay's vector: the newest envelope of each device that it has, or knows to have been pruned."""
        heads = self._member(
            lambda token: self._line.ask("GET", "/v1/heads", wire.Heads, token=token, limit=answers.LIST_BYTES)
        )
        return answers.checked_heads(self._line, heads)

    def append(self, envelopes: Sequence[bytes]) -> wire.Appended:
        """Append envelopes, each following what the relay has or what stands before it.

        Many go in several requests, each of which is taken whole or not at all; `stored` is the sum, and `position`
        0 if there was nothing to send.
        """
        return self._append("/v1/envelopes", envelopes, lambda some: wire.Append(envelopes=some))

    def append_entries(self, entries: Sequence[bytes]) -> wire.Appended:
        """Append membership entries, each following those it names; many go in several requests."""
        return self._append("/v1/membership", entries, lambda some: wire.AppendEntries(entries=some))

    def append_statements(self, signed: Sequence[bytes]) -> wire.Appended:
        """Append deletes and prune entries (`sync_relay.statements`); many go in several requests."""
        return self._append("/v1/statements", signed, lambda some: wire.AppendStatements(statements=some))

    # Blobs

    def blob_states(self, ids: Sequence[bytes]) -> list[wire.BlobState]:
        """Return the state of each blob, in the order asked."""
        found: list[wire.BlobState] = []
        for start in range(0, len(ids), wire.MAX_ITEMS):
            some = list(ids[start : start + wire.MAX_ITEMS])
            found += self._states(some)
        return found

    def upload(
        self,
        blob_id: bytes,
        source: BinaryIO,
        size: int,
        *,
        offset: int = 0,
        progress: Callable[[int], object] | None = None,
    ) -> wire.BlobState:
        """Upload the `size` bytes of a blob from a file that can seek, from `offset` on, and return its state then.

        Where the relay says that the upload stands elsewhere, it goes on there. `progress` is told how many bytes of
        the blob were handed to the network so far. Memory does not grow with the size. Raises `OSError` or `EOFError`
        if the file cannot be read or is too short, `QuotaFull`, `BlobDamaged` and others.
        """
        return self._member(lambda token: self._upload(blob_id, source, size, offset, progress, token))

    @contextlib.contextmanager
    def download(self, blob_id: bytes, offset: int = 0, length: int | None = None) -> Iterator[Download]:
        """Give the bytes of a blob, or `length` of them from `offset` on, as they come.

        Exactly the bytes asked for, or an error: `NoSuchBlob`, `WrongRange` (also for a range that goes past the
        end), or `Unreachable` where the connection ends early. Whether they are the right ones is for the caller to
        check: a blob's id is its hash. Memory does not grow with the size.
        """
        with contextlib.ExitStack() as stack:
            yield self._member(
                lambda token: stack.enter_context(Download.open(self._line, blob_id, offset, length, token))
            )

    def prove(self, blob_id: bytes, nonce: bytes) -> bytes:
        """Return BLAKE2b-256 keyed with a fresh random nonce (32 bytes) over the whole blob, as the relay has it."""
        path, request = f"/v1/blobs/{wire.hex_id(blob_id)}/proof", wire.Prove(nonce=nonce)
        return self._member(lambda token: self._line.ask("POST", path, wire.Proof, body=request, token=token)).proof

    # Pairing

    def open_mailbox(self) -> wire.MailboxSide:
        """Open a mailbox, as a member, and return this side of it."""
        side = self._member(lambda token: self._line.ask("POST", "/v1/mailboxes", wire.MailboxSide, token=token))
        return answers.checked_side(self._line, side)

    def claim_mailbox(self, number: int) -> wire.MailboxSide:
        """Become the other side of a mailbox, without being a member; there is no third."""
        side = self._line.ask("POST", f"/v1/mailboxes/{number}/claim", wire.MailboxSide)
        if side.number != number:
            raise self._line.odd("another mailbox than was asked for")
        return answers.checked_side(self._line, side)

    def leave_letter(self, side: wire.MailboxSide, body: bytes) -> None:
        """Leave a letter of at most 4 KiB for the other side. Repeated, it is there twice."""
        self._line.tell("POST", f"/v1/mailboxes/{side.number}/letters", body=wire.Letter(body=body), token=side.token)

    def collect_letters(self, side: wire.MailboxSide, after: int = 0) -> wire.Letters:
        """Return what the other side left, from the `after`-th letter on."""
        path = f"/v1/mailboxes/{side.number}/letters?after={after}"
        letters = self._line.ask("GET", path, wire.Letters, token=side.token, limit=answers.LETTERS_BYTES)
        return answers.checked_letters(self._line, letters)

    def close_mailbox(self, side: wire.MailboxSide) -> None:
        """Empty and remove a mailbox."""
        self._line.tell("DELETE", f"/v1/mailboxes/{side.number}", token=side.token)

    # Being told

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """Give a `Listener` that is told of every new position of the log while the block runs."""
        from sync_relay.client_events import connected

        with contextlib.ExitStack() as stack:
            yield self._member(lambda token: stack.enter_context(connected(self._address, token, self._line.timeout_s)))

    # Inside

    @property
    def _library_id(self) -> bytes:
        return self._signed_in.session.library_id if self._signed_in else b""

    def _states(self, ids: list[bytes]) -> list[wire.BlobState]:
        request = wire.BlobQuery(ids=ids)
        states = self._member(
            lambda token: self._line.ask(
                "POST", "/v1/blobs/query", wire.BlobStates, body=request, token=token, limit=answers.LIST_BYTES
            )
        )
        return answers.checked_states(self._line, states, ids)

    def _append(
        self, path: str, bodies: Sequence[bytes], request: Callable[[list[bytes]], wire.Struct]
    ) -> wire.Appended:
        position = stored = 0
        bounds = _STATEMENT_BOUNDS if path == "/v1/statements" else _BOUNDS
        for some in in_requests(bodies, *bounds):
            appended = self._append_once(path, request(some), len(some))
            position, stored = appended.position, stored + appended.stored
        return wire.Appended(position=position, stored=stored)

    def _append_once(self, path: str, body: wire.Struct, count: int) -> wire.Appended:
        appended = self._member(lambda token: self._line.ask("POST", path, wire.Appended, body=body, token=token))
        answers.check_appended(self._line, appended, count)
        return appended

    def _upload(
        self,
        blob_id: bytes,
        source: BinaryIO,
        size: int,
        offset: int,
        progress: Callable[[int], object] | None,
        token: str,
    ) -> wire.BlobState:
        """Send until the relay has all of it, going on where it says; an upload that does not move on is given up."""
        tried: set[int] = set()
        while True:
            tried.add(offset)
            sending = Source(source, size, offset, self._line.traffic, progress)
            headers = {
                wire.UPLOAD_OFFSET: str(offset),
                wire.UPLOAD_LENGTH: str(size),
                "content-type": wire.BINARY,
                "content-length": str(size - offset),
            }
            path = f"/v1/blobs/{wire.hex_id(blob_id)}"
            try:
                with self._line.open(
                    "PUT", path, token=token, headers=headers, body=sending, statuses=(200, 202)
                ) as response:
                    state = answers.checked_upload(
                        self._line, self._line.decode(response, wire.BlobState), blob_id, size, response.status_code
                    )
                if state.state != "partial":
                    return state
                offset = state.offset
            except errors.OffsetMismatch as error:
                if error.details.offset is None or error.details.offset > size:
                    raise
                if error.details.size not in {None, size}:
                    raise
                offset = error.details.offset
            if offset in tried:
                raise self._line.odd("the same offset of an upload again and again")

    def _member(self, call: Callable[[str], Result]) -> Result:
        """Call with a token; where it ended meanwhile, once more with a new one."""
        token = self._token()
        try:
            return call(token)
        except errors.NotSignedIn:
            return call(self._renew(token))

    def _token(self) -> str:
        signed_in = self._signed_in
        if signed_in is None:
            if self._restored:
                raise self._put_back()
            raise errors.NotSignedIn("this device is not signed in", hint="Sign in first.")
        if time.monotonic() >= signed_in.renew_at:
            return self._renew(signed_in.session.token)
        return signed_in.session.token

    def _renew(self, token: str) -> str:
        """Return another token than `token`: one that another thread got meanwhile, or a new one."""
        with self._signing_in:
            before = self._signed_in
            if before is None:
                raise self._put_back()
            if before.session.token != token:
                return before.session.token
            after = self._begin(before.secrets, before.session.library_id, before.clock_offset)
            if after.session.generation != before.session.generation:
                # Positions the caller holds mean nothing any more: it has to notice.
                self._signed_in, self._restored = None, True
                raise self._put_back()
            self._signed_in = after
            return after.session.token

    def _put_back(self) -> Unreachable:
        return Unreachable(
            f"the relay at {self.url} was restored from a backup, or moved, in the middle", hint="Sync again."
        )

    def _begin(
        self, secrets: DeviceSecrets, library_id: bytes | None, clock_offset: float, entries: Sequence[bytes] = ()
    ) -> _SignedIn:
        line, device = self._line, secrets.device_id
        asked = wire.ChallengeRequest(device_id=device, library_id=library_id)
        try:
            challenge = line.ask("POST", "/v1/sign-in/challenge", wire.Challenge, body=asked)
        except errors.NotThere:
            self.about()  # says it if the relay speaks another version
            raise
        begun = time.monotonic()
        now = max(0, int(begun + clock_offset))
        origin = self._address.origin
        signature = statements.sign_in(secrets, library_id, time=now, nonce=challenge.nonce, origin=origin)
        signed = wire.SignIn(
            device_id=device,
            library_id=library_id,
            nonce=challenge.nonce,
            origin=origin,
            time=now,
            signature=signature,
            entries=list(entries),
        )
        session = line.ask("POST", "/v1/sign-in", wire.Session, body=signed)
        answers.check_session(line, session, library_id)
        lasts = max(session.expires_in, _LEAST_SECONDS) - _RENEW_SECONDS
        return _SignedIn(secrets, session, clock_offset, begun + lasts)


def in_requests(
    bodies: Iterable[bytes], most: int = wire.MAX_ITEMS, most_bytes: int = wire.BATCH_BYTES
) -> Iterator[list[bytes]]:
    """Yield the bodies in as many lists as it takes to keep each request within the relay's bounds."""
    some: list[bytes] = []
    size = 0
    for body in bodies:
        if some and (len(some) >= most or size + len(body) > most_bytes):
            yield some
            some, size = [], 0
        some.append(body)
        size += len(body)
    if some:
        yield some


def newest(entries: Sequence[bytes]) -> list[bytes]:
    """Return the last of the entries, in their order: as many as a sign-in takes along."""
    found: list[bytes] = []
    left = wire.BATCH_BYTES - wire.MAX_SMALL_BYTES
    for entry in reversed(entries[-wire.MAX_PRESENTED :]):
        left -= len(entry)
        if left < 0:
            break
        found.append(entry)
    return found[::-1]
