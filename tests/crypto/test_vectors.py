"""Run every vector of tests/vectors/crypto-*.json: the answer it names, or the error class it names and no other."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crypto import errors
from crypto.aead import derive
from crypto.blob import BlobReader, blob_key_hasher, check_blob_id, encrypt_blob
from crypto.envelope import envelope_hash, open_envelope
from crypto.epochs import open_epochs
from crypto.kdf import KdfParameters, derive_passphrase_key
from crypto.keys import DeviceSecrets, EpochKeys, unwrap_secrets
from crypto.membership import evaluate, open_epoch, verify_genesis
from crypto.membership_entry import verify_entry
from crypto.padme import padded_length
from crypto.pairing import Inviter, Newcomer
from crypto.pairing_code import parse_code
from crypto.phrase import phrase_secrets
from crypto.purposes import Person
from crypto.sealed import open_sealed, seal, sealed_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).resolve().parent.parent / "vectors"
Given = dict[str, Any]


def unhex(given: Given, name: str) -> bytes:
    return bytes.fromhex(given[name])


def run_padme(given: Given) -> Given:
    return {"padded": padded_length(given["length"])}


def run_derivation(given: Given) -> Given:
    key, message, length = unhex(given, "key"), unhex(given, "message"), given["length"]
    person = given["person"].encode()
    derived = hashlib.blake2b(message, digest_size=length, key=key, person=person).hexdigest()
    assert derive(key, Person(person), message, length).hex() == derived
    return {"derived": derived}


def run_kdf(given: Given) -> Given:
    parameters = KdfParameters(given["opslimit"], given["memlimit"], unhex(given, "salt"))
    return {"key": derive_passphrase_key(unhex(given, "passphrase"), parameters).hex()}


def shown(secrets: DeviceSecrets, id_name: str) -> Given:
    return {
        "signing_seed": secrets.signing_seed.hex(),
        "exchange_secret": secrets.exchange_secret.hex(),
        id_name: secrets.device_id.hex(),
        "exchange_public": secrets.exchange_public.hex(),
    }


def run_secrets(given: Given) -> Given:
    secrets = unwrap_secrets(unhex(given, "wrapped"), unhex(given, "passphrase_key"), unhex(given, "associated"))
    return shown(secrets, "device_id")


def run_phrase(given: Given) -> Given:
    return shown(phrase_secrets(given["phrase"]), "member_id")


def run_genesis(given: Given) -> Given:
    expected = unhex(given, "expected_library_id") if "expected_library_id" in given else None
    genesis = verify_genesis(unhex(given, "entry"), expected)
    keys = open_epoch(genesis, DeviceSecrets.from_bytes(unhex(given, "open_with")))
    return {
        "library_id": genesis.library_id.hex(),
        "epoch_id": keys.epoch_id.hex(),
        "membership": genesis.membership.hex(),
        "created_at": genesis.created_at,
        "device_id": genesis.device_id.hex(),
        "device_exchange": genesis.device_exchange.hex(),
        "phrase_id": genesis.phrase_id.hex(),
        "phrase_exchange": genesis.phrase_exchange.hex(),
        "epoch_key": keys.epoch_key.hex(),
        "pid_key": keys.pid_key.hex(),
    }


def run_envelope(given: Given) -> Given:
    envelope = unhex(given, "envelope")
    epoch = EpochKeys(unhex(given, "epoch_id"), unhex(given, "epoch_key"), bytes(32))
    header, plaintext = open_envelope(
        envelope, epoch, library_id=unhex(given, "library_id"), device_id=unhex(given, "device_id")
    )
    return {
        "seq": header.seq,
        "previous": header.previous.hex(),
        "membership": header.membership.hex(),
        "hash": envelope_hash(envelope).hex(),
        "plaintext_blake2b_256": hashlib.blake2b(plaintext, digest_size=32).hexdigest(),
        "plaintext_length": len(plaintext),
    }


def run_sealed(given: Given) -> Given:
    sealed, key, associated = unhex(given, "sealed"), unhex(given, "key"), unhex(given, "associated")
    plaintext = open_sealed(sealed, key, given["purpose"], associated)
    assert len(seal(plaintext, key, given["purpose"])) == sealed_size(len(plaintext)) == len(sealed)
    return {"plaintext": plaintext.hex()}


def pattern(size: int) -> bytes:
    return bytes(index % 251 for index in range(size))


def made_blob(epoch_key: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    hasher = blob_key_hasher(EpochKeys(bytes(32), epoch_key, bytes(32)))
    hasher.update(data)
    parts: list[bytes] = []
    blob_id = encrypt_blob(data, len(data), hasher.digest(), parts.append)
    return hasher.digest(), blob_id, b"".join(parts)


def assembled(given: Given, epoch_key: bytes) -> bytes:
    """Put a blob together from pieces of a good one: ranges of its bytes, or bytes of their own."""
    _, _, good = made_blob(epoch_key, pattern(given["pattern_of"]))
    return b"".join(
        bytes.fromhex(piece) if isinstance(piece, str) else good[piece[0] : piece[1]] for piece in given["pieces"]
    )


def run_blob(given: Given) -> Given:
    if "plaintext_pattern" in given:
        key, blob_id, blob = made_blob(unhex(given, "epoch_key"), pattern(given["plaintext_pattern"]))
        assert b"".join(BlobReader(io.BytesIO(blob), key).iter_chunks()) == pattern(given["plaintext_pattern"])
        made: Given = {"key": key.hex(), "blob_id": blob_id.hex(), "size": len(blob), "blob": blob.hex()}
        return made
    if "pieces" in given:
        blob = assembled(given, unhex(given, "epoch_key"))
    elif "blob_base64" in given:
        blob = base64.b64decode(given["blob_base64"])
    else:
        blob = unhex(given, "blob")
    plaintext = b"".join(BlobReader(io.BytesIO(blob), unhex(given, "key")).iter_chunks())
    if "blob_id" in given:
        check_blob_id(io.BytesIO(blob), unhex(given, "blob_id"))
    return {"plaintext": plaintext.hex()}


def run_membership_entry(given: Given) -> Given:
    entry = verify_entry(unhex(given, "entry"), unhex(given, "library_id"))
    return {
        "hash": entry.hash.hex(),
        "kind": int(entry.kind),
        "author": entry.author.hex(),
        "created_at": entry.created_at,
    }


def run_membership(given: Given) -> Given:
    genesis = verify_genesis(unhex(given, "genesis"))
    entries = [verify_entry(bytes.fromhex(entry), genesis.library_id) for entry in given["entries"]]
    state = evaluate(genesis, entries)
    shown: Given = {
        "members": [device.hex() for device in state.members],
        "phrases": [phrase.hex() for phrase in state.phrases],
        "departed": {
            device.hex(): [[cut.seq, cut.hash.hex()] for cut in departure.cuts]
            for device, departure in state.departed.items()
        },
        "heads": [head.hex() for head in state.heads],
        "membership": state.membership.hex(),
        "void": sorted(entry.hex() for entry in state.void),
        "pending": [entry.hex() for entry in state.pending],
        "refused": [entry.hex() for entry in state.refused],
        "alarms": {alarm.author.hex(): [entry.hex() for entry in alarm.entries] for alarm in state.alarms},
        "current": state.current.hex(),
        "rotation_due": state.rotation_due,
    }
    if "open_with" in given:
        ring = open_epochs(state, DeviceSecrets.from_bytes(unhex(given, "open_with")))
        assert not ring.damaged
        shown["epoch_keys"] = {epoch_id.hex(): ring.keys[epoch_id].epoch_key.hex() for epoch_id in sorted(ring.keys)}
        shown["pid_key"] = next(iter(ring.keys.values())).pid_key.hex()
    return shown


def converse(given: Given) -> Given:
    """Let an inviter and a newcomer with fixed scalars talk; `instead` replaces messages on their way."""
    secrets = {side: DeviceSecrets.from_bytes(unhex(given, side)) for side in ("inviter", "newcomer")}
    heads = [bytes.fromhex(head) for head in given["heads"]]
    inviter = Inviter(parse_code(given["code"]), secrets["inviter"], unhex(given, "library_id"), heads)
    newcomer = Newcomer(
        parse_code(given["typed"] if "typed" in given else given["code"]), secrets["newcomer"], given["name"]
    )
    inviter._spake.entropy_f = lambda length: unhex(given, "inviter_entropy")[:length]
    newcomer._spake.entropy_f = lambda length: unhex(given, "newcomer_entropy")[:length]
    sent: Given = {}

    def carried(name: str, message: bytes) -> bytes:
        sent[name] = message.hex()
        return bytes.fromhex(given.get("instead", {}).get(name, message.hex()))

    answer = newcomer.answer(carried("hello", inviter.hello()))
    offer = inviter.offer(carried("answer", answer))
    introduced = inviter.meet(carried("introduction", newcomer.introduce(carried("offer", offer))))
    acceptance, _ = newcomer.accept(carried("grant", inviter.grant(unhex(given, "draft"))))
    entry = inviter.finish(carried("acceptance", acceptance))
    return {**sent, "entry": entry.hash.hex(), "name": introduced.name, "fingerprint": introduced.fingerprint}


RUNNERS: dict[str, Callable[[Given], Given]] = {
    "padme": run_padme,
    "derivation": run_derivation,
    "kdf": run_kdf,
    "secrets": run_secrets,
    "phrase": run_phrase,
    "genesis": run_genesis,
    "membership-entry": run_membership_entry,
    "membership": run_membership,
    "pairing": converse,
    "envelope": run_envelope,
    "sealed": run_sealed,
    "blob": run_blob,
}


def cases() -> Iterator[Any]:
    for path in sorted(FOLDER.glob("crypto-*.json")):
        name = path.stem.removeprefix("crypto-")
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            yield pytest.param(name, case, id=f"{name}: {case['name']}")


@pytest.mark.parametrize(("name", "case"), list(cases()))
def test_vector(name: str, case: dict[str, Any]) -> None:
    run = RUNNERS[name]
    if case["expected"] == "ok":
        result = run(case["input"])
        assert {key: result[key] for key in case["output"]} == case["output"]
    else:
        error = getattr(errors, case["expected"])
        with pytest.raises(errors.CryptoError) as caught:
            run(case["input"])
        assert type(caught.value) is error


def test_every_format_has_good_and_bad_vectors() -> None:
    assert {path.stem.removeprefix("crypto-") for path in FOLDER.glob("crypto-*.json")} == set(RUNNERS)
    without_faults = {"padme", "derivation"}
    for name in RUNNERS:
        expected = {
            case["expected"]
            for case in json.loads((FOLDER / f"crypto-{name}.json").read_text(encoding="utf-8"))["cases"]
        }
        assert "ok" in expected
        assert (len(expected) > 1) == (name not in without_faults)
