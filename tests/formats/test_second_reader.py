"""A library and a relay's folder, opened by the second reader: it finds what the program finds, and every change."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.formats.opened_folders import open_library, open_relay
from tests.formats.second_reader import Refused, Secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.formats.conftest import Lived


def stop(damage: Exception) -> None:
    raise damage


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_it_shares_no_code_with_the_program() -> None:
    script = "import sys, tests.formats.opened_folders; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert "cryptography" in told.stdout.split()
    assert not {"core", "crdt", "crypto", "ml", "sync_relay", "tui", "nacl"} & set(told.stdout.split())


def test_a_library_opens_from_the_document_alone(lived: Lived) -> None:
    opened, secrets = open_library(lived.root, lived.passphrase)
    with lived.open() as library:
        assert (secrets.id, opened.library_id) == (library.device_id, library.library_id)
        held = library.members.keyring.keys
        assert opened.keys == {epoch: keys.epoch_key for epoch, keys in held.items()}
        assert len(held) == 2
        stored = list(library.log.after({}, stop))
        assert {(one.device, one.seq): one.hash for one in stored} == {
            place: envelope.hash for place, envelope in opened.envelopes.items()
        }
        for one in stored:
            body, read = library.chain.open(one), opened.bodies[one.device, one.seq]
            assert read[:3] == [body.kind, body.at, [[place.device, place.seq, place.hash] for place in body.frontier]]
            assert read[3] == [[part.document, part.changes] for part in body.payload]
            assert read[4:8] == [body.group, body.action, body.summary, body.part]
        records = {record.pid: record for record in library.catalog.search("")}
        shards = [document for document in opened.changes() if document != "library"]
        captions = {key: text for shard in shards for key, text in opened.read_map(shard, "caption").items()}
        assert captions == {pid.hex(): "Läutwerk, 駅" for pid, record in records.items() if record.caption}
        assert captions
        albums = opened.read_map("library", "album")
        assert albums == {album.id: "Lisbon" for album in library.catalog.albums()}
        assert albums
    originals = opened.originals()
    assert originals.keys() == records.keys()
    assert sorted(originals.values()) == sorted(picture.read_bytes() for picture in lived.pictures)


def test_a_checkpoint_holds_what_the_envelopes_hold_that_it_covers(lived: Lived) -> None:
    opened, _ = open_library(lived.root, lived.passphrase)
    covers, snapshots = opened.checkpoint()
    assert {name: sorted(changes) for name, changes in snapshots.items()} == {
        name: sorted(changes) for name, changes in opened.changes(covers).items()
    }


def test_a_relay_holds_the_same_and_gives_the_same_files(lived: Lived) -> None:
    here, secrets = open_library(lived.root, lived.passphrase)
    there = open_relay(lived.relay, here.library_id, secrets)
    assert there.envelopes == here.envelopes
    assert there.bodies == here.bodies
    assert there.keys == here.keys
    assert there.originals() == here.originals()
    assert there.checkpoint() == here.checkpoint()


def test_a_relay_that_has_pruned_gives_the_same_files(lived: Lived, tmp_path: Path) -> None:
    here, secrets = open_library(lived.root, lived.passphrase)
    shutil.copytree(lived.relay, tmp_path / "relay")
    covers, _ = here.checkpoint()
    with closing(sqlite3.connect(tmp_path / "relay" / "relay.db", isolation_level=None)) as database:
        for device, seq in covers.items():
            prune = "UPDATE item SET body = NULL, size = 0 WHERE device_id = ? AND seq <= ?"
            assert database.execute(prune, (device, seq)).rowcount
    there = open_relay(tmp_path / "relay", here.library_id, secrets)
    assert there.envelopes.items() < here.envelopes.items()
    assert there.originals() == here.originals()
    assert {name: sorted(changes) for name, changes in there.changes().items()} == {
        name: sorted(changes) for name, changes in here.changes().items()
    }


def in_table(database: str, table: str, column: str) -> Callable[[Path, random.Random], None]:
    def change(folder: Path, rng: random.Random) -> None:
        with sqlite3.connect(folder / database) as opened:
            rows = opened.execute(f"SELECT rowid, {column} FROM {table} WHERE length({column}) > 64").fetchall()  # noqa: S608
            row, data = rng.choice(rows)
            changed = flipped(data, rng.randrange(len(data)))
            opened.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, row))  # noqa: S608
        opened.close()

    return change


def of_the_blobs(folder: Path, rng: random.Random) -> None:
    for path in (path for path in folder.rglob("*") if path.is_file() and len(path.name.split(".")[0]) == 64):
        data = path.read_bytes()
        os.truncate(path, 0)
        path.write_bytes(flipped(data, rng.randrange(len(data))))


def of_the_library_file(folder: Path, rng: random.Random) -> None:
    path = folder / "library.toml"
    text = path.read_text()
    values = [at for at in range(text.index("[kdf]"), len(text)) if text[at] in "0123456789" and text[at - 1] != "="]
    at = rng.choice([at for at in values if text[at - 1] in "0123456789abcdef"])
    path.write_text(text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :])


CHANGES = {
    "an envelope": in_table("log.db", "envelope", "envelope"),
    "an entry": in_table("log.db", "membership", "entry"),
    "an envelope at the relay": in_table("relay.db", "item", "body"),
    "the blobs": of_the_blobs,
    "library.toml": of_the_library_file,
}


def read_all(folder: Path, passphrase: str, library_id: bytes, secrets: Secrets) -> None:
    at_the_relay = (folder / "relay.db").exists()
    opened = open_relay(folder, library_id, secrets) if at_the_relay else open_library(folder, passphrase)[0]
    opened.originals()


@pytest.mark.parametrize("change", CHANGES)
def test_one_changed_byte_is_noticed(lived: Lived, tmp_path: Path, change: str) -> None:
    rng = random.Random(change)
    here, secrets = open_library(lived.root, lived.passphrase)
    for number in range(3):
        folder = tmp_path / str(number)
        shutil.copytree(lived.relay if change.endswith("relay") else lived.root, folder)
        CHANGES[change](folder, rng)
        with pytest.raises(Refused):
            read_all(folder, lived.passphrase, here.library_id, secrets)
