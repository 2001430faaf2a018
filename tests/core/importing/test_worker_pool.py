"""Worker processes that crash, hang, swell or lie cost one file each."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import zlib
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest
from PIL import Image

from core.confined_process import ConfinedProcess
from core.confinement import PipeBroken
from core.importing import protocol
from core.importing.errors import FileRefused, WorkerBroken
from core.importing.limits import Limits
from core.importing.worker_pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def jpeg(size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, "JPEG")
    return out.getvalue()


def ask(pool: WorkerPool, data: bytes, name: str = "a.jpg") -> protocol.Done:
    done, preview = pool.photo(protocol.Photo(name, len(data)), data)
    assert preview.startswith(b"\xff\xd8")
    return done


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(1)
    yield pool
    pool.close()


def test_a_close_look_has_all_pixels_of_a_picture_up_to_its_bound() -> None:
    pool = WorkerPool(1, limits=Limits(longest=3_000))
    try:
        assert ask(pool, jpeg((2_900, 40))).preview_size == (2_900, 40)
        assert ask(pool, jpeg((6_400, 64))).preview_size == (3_000, 30)
    finally:
        pool.close()


def test_a_worker_that_is_killed_is_replaced(pool: WorkerPool) -> None:
    ask(pool, jpeg())
    (first,) = pool.processes()
    psutil.Process(first).kill()
    with pytest.raises(FileRefused, match=r"ended by the system|crashed"):
        ask(pool, jpeg())
    assert ask(pool, jpeg()).facts.width == 64
    assert pool.processes() != [first]


def test_a_file_that_takes_too_long_fails_and_the_next_one_does_not() -> None:
    pool = WorkerPool(1, limits=Limits(seconds=3))
    try:
        ask(pool, jpeg())
        (worker,) = pool.processes()
        # A decoder that never comes back.
        psutil.Process(worker).suspend()
        # Without the limit it would be waited for without end, and so would this test.
        rescue = threading.Timer(20, psutil.Process(worker).kill)
        rescue.daemon = True
        rescue.start()
        with pytest.raises(FileRefused, match="longer than 3 seconds"):
            ask(pool, jpeg())
        rescue.cancel()
        assert ask(pool, jpeg()).facts.width == 64
    finally:
        pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux")
def test_a_file_that_needs_too_much_memory_fails_and_the_next_one_does_not() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = 6000
    rows = zlib.compress(bytes(side * 3 + 1) * side, 1)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )
    assert len(bomb) < 2_000_000
    pool = WorkerPool(1, limits=Limits(memory=100 << 20))
    try:
        with pytest.raises(FileRefused, match="memory"):
            ask(pool, bomb, "bomb.png")
        assert ask(pool, jpeg()).facts.width == 64
    finally:
        pool.close()


def test_files_by_path_are_digested(pool: WorkerPool, tmp_path: Path) -> None:
    import hashlib
    import os

    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    request = protocol.Photo("a.jpg", path.stat().st_size, os.fsencode(path))
    done, _ = pool.photo(request)
    assert done.digest == hashlib.blake2b(path.read_bytes(), digest_size=32).digest()
    with pytest.raises(FileRefused, match="no such file"):
        pool.photo(protocol.Photo("b.jpg", 1, os.fsencode(tmp_path / "b.jpg")))


def test_a_model_that_cannot_be_loaded_is_said_before_anything_is_imported(tmp_path: Path) -> None:
    pool = WorkerPool(1, protocol.Model(str(tmp_path), b"format = 1\n"))
    try:
        with pytest.raises(WorkerBroken):
            ask(pool, jpeg())
    finally:
        pool.close()


def test_a_worker_finds_nothing_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown by a variable of Python's own, which a module of Python's own prints."""
    monkeypatch.setenv("PYTHONUSERBASE", "/where/the/passphrase/lies")
    process = ConfinedProcess("site")
    try:
        printed = process.output.readall()
    finally:
        process.end()
    assert b"USER_BASE" in printed
    assert b"/where/the/passphrase/lies" not in printed


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says who may look into a process")
def test_a_confined_process_is_dumped_nowhere_and_looked_into_by_nobody() -> None:
    code = (
        "import ctypes, resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n"
        "from core.confinement import confine\n"
        "confine(open_files=64)\n"
        "print(*resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "0 0 0\n"


def test_a_worker_neither_writes_files_nor_keeps_what_its_parent_has(pool: WorkerPool) -> None:
    if sys.platform == "linux":
        ask(pool, jpeg())
        (worker,) = map(psutil.Process, pool.processes())
        assert worker.rlimit(psutil.RLIMIT_FSIZE) == worker.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    code = (
        "import sys; sys.modules['readline'] = None\n"
        "import core.importing.worker\n"
        "held = {'automerge', 'nacl', 'sqlalchemy', 'sqlite3', 'crypto.keys', 'core.library'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(held)) if held else 0)"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_an_answer_that_is_none_ends_the_worker() -> None:
    with pytest.raises(PipeBroken):
        protocol.receive_answer(io.BytesIO(struct.pack(">I", 3) + b"\x81\xa1t" + bytes(4)))
    ready = msgspec.msgpack.encode(protocol.Ready())
    for said in (b"", struct.pack(">I", len(ready)) + ready):
        with pytest.raises(PipeBroken, match="over the limit"):
            protocol.receive_answer(io.BytesIO(said + struct.pack(">I", 1 << 30)))
    with pytest.raises(PipeBroken):
        protocol.receive_answer(io.BytesIO(b"\0\0"))


def test_frames_survive_pipes_that_take_little_at_a_time() -> None:
    sent = bytearray()

    def write(data: bytes | memoryview) -> int:
        sent.extend(bytes(data[:7]))
        return min(7, len(data))

    protocol.send(write, protocol.Photo("a.jpg", 5), b"hello")
    request, body = protocol.receive_request(io.BytesIO(bytes(sent)))
    assert request == protocol.Photo("a.jpg", 5)
    assert body == b"hello"
