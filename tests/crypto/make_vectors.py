"""Write the test vectors of the formats of `crypto` to tests/vectors/crypto-*.json.

    python tests/crypto/make_vectors.py

Run it only to add cases: vectors that exist are the formats, and a change to them is a change of version. All
randomness is fixed here, so running it again gives the same bytes (as long as zlib deflates a few bytes the same
way).
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from crypto import exchange, signing
from crypto.aead import committed_key, derive, encrypt
from crypto.blob import BLOB_HEADER_BYTES, blob_key_hasher, encrypt_blob
from crypto.envelope import NO_PREVIOUS, EnvelopeHeader, envelope_hash
from crypto.envelope import _seal_with as seal_envelope_with
from crypto.genesis import _create_with as create_genesis_with
from crypto.kdf import CEILING, FLOOR, KdfParameters, derive_passphrase_key
from crypto.keys import DeviceSecrets
from crypto.keys import _wrap_with as wrap_with
from crypto.membership import open_epoch, verify_genesis
from crypto.padme import padded_length
from crypto.phrase import phrase_secrets
from crypto.preamble import Kind, preamble
from crypto.purposes import Person, Signed
from crypto.sealed import _seal_with as seal_with
from crypto.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES, chunk_nonce

FOLDER = Path(__file__).resolve().parent.parent / "vectors"
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
Case = dict[str, Any]


def random(name: str, length: int = 32) -> bytes:
    """Return fixed bytes in place of random ones."""
    return hashlib.shake_128(f"safelight vectors: {name}".encode()).digest(length)


DEVICE = DeviceSecrets(random("device seed"), random("device exchange"))
OTHER = DeviceSecrets(random("other seed"), random("other exchange"))
PHRASE_WORDS = (
    "repair blast trumpet fade stereo huge merit category hover worth bulk pass "
    "impose thumb claim inner amazing wealth abstract below pyramid pause sting peasant"
)
PHRASE = phrase_secrets(PHRASE_WORDS)
CREATED_AT = 1_700_000_000
EPOCH_SECRETS = random("epoch key") + random("photo id key")
GENESIS = create_genesis_with(EPOCH_SECRETS, (random("ephemeral 1"), random("ephemeral 2")), DEVICE, PHRASE, CREATED_AT)
LIBRARY = verify_genesis(GENESIS)
EPOCH = open_epoch(LIBRARY, DEVICE)


def flip(data: bytes, place: int, mask: int = 1) -> bytes:
    """Return `data` with the bits of `mask` flipped in one byte."""
    changed = bytearray(data)
    changed[place] ^= mask
    return bytes(changed)


def case(name: str, expected: str, given: dict[str, Any], output: dict[str, Any] | None = None) -> Case:
    """Return one case; bytes become lower-case hexadecimal."""

    def plain(values: dict[str, Any]) -> dict[str, Any]:
        return {key: value.hex() if isinstance(value, bytes) else value for key, value in values.items()}

    made: Case = {"name": name, "expected": expected, "input": plain(given)}
    if output is not None:
        made["output"] = plain(output)
    return made


def write(name: str, about: str, cases: list[Case]) -> None:
    """Write one file of vectors."""
    names = [made["name"] for made in cases]
    if len(set(names)) != len(names):
        raise ValueError(f"two cases of {name} have one name")
    text = json.dumps({"about": about, "cases": cases}, indent=1, ensure_ascii=False)
    (FOLDER / f"crypto-{name}.json").write_text(text + "\n", encoding="utf-8")


def padme() -> None:
    lengths = [0, 1, 255, 256, 257, 264, 272, 273, 511, 512, 513, 1000, 4095, 4096, 4097, 65536, 65537, 100_000]
    lengths += [1 << 20, (1 << 20) + 1, 5_000_000, 16_777_216, 16_777_217, 123_456_789, (1 << 40) + 1]
    write(
        "padme",
        "Lengths in bytes, and what they are padded to.",
        [case(f"{length} bytes", "ok", {"length": length}, {"padded": padded_length(length)}) for length in lengths],
    )


def derivation() -> None:
    key = random("a key")
    cases = [
        case(
            person.name.lower().replace("_", " "),
            "ok",
            {"key": key, "person": person.value.decode(), "message": b"message", "length": length},
            {"derived": derive(key, person, b"message", length)},
        )
        for person, length in ((person, 64 if person is Person.ENVELOPE else 32) for person in Person)
    ]
    photo = EPOCH.photo_hasher()
    photo.update(b"the bytes of a photo")
    blob = blob_key_hasher(EPOCH)
    blob.update(b"the bytes of a photo")
    cases += [
        case(
            "a photo's id",
            "ok",
            {"key": EPOCH.pid_key, "person": "sl1-photo-id", "message": b"the bytes of a photo", "length": 16},
            {"derived": photo.digest()},
        ),
        case(
            "a blob's key",
            "ok",
            {"key": EPOCH.epoch_key, "person": "sl1-blob-key", "message": b"the bytes of a photo", "length": 32},
            {"derived": blob.digest()},
        ),
        case(
            "a device's storage key for 'catalog'",
            "ok",
            {"key": DEVICE.to_bytes(), "person": "sl1-storage", "message": b"catalog", "length": 32},
            {"derived": DEVICE.storage_key("catalog")},
        ),
    ]
    write("derivation", "Keyed BLAKE2b with a person: (key, person, message, digest length) to digest.", cases)


def kdf() -> None:
    salt = random("salt", 16)
    good = {"passphrase": b"correct horse battery staple", "salt": salt}

    def with_cost(opslimit: int, memlimit: int, **changed: Any) -> dict[str, Any]:
        return {**good, "opslimit": opslimit, "memlimit": memlimit, **changed}

    cases = [
        case(
            "the floor",
            "ok",
            with_cost(*FLOOR),
            {"key": derive_passphrase_key(good["passphrase"], KdfParameters(*FLOOR, salt))},
        ),
        case(
            "three passes over 32 MiB",
            "ok",
            with_cost(3, 32 << 20),
            {"key": derive_passphrase_key(good["passphrase"], KdfParameters(3, 32 << 20, salt))},
        ),
    ]
    refused = {
        "one pass": with_cost(1, 256 << 20),
        "a byte less memory than the floor": with_cost(FLOOR.opslimit, FLOOR.memlimit - 1),
        "no memory": with_cost(3, 0),
        "more passes than the ceiling": with_cost(CEILING.opslimit + 1, FLOOR.memlimit),
        "a byte more memory than the ceiling": with_cost(3, CEILING.memlimit + 1),
        "a number of passes that takes years": with_cost(1 << 32, FLOOR.memlimit),
        "a short salt": with_cost(*FLOOR, salt=salt[:15]),
        "a long salt": with_cost(*FLOOR, salt=salt + b"\0"),
        "no salt": with_cost(*FLOOR, salt=b""),
    }
    cases += [case(name, "KdfParametersRefused", given) for name, given in refused.items()]
    write("kdf", "Argon2id (version 1.3, one lane): passes, bytes of memory, salt and passphrase to a key.", cases)


def secrets() -> None:
    key, associated = random("passphrase key"), b"the library's id"
    wrapped = wrap_with(random("wrapping"), DEVICE, key, associated)
    given = {"passphrase_key": key, "associated": associated}
    faults = [
        ("another passphrase", "WrongPassphrase", {**given, "passphrase_key": flip(key, 31)}, wrapped),
        ("another library", "DecryptionFailed", {**given, "associated": b"another library "}, wrapped),
        ("another magic", "FormatError", given, flip(wrapped, 0)),
        ("another format", "FormatError", given, wrapped[:4] + b"EN" + wrapped[6:]),
        ("a later version", "UnknownVersion", given, flip(wrapped, 7, 3)),
        ("changed random part", "WrongPassphrase", given, flip(wrapped, 8)),
        ("changed commitment", "WrongPassphrase", given, flip(wrapped, 71)),
        ("changed ciphertext", "DecryptionFailed", given, flip(wrapped, 72)),
        ("changed tag", "DecryptionFailed", given, flip(wrapped, 151)),
        ("a byte short", "Truncated", given, wrapped[:-1]),
        ("a byte long", "FormatError", given, wrapped + b"\0"),
        ("empty", "Truncated", given, b""),
    ]
    output = {
        "signing_seed": DEVICE.signing_seed,
        "exchange_secret": DEVICE.exchange_secret,
        "device_id": DEVICE.device_id,
        "exchange_public": DEVICE.exchange_public,
    }
    cases = [case("good", "ok", {**given, "wrapped": wrapped}, output)]
    cases += [case(name, error, {**inputs, "wrapped": data}) for name, error, inputs, data in faults]
    write("secrets", "Device secrets wrapped under a passphrase's key.", cases)


def phrase() -> None:
    words = PHRASE_WORDS.split()
    good = {"phrase": PHRASE_WORDS, "capitals": PHRASE_WORDS.upper(), "lines": PHRASE_WORDS.replace(" ", "\n")}
    good["numbers"] = " ".join(f"{number}. {word}" for number, word in enumerate(words, start=1))
    output = {
        "signing_seed": PHRASE.signing_seed,
        "exchange_secret": PHRASE.exchange_secret,
        "member_id": PHRASE.device_id,
        "exchange_public": PHRASE.exchange_public,
    }
    cases = [case(name, "ok", {"phrase": text}, output) for name, text in good.items()]
    faults = {
        "an unknown word": [*words[:6], "photograph", *words[7:]],
        "two words exchanged": [words[1], words[0], *words[2:]],
        "a word too few": words[:-1],
        "a word too many": [*words, "abandon"],
        "twelve words": ["abandon"] * 11 + ["about"],
        "nothing": [],
    }
    cases += [case(name, "InvalidPhrase", {"phrase": " ".join(text)}) for name, text in faults.items()]
    write("phrase", "Recovery phrases, and the secrets of the member they stand for.", cases)


def sign_genesis(body: bytes) -> bytes:
    """Sign the first 465 bytes anew, as both members would."""
    body += signing.sign(DEVICE.signing_seed, Signed.MEMBERSHIP, body)
    return body + signing.sign(PHRASE.signing_seed, Signed.COUNTERSIGNATURE, body)


def genesis() -> None:
    start, body = GENESIS[:177], GENESIS[:465]
    split_box = exchange.seal_to(
        PHRASE.exchange_public, Person.EPOCH_BOX, start, bytes(64), ephemeral=random("ephemeral 3")
    )
    low_order = body[:177] + (1).to_bytes(32, "little") + body[209:]
    by_relay = create_genesis_with(
        EPOCH_SECRETS, (random("ephemeral 1"), random("ephemeral 2")), OTHER, PHRASE, CREATED_AT
    )[:-64]
    given = {"expected_library_id": LIBRARY.library_id, "open_with": DEVICE.to_bytes()}
    output = {
        "library_id": LIBRARY.library_id,
        "epoch_id": LIBRARY.epoch_id,
        "membership": LIBRARY.membership,
        "created_at": CREATED_AT,
        "device_id": LIBRARY.device_id,
        "device_exchange": LIBRARY.device_exchange,
        "phrase_id": LIBRARY.phrase_id,
        "phrase_exchange": LIBRARY.phrase_exchange,
        "epoch_key": EPOCH.epoch_key,
        "pid_key": EPOCH.pid_key,
    }
    unknown = {"open_with": DEVICE.to_bytes()}
    faults = [
        ("another magic", "FormatError", given, flip(GENESIS, 3)),
        ("another format", "FormatError", given, GENESIS[:4] + b"EN" + GENESIS[6:]),
        ("a later version", "UnknownVersion", given, flip(GENESIS, 7, 3)),
        ("another kind of entry", "MembershipInvalid", given, flip(GENESIS, 8, 3)),
        ("made in the year 10000", "FormatError", unknown, flip(GENESIS, 9, 0x80)),
        ("another time", "SignatureInvalid", given, flip(GENESIS, 16)),
        ("the identity as signing key", "KeyRefused", given, GENESIS[:17] + b"\1" + bytes(31) + GENESIS[49:]),
        ("another device's signing key", "SignatureInvalid", given, GENESIS[:17] + OTHER.device_id + GENESIS[49:]),
        ("zero as exchange key", "KeyRefused", given, GENESIS[:49] + bytes(32) + GENESIS[81:]),
        ("an exchange key with the top bit set", "KeyRefused", given, flip(GENESIS, 80, 0x80)),
        (
            "another device's exchange key",
            "SignatureInvalid",
            given,
            GENESIS[:49] + OTHER.exchange_public + GENESIS[81:],
        ),
        ("another phrase's signing key", "SignatureInvalid", given, GENESIS[:81] + OTHER.device_id + GENESIS[113:]),
        ("the phrase has the device's key", "MembershipInvalid", given, GENESIS[:81] + GENESIS[17:49] + GENESIS[113:]),
        ("changed check", "SignatureInvalid", given, flip(GENESIS, 145)),
        ("changed box of the device", "SignatureInvalid", given, flip(GENESIS, 241)),
        ("changed box of the phrase", "SignatureInvalid", given, flip(GENESIS, 464)),
        ("changed signature", "SignatureInvalid", given, flip(GENESIS, 465)),
        ("changed countersignature", "SignatureInvalid", given, flip(GENESIS, 529)),
        (
            "countersigned by the relay instead of the phrase",
            "SignatureInvalid",
            unknown,
            by_relay + signing.sign(OTHER.signing_seed, Signed.COUNTERSIGNATURE, by_relay),
        ),
        (
            "countersigned with the prefix of a signature",
            "SignatureInvalid",
            unknown,
            GENESIS[:-64] + signing.sign(PHRASE.signing_seed, Signed.MEMBERSHIP, GENESIS[:-64]),
        ),
        ("another library", "WrongLibrary", given, sign_genesis(flip(body, 16))),
        ("a byte short", "Truncated", given, GENESIS[:-1]),
        ("a byte long", "FormatError", given, GENESIS + b"\0"),
        ("opened by a stranger", "NotAMember", {**given, "open_with": OTHER.to_bytes()}, GENESIS),
        ("signed anew: box with a changed commitment", "CommitmentMismatch", unknown, sign_genesis(flip(body, 209))),
        ("signed anew: box with changed ciphertext", "DecryptionFailed", unknown, sign_genesis(flip(body, 241))),
        ("signed anew: box from a low-order key", "KeyRefused", unknown, sign_genesis(low_order)),
        (
            "signed anew: boxes exchanged",
            "CommitmentMismatch",
            unknown,
            sign_genesis(start + body[321:] + body[177:321]),
        ),
        (
            "signed anew: other keys for the phrase",
            "MembershipInvalid",
            {"open_with": PHRASE.to_bytes()},
            sign_genesis(body[:321] + split_box),
        ),
    ]
    cases = [
        case("good, opened by the device", "ok", {**given, "entry": GENESIS}, output),
        case("good, opened by the phrase", "ok", {**given, "open_with": PHRASE.to_bytes(), "entry": GENESIS}, output),
        case("good, no library expected", "ok", {**unknown, "entry": GENESIS}, output),
    ]
    cases += [case(name, error, {**inputs, "entry": entry}) for name, error, inputs, entry in faults]
    write("genesis", "Genesis entries: verified, then opened with 64 bytes of a member's secrets.", cases)


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
    for make in (padme, derivation, kdf, secrets, phrase, genesis, envelope, sealed, blob):
        make()
