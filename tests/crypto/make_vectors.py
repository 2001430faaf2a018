"""Write the test vectors of lengths, keys, phrases and geneses to tests/vectors/crypto-*.json.

    python tests/crypto/make_vectors.py

Run it only to add cases: vectors that exist are the formats, and a change to them is a change of version. All
randomness is fixed here, so running it again gives the same bytes (as long as zlib deflates a few bytes the same
way).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from crypto import exchange, signing
from crypto.aead import derive
from crypto.blob import blob_key_hasher
from crypto.genesis import _create_with as create_genesis_with
from crypto.kdf import CEILING, FLOOR, KdfParameters, derive_passphrase_key
from crypto.keys import DeviceSecrets
from crypto.keys import _wrap_with as wrap_with
from crypto.membership import open_epoch, verify_genesis
from crypto.padme import padded_length
from crypto.phrase import phrase_secrets
from crypto.purposes import Person, Signed

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


if __name__ == "__main__":
    for make in (padme, derivation, kdf, secrets, phrase, genesis):
        make()
