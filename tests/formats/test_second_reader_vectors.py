"""The vectors of `crypto`, read by the second reader: what the document says and what the program does are one."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mnemonic import Mnemonic

from tests.formats.second_membership import open_epochs, read_entry, read_genesis
from tests.formats.second_reader import (
    Refused,
    Secrets,
    blake,
    check,
    open_blob,
    open_envelope,
    open_sealed,
    padded,
    passphrase_key,
    unwrap,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).resolve().parent.parent / "vectors"
WORDS = {word: place for place, word in enumerate(Mnemonic("english").wordlist)}
Given = dict[str, Any]


class Hexadecimal(dict[str, Any]):
    """An input whose bytes are read by attribute."""

    def __getattr__(self, name: str) -> bytes:
        return bytes.fromhex(self[name])


def run_derivation(given: Hexadecimal) -> Given:
    return {"derived": blake(given.message, given["length"], given.key, given["person"])}


def run_kdf(given: Hexadecimal) -> Given:
    return {"key": passphrase_key(given.passphrase, given["opslimit"], given["memlimit"], given.salt)}


def told(secrets: Secrets) -> Given:
    mine = {"signing_seed": secrets.seed, "exchange_secret": secrets.exchange}
    return {**mine, "device_id": secrets.id, "member_id": secrets.id, "exchange_public": secrets.exchange_public}


def run_phrase(given: Hexadecimal) -> Given:
    words = [word.strip(",").lower() for word in given["phrase"].split() if not word.strip(".,").isdigit()]
    check(len(words) == 24 and WORDS.keys() >= set(words), "InvalidPhrase")
    bits = sum(WORDS[word] << 11 * (23 - place) for place, word in enumerate(words)).to_bytes(33, "big")
    check(hashlib.sha256(bits[:32]).digest()[0] == bits[32], "InvalidPhrase")
    keys = [blake(b"", key=bits[:32], person=person) for person in ("sl1-phrase-sign", "sl1-phrase-exch")]
    return told(Secrets(*keys))


def run_genesis(given: Hexadecimal) -> Given:
    entry = read_genesis(given.entry, given.expected_library_id if "expected_library_id" in given else None)
    secrets = Secrets(given.open_with[:32], given.open_with[32:])
    keys, photo_id_key = open_epochs([entry], secrets)
    members = {"device_id": given.entry[17:49], "phrase_id": given.entry[81:113]}
    exchange = {"device_exchange": given.entry[49:81], "phrase_exchange": given.entry[113:145]}
    ids = {"library_id": entry.hash, "epoch_id": entry.epoch, "membership": blake(entry.hash)}
    keys_of = {"epoch_key": keys[entry.epoch], "pid_key": photo_id_key, "created_at": entry.created_at}
    return {**members, **exchange, **ids, **keys_of}


def run_entry(given: Hexadecimal) -> Given:
    entry = read_entry(given.entry, given.library_id)
    return {"hash": entry.hash, "kind": entry.kind, "author": entry.author, "created_at": entry.created_at}


def run_membership(given: Hexadecimal) -> Given:
    """Open what the entries give to one member; who is one at the end the second reader does not work out."""
    genesis = read_genesis(given.genesis)
    entries = [genesis, *(read_entry(bytes.fromhex(entry), genesis.hash) for entry in given["entries"])]
    if "open_with" not in given:
        return {}
    keys, photo_id_key = open_epochs(entries, Secrets(given.open_with[:32], given.open_with[32:]))
    return {"epoch_keys": {epoch.hex(): keys[epoch].hex() for epoch in sorted(keys)}, "pid_key": photo_id_key}


def run_envelope(given: Hexadecimal) -> Given:
    opened = open_envelope(given.envelope, given.library_id, given.device_id, {given.epoch_id: given.epoch_key})
    body = {"plaintext_blake2b_256": blake(opened.body), "plaintext_length": len(opened.body)}
    return {**body, **{name: getattr(opened, name) for name in ("seq", "previous", "membership", "hash")}}


def run_sealed(given: Hexadecimal) -> Given:
    return {"plaintext": open_sealed(given.sealed, given.key, given["purpose"], given.associated)}


def run_blob(given: Hexadecimal) -> Given:
    check("pieces" not in given and "plaintext_pattern" not in given, "needs a writer")
    data = base64.b64decode(given["blob_base64"]) if "blob_base64" in given else given.blob
    return {"plaintext": open_blob(data, given.key, given.blob_id if "blob_id" in given else None)}


RUNNERS: dict[str, Callable[[Hexadecimal], Given]] = {
    "padme": lambda given: {"padded": padded(given["length"])},
    "derivation": run_derivation,
    "kdf": run_kdf,
    "secrets": lambda given: told(unwrap(given.wrapped, given.passphrase_key, given.associated)),
    "phrase": run_phrase,
    "genesis": run_genesis,
    "membership-entry": run_entry,
    "membership": run_membership,
    "envelope": run_envelope,
    "sealed": run_sealed,
    "blob": run_blob,
}


@pytest.mark.parametrize("name", RUNNERS)
def test_the_second_reader_says_what_the_vectors_say(name: str) -> None:
    wrong = []
    ran = 0
    for case in json.loads((FOLDER / f"crypto-{name}.json").read_text("utf-8"))["cases"]:
        try:
            shown = RUNNERS[name](Hexadecimal(case["input"]))
            plain = {key: value.hex() if isinstance(value, bytes) else value for key, value in shown.items()}
            wanted = {key: case["output"][key] for key in plain.keys() & case.get("output", {}).keys()}
            outcome = "ok" if wanted.items() <= plain.items() else f"another answer: {plain}"
        except Refused as refused:
            outcome = str(refused)
        ran += outcome != "needs a writer"
        if outcome not in {case["expected"], "needs a writer"}:
            wrong.append(f"{case['name']}: {outcome}, not {case['expected']}")
    assert wrong == []
    assert ran
