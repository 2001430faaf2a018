r"""What is signed towards a relay: signing in, deleting blobs, pruning the log.

    sign-in   library (32) ‖ device (32) ‖ time (8) ‖ nonce length (2) ‖ nonce ‖ origin, UTF-8
    delete    `SFLT` `DL` version (2) ‖ library (32) ‖ device (32) ‖ time (8) ‖ count (4) ‖ blob id (32) each
              ‖ signature (64)
    prune     `SFLT` `PR` version (2) ‖ library (32) ‖ device (32) ‖ time (8) ‖ checkpoint (72) ‖ confirmation (72)
              ‖ count (4) ‖ covered (72) each ‖ signature (64)

A place of 72 bytes is device (32) ‖ number (8) ‖ hash (32). Sign-in is Ed25519 over `safelight/1/sign-in\0` and the
bytes; in it, the library is zeros where the device does not know it yet. Delete and prune are signed over
`safelight/1/delete\0` and every byte before the signature: both let a relay drop something, and the six bytes they
begin with keep one from being taken for the other. Ids in them stand in ascending order, each once, so that one
content has one form. Times are UTC seconds by the author's clock: told, never relied on.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crypto import signing
from crypto.errors import FormatError, Truncated, UnknownVersion, WrongLibrary
from crypto.purposes import Signed
from crypto.signing import SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crypto.keys import DeviceSecrets

ID_BYTES: Final = 32
NO_LIBRARY: Final = bytes(ID_BYTES)
MAX_BLOBS: Final = 4_000
MAX_PLACES: Final = 2_000

_MAGIC: Final = b"SFLT"
_VERSION: Final = 1
_START: Final = struct.Struct(">4s2sH32s32sQ")
_PLACE: Final = struct.Struct(">32sQ32s")
_COUNT: Final = struct.Struct(">I")
_DELETE: Final = b"DL"
_PRUNE: Final = b"PR"


@dataclass(frozen=True, order=True)
class Place:
    """One envelope by its name: device, number in its chain, and hash."""

    device_id: bytes
    seq: int
    hash: bytes


@dataclass(frozen=True)
class Delete:
    """A member's word that blobs are to go, after the relay's grace."""

    library_id: bytes
    device_id: bytes
    time: int
    blobs: tuple[bytes, ...]


@dataclass(frozen=True)
class Prune:
    """A member's word that `checkpoint` holds all that `covered` names, and that `confirmation` says so too."""

    library_id: bytes
    device_id: bytes
    time: int
    checkpoint: Place
    confirmation: Place
    covered: tuple[Place, ...]


def sign_in_statement(library_id: bytes | None, device_id: bytes, *, time: int, nonce: bytes, origin: str) -> bytes:
    """Return the bytes that a sign-in signs under `Signed.SIGN_IN`. `origin` is `https://host[:port]`, lower case."""
    return b"".join(
        (
            library_id if library_id is not None else NO_LIBRARY,
            device_id,
            time.to_bytes(8, "big"),
            len(nonce).to_bytes(2, "big"),
            nonce,
            origin.encode(),
        )
    )


def sign_in(secrets: DeviceSecrets, library_id: bytes | None, *, time: int, nonce: bytes, origin: str) -> bytes:
    """Return the signature of a sign-in."""
    statement = sign_in_statement(library_id, secrets.device_id, time=time, nonce=nonce, origin=origin)
    return signing.sign(secrets.signing_seed, Signed.SIGN_IN, statement)


def make_delete(secrets: DeviceSecrets, library_id: bytes, blobs: Sequence[bytes], *, time: int) -> bytes:
    """Return the signed word that `blobs` are to go."""
    ordered = sorted(set(blobs))
    if not 1 <= len(ordered) <= MAX_BLOBS or any(len(blob) != ID_BYTES for blob in ordered):
        raise ValueError(f"a delete names 1 to {MAX_BLOBS} blobs by their ids")
    body = _start(_DELETE, secrets, library_id, time) + _COUNT.pack(len(ordered)) + b"".join(ordered)
    return body + signing.sign(secrets.signing_seed, Signed.DELETE, body)


def make_prune(
    secrets: DeviceSecrets,
    library_id: bytes,
    *,
    checkpoint: Place,
    confirmation: Place,
    covered: Sequence[Place],
    time: int,
) -> bytes:
    """Return the signed word that everything up to `covered` is in `checkpoint`."""
    ordered = sorted(covered)
    if not 1 <= len(ordered) <= MAX_PLACES or len({place.device_id for place in ordered}) != len(ordered):
        raise ValueError(f"a prune entry covers 1 to {MAX_PLACES} devices, each once")
    body = b"".join(
        (
            _start(_PRUNE, secrets, library_id, time),
            _pack(checkpoint),
            _pack(confirmation),
            _COUNT.pack(len(ordered)),
            *map(_pack, ordered),
        )
    )
    return body + signing.sign(secrets.signing_seed, Signed.DELETE, body)


def read_statement(statement: bytes, library_id: bytes) -> Delete | Prune:
    """Return what a delete or prune entry of this library says, its form and its signature checked.

    Raises `FormatError`, `Truncated`, `UnknownVersion`, `WrongLibrary` or `SignatureInvalid` of `crypto.errors`. It is
    up to the caller that the author is a member.
    """
    if len(statement) < _START.size + SIGNATURE_BYTES:
        raise Truncated(f"{len(statement)} bytes are too few for a delete or a prune entry")
    magic, kind, version, library, device, time = _START.unpack_from(statement)
    if magic != _MAGIC or kind not in {_DELETE, _PRUNE}:
        raise FormatError("these bytes are neither a delete nor a prune entry")
    if version != _VERSION:
        raise UnknownVersion(f"a statement of version {version}; this program reads version {_VERSION}")
    if library != library_id:
        raise WrongLibrary("a statement made for another library")
    body = statement[_START.size : -SIGNATURE_BYTES]
    read: Delete | Prune
    if kind == _DELETE:
        blobs = tuple(_cut(body, 0, ID_BYTES, MAX_BLOBS))
        _require_order(blobs)
        read = Delete(library, device, time, blobs)
    else:
        if len(body) < 2 * _PLACE.size:
            raise Truncated("a prune entry that ends before its checkpoint")
        places = tuple(Place(*_PLACE.unpack(raw)) for raw in _cut(body, 2 * _PLACE.size, _PLACE.size, MAX_PLACES))
        _require_order([place.device_id for place in places])
        checkpoint, confirmation = (Place(*_PLACE.unpack_from(body, at)) for at in (0, _PLACE.size))
        for place in (checkpoint, confirmation, *places):
            if not 1 <= place.seq < 1 << 63:
                raise FormatError(f"an envelope cannot have number {place.seq}")
        read = Prune(library, device, time, checkpoint, confirmation, places)
    signing.verify(
        device, Signed.DELETE, statement[:-SIGNATURE_BYTES], statement[-SIGNATURE_BYTES:], "a delete or prune entry"
    )
    return read


def _start(kind: bytes, secrets: DeviceSecrets, library_id: bytes, time: int) -> bytes:
    return _START.pack(_MAGIC, kind, _VERSION, library_id, secrets.device_id, time)


def _pack(place: Place) -> bytes:
    return _PLACE.pack(place.device_id, place.seq, place.hash)


def _cut(body: bytes, at: int, size: int, most: int) -> list[bytes]:
    """Return the counted records of `size` bytes that fill `body` from `at` to its end."""
    first = at + _COUNT.size
    if len(body) < first:
        raise Truncated("a statement that ends before its list")
    (count,) = _COUNT.unpack_from(body, at)
    if not 1 <= count <= most:
        raise FormatError(f"a statement lists 1 to {most} things, not {count}")
    if len(body) != first + count * size:
        raise FormatError("a statement whose list is not as long as it says")
    return [body[offset : offset + size] for offset in range(first, len(body), size)]


def _require_order(ids: Sequence[bytes]) -> None:
    if any(before >= after for before, after in itertools.pairwise(ids)):
        raise FormatError("a statement whose list is out of order, or names something twice")
