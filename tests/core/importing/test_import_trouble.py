"""Imports in which something goes wrong: files, disks, decoders and the program itself each cost what is theirs."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import sys
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from PIL import Image

from core.errors import DiskFull
from core.importing.dates import CaptureTime
from core.importing.description import Description
from core.importing.limits import Limits
from core.importing.pipeline import import_paths
from core.verify import verify
from tests.core.importing.imports import Heard, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.importing.protocol import Done, Photo
    from core.library import Library
    from tests.core.conftest import Bench


def test_twins_of_a_file_that_fails_fail_with_it(library: Library, make_photo: Callable[..., Path]) -> None:
    half = make_photo("a.jpg").read_bytes()[:-30]
    folder = make_photo("ok.jpg").parent
    for name in ("a.jpg", "b.jpg", "c/d.jpg", "z.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(half)
    heard = Heard()
    summary = import_paths(library, [folder], label=False, workers=2, progress=heard)
    assert (summary.added, summary.failed) == (1, 4)
    assert len(set(heard.reasons("failed").values())) == 1


def test_one_bad_file_is_one_line_and_the_rest_is_imported(
    library: Library, make_photo: Callable[..., Path], tmp_path: Path
) -> None:
    good = make_photo("good.jpg")
    folder = good.parent
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "half.jpg").write_bytes(good.read_bytes()[:200])
    (folder / "text.png").write_text("hello")
    (folder / "notes.txt").write_text("hello")
    (folder / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0isom")
    (folder / "art.psd").write_bytes(b"8BPS\0\1" + bytes(30))
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe.jpg")
        (folder / "loop").symlink_to(folder)
        (folder / "closed.jpg").symlink_to(folder / "closed.jpg")
    summary, heard = run(library, folder, tmp_path / "nowhere")
    assert summary.added == 1
    assert set(heard.reasons("failed")) >= {"empty.jpg", "half.jpg", "text.png", "art.psd", "nowhere"}
    assert set(heard.reasons("skipped")) >= {"empty.txt", "notes.txt", "clip.mp4"}
    assert summary.videos == 1
    assert all(event.reason for event in heard.events if event.kind in {"failed", "skipped"})
    counted = Counter(event.path for event in heard.events if event.kind != "progress")
    assert set(counted.values()) == {1}


def test_a_file_that_grows_while_it_is_read_fails_alone(
    library: Library, make_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.importing import reading

    growing, steady = make_photo("a.jpg"), make_photo("b.jpg")
    hash_content = reading.hash_content

    def and_somebody_writes(source: reading.Source, epoch: object) -> reading.Content:
        if source.path == growing:
            with growing.open("ab") as file:
                file.write(b"more")
        return hash_content(source, epoch)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "hash_content", and_somebody_writes)
    summary, heard = run(library, steady.parent)
    assert summary.added == 1
    assert "changed while it was being read" in heard.reasons("failed")["a.jpg"]


def test_a_file_that_vanishes_fails_alone(
    library: Library, make_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.importing import reading

    make_photo("b.jpg")
    going = make_photo("a.jpg")
    open_source = reading.open_source

    def after_it_is_gone(path: Path) -> object:
        if path == going:
            path.unlink(missing_ok=True)
        return open_source(path)

    monkeypatch.setattr(reading, "open_source", after_it_is_gone)
    summary, heard = run(library, going.parent)
    assert summary.added == 1
    assert "vanished" in heard.reasons("failed")["a.jpg"]


def test_a_full_disk_loses_nothing_and_leaves_nothing_half_named(
    bench: Bench, make_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.blobs import BlobStore
    from core.private_files import storage_error

    for number in range(12):
        make_photo(f"{number:02}.jpg")
    stage = BlobStore.stage_bytes
    left = 9

    def until_the_disk_is_full(self: BlobStore, data: bytes, key: bytes | None = None) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            import errno

            raise storage_error(OSError(errno.ENOSPC, "full"), "a blob")
        return stage(self, data, key)

    with bench.open() as library:
        with monkeypatch.context() as patched:
            patched.setattr(BlobStore, "stage_bytes", until_the_disk_is_full)
            with pytest.raises(DiskFull):
                run(library, bench.root.parent / "photos")
        assert list((bench.root / "blobs" / "incoming").iterdir()) == []
        assert verify(library, deep=True).problems == []
    with bench.open() as library:
        summary, _ = run(library, bench.root.parent / "photos")
        assert summary.added + summary.duplicates == 12
        assert library.catalog.count() == 12
        assert verify(library, deep=True).problems == []


def test_a_fault_of_the_program_costs_one_file_and_its_twins(
    library: Library, make_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from core.importing import reading

    broken = make_photo("secret-name.jpg")
    shutil.copy(broken, broken.with_name("twin.jpg"))
    size = make_photo("whole.jpg", size=(300, 200)).stat().st_size
    stage = reading.stage

    def stumbling(source: reading.Source, content: reading.Content, blobs: object) -> object:
        if source.size != size:
            raise ZeroDivisionError(str(source.path))
        return stage(source, content, blobs)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "stage", stumbling)
    summary, heard = run(library, broken.parent)
    assert (summary.added, summary.failed) == (1, 2)
    assert "error in the program itself" in heard.reasons("failed")["twin.jpg"]
    assert "secret-name" not in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_takes_no_more_ends_the_import_with_its_name(
    bench: Bench, make_photo: Callable[..., Path], tmp_path: Path
) -> None:
    import resource

    for number in range(3):
        make_photo(f"a{number}.jpg")
    Image.effect_noise((1600, 1200), 90).convert("RGB").save(tmp_path / "photos" / "b.png")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    with bench.open() as library:
        # What a full disk or a quota does: the large photo's blob stops in the middle.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, usual[1]))
        try:
            with pytest.raises(DiskFull):
                run(library, tmp_path / "photos")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        assert list((bench.root / "blobs" / "incoming").iterdir()) == []
    with bench.open() as library:
        assert verify(library, deep=True).problems == []
        summary, _ = run(library, tmp_path / "photos")
        assert summary.added + summary.duplicates == 4
        assert library.catalog.count() == 4


def test_a_decoder_that_lies_costs_its_own_photo(
    library: Library, make_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.importing.worker_pool import WorkerPool

    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        folder = make_photo(name, size=(60, 40)).parent
    photo = WorkerPool.photo
    lies = {
        "a.jpg": lambda facts: replace(facts, width=-3),
        "b.jpg": lambda facts: replace(facts, description=Description(caption="x" * 100_000)),
        "c.jpg": lambda facts: replace(facts, taken=CaptureTime("../../etc", None, "exif")),
    }

    def lying(self: WorkerPool, request: Photo, body: bytes = b"") -> tuple[Done, bytearray]:
        done, preview = photo(self, request, body)
        return replace(done, facts=lies.get(request.name, lambda facts: facts)(done.facts)), preview

    monkeypatch.setattr(WorkerPool, "photo", lying)
    summary, heard = run(library, folder)
    assert (summary.added, summary.failed) == (1, 3)
    assert set(heard.reasons("failed")) == set(lies)
    assert verify(library, deep=True).problems == []
    assert list((library.root / "blobs" / "incoming").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux")
def test_a_decoder_that_dies_swells_or_is_asked_for_too_much_costs_that_file_alone(
    library: Library, make_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.importing.worker_pool import WorkerPool

    for name in ("a.jpg", "crash.jpg", "z.jpg"):
        folder = make_photo(name, size=(60 + len(name), 40)).parent
    (folder / "memory.png").write_bytes(hollow_png(6_000, 6_000))
    (folder / "pixels.png").write_bytes(hollow_png(2**31 - 1, 2**31 - 1, rows=1))
    exchange = WorkerPool._exchange

    def fatal(self: WorkerPool, worker: Any, request: Any, body: Any) -> Any:
        if getattr(request, "name", "") == "crash.jpg":
            os.kill(worker.pid, signal.SIGSEGV)
        return exchange(self, worker, request, body)

    monkeypatch.setattr(WorkerPool, "_exchange", fatal)
    summary, heard = run(library, folder, limits=Limits(memory=100 << 20))
    assert (summary.added, summary.failed) == (2, 3)
    reasons = heard.reasons("failed")
    assert "the decoder crashed (SIGSEGV)" in reasons["crash.jpg"]
    assert "memory" in reasons["memory.png"]
    assert "over the limit of 128 megapixels" in reasons["pixels.png"]
    assert {photo.filename for photo in library.catalog.search()} == {"a.jpg", "z.jpg"}
    assert list((library.root / "blobs" / "incoming").iterdir()) == []


def hollow_png(width: int, height: int, rows: int | None = None) -> bytes:
    """Return a small file that says it is a large picture, and holds `rows` of it, all by default."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = bytes(min(width, 6_000) * 3 + 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * (height if rows is None else rows), 1))
        + chunk(b"IEND", b"")
    )
