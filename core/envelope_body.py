"""What is inside an envelope, once opened: the changes, and what `log` and `undo` need to know about them.

MessagePack, one array per record, so that the order of the fields is the format: new fields are added at the end, with
a default, and readers ignore what they do not know yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from core.errors import EnvelopeDamaged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KIND_CHANGES = 1
KIND_CHECKPOINT = 2
KIND_CONFIRMATION = 3
KIND_ACKNOWLEDGEMENT = 4
KNOWN_KINDS = frozenset({KIND_CHANGES, KIND_CHECKPOINT, KIND_CONFIRMATION, KIND_ACKNOWLEDGEMENT})
GROUP_BYTES = 16
MAX_PLACES: Final = 2_000
"""How many devices a frontier or a checkpoint may name; a library has 256 members, and former ones."""
MAX_SNAPSHOTS: Final = 100_000
MAX_UTC_SECONDS: Final = 253_402_300_799
"""The last second of the year 9999."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Seq = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_SCALARS = (str, bytes, int, float, type(None))


class Inverse(msgspec.Struct, frozen=True, array_like=True):
    """One key as it was before an edit and as the edit left it; None where the key was absent."""

    document: str
    map: str
    key: str
    before: Any  # a Scalar or None; msgspec has no union of texts and bytes, so the values are looked at below
    after: Any


class DocumentChanges(msgspec.Struct, frozen=True, array_like=True):
    """Raw changes of one document, in the order in which they were made."""

    document: str
    changes: list[bytes]


class AddedPhotos(msgspec.Struct, frozen=True, array_like=True):
    """Photos that are new with this envelope, in one document; `pids` is their 16-byte ids one after another."""

    document: str
    pids: bytes


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    """The newest envelope of another device that the author had accepted."""

    device: Id
    seq: Seq
    hash: Id


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """One document of a checkpoint: the blob that holds its changes, the key that opens it, its size in bytes."""

    document: str
    blob: Id
    key: Id
    size: Size


class EnvelopeBody(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of an envelope.

    `at` is UTC seconds by its author's clock; what no calendar has is read as the nearest that one has. `frontier`
    lists what moved, since the author's envelope before, of what it had accepted from others. `group` (16 bytes) is the
    unit that `undo` takes back, and `part` counts its envelopes from 1; `undoes` is the group that this one took back.
    A checkpoint has `snapshots`, and `covers` the envelopes whose changes they hold; a confirmation has the one
    checkpoint it `confirms`; an acknowledgement has nothing but a frontier.
    """

    kind: int
    at: int
    frontier: Annotated[list[Accepted], Meta(max_length=MAX_PLACES)]
    payload: list[DocumentChanges]
    group: bytes
    action: str
    summary: str
    part: int = 1
    inverse: list[Inverse] = []
    undoes: bytes | None = None
    added: list[AddedPhotos] = []
    covers: Annotated[list[Accepted], Meta(max_length=MAX_PLACES)] = []
    snapshots: Annotated[list[Snapshot], Meta(max_length=MAX_SNAPSHOTS)] = []
    confirms: Accepted | None = None

    @property
    def documents(self) -> list[str]:
        """Return the names of the documents that the envelope changes."""
        return [part.document for part in self.payload]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(EnvelopeBody)


def vector_of(places: Sequence[Accepted]) -> dict[bytes, tuple[int, bytes]]:
    """Return a frontier, or what a checkpoint covers, by device."""
    return {place.device: (place.seq, place.hash) for place in places}


def places_of(vector: Mapping[bytes, tuple[int, bytes]]) -> list[Accepted]:
    """Return the places of a vector, by device, as an envelope carries them."""
    return [Accepted(device, seq, hash_) for device, (seq, hash_) in sorted(vector.items())]


def acknowledgement(at: int) -> EnvelopeBody:
    """Return a body that has nothing but the frontier that is filled in when it is written, at `at` (UTC seconds)."""
    return EnvelopeBody(KIND_ACKNOWLEDGEMENT, at, [], [], bytes(GROUP_BYTES), "acknowledge", "")


def encode_body(body: EnvelopeBody) -> bytes:
    """Return the bytes of `body`."""
    return _encoder.encode(body)


def decode_body(data: bytes, thing: str) -> EnvelopeBody:
    """Return the body in `data`; `thing` names the envelope in the `EnvelopeDamaged` raised when there is none."""
    try:
        body = _decoder.decode(data)
        if not all(
            isinstance(value, _SCALARS) for inverse in body.inverse for value in (inverse.before, inverse.after)
        ):
            raise msgspec.ValidationError("an inverse that is no scalar")
        if any(len({place.device for place in places}) < len(places) for places in (body.frontier, body.covers)):
            raise msgspec.ValidationError("one device named twice")
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise EnvelopeDamaged(
            f"{thing} opens, but its content is not what an envelope holds: {error}",
            hint="It was written by a damaged or hostile program of a member device.",
        ) from error
    if not 0 <= body.at <= MAX_UTC_SECONDS:
        # Clocks are wrong, and nothing rests on them; but nobody should have to show what no calendar has.
        body = msgspec.structs.replace(body, at=min(max(body.at, 0), MAX_UTC_SECONDS))
    return body


def split_pids(joined: bytes, size: int) -> Sequence[bytes]:
    """Return the ids of `size` bytes each that stand one after another in `joined`."""
    return [joined[start : start + size] for start in range(0, len(joined) - size + 1, size)]
