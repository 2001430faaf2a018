"""Two readers that share no code take the same bytes, read the same in them, and refuse the same, whatever is altered.

Where bytes have several faults, each may name another of them.
"""

from __future__ import annotations

import io
import random
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from crypto.blob import BlobReader
from crypto.envelope import open_envelope
from crypto.errors import CryptoError
from crypto.keys import EpochKeys
from crypto.membership import verify_genesis
from crypto.membership_entry import verify_entry
from crypto.purposes import Signed
from crypto.sealed import _seal_with as seal_with
from crypto.sealed import open_sealed
from crypto.signing import sign
from tests.crypto import make_content_vectors as contents
from tests.crypto import make_vectors as vectors
from tests.crypto.membership_world import FOUNDER, GENESIS, World, secrets_of
from tests.formats import second_membership, second_reader
from tests.formats.second_reader import Refused
from tests.formats.vector_cases import read

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 60


def altered(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three changes."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at, other = rng.randrange(len(changed) or 1), rng.randrange(len(changed) or 1)
        match rng.choice(["bit", "byte", "cut out", "put in", "end", "exchange", "append"]):
            case "bit" if changed:
                changed[at] ^= 1 << rng.randrange(8)
            case "byte" if changed:
                changed[at] = rng.choice([0, 1, 2, 127, 128, 255])
            case "cut out":
                del changed[at : at + rng.choice([1, 8, 32, 64])]
            case "put in":
                changed[at:at] = bytes(rng.choice([1, 8, 16, 32]))
            case "end":
                del changed[at:]
            case "exchange":
                changed[at : at + 8], changed[other : other + 8] = changed[other : other + 8], changed[at : at + 8]
            case _:
                changed += rng.randbytes(rng.choice([1, 16, 64]))
    return bytes(changed)


def agree(data: bytes, first: Callable[[bytes], Any], second: Callable[[bytes], Any]) -> bool:
    """Assert that both readers read the same, or refuse; tell whether they read."""
    try:
        read_first = first(data)
    except CryptoError:
        read_first = None
    try:
        read_second = second(data)
    except Refused:
        read_second = None
    assert read_first == read_second, data.hex()
    return read_first is not None


def envelopes(rng: random.Random) -> int:
    header, epoch = contents.HEADER, EpochKeys(vectors.EPOCH.epoch_id, vectors.EPOCH.epoch_key, bytes(32))

    def first(data: bytes) -> Any:
        head, body = open_envelope(data, epoch, library_id=header.library_id, device_id=header.device_id)
        return head.seq, head.previous, head.membership, body

    def second(data: bytes) -> Any:
        keys = {epoch.epoch_id: epoch.epoch_key}
        opened = second_reader.open_envelope(data, header.library_id, header.device_id, keys)
        return opened.seq, opened.previous, opened.membership, opened.body

    good = [bytes.fromhex(case["input"]["envelope"]) for case in read("crypto-envelope") if case["expected"] == "ok"][
        :3
    ]
    content = contents.packed(5, 13, zlib.compress(b"hello"))
    taken = [agree(data, first, second) for data in good]
    for _ in range(ROUNDS):
        inside = altered(content, rng)
        inside = rng.choice([inside, inside.ljust(second_reader.padded(len(inside)), b"\0")])
        anew = contents.signed(altered(rng.choice(good)[:-64], rng))
        changed = (altered(rng.choice(good), rng), anew, contents.with_content(inside))
        taken += [agree(data, first, second) for data in changed]
    return sum(taken)


def genesis_entries(rng: random.Random) -> int:
    good = vectors.GENESIS

    def first(data: bytes) -> Any:
        found = verify_genesis(data)
        return found.library_id, found.device_id, found.created_at

    def second(data: bytes) -> Any:
        found = second_membership.read_genesis(data)
        return found.hash, found.author, found.created_at

    changed = [altered(good, rng) for _ in range(ROUNDS)]
    changed += [vectors.sign_genesis(altered(good[:465], rng)) for _ in range(ROUNDS)]
    return sum(agree(data, first, second) for data in (good, *changed))


def later_entries(rng: random.Random) -> int:
    world = World()
    added = world.add(FOUNDER)
    newcomer = secrets_of(2)
    made = [added, world.add(FOUNDER), world.rotate(FOUNDER), world.revoke(FOUNDER, newcomer.device_id)]

    def first(data: bytes) -> Any:
        found = verify_entry(data, GENESIS.library_id)
        return found.hash, int(found.kind), found.author, found.created_at, found.heads

    def second(data: bytes) -> Any:
        found = second_membership.read_entry(data, GENESIS.library_id)
        return found.hash, found.kind, found.author, found.created_at, found.heads

    def signed(entry: bytes) -> bytes:
        if entry[8] != second_membership.ADD:
            body = altered(entry[:-64], rng)
            return body + sign(FOUNDER.signing_seed, Signed.MEMBERSHIP, body)
        body = altered(entry[:-128], rng)
        body += sign(FOUNDER.signing_seed, Signed.MEMBERSHIP, body)
        return body + sign(newcomer.signing_seed, Signed.COUNTERSIGNATURE, body)

    taken = [agree(entry.data, first, second) for entry in made]
    for entry in (rng.choice([made[0], *made[2:]]).data for _ in range(ROUNDS)):
        taken += [agree(altered(entry, rng), first, second), agree(signed(entry), first, second)]
    return sum(taken)


def sealed_files(rng: random.Random) -> int:
    key = vectors.random("storage key")
    good = [seal_with(vectors.random("sealed"), bytes(size), key, "purpose", b"bound") for size in (0, 300)]

    def first(data: bytes) -> bytes:
        return open_sealed(data, key, "purpose", b"bound")

    def second(data: bytes) -> bytes:
        return second_reader.open_sealed(data, key, "purpose", b"bound")

    changed = [altered(rng.choice(good), rng) for _ in range(ROUNDS)]
    return sum(agree(data, first, second) for data in (*good, *changed))


def blobs(rng: random.Random) -> int:
    key, _, good = contents.blob_of(bytes(range(256)) * 300)

    def first(data: bytes) -> bytes:
        return b"".join(BlobReader(io.BytesIO(data), key).iter_chunks())

    def second(data: bytes) -> bytes:
        return second_reader.open_blob(data, key)

    return sum(agree(data, first, second) for data in (good, *(altered(good, rng) for _ in range(ROUNDS))))


@pytest.mark.parametrize("of", [envelopes, genesis_entries, later_entries, sealed_files, blobs])
def test_two_readers_agree(of: Callable[[random.Random], int]) -> None:
    assert of(random.Random(of.__name__))
