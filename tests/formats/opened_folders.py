"""Whole folders, a library's and a relay's, opened by the second reader: from docs/formats.md, docs/schema.md alone."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tomllib
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import automerge.core as automerge
import msgspec

from tests.formats.second_membership import ascending, open_epochs, read_entry, read_genesis, split
from tests.formats.second_reader import (
    Envelope,
    Refused,
    Secrets,
    blake,
    check,
    check_signature,
    check_start,
    inflate,
    number,
    open_blob,
    open_envelope,
    open_sealed,
    passphrase_key,
    unwrap,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

CONSTANTS = Path(__file__).resolve().parent.parent / "vectors" / "crdt-constants.json"
KIND_CHECKPOINT = 2
"""Of an envelope's body."""
ITEM_ENVELOPE, ITEM_ENTRY = 1, 2
"""Of a relay's items; the others are deletes and prune entries."""


@dataclass
class Opened:
    """What a library holds: envelopes by (device, number), with what their bodies say; epochs' keys; changes."""

    library_id: bytes
    keys: Mapping[bytes, bytes]
    photo_id_key: bytes
    blob: Callable[[bytes], bytes]
    envelopes: dict[tuple[bytes, int], Envelope] = field(default_factory=dict)
    bodies: dict[tuple[bytes, int], list[Any]] = field(default_factory=dict)
    base: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    """Where chains begin that a checkpoint stands in for: number and hash of the last envelope that is not here."""

    def changes(self, covered: Mapping[bytes, int] | None = None) -> dict[str, list[bytes]]:
        """Return the changes of all documents, each device's as made; of envelopes up to `covered`, if given."""
        found = self.checkpoint()[1] if self.base and covered is None else {}
        for device, seq in sorted(self.bodies):
            wanted = covered is None or seq <= covered.get(device, 0)
            for document, changes in self.bodies[device, seq][3] if wanted else ():
                found.setdefault(document, []).extend(changes)
        return found

    def read_map(self, document: str, name: str) -> dict[str, Any]:
        """Return one map of a document, as Automerge shows it."""
        constants = json.loads(CONSTANTS.read_text("utf-8"))["changes"]
        first = bytes.fromhex(constants["library" if document == "library" else "shard"][0])
        opened: Any = automerge.Document.load(first + b"".join(self.changes()[document]))
        (_, object_id) = opened.get(automerge.ROOT, name)
        return {key: opened.get(object_id, key)[0][1] for key in opened.keys(object_id)}  # (type, value), operation

    def originals(self) -> dict[bytes, bytes]:
        """Return the files as imported, by photo id."""
        found = {}
        for document in self.changes():
            for key, value in self.read_map(document, "copy").items() if document != "library" else ():
                record = msgspec.msgpack.decode(bytes(value))
                if record[1] == "original":
                    blob_id = bytes.fromhex(key.split("/")[1])
                    found[bytes.fromhex(key[:32])] = open_blob(self.blob(blob_id), record[2], blob_id)
        for pid, original in found.items():
            check(blake(original, 16, self.photo_id_key, "sl1-photo-id") == pid, "another photo")
        return found

    def checkpoint(self) -> tuple[dict[bytes, int], dict[str, list[bytes]]]:
        """Return what a checkpoint covers, and the changes in its snapshots, by document."""
        newest = [body for _, body in sorted(self.bodies.items()) if body[0] == KIND_CHECKPOINT][-1]
        covers = {device: seq for device, seq, _ in newest[11]}
        return covers, {name: read_snapshot(open_blob(self.blob(i), key, i), name) for name, i, key, _ in newest[12]}


def open_library(folder: Path, passphrase: str) -> tuple[Opened, Secrets]:
    """Open a library's folder; the secrets are those of the device that it is now."""
    library_id, identities = read_library_file((folder / "library.toml").read_text("utf-8"), passphrase)
    log = sqlite3.connect(f"{(folder / 'log.db').as_uri()}?mode=ro", uri=True)
    check(log.execute("PRAGMA application_id").fetchone() == (0x53414645,), "LogDamaged")
    check(log.execute("PRAGMA user_version").fetchone() == (2,), "UnknownFormat")
    entries = {row[0]: row[1] for row in log.execute("SELECT hash, entry FROM membership")}
    envelopes = list(log.execute("SELECT device, seq, hash, envelope FROM envelope"))
    base = {row[0]: (row[1], row[2]) for row in log.execute("SELECT device, seq, hash FROM base")}
    log.close()
    known = [one for one in identities if any(one.id in entry for entry in entries.values())]
    opened = _open(library_id, known[-1], entries, lambda i: (folder / "blobs" / i.hex()[:2] / i.hex()).read_bytes())
    opened.base.update(base)
    _take(opened, envelopes)
    return opened, known[-1]


def open_relay(folder: Path, library_id: bytes, secrets: Secrets) -> Opened:
    """Open what a relay's folder holds of a library, with the keys of one of its members."""
    database = sqlite3.connect(f"{(folder / 'relay.db').as_uri()}?mode=ro", uri=True)
    query = "SELECT kind, device_id, seq, hash, body FROM item WHERE library_id = ? ORDER BY position"
    items = list(database.execute(query, (library_id,)))
    blobs = database.execute("SELECT id, attempt FROM blob WHERE library_id = ? AND stored", (library_id,))
    names = {i: f"blobs/{library_id.hex()}/{i.hex()[:2]}/{i.hex()}.{attempt}" for i, attempt in blobs}
    database.close()
    entries = {row[3]: row[4] for row in items if row[0] == ITEM_ENTRY}
    opened = _open(library_id, secrets, entries, lambda i: (folder / "blobs" / names[i]).read_bytes())
    envelopes = [row[1:] for row in items if row[0] == ITEM_ENVELOPE]
    opened.base.update({device: (seq, hashed) for device, seq, hashed, body in sorted(envelopes) if body is None})
    _take(opened, [row for row in envelopes if row[3] is not None])
    for _, _, _, hashed, body in (row for row in items if row[0] not in {ITEM_ENVELOPE, ITEM_ENTRY}):
        check(blake(body) == hashed, "Forged")
        check_statement(body, library_id)
    return opened


def read_library_file(text: str, passphrase: str) -> tuple[bytes, list[Secrets]]:
    """Return the library's id and the secrets of the devices that this folder has been, the newest last."""
    table = tomllib.loads(text)
    check(table["format"] in {1, 2}, "UnknownFormat")
    kdf, sealed = table["kdf"], table["secrets"].get("successors", [])
    check((table["format"] == 2) == bool(sealed), "LibraryFileDamaged")
    library_id, salt, wrapped, seal, checksum, *successors = (
        unhex(one)
        for one in (table["library_id"], kdf["salt"], table["secrets"]["wrapped"], *table["check"].values(), *sealed)
    )
    statement = text[text.index("format = ") : text.index("\n\n[check]") + 1].encode()
    check(blake(statement + seal) == checksum, "LibraryFileDamaged")
    typed = unicodedata.normalize("NFC", passphrase).encode()
    key = passphrase_key(typed, kdf["opslimit"], kdf["memlimit"], salt)
    first = unwrap(wrapped, key, b"safelight/1/library.toml")
    check(blake(statement, key=first.storage_key("library file")) == seal, "LibraryFileDamaged")
    try:
        opened = [open_sealed(one, first.storage_key("successor"), "successor", library_id) for one in successors]
        check(all(len(both) == 64 for both in opened), "LibraryFileDamaged")
    except Refused:
        raise Refused("LibraryFileDamaged") from None
    return library_id, [first, *(Secrets(both[:32], both[32:]) for both in opened)]


def unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Refused("LibraryFileDamaged") from None


def read_snapshot(data: bytes, document: str) -> list[bytes]:
    """Return the changes in a snapshot of one document; what Automerge makes of them is not looked at."""
    check(data[:4] == b"SLSN" and len(data) > 5, "SnapshotDamaged")
    check(data[4] == 1, "UnknownFormat")
    at = 6 + data[5]
    check(data[6:at] == document.encode() and len(data) > at + 12, "SnapshotDamaged")
    count, length, stream = number(data[at : at + 4]), number(data[at + 4 : at + 12]), data[at + 12 :]
    check(1 <= count <= 4_194_304 and length <= min(1 << 30, 1_032 * len(stream)), "SnapshotDamaged")
    try:
        plain = inflate(stream, length)
    except Refused:
        raise Refused("SnapshotDamaged") from None
    changes = []
    while plain:
        size = number(plain[:4])
        changes.append(plain[4 : 4 + size])
        check(9 <= size <= 8 << 20 and len(changes[-1]) == size, "SnapshotDamaged")
        frame = b"\x85\x6f\x4a\x83" + hashlib.sha256(changes[-1][8:]).digest()[:4] + b"\1"
        check(changes[-1][:9] == frame and changes[-1] not in changes[:-1], "SnapshotDamaged")
        plain = plain[4 + size :]
    check(len(changes) == count, "SnapshotDamaged")
    return changes


def check_statement(statement: bytes, library_id: bytes) -> tuple[bytes, int]:
    """Verify a delete or a prune entry of a library; return who made it, and when."""
    kind = statement[4:6] if statement[4:6] in {b"DL", b"PR"} else b"DL"
    check_start(statement, kind, 148)
    check(statement[8:40] == library_id, "WrongLibrary")
    counted, size = (224, 72) if kind == b"PR" else (80, 32)
    check(len(statement) >= counted + 68, "Truncated")
    count, items = number(statement[counted : counted + 4]), split(statement[counted + 4 : -64], size)
    most = 2_000 if kind == b"PR" else 4_000
    check(len(statement) == counted + 68 + count * size and 1 <= count <= most, "FormatError")
    ascending([item[:32] for item in items])
    places = [*split(statement[80:224], 72), *items] if kind == b"PR" else []
    check(all(1 <= number(place[32:40]) < 1 << 63 for place in places), "FormatError")
    check_signature(statement[40:72], "delete", statement[:-64], statement[-64:])
    return statement[40:72], number(statement[72:80])


def open_derived(data: bytes, secrets: Secrets, name: str, derivation: str) -> tuple[list[Any], bytes]:
    """Return what a derived file includes, [device id, number, hash] each, and its content."""
    check(data[:5] == b"SLDF\1" and len(data) >= 9, "absent")
    end, key = 9 + number(data[5:9]), secrets.storage_key("derived file")
    try:
        head = msgspec.msgpack.decode(open_sealed(data[9:end], key, "derived head"))
        content = open_sealed(data[end:], key, "derived content", blake(data[9:end]))
    except Refused:
        raise Refused("absent") from None
    check(head[:2] == [name, derivation], "absent")
    return head[2], content


def _open(
    library_id: bytes, secrets: Secrets, entries: Mapping[bytes, bytes], blob: Callable[[bytes], bytes]
) -> Opened:
    check(all(blake(entry) == name for name, entry in entries.items()), "LogDamaged")
    later = [read_entry(entry, library_id) for name, entry in entries.items() if name != library_id]
    keys, photo_id_key = open_epochs([read_genesis(entries[library_id], library_id), *later], secrets)
    return Opened(library_id, keys, photo_id_key, blob)


def _take(opened: Opened, rows: Iterable[Sequence[Any]]) -> None:
    """Verify envelopes, and that those of each device link."""
    heads = dict(opened.base)
    for device, seq, hashed, data in sorted(rows, key=lambda row: (row[0], row[1])):
        envelope = open_envelope(data, opened.library_id, device, opened.keys)
        check((envelope.hash, envelope.seq) == (hashed, seq), "EnvelopeDamaged")
        check((seq - 1, envelope.previous) == heads.get(device, (0, bytes(32))), "ChainBroken")
        heads[device] = seq, hashed
        opened.envelopes[device, seq] = envelope
        opened.bodies[device, seq] = msgspec.msgpack.decode(envelope.body)
