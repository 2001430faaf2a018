"""Signing in: a challenge, its signature, and the short-lived token given for it.

A challenge is not stored: it carries its own end and a MAC that only this relay can make, for one device and library.
Only a nonce that was used is kept, until it would have ended anyway, so that asking for challenges fills no disk and
none is good twice. Tokens are random; the database has their hash, found by a part of the token that is no secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from crypto import signing
from crypto.errors import CryptoError
from crypto.purposes import Signed
from sync_relay.errors import ChallengeRefused, Conflict, ErrorDetails, Forged, NotAMember, NotSignedIn, WrongOrigin
from sync_relay.server import admission, ledger, members, tables
from sync_relay.statements import NO_LIBRARY, sign_in_statement
from sync_relay.wire import Challenge, Session

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sync_relay.server.parts import Parts
    from sync_relay.wire import ChallengeRequest, SignIn

_TOKEN_BYTES: Final = 32
_SELECTOR_BYTES: Final = 8
_EXPIRY_BYTES: Final = 8
_RANDOM_BYTES: Final = 16
_MAC_BYTES: Final = 32
_NONCE_BYTES: Final = _EXPIRY_BYTES + _RANDOM_BYTES + _MAC_BYTES
_AGAIN: Final = "Sign in again."

_SESSION: Final = (  # written once: every request asks it
    select(tables.session, tables.member.c.active)
    .join_from(
        tables.session,
        tables.member,
        (tables.member.c.library_id == tables.session.c.library_id)
        & (tables.member.c.device_id == tables.session.c.device_id),
    )
    .where(tables.session.c.selector == bindparam("selector"))
)


@dataclass(frozen=True)
class Caller:
    """Who a token was given to. It is good until `expires_at`."""

    library_id: bytes
    device_id: bytes
    expires_at: int


def token_hash(token: bytes) -> bytes:
    """Return what is stored of a token, an invite, or a mailbox's token: they are random, so a plain hash does."""
    return hashlib.blake2b(token, digest_size=32).digest()


def new_token() -> tuple[str, bytes]:
    """Return a token as text, and its bytes."""
    token = secrets.token_bytes(_TOKEN_BYTES)
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode(), token


def token_bytes(text: str) -> bytes | None:
    """Return the bytes of a token in its one spelling, or None for anything else."""
    try:
        token = base64.b64decode(text.encode() + b"=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    good = len(token) == _TOKEN_BYTES and base64.urlsafe_b64encode(token).rstrip(b"=") == text.encode()
    return token if good else None


class Sessions:
    """Challenges and tokens of one relay. `load` it before use."""

    def __init__(self, parts: Parts, origins: Collection[str]) -> None:
        """Answer sign-ins that were made for one of `origins`."""
        self._parts = parts
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._key = b""
        self._generation = b""

    async def load(self) -> None:
        """Read the key of the challenges and the generation, which all workers share."""
        async with self._parts.database.read() as connection:
            rows = await connection.execute(select(tables.relay.c.name, tables.relay.c.value))
            values = {row.name: row.value for row in rows}
        self._key, self._generation = values["challenge-key"], values["generation"]

    def challenge(self, request: ChallengeRequest) -> Challenge:
        """Return a nonce for this device and library, whether they exist or not: asking must not tell."""
        now = self._parts.clock()
        lifetime = self._parts.limits.challenge_seconds
        start = (now + lifetime).to_bytes(_EXPIRY_BYTES, "big") + secrets.token_bytes(_RANDOM_BYTES)
        nonce = start + self._mac(start, request.device_id, request.library_id)
        return Challenge(nonce=nonce, time=now, expires_in=lifetime)

    async def sign_in(self, request: SignIn) -> tuple[Session, bool]:
        """Check a signed challenge and give a token for it; tell whether entries that came with it were kept."""
        expires_at = self._check_nonce(request)
        if request.origin not in self._origins:
            raise WrongOrigin(
                "this sign-in was made for another address than this relay answers at",
                hint="Use the relay by the address its owner gave it (`safelight-relay serve --origin`). If you did, "
                "somebody between you and the relay may be passing on what you send.",
            )
        statement = sign_in_statement(
            request.library_id, request.device_id, time=request.time, nonce=request.nonce, origin=request.origin
        )
        try:
            signing.verify(request.device_id, Signed.SIGN_IN, statement, request.signature, "the sign-in")
        except CryptoError as error:
            raise Forged(str(error), hint=error.hint) from None
        return await self._begin(request, expires_at, await admission.vouched(self._parts, request))

    async def authenticate(self, authorization: str | None) -> Caller:
        """Return whom an `Authorization` header field speaks for."""
        scheme, _, text = (authorization or "").partition(" ")
        token = token_bytes(text) if scheme.lower() == "bearer" else None
        if token is None:
            raise NotSignedIn("this needs a token, as `Authorization: Bearer …`", hint=_AGAIN)
        selector = {"selector": token[:_SELECTOR_BYTES]}
        row = await self._parts.database.look(lambda connection: connection.execute(_SESSION, selector).first())
        if row is None or not hmac.compare_digest(row.hash, token_hash(token)):
            raise NotSignedIn("this token is not one of this relay's", hint=_AGAIN)
        if row.expires_at <= self._parts.clock():
            raise NotSignedIn("this token has expired", hint=_AGAIN)
        if not row.active:
            raise NotAMember("this device was revoked")
        return Caller(row.library_id, row.device_id, row.expires_at)

    def _check_nonce(self, request: SignIn) -> int:
        nonce = request.nonce
        start = nonce[: _EXPIRY_BYTES + _RANDOM_BYTES]
        expected = self._mac(start, request.device_id, request.library_id)
        if len(nonce) != _NONCE_BYTES or not hmac.compare_digest(nonce[len(start) :], expected):
            raise ChallengeRefused("this nonce was not given by this relay to this device", hint=_AGAIN)
        expires_at = int.from_bytes(nonce[:_EXPIRY_BYTES], "big")
        if expires_at <= self._parts.clock():
            raise ChallengeRefused("this nonce has expired", hint=_AGAIN)
        return expires_at

    def _mac(self, start: bytes, device_id: bytes, library_id: bytes | None) -> bytes:
        message = start + device_id + (NO_LIBRARY if library_id is None else library_id)
        return hashlib.blake2b(message, digest_size=_MAC_BYTES, key=self._key).digest()

    async def _begin(self, request: SignIn, nonce_ends: int, vouched: Mapping[bytes, bytes]) -> tuple[Session, bool]:
        text, token = new_token()
        lifetime = self._parts.limits.session_seconds
        try:
            async with self._parts.database.write() as connection:
                await connection.execute(
                    insert(tables.used_nonce).values(hash=token_hash(request.nonce), expires_at=nonce_ends)
                )
                found = await members.libraries_of(connection, request.device_id, request.library_id)
                admitted = False
                if not found and vouched and request.library_id is not None:
                    admitted = await admission.admit(connection, request.library_id, request.device_id, vouched)
                    found = await members.libraries_of(connection, request.device_id, request.library_id)
                if len(found) > 1:
                    raise Conflict(
                        "this device is a member of several libraries here",
                        hint="Sign in to one of them.",
                        details=ErrorDetails(libraries=found),
                    )
                if not found:
                    raise NotAMember(
                        "this device is no member of such a library at this relay",
                        hint="If the library was never at this relay, found it there with an invite.",
                    )
                await connection.execute(
                    insert(tables.session).values(
                        selector=token[:_SELECTOR_BYTES],
                        hash=token_hash(token),
                        library_id=found[0],
                        device_id=request.device_id,
                        expires_at=self._parts.clock() + lifetime,
                    )
                )
                position = await ledger.position(connection, found[0])
        except IntegrityError:
            raise ChallengeRefused("this nonce was used before", hint=_AGAIN) from None
        session = Session(
            token=text, expires_in=lifetime, library_id=found[0], position=position, generation=self._generation
        )
        return session, admitted
