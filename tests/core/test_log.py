"""`log.db`: what a transaction stores and what it takes back, versions, damage, and what must never be in the file."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from core.errors import DiskFull, LogDamaged, UnknownFormat
from core.log import Log, RelayState
from core.log_file import log_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEVICE = b"D" * 32
OTHER = b"E" * 32


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log.create(tmp_path / "log.db", {b"L" * 32: b"genesis"}, {"machine": b"token"})
    yield log
    log.close()


def append(log: Log, device: bytes, seq: int, data: bytes = b"envelope") -> None:
    with log.transaction() as transaction:
        transaction.append(device, seq, bytes([seq % 256]) * 32, data)


def scalar(log: Log, statement: str) -> object:
    result = log._connection.exec_driver_sql(statement)
    return result.scalar() if result.returns_rows else None


def unexpected(damage: LogDamaged) -> None:
    raise damage


def test_envelopes_past_a_vector_come_in_the_order_they_came_in(log: Log) -> None:
    for seq in range(1, 101):
        append(log, DEVICE, seq)
        if seq % 10 == 0:
            append(log, OTHER, seq // 10)
    assert log.heads() == {DEVICE: (100, bytes([100]) * 32), OTHER: (10, bytes([10]) * 32)}
    everything = list(log.after({}, unexpected))
    assert len(everything) == 110
    assert [stored.position for stored in everything] == sorted(stored.position for stored in everything)
    late = list(log.after({DEVICE: (95, b""), OTHER: (10, b"")}, unexpected))
    assert [(stored.device, stored.seq) for stored in late] == [(DEVICE, seq) for seq in range(96, 101)]
    assert [stored.seq for stored in log.after({DEVICE: (100, b"")}, unexpected)] == list(range(1, 11))
    assert list(log.after(log.heads(), unexpected)) == []
    assert [stored.position for stored in log.newest_first(unexpected)] == [
        stored.position for stored in reversed(everything)
    ]


def test_an_exception_inside_a_transaction_takes_everything_back(log: Log) -> None:
    append(log, DEVICE, 1)
    with pytest.raises(ZeroDivisionError), log.transaction() as transaction:  # noqa: PT012  both belong to it
        transaction.append(DEVICE, 2, b"h" * 32, b"envelope")
        _ = 1 // 0
    assert log.head(DEVICE) == (1, bytes([1]) * 32)
    assert log.count() == 1
    append(log, DEVICE, 2)


@pytest.mark.scenario(2, "under another number")
def test_a_sequence_number_cannot_be_used_twice(log: Log) -> None:
    append(log, DEVICE, 1)
    with pytest.raises(Exception, match="log"):
        append(log, DEVICE, 1, b"another envelope")
    assert log.count() == 1


def test_another_process_s_commit_changes_the_data_version(log: Log, tmp_path: Path) -> None:
    before = log.data_version()
    append(log, DEVICE, 1)
    assert log.data_version() == before
    other = Log(tmp_path / "log.db")
    append(other, DEVICE, 2)
    other.close()
    assert log.data_version() != before


@pytest.mark.scenario(12, "the disk is full")
def test_a_full_disk_is_named_and_stores_nothing(log: Log, tmp_path: Path) -> None:
    append(log, DEVICE, 1)
    pages = scalar(log, "PRAGMA page_count")
    scalar(log, f"PRAGMA max_page_count={pages}")
    with pytest.raises(DiskFull) as full:
        append(log, DEVICE, 2, b"x" * 100_000)
    assert full.value.hint
    assert log.head(DEVICE)[0] == 1
    scalar(log, "PRAGMA max_page_count=1000000")
    append(log, DEVICE, 2, b"x" * 100_000)


def test_a_newer_schema_is_refused(log: Log, tmp_path: Path) -> None:
    log.close()
    raw = sqlite3.connect(tmp_path / "log.db")
    raw.execute("PRAGMA user_version=3")
    raw.close()
    with pytest.raises(UnknownFormat, match="schema version 3"):
        Log(tmp_path / "log.db")


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"not a database at all" * 100])
def test_a_log_that_is_no_log_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.db").write_bytes(content)
    with pytest.raises(LogDamaged):
        Log(tmp_path / "log.db")


def test_a_missing_log_is_damaged_and_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(LogDamaged, match="missing"):
        Log(tmp_path / "log.db")
    assert not (tmp_path / "log.db").exists()


def test_what_a_cut_log_still_holds_can_be_read(log: Log, tmp_path: Path) -> None:
    for seq in range(1, 41):
        append(log, DEVICE, seq, bytes([seq]) * 9_000)
    log.close()
    whole = (tmp_path / "log.db").read_bytes()
    (tmp_path / "log.db").write_bytes(whole[: len(whole) // 2])
    cut = Log(tmp_path / "log.db")
    damages: list[LogDamaged] = []
    read = list(cut.after({}, damages.append))
    assert damages
    assert 5 < len(read) < 40
    assert all(stored.data == bytes([stored.seq]) * 9_000 for stored in read)
    cut.close()


def test_log_files_are_private_whatever_the_umask(log: Log, tmp_path: Path) -> None:
    append(log, DEVICE, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.db", "log.db-shm", "log.db-wal"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_large_sort_spills_nothing_to_disk(log: Log) -> None:
    """SQLite writes sorts over its cache to temporary files unless it is told to keep them in memory."""
    assert scalar(log, "PRAGMA temp_store") == 2
    before = _open_temporary_files()
    scalar(log, "PRAGMA cache_size=10")
    rows = log._connection.exec_driver_sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) "
        "SELECT hex(randomblob(200)) AS secret FROM n ORDER BY secret"
    )
    rows.fetchone()
    assert _open_temporary_files() == before
    rows.close()


def _open_temporary_files() -> set[str]:
    from pathlib import Path

    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except OSError:
            continue
    return {link for link in links if "etilqs" in link}


def test_a_disk_too_full_to_read_the_log_is_named() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    with pytest.raises(DiskFull, match="disk is full"), log_errors():
        raise error


SCHEMA_1 = """
CREATE TABLE fact (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE membership (hash BLOB NOT NULL PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE envelope (position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, device BLOB NOT NULL, seq INTEGER NOT NULL,
    hash BLOB NOT NULL, envelope BLOB NOT NULL, UNIQUE (device, seq));
CREATE TABLE chain_head (device BLOB NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE relay (id BLOB NOT NULL PRIMARY KEY, cursor INTEGER NOT NULL);
CREATE TABLE outbox (relay BLOB NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (relay, position));
CREATE TABLE blob_state (blob BLOB NOT NULL PRIMARY KEY, state INTEGER NOT NULL);
"""
"""The tables as the first version made them."""


def make_schema_1(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.executescript(f"PRAGMA application_id={0x53414645}; PRAGMA journal_mode=WAL; {SCHEMA_1} PRAGMA user_version=1;")
    raw.execute("INSERT INTO fact VALUES ('machine', x'00112233')")
    raw.execute("INSERT INTO membership VALUES (?, ?)", (b"L" * 32, b"genesis"))
    for seq in range(1, 4):
        raw.execute(
            "INSERT INTO envelope (device, seq, hash, envelope) VALUES (?, ?, ?, ?)",
            (DEVICE, seq, bytes([seq]) * 32, b"envelope"),
        )
    raw.execute("INSERT INTO chain_head VALUES (?, 3, ?)", (DEVICE, bytes([3]) * 32))
    raw.execute("INSERT INTO blob_state VALUES (?, 1)", (b"b" * 32,))
    raw.commit()
    raw.close()


def test_a_log_of_schema_1_is_brought_up_and_keeps_what_it_holds(tmp_path: Path) -> None:
    make_schema_1(tmp_path / "old.db")
    for _ in range(2):
        with contextlib.closing(Log(tmp_path / "old.db")) as log:
            assert scalar(log, "PRAGMA user_version") == 2
            assert log.fact("machine") == bytes.fromhex("00112233")
            assert log.membership_entries() == {b"L" * 32: b"genesis"}
            assert [stored.seq for stored in log.after({}, unexpected)] == [1, 2, 3]
            assert log.head(DEVICE) == (3, bytes([3]) * 32)
            assert log.blobs_in_state(1) == {b"b" * 32}
            assert log.some_blobs_in_state(1, b"c", 2) == [b"b" * 32]
            assert (log.base(), log.frontiers(), log.held(), log.alarms()) == ({}, {}, [], [])
            assert not scalar(log, "SELECT count(*) FROM sqlite_schema WHERE name = 'outbox'")
    with contextlib.closing(Log(tmp_path / "old.db")) as log:
        append(log, DEVICE, 4)
        assert log.last_position() == 4


def test_an_upgrade_that_is_cut_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_schema_1(tmp_path / "old.db")
    with monkeypatch.context() as broken:
        broken.setattr("core.log_schema.metadata.create_all", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            Log(tmp_path / "old.db")
    with contextlib.closing(Log(tmp_path / "old.db")) as log:
        assert log.count() == 3
        assert log.relay_state(b"r") == RelayState()


def test_what_is_remembered_of_relays_and_alarms(log: Log) -> None:
    state = RelayState(7, b"generation", 3, b"sealed")
    with log.transaction() as transaction:
        transaction.set_relay_state(b"r" * 16, RelayState(1))
        transaction.set_relay_state(b"r" * 16, state)
        transaction.add_alarm(b"a", b"first")
        transaction.add_alarm(b"b", b"second")
        transaction.add_alarm(b"a", b"again")
    assert log.relay_state(b"r" * 16) == state
    assert log.alarms() == [(b"a", b"first"), (b"b", b"second")]
    with log.transaction() as transaction:
        transaction.forget_relay(b"r" * 16)
        transaction.remove_alarms()
    assert (log.relay_state(b"r" * 16), log.alarms()) == (RelayState(), [])


def test_a_frontier_moves_forward_only(log: Log) -> None:
    with log.transaction() as transaction:
        transaction.append(OTHER, 1, b"1" * 32, b"envelope")
        assert transaction.moved_since(DEVICE) == {OTHER: (1, b"1" * 32)}
        transaction.append(DEVICE, 1, b"h" * 32, b"envelope", {OTHER: (1, b"1" * 32)})
        assert transaction.moved_since(DEVICE) == {}
        transaction.append(DEVICE, 2, b"i" * 32, b"envelope", {OTHER: (9, b"9" * 32)})
        transaction.append(DEVICE, 3, b"j" * 32, b"envelope", {OTHER: (4, b"4" * 32)})
    assert log.frontiers() == {DEVICE: {OTHER: (9, b"9" * 32)}}


def test_a_base_counts_as_accepted_and_never_goes_back(log: Log) -> None:
    append(log, DEVICE, 1)
    with log.transaction() as transaction:
        transaction.name(DEVICE, OTHER, 3, b"3" * 32)
        transaction.name(DEVICE, OTHER, 6, b"6" * 32)
        transaction.raise_base({DEVICE: (1, bytes([1]) * 32), OTHER: (5, b"5" * 32)})
        transaction.raise_base({OTHER: (2, b"2" * 32)})
    assert log.base() == {DEVICE: (1, bytes([1]) * 32), OTHER: (5, b"5" * 32)}
    assert log.heads() == log.base()
    assert [seq for _, seq, _, _ in log.named()] == [6]
    append(log, OTHER, 6)
    assert [stored.seq for stored in log.after({}, unexpected)] == [1, 6]
    assert [stored.seq for stored in log.after({DEVICE: (1, b""), OTHER: (5, b"")}, unexpected)] == [6]


def test_envelopes_that_are_set_aside_leave_the_chain(log: Log) -> None:
    for seq in range(1, 6):
        append(log, DEVICE, seq)
    with log.transaction() as transaction:
        transaction.supersede(DEVICE, 4)
    assert log.head(DEVICE) == (3, bytes([3]) * 32)
    assert [stored.seq for stored in log.superseded()] == [4, 5]
    append(log, DEVICE, 4, b"another")
    assert [stored.position for stored in log.after({}, unexpected)] == [1, 2, 3, 6]
    with log.transaction() as transaction:
        transaction.supersede(DEVICE, 1)
    assert log.heads() == {}


def test_threads_take_turns(log: Log) -> None:
    def write(device: bytes) -> None:
        for seq in range(1, 30):
            append(log, device, seq)
            assert log.head(device)[0] == seq

    threads = [threading.Thread(target=write, args=(bytes([number]) * 32,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.count() == 4 * 29
