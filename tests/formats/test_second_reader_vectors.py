"""The vectors, read by the second reader as far as it goes: the document says what the program does."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mnemonic import Mnemonic

from tests.formats.opened_folders import check_statement, open_derived, read_library_file, read_snapshot
from tests.formats.second_membership import open_epochs, read_entry, read_genesis
from tests.formats.second_reader import (
    Refused,
    Secrets,
    blake,
    check,
    number,
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
PASSPHRASE = "correct horse battery staple"
BEYOND = {"DependencyMissing", "ActorRefused"}
"""What a reader without Automerge does not see."""


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


def run_library_file(given: Hexadecimal) -> Given:
    _, identities = read_library_file(given["file"], PASSPHRASE)
    return {"identities": [(one.seed + one.exchange).hex() for one in identities]}


def run_snapshot(given: Hexadecimal) -> Given:
    return {"changes": [change.hex() for change in read_snapshot(given.snapshot, "photos:2024-05")]}


def run_derived_file(given: Hexadecimal) -> Given:
    secrets = Secrets(given.secrets[:32], given.secrets[32:])
    places, content = open_derived(given.file, secrets, given["name"], given["derivation"])
    name = blake(given["name"].encode(), 16, secrets.storage_key("derived name"))
    return {
        "vector": [[device.hex(), seq, end.hex()] for device, seq, end in places],
        "content": content,
        "file_name": name,
    }


def run_machine_state(given: Hexadecimal) -> Given:
    slots = [given.file[:128], given.file[128:256]]
    whole = [slot for slot in slots if slot[:5] == b"SLMS\1" and len(slot) > 76 and blake(slot[:61], 16) == slot[61:77]]
    check(bool(whole), "absent")
    newest = max(whole, key=lambda slot: slot[5:13])
    name = blake(given.library_id + given.device_id, 16, person="safelight state").hex() + ".head"
    return {"name": name, "seq": number(newest[5:13]), "hash": newest[13:45], "token": newest[45:61]}


def run_statement(given: Hexadecimal) -> Given:
    """Verify a delete or prune entry, or say what a sign-in signs."""
    if "nonce" in given:
        library = bytes(32) if given["library_id"] is None else given.library_id
        start = library + given.device_id + given["time"].to_bytes(8, "big")
        return {"signed": start + len(given.nonce).to_bytes(2, "big") + given.nonce + given["origin"].encode()}
    device, time = check_statement(given.statement, given.library_id)
    return {"device_id": device, "time": time}


RUNNERS: dict[str, Callable[[Hexadecimal], Given]] = {
    "crypto-padme": lambda given: {"padded": padded(given["length"])},
    "crypto-derivation": run_derivation,
    "crypto-kdf": run_kdf,
    "crypto-secrets": lambda given: told(unwrap(given.wrapped, given.passphrase_key, given.associated)),
    "crypto-phrase": run_phrase,
    "crypto-genesis": run_genesis,
    "crypto-membership-entry": run_entry,
    "crypto-membership": run_membership,
    "crypto-envelope": run_envelope,
    "crypto-sealed": run_sealed,
    "crypto-blob": run_blob,
    "core-library-file": run_library_file,
    "core-snapshot": run_snapshot,
    "core-derived-file": run_derived_file,
    "core-machine-state": run_machine_state,
    "wire-statements": run_statement,
}


@pytest.mark.parametrize("name", RUNNERS)
def test_the_second_reader_says_what_the_vectors_say(name: str) -> None:
    wrong = []
    ran = 0
    for case in json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["cases"]:
        try:
            shown = RUNNERS[name](Hexadecimal(case.get("input", case)))
            plain = {key: value.hex() if isinstance(value, bytes) else value for key, value in shown.items()}
            wanted = {key: case.get("output", case)[key] for key in plain.keys() & case.get("output", case).keys()}
            outcome = "ok" if wanted.items() <= plain.items() else f"another answer: {plain}"
        except Refused as refused:
            outcome = str(refused)
        if case["expected"] in BEYOND:
            continue
        ran += outcome != "needs a writer"
        if outcome not in {case["expected"], "needs a writer"}:
            wrong.append(f"{case['name']}: {outcome}, not {case['expected']}")
    assert wrong == []
    assert ran
