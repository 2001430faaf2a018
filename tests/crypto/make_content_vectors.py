"""Write the test vectors of envelopes, sealed files and blobs to tests/vectors/crypto-*.json.

    python -P -m tests.crypto.make_content_vectors

As in make_vectors.py: run it only to add cases; all randomness is fixed.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from crypto import signing
from crypto.aead import committed_key, encrypt
from crypto.blob import BLOB_HEADER_BYTES, blob_key_hasher, encrypt_blob
from crypto.envelope import NO_PREVIOUS, EnvelopeHeader, envelope_hash
from crypto.envelope import _seal_with as seal_envelope_with
from crypto.padme import padded_length
from crypto.preamble import Kind, preamble
from crypto.purposes import Person, Signed
from crypto.sealed import _seal_with as seal_with
from crypto.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES, chunk_nonce
from tests.crypto.make_vectors import DEVICE, EPOCH, GROUP_ORDER, LIBRARY, OTHER, Case, case, flip, random, write

HEADER = EnvelopeHeader(
    LIBRARY.library_id, DEVICE.device_id, 2, random("previous"), LIBRARY.epoch_id, LIBRARY.membership
)


def signed(unsigned: bytes, purpose: Signed = Signed.ENVELOPE, seed: bytes = DEVICE.signing_seed) -> bytes:
    return unsigned + signing.sign(seed, purpose, unsigned)


def with_content(content: bytes) -> bytes:
    """Return a signed envelope of raw content."""
    start = HEADER.to_bytes() + random("envelope")
    key, commitment = committed_key(EPOCH.epoch_key, Person.ENVELOPE, start)
    return signed(start + commitment + encrypt(key, content))


def packed(length: int, compressed_length: int, data: bytes, padded: int | None = None) -> bytes:
    content = struct.pack(">II", length, compressed_length) + data
    return content.ljust(padded or padded_length(len(content)), b"\0")


def envelope() -> None:
    given = {
        "library_id": HEADER.library_id,
        "device_id": HEADER.device_id,
        "epoch_id": EPOCH.epoch_id,
        "epoch_key": EPOCH.epoch_key,
    }
    first = EnvelopeHeader(HEADER.library_id, HEADER.device_id, 1, NO_PREVIOUS, HEADER.epoch_id, HEADER.membership)
    texts = {
        "empty, the first of its chain": (first, b""),
        "good": (HEADER, b"rating 5"),
        "2000 bytes": (HEADER, random("long", 2000)),
        "a megabyte of zeros": (HEADER, bytes(1 << 20)),
    }
    cases = []
    for name, (header, text) in texts.items():
        sealed = seal_envelope_with(random("envelope"), header, text, DEVICE, EPOCH)
        output: dict[str, Any] = {
            "seq": header.seq,
            "previous": header.previous,
            "membership": header.membership,
            "hash": envelope_hash(sealed),
            "plaintext_blake2b_256": hashlib.blake2b(text, digest_size=32).digest(),
            "plaintext_length": len(text),
        }
        cases.append(case(name, "ok", {**given, "envelope": sealed}, output))
    good = seal_envelope_with(random("envelope"), HEADER, b"rating 5", DEVICE, EPOCH)
    unsigned = good[:-64]
    hello = zlib.compress(b"hello")
    bomb = zlib.compress(bytes(17 << 20), 9)
    small_bomb = zlib.compress(bytes(1 << 20), 9)
    second_spelling = good[:-32] + (int.from_bytes(good[-32:], "little") + GROUP_ORDER).to_bytes(32, "little")
    bare = crypto_sign(unsigned, crypto_sign_seed_keypair(DEVICE.signing_seed)[1])[:64]
    anonymous = {**given, "device_id": b"\1" + bytes(31)}
    faults: list[tuple[str, str, dict[str, Any], bytes]] = [
        ("another magic", "FormatError", given, flip(good, 0)),
        ("another format", "FormatError", given, good[:4] + b"BL" + good[6:]),
        ("a later version", "UnknownVersion", given, flip(good, 7, 3)),
        ("another library in the header", "WrongLibrary", given, flip(good, 8)),
        ("another library expected", "WrongLibrary", {**given, "library_id": flip(HEADER.library_id, 0)}, good),
        ("another device in the header", "WrongDevice", given, flip(good, 40)),
        ("in another device's chain", "WrongDevice", {**given, "device_id": OTHER.device_id}, good),
        ("another number", "SignatureInvalid", given, flip(good, 79, 7)),
        ("number 0", "FormatError", given, signed(good[:72] + bytes(8) + good[80:-64])),
        ("number 1 with a previous one", "FormatError", given, signed(good[:72] + bytes(7) + b"\1" + good[80:-64])),
        ("number 2 without a previous one", "FormatError", given, signed(good[:80] + bytes(32) + good[112:-64])),
        ("a number of 64 bits", "FormatError", given, signed(flip(unsigned, 72, 0x80))),
        ("another previous one", "SignatureInvalid", given, flip(good, 80)),
        ("another epoch", "SignatureInvalid", given, flip(good, 112)),
        ("another membership", "SignatureInvalid", given, flip(good, 175)),
        ("changed random part", "SignatureInvalid", given, flip(good, 176)),
        ("changed commitment", "SignatureInvalid", given, flip(good, 208)),
        ("changed ciphertext", "SignatureInvalid", given, flip(good, 240)),
        ("changed tag", "SignatureInvalid", given, flip(good, 511)),
        ("changed signature, first half", "SignatureInvalid", given, flip(good, 512)),
        ("changed signature, second half", "SignatureInvalid", given, flip(good, 575)),
        ("a signature in its second spelling", "SignatureInvalid", given, second_spelling),
        ("signed without a prefix", "SignatureInvalid", given, unsigned + bare),
        ("signed as a membership entry", "SignatureInvalid", given, signed(unsigned, Signed.MEMBERSHIP)),
        ("signed by another device", "SignatureInvalid", given, signed(unsigned, seed=OTHER.signing_seed)),
        (
            "the identity as device, which a lenient verifier accepts",
            "SignatureInvalid",
            anonymous,
            good[:40] + b"\1" + bytes(31) + good[72:-64] + b"\1" + bytes(63),
        ),
        ("empty", "Truncated", given, b""),
        ("a header alone", "Truncated", given, good[:176]),
        ("a byte short", "Truncated", given, good[:-1]),
        ("a byte long", "FormatError", given, good + b"\0"),
        ("signed anew: a byte long", "FormatError", given, signed(unsigned + b"\0")),
        ("signed anew: another number", "CommitmentMismatch", given, signed(flip(unsigned, 79, 7))),
        ("signed anew: another previous one", "CommitmentMismatch", given, signed(flip(unsigned, 80))),
        ("signed anew: another epoch", "WrongEpoch", given, signed(flip(unsigned, 112))),
        ("signed anew: another membership", "CommitmentMismatch", given, signed(flip(unsigned, 144))),
        ("signed anew: changed random part", "CommitmentMismatch", given, signed(flip(unsigned, 176))),
        ("signed anew: changed commitment", "CommitmentMismatch", given, signed(flip(unsigned, 239))),
        ("signed anew: changed ciphertext", "DecryptionFailed", given, signed(flip(unsigned, 240))),
        ("signed anew: changed tag", "DecryptionFailed", given, signed(flip(unsigned, 511))),
        ("another epoch key", "CommitmentMismatch", {**given, "epoch_key": flip(EPOCH.epoch_key, 0)}, good),
        ("content: a bomb that says so", "TooLarge", given, with_content(packed(17 << 20, len(bomb), bomb))),
        ("content: a bomb that lies", "TooLarge", given, with_content(packed(1000, len(small_bomb), small_bomb))),
        ("content: a byte over the bound", "TooLarge", given, with_content(packed((16 << 20) + 1, 13, hello))),
        ("content: longer than it says", "TooLarge", given, with_content(packed(4, 13, hello))),
        ("content: shorter than it says", "FormatError", given, with_content(packed(6, 13, hello))),
        ("content: compressed length over the end", "FormatError", given, with_content(packed(5, 1000, hello))),
        ("content: compressed length 0", "FormatError", given, with_content(packed(5, 0, hello))),
        ("content: no zlib stream", "FormatError", given, with_content(packed(5, 13, b"hello, world!"))),
        ("content: zlib checksum changed", "FormatError", given, with_content(packed(5, 13, flip(hello, 12)))),
        ("content: zlib checksum missing", "FormatError", given, with_content(packed(5, 9, hello[:9]))),
        ("content: bytes behind the stream", "FormatError", given, with_content(packed(5, 14, hello + b"!"))),
        ("content: padding not zero", "FormatError", given, with_content(packed(5, 13, hello + b"!"))),
        ("content: padded too far", "FormatError", given, with_content(packed(5, 13, hello, 512))),
    ]
    cases += [case(name, error, {**inputs, "envelope": data}) for name, error, inputs, data in faults]
    write("envelope", "Envelopes: verified for a library and a device, then opened with an epoch's key.", cases)


def sealed() -> None:
    key, purpose, associated = random("storage key"), "catalog", b"vector"
    text = b"derived, and safe to delete"
    good = seal_with(random("sealed"), text, key, purpose, associated)
    given = {"key": key, "purpose": purpose, "associated": associated}
    start = preamble(Kind.SEALED) + random("sealed")
    aead_key, commitment = committed_key(key, Person.SEALED, start + purpose.encode())

    def forged(framed: bytes) -> bytes:
        header = start + commitment
        return header + encrypt(aead_key, framed, header + associated, chunk_nonce(0, last=True))

    faults: list[tuple[str, str, dict[str, Any], bytes]] = [
        ("another key", "CommitmentMismatch", {**given, "key": flip(key, 0)}, good),
        ("another purpose", "CommitmentMismatch", {**given, "purpose": "replica"}, good),
        ("another associated", "DecryptionFailed", {**given, "associated": b"rotcev"}, good),
        ("another magic", "FormatError", given, flip(good, 1)),
        ("another format", "FormatError", given, good[:4] + b"BL" + good[6:]),
        ("a later version", "UnknownVersion", given, flip(good, 7, 3)),
        ("changed random part", "CommitmentMismatch", given, flip(good, 8)),
        ("changed commitment", "CommitmentMismatch", given, flip(good, 40)),
        ("changed ciphertext", "DecryptionFailed", given, flip(good, 72)),
        ("changed tag", "DecryptionFailed", given, flip(good, -1)),
        ("a byte short", "Truncated", given, good[:-1]),
        ("a byte long", "FormatError", given, good + b"\0"),
        ("empty", "Truncated", given, b""),
        ("length over the end", "FormatError", given, forged((249).to_bytes(8, "big") + bytes(248))),
        ("padding not zero", "FormatError", given, forged((2).to_bytes(8, "big") + b"hi" + b"!" * 246)),
        ("padded too far", "FormatError", given, forged((2).to_bytes(8, "big") + bytes(504))),
    ]
    cases = [case("good", "ok", {**given, "sealed": good}, {"plaintext": text})]
    empty = seal_with(random("sealed"), b"", key, purpose, b"")
    cases.append(case("empty file", "ok", {**given, "associated": b"", "sealed": empty}, {"plaintext": b""}))
    cases += [case(name, error, {**inputs, "sealed": data}) for name, error, inputs, data in faults]
    write("sealed", "Sealed derived files.", cases)


def blob_of(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return (key, id, ciphertext)."""
    hasher = blob_key_hasher(EPOCH)
    hasher.update(data)
    parts: list[bytes] = []
    blob_id = encrypt_blob(data, len(data), hasher.digest(), parts.append)
    return hasher.digest(), blob_id, b"".join(parts)


def blob() -> None:
    cases: list[Case] = []
    for size in (0, 1, 248, 249, 5000, 65528, 65529, 200_000):
        data = bytes(index % 251 for index in range(size))
        key, blob_id, made = blob_of(data)
        given: dict[str, Any] = {"epoch_key": EPOCH.epoch_key, "plaintext_pattern": size}
        output: dict[str, Any] = {"key": key, "blob_id": blob_id, "size": len(made)}
        if size < 300:
            output["blob"] = made
        cases.append(case(f"{size} bytes", "ok", given, output))
    text = b"a small photo"
    key, blob_id, good = blob_of(text)
    opened = {"key": key, "blob_id": blob_id}
    cases.append(case("small", "ok", {**opened, "blob": good}, {"plaintext": text}))
    aead_key, commitment = committed_key(key, Person.BLOB, preamble(Kind.BLOB))
    header = preamble(Kind.BLOB) + commitment

    def chunk(plain: bytes, index: int, *, last: bool) -> bytes:
        return encrypt(aead_key, plain, header, chunk_nonce(index, last=last))

    def framed(length: int, data: bytes, padded: int = 256) -> bytes:
        return (length.to_bytes(8, "big") + data).ljust(padded, b"\0")

    faults: list[tuple[str, str, dict[str, Any], bytes]] = [
        ("another key", "CommitmentMismatch", {"key": flip(key, 0)}, good),
        ("another magic", "BlobDamaged", opened, flip(good, 0)),
        ("another format", "BlobDamaged", opened, good[:4] + b"SE" + good[6:]),
        ("a later version", "UnknownVersion", opened, flip(good, 7, 3)),
        ("changed commitment", "CommitmentMismatch", opened, flip(good, 8)),
        ("changed ciphertext", "BlobDamaged", opened, flip(good, 40)),
        ("changed tag", "BlobDamaged", opened, flip(good, -1)),
        ("empty", "BlobDamaged", opened, b""),
        ("a header alone", "BlobDamaged", opened, good[:40]),
        ("half a header", "BlobDamaged", opened, good[:20]),
        ("a byte short", "BlobDamaged", opened, good[:-1]),
        ("a byte long", "BlobDamaged", opened, good + b"\0"),
        ("one chunk, not marked last", "BlobDamaged", opened, header + chunk(framed(13, text), 0, last=False)),
        ("one chunk, sealed as the second", "BlobDamaged", opened, header + chunk(framed(13, text), 1, last=True)),
        ("length over the end", "BlobDamaged", opened, header + chunk(framed(249, text), 0, last=True)),
        ("length of 64 bits", "BlobDamaged", opened, header + chunk(framed((1 << 64) - 1, text), 0, last=True)),
        ("padding not zero", "BlobDamaged", opened, header + chunk(framed(12, text), 0, last=True)),
        ("padded too far", "BlobDamaged", opened, header + chunk(framed(13, text, 512), 0, last=True)),
        ("padded too little", "BlobDamaged", opened, header + chunk(framed(13, text, 255), 0, last=True)),
    ]
    cases += [case(name, error, {**inputs, "blob": data}) for name, error, inputs, data in faults]
    cases.append(
        case("not the bytes its id stands for", "BlobDamaged", {"blob_id": flip(blob_id, 0), "key": key, "blob": good})
    )
    size = 200_000
    long_key, _, long = blob_of(bytes(index % 251 for index in range(size)))
    ends = [BLOB_HEADER_BYTES + index * SEALED_CHUNK_BYTES for index in range(4)] + [len(long)]
    a, b, c, d = ([ends[index], ends[index + 1]] for index in range(4))
    start = [0, BLOB_HEADER_BYTES]
    mixes: dict[str, list[Any]] = {
        "first two chunks exchanged": [start, b, a, c, d],
        "middle chunks exchanged": [start, a, c, b, d],
        "a chunk twice": [start, a, b, b, d],
        "a chunk missing": [start, a, b, d],
        "the first chunk missing": [start, b, c, d],
        "the last chunk missing": [start, a, b, c],
        "the last chunk twice": [start, a, b, c, d, d],
        "cut inside a chunk": [[0, ends[1] + 1000]],
        "cut inside a tag": [[0, ends[2] - 1]],
        "a byte long": [[0, len(long)], "00"],
        "itself behind its end": [[0, len(long)], [0, len(long)]],
        "the last chunk of another blob": [start, a, b, c, blob_of(bytes(size))[2][ends[3] :].hex()],
    }
    cases += [
        case(
            f"four chunks: {name}",
            "BlobDamaged",
            {"epoch_key": EPOCH.epoch_key, "key": long_key, "pattern_of": size, "pieces": pieces},
        )
        for name, pieces in mixes.items()
    ]
    cases.append(two_last_chunks())
    write("blob", "Blobs: made from plaintext, checked against their id, and read whole.", cases)


def two_last_chunks() -> Case:
    """Both chunks of a blob marked as the last one."""
    length = CHUNK_BYTES + 100
    framed = length.to_bytes(8, "big") + bytes(index % 251 for index in range(length))
    framed = framed.ljust(padded_length(len(framed)), b"\0")
    key = random("two last chunks")
    aead_key, commitment = committed_key(key, Person.BLOB, preamble(Kind.BLOB))
    header = preamble(Kind.BLOB) + commitment
    chunks = (framed[:CHUNK_BYTES], framed[CHUNK_BYTES:])
    made = header + b"".join(
        encrypt(aead_key, part, header, chunk_nonce(index, last=True)) for index, part in enumerate(chunks)
    )
    return case("two last chunks", "BlobDamaged", {"key": key, "blob_base64": base64.b64encode(made).decode()})


if __name__ == "__main__":
    for make in (envelope, sealed, blob):
        make()
