"""Libraries as earlier versions wrote them open in this one: read, edited, synced, rotated, exported, second-read.

`log-schema-1` was written before there were relays (its catalog is of version 5), `v1` as the first release writes it.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import edits
from core.catalog.tables import VERSION
from core.derived import DerivedFiles
from core.errors import BlobDamaged, UnknownFormat
from core.export import export
from core.library import Library
from core.verify import verify
from sync_relay.server.__main__ import run as relay_command
from sync_relay.server.settings import Settings
from tests.core.sync.conftest import PASSPHRASE, Device, Home
from tests.formats.opened_folders import open_library, open_relay
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay

FIXTURES = Path(__file__).resolve().parent / "fixtures"
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in FIXTURES.glob("*.tar.xz"))


@dataclass(frozen=True)
class Kept:
    """A fixture, unpacked; this machine is the one that wrote it."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "library"

    def open(self) -> Library:
        return Library.open(self.root, Library.unlock(self.root, PASSPHRASE))

    @property
    def pictures(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "pictures").iterdir()}

    def state(self) -> dict[str, str]:
        """Return what lies in the library's folder, but for SQLite's own empty files."""
        files = (path for path in self.root.rglob("*") if path.is_file() and path.stat().st_size)
        found = {str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        return {name: digest for name, digest in found.items() if not name.endswith("-shm")}


def unpacked(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    with tarfile.open(FIXTURES / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
    return Kept(folder)


@pytest.fixture(params=NAMES)
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return unpacked(request.param, tmp_path / "kept", monkeypatch)


@pytest.fixture
def v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return unpacked("v1", tmp_path / "kept", monkeypatch)


def check(library: Library, kept: Kept, destination: Path) -> None:
    """Compare what the library shows with what was put into every fixture."""
    assert list(library.alarms) == []
    assert list(library.notes) == []
    catalog = library.catalog
    (dated,), (undated,) = (catalog.search(query) for query in ("date:2024-05", "-date:2024-05"))
    assert (dated.caption, dated.rating, dated.favourite) == ("Läutwerk, 駅", 0, False)
    assert (undated.caption, undated.rating, undated.favourite) == ("", 4, True)
    assert {photo.filename for photo in catalog.search("label:dog")} == set(kept.pictures)
    assert [album.name for album in catalog.albums()] == ["Lisbon"]
    assert set(catalog.pids("album:Lisbon")) == {dated.pid, undated.pid}
    assert len(catalog.thumbnails([dated.pid, undated.pid])) == 2
    export(library, "", destination, sidecars=False)
    assert {path.name: path.read_bytes() for path in destination.iterdir()} == kept.pictures


def test_a_kept_library_opens_and_lives_on(kept: Kept, tmp_path: Path) -> None:
    with kept.open() as library:
        device = library.device_id
        check(library, kept, tmp_path / "out")
        report = verify(library, deep=True)
        assert report.problems == []
        edits.set_caption(library, library.catalog.pids("-date:2024-05"), "new words")
        assert library.device_id == device
    with kept.open() as library:
        assert [photo.rating for photo in library.catalog.search("new words")] == [4]
        assert verify(library).sound
        stored = library.log.count()
    assert len(open_library(kept.root, PASSPHRASE.decode())[0].envelopes) == stored


def test_without_this_machines_memory_it_goes_on_as_a_new_device(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
    with kept.open() as library:
        device = library.device_id
        edits.set_caption(library, library.catalog.pids("-date:2024-05"), "new words")
        assert library.device_id != device
    opened, secrets = open_library(kept.root, PASSPHRASE.decode())
    with kept.open() as library:
        assert secrets.id == library.device_id
        assert len(opened.envelopes) == library.log.count()
        assert verify(library).sound


@pytest.mark.parametrize("version", ["catalog 8, labels 0", f"catalog {VERSION + 1}, labels 0, 0"])
def test_a_catalog_of_another_version_is_made_again(v1: Kept, tmp_path: Path, version: str) -> None:
    with v1.open() as library:
        files = DerivedFiles(v1.root / "derived", library.members.secrets)
        files.remove_all()
        assert files.save("catalog", version, library.vector, b"of another version" * 100)
    before = v1.state()
    with v1.open() as library:
        check(library, v1, tmp_path / "out")
        library.save_derived()
    assert v1.state().keys() == before.keys()
    assert v1.state() != before


def test_a_derived_file_of_another_form_is_made_again(v1: Kept, tmp_path: Path) -> None:
    with v1.open() as library:
        library.save_derived()
    for path in (path for path in (v1.root / "derived").iterdir() if path.stat().st_size):
        data = path.read_bytes()
        assert data[:5] == b"SLDF\x01"
        path.write_bytes(b"SLDF\x02" + data[5:])
    with v1.open() as library:
        check(library, v1, tmp_path / "out")


def test_its_relay_goes_on_with_new_and_revoked_devices(v1: Kept, tmp_path: Path) -> None:
    relay = Relay(Settings(data=v1.folder / "relay"), Clock())
    home = Home(tmp_path / "home")
    library = v1.open()
    home.devices.append(Device(v1.root, library.members.secrets, library))
    first = home.devices[0]
    try:
        (gone,) = first.engine.relays.urls()
        first.engine.relays.use(relay.url)
        first.engine.relays.remove(gone)
        first.sync()
        second = home.add()
        first.sync()
        second.sync()
        check(second.library, v1, tmp_path / "second")
        edits.set_caption(second.library, second.library.catalog.pids("-date:2024-05"), "by the second")
        second.sync()
        first.sync()
        home.revoke(second)
        edits.add_label(first.library, first.library.catalog.pids("by the second"), "seen")
        first.sync()
        library_id, count = first.library.library_id, first.library.log.count()
    finally:
        home.close()
        relay.stop()
    here, secrets = open_library(v1.root, PASSPHRASE.decode())
    there = open_relay(v1.folder / "relay", library_id, secrets)
    assert len(there.keys) == 3
    assert there.envelopes == here.envelopes
    assert len(here.envelopes) == count
    assert sorted(there.originals().values()) == sorted(v1.pictures.values())


def set_toml(root: Path, line: str) -> None:
    path = root / "library.toml"
    path.write_text(path.read_text().replace("format = 1\n", line))


def set_user_version(root: Path, version: int) -> None:
    with closing(sqlite3.connect(root / "log.db", isolation_level=None)) as log:
        log.execute(f"PRAGMA user_version={version}")


def test_a_newer_library_file_is_refused_by_name_and_left_alone(v1: Kept) -> None:
    set_toml(v1.root, 'format = 3\nnew = "field"\n')
    before = v1.state()
    with pytest.raises(UnknownFormat, match="format 3") as caught:
        v1.open()
    assert caught.value.hint == "Update safelight: a newer version wrote this library."
    assert v1.state() == before


def test_a_newer_log_is_refused_by_name_and_left_alone(v1: Kept) -> None:
    set_user_version(v1.root, 3)
    before = v1.state()
    with pytest.raises(UnknownFormat, match="version 3") as caught:
        v1.open()
    assert caught.value.hint == "Update safelight: a newer version wrote this library."
    assert v1.state() == before


def test_newer_tables_of_a_relay_are_refused_by_name_and_left_alone(
    v1: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    data = v1.folder / "relay"
    with closing(sqlite3.connect(data / "relay.db", isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = '0099'")
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file() and path.stat().st_size}
    assert relay_command(["stats", "--data", str(data)]) == 1
    told = capsys.readouterr().err
    assert "tables of revision 0099, which this version of the relay does not know" in told
    assert "A newer safelight-relay wrote them" in told
    after = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file() and path.stat().st_size}
    assert {name: after[name] for name in after if not name.endswith("-shm")} == before


NEWER = "A newer Safelight wrote it"


def of_version_2(data: bytes) -> bytes:
    assert data[6:8] == b"\0\1"
    return data[:6] + b"\0\2" + data[8:]


def newest(library: Library) -> tuple[bytes, int, bytes]:
    """Return device, number and bytes of the last envelope of this device."""
    seq, _ = library.log.head(library.device_id)
    stored = library.log.envelope(library.device_id, seq)
    assert stored is not None
    return stored.device, seq, stored.data


def test_newer_envelopes_and_entries_that_arrive_say_that_an_update_is_needed(v1: Kept) -> None:
    with v1.open() as library:
        _, _, data = newest(library)
        (entry,) = [found for name, found in library.log.membership_entries().items() if name != library.library_id][:1]
        before = library.log.count()
        arrivals = [library.ingest.envelopes([of_version_2(data)]), library.ingest.entries([of_version_2(entry)])]
        for arrival in arrivals:
            (alarm,) = arrival.alarms
            assert "of version 2; this program reads version 1" in str(alarm)
            assert "pdate Safelight" in str(alarm.hint)
        assert library.log.count() == before
        assert library.alarms == []


def test_a_newer_envelope_in_the_log_is_no_reason_to_put_an_older_log_back(v1: Kept) -> None:
    with v1.open() as library:
        device, seq, data = newest(library)
    newer = of_version_2(data)
    hashed = hashlib.blake2b(newer, digest_size=32).digest()
    with closing(sqlite3.connect(v1.root / "log.db", isolation_level=None)) as log:
        insert = "INSERT INTO envelope (device, seq, hash, envelope) VALUES (?, ?, ?, ?)"
        log.execute(insert, (device, seq + 1, hashed, newer))
        log.execute("UPDATE chain_head SET seq = ?, hash = ? WHERE device = ?", (seq + 1, hashed, device))
    before = v1.state()
    with v1.open() as library:
        said = {str(alarm): alarm.hint or "" for alarm in library.alarms}
        (message,) = [message for message in said if "of version 2" in message]
        assert said[message].startswith(NEWER)
        assert len(library.catalog.search("")) == 2
    assert v1.state().items() >= before.items()


def test_a_newer_blob_says_that_an_update_is_needed(v1: Kept) -> None:
    with v1.open() as library:
        copy = library.catalog.copies(library.catalog.pids("date:2024-05")[0])[0]
        newer = of_version_2(library.blobs.path(copy.blob_id).read_bytes())
        blob_id = hashlib.blake2b(newer, digest_size=32).digest()
        with library.blobs.receive(blob_id, len(newer)) as incoming:
            incoming.write(newer)
            incoming.finish()
        with pytest.raises(BlobDamaged, match="a blob of version 2; this program reads version 1") as caught:
            library.blobs.read(blob_id, copy.key)
        assert str(caught.value.hint).startswith(NEWER)
