"""Importing into a real library: what ends in it, what does not, and that one bad file costs nothing else."""

from __future__ import annotations

import json
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

from core import bundles, edits
from core.catalog import DateSource
from core.errors import DiskFull
from core.importing import moving
from core.importing.dates import CaptureTime
from core.importing.description import Description
from core.importing.limits import Limits
from core.importing.pipeline import import_paths
from core.importing.walk import printable
from core.verify import verify
from core.xmp import Sidecar, SidecarLabel, encode_sidecar
from crdt.records import PhotoFacts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.importing.events import ImportEvent, ImportSummary
    from core.importing.protocol import Done, Photo
    from core.library import Library
    from tests.core.conftest import Bench


class Heard:
    """A listener that keeps everything."""

    def __init__(self) -> None:
        self.events: list[ImportEvent] = []

    def __call__(self, event: ImportEvent) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[ImportEvent]:
        return [event for event in self.events if event.kind == kind]

    def reasons(self, kind: str) -> dict[str, str]:
        return {os.path.basename(event.path or ""): event.reason or "" for event in self.of(kind)}  # noqa: PTH119


def run(library: Library, *paths: Path, **options: object) -> tuple[ImportSummary, Heard]:
    heard = Heard()
    summary = import_paths(library, paths, label=False, workers=1, progress=heard, **options)  # type: ignore[arg-type]
    return summary, heard


def test_a_photo_comes_out_as_it_went_in(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("IMG_1.jpg", size=(400, 300), taken="2024:05:17 14:03:02")
    summary, heard = run(library, path)
    (added,) = heard.of("added")
    assert added.pid is not None
    assert added.path == str(path)
    assert (summary.added, summary.failed, summary.duplicates, summary.skipped) == (1, 0, 0, 0)

    photo = library.catalog.photo(added.pid)
    assert photo is not None
    assert (photo.filename, photo.taken, photo.width, photo.height) == ("IMG_1.jpg", "2024-05-17T14:03:02", 400, 300)
    assert (photo.document, photo.mime, photo.size) == ("photos:2024-05", "image/jpeg", path.stat().st_size)
    assert photo.date_source is DateSource.FILE
    copies = {copy.role: copy for copy in library.catalog.copies(added.pid)}
    assert library.blobs.read(copies["original"].blob_id, copies["original"].key) == path.read_bytes()
    preview = library.blobs.read(copies["preview"].blob_id, copies["preview"].key)
    assert preview.startswith(b"\xff\xd8\xff")
    place = library.catalog.thumbnail(added.pid)
    assert place is not None
    with library.blobs.open(place.blob_id, place.key) as bundle:
        assert bundles.read_part(bundle, place.offset, place.length).startswith(b"\xff\xd8\xff")
    assert photo.thumbhash


def test_the_same_photo_again_renamed_or_moved_is_one_photo(
    library: Library, make_photo: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_photo("a.jpg")
    twin = tmp_path / "photos" / "z" / "renamed.jpg"
    twin.parent.mkdir()
    shutil.copy(path, twin)
    summary, heard = run(library, tmp_path / "photos")
    assert (summary.added, summary.duplicates) == (1, 1)
    assert [event.path for event in heard.of("added")] == [str(path)]
    again, _ = run(library, tmp_path / "photos")
    assert (again.added, again.duplicates, again.group) == (0, 2, None)
    assert library.catalog.count() == 1


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


def test_the_first_of_two_twins_gives_name_and_words(library: Library, make_photo: Callable[..., Path]) -> None:
    for turn in range(4):
        first = make_photo(f"{turn}/a.jpg", size=(200, 100))
        (first.parent / "b.jpg").write_bytes(first.read_bytes())
        first.with_suffix(".xmp").write_bytes(encode_sidecar(Sidecar(caption="first")))
        (first.parent / "b.xmp").write_bytes(encode_sidecar(Sidecar(caption="second")))
        import_paths(library, [first.parent], label=False, workers=2)
    assert {(photo.filename, photo.caption) for photo in library.catalog.search()} == {("a.jpg", "first")}
    assert library.catalog.count() == 4


def test_events_come_in_the_order_of_the_walk(
    library: Library, make_photo: Callable[..., Path], tmp_path: Path
) -> None:
    names = [make_photo(f"{n:02}.jpg", size=(64 + 400 * (n % 3), 48)).name for n in range(12)]
    heard = Heard()
    import_paths(library, [tmp_path / "photos"], label=False, workers=2, progress=heard)
    assert [os.path.basename(event.path or "") for event in heard.of("added")] == names  # noqa: PTH119


def test_progress_counts_files_and_bytes_to_the_end(
    library: Library, make_photo: Callable[..., Path], tmp_path: Path
) -> None:
    paths = [make_photo(f"{n}.jpg") for n in range(3)]
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    _, heard = run(library, tmp_path / "photos")
    last = heard.of("progress")[-1].progress
    assert last is not None
    assert (last.files, last.total_files) == (4, 4)
    assert last.bytes == last.total_bytes == sum(path.stat().st_size for path in paths) + len("no photo")


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_name_that_is_not_utf_8_is_stored_printable(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("x.jpg")
    odd = path.rename(path.with_name(os.fsdecode(b"caf\xe9\x1b[2J.jpg")))
    _, heard = run(library, odd.parent)
    (event,) = heard.of("added")
    assert event.path == printable(odd)
    (record,) = library.catalog.search()
    assert record.filename == "caf\ufffd\ufffd[2J.jpg"


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


def test_large_files_are_streamed_and_come_out_as_they_went_in(
    library: Library, make_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.importing import reading

    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 1000)
    path = make_photo("large.jpg", size=(900, 700))
    assert path.stat().st_size > 1000
    summary, heard = run(library, path)
    assert summary.added == 1
    (copy, *_) = library.catalog.copies(heard.of("added")[0].pid or b"")
    assert library.blobs.read(copy.blob_id, copy.key) == path.read_bytes()


def test_sidecars_describe_but_never_decide(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("IMG_1.jpg", taken="2024:05:17 14:03:02")
    told = Sidecar(
        labels=(SidecarLabel("Harbour Walk"), SidecarLabel("boat", by_model=True)),
        caption="At the harbour",
        rating=4,
        favourite=True,
        rotation=90,
        taken="2019-01-02T03:04:05+01:00",
        location=(38.72, -9.14),
        albums=("Lisbon",),
    )
    path.with_suffix(".xmp").write_bytes(encode_sidecar(told))
    summary, heard = run(library, path.parent, album="Everything")
    assert summary.added == 1
    photo = library.catalog.photo(heard.of("added")[0].pid or b"")
    assert photo is not None
    assert photo.document == "photos:2024-05"
    assert (photo.caption, photo.rating, photo.favourite, photo.rotation) == ("At the harbour", 4, True, 90)
    assert photo.taken_at == "2019-01-02T03:04:05+01:00"
    assert [label.name for label in photo.labels] == ["harbour walk"]
    assert photo.albums == ("Everything", "Lisbon")
    assert (photo.latitude, photo.longitude) == pytest.approx((38.72, -9.14))


def test_a_takeout_record_gives_date_and_words(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("IMG_1.jpg")
    record = {"photoTakenTime": {"timestamp": "1715514301"}, "description": "Three boats", "favorited": True}
    (path.parent / "IMG_1.jpg.supplemental-metadata.json").write_text(json.dumps(record))
    (path.parent / "metadata.json").write_text(json.dumps({"title": "Harbours", "access": "protected"}))
    binned = make_photo("IMG_2.jpg")
    (path.parent / "IMG_2.jpg.json").write_text(json.dumps(record | {"trashed": True}))
    _, heard = run(library, path.parent)
    assert heard.reasons("skipped") == {binned.name: "it was in the bin of Google Photos"}
    (photo,) = library.catalog.search()
    assert photo.document.startswith("undated:")
    assert photo.taken_at == "2024-05-12T11:45:01+00:00"
    assert (photo.caption, photo.favourite) == ("Three boats", True)
    assert photo.albums == ("Harbours",)


def test_a_bad_sidecar_is_noted_and_the_photo_imported(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("a.jpg")
    path.with_suffix(".xmp").write_bytes(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    summary, heard = run(library, path)
    assert summary.added == 1
    assert "entities" in heard.reasons("note")["a.jpg"]


def test_names_and_times_of_files_are_only_a_fallback(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("IMG_20240512_134501.jpg")
    run(library, path)
    (photo,) = library.catalog.search()
    assert photo.taken == "2024-05-12T13:45:01"
    assert photo.date_source is DateSource.GUESS
    assert photo.document.startswith("undated:")
    facts = library.replica_get(photo.document, "photo", photo.id)
    assert isinstance(facts, bytes)
    assert PhotoFacts.unpack(facts).fallback_source == "file.name"


def test_trashed_photos_stay_in_the_trash(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("a.jpg")
    _, heard = run(library, path)
    pid = heard.of("added")[0].pid or b""
    edits.trash(library, [pid])
    summary, heard = run(library, path)
    assert summary.duplicates == 1
    assert heard.of("duplicate")[0].reason == "in the trash"
    assert moving.is_trashed(library, pid)


def test_purged_photos_come_back_only_when_told_to(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("a.jpg")
    _, heard = run(library, path)
    pid = heard.of("added")[0].pid or b""
    edits.purge(library, [pid])
    summary, heard = run(library, path)
    assert (summary.added, summary.skipped) == (0, 1)
    assert "purged" in heard.reasons("skipped")["a.jpg"]
    assert library.catalog.photo(pid) is None
    summary, _ = run(library, path, readmit_purged=True)
    assert summary.added == 1
    (copy, *_) = library.catalog.copies(pid)
    assert library.blobs.read(copy.blob_id, copy.key) == path.read_bytes()
    assert verify(library).problems == []


def test_moving_removes_a_source_only_when_its_photo_reads_back(
    library: Library, make_photo: Callable[..., Path], tmp_path: Path
) -> None:
    path, other = make_photo("a.jpg"), make_photo("b.jpg")
    content = path.read_bytes()
    (path.parent / "notes.txt").write_text("stays")
    kept = make_photo("linked.jpg", folder="elsewhere")
    if sys.platform != "win32":
        (path.parent / "link.jpg").symlink_to(kept)
    summary, _ = run(library, path.parent, move=True)
    assert summary.moved == 2
    assert not path.exists()
    assert not other.exists()
    assert kept.exists()
    assert (path.parent / "notes.txt").exists()

    # A damaged copy in the library is no reason to give up the source.
    path.write_bytes(content)
    pid = next(photo.pid for photo in library.catalog.search() if photo.filename == "a.jpg")
    blob = library.blobs.path(library.catalog.copies(pid)[0].blob_id)
    damaged = bytearray(blob.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    blob.write_bytes(damaged)
    summary, heard = run(library, path, move=True)
    assert (summary.moved, summary.unmoved) == (0, 1)
    assert path.exists()
    assert "read back" in heard.reasons("note")["a.jpg"]


def test_importing_again_repairs_an_original_that_is_gone(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("a.jpg")
    _, heard = run(library, path)
    (copy, *_) = library.catalog.copies(heard.of("added")[0].pid or b"")
    library.blobs.remove(copy.blob_id)
    summary, _ = run(library, path)
    assert summary.duplicates == 1
    assert library.blobs.read(copy.blob_id, copy.key) == path.read_bytes()


def test_an_album_takes_new_photos_and_known_ones(library: Library, make_photo: Callable[..., Path]) -> None:
    first, second = make_photo("a.jpg"), make_photo("b.jpg")
    run(library, first)
    run(library, first, second, album="Trip")
    (album,) = library.catalog.albums()
    assert (album.name, album.photos) == ("Trip", 2)
    run(library, second, album="Trip")
    assert [(found.name, found.photos) for found in library.catalog.albums()] == [("Trip", 2)]


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


def test_no_name_or_maker_is_in_the_librarys_files(bench: Bench, make_photo: Callable[..., Path]) -> None:
    path = make_photo("secret-harbour-name.jpg")
    path.with_suffix(".xmp").write_bytes(
        encode_sidecar(Sidecar(caption="secret-caption", labels=(SidecarLabel("secret-label"),)))
    )
    with bench.open() as library:
        run(library, path)
    for file in bench.root.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"secret-" not in content
            assert b"Maker " not in content


def test_what_the_shared_photos_become(library: Library, shared_data: Path) -> None:
    heard = Heard()
    summary = import_paths(library, [shared_data / "photos" / "malformed"], label=False, workers=2, progress=heard)
    files = list((shared_data / "photos" / "malformed").iterdir())
    lines = Counter(event.path for event in heard.events if event.kind in {"added", "failed"})
    assert len(lines) == len(files)
    assert set(lines.values()) == {1}
    # These decode although something about them is wrong; the manifest of the photos says so of the same six.
    assert {os.path.basename(event.path or "") for event in heard.of("added")} == {  # noqa: PTH119
        "avif__poc_b_506387278.avif",
        "ianare__image01980.jpg",
        "ianare__image02206.jpg",
        "pheif__truncated.heic",
        "pillow__sugarshack_bad_mpo_header.jpg",
        "pillow__truncated_app14.jpg",
    }
    assert summary.added + summary.failed == len(files)


def test_pictures_from_other_programs_survive_the_round_trip(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (30, 20), "red").save(folder / "a.png")
    Image.new("L", (30, 20), 9).save(folder / "b.tiff")
    summary, _ = run(library, folder)
    assert summary.added == 2
    for photo in library.catalog.search():
        copies = {copy.role: copy for copy in library.catalog.copies(photo.pid)}
        original = library.blobs.read(copies["original"].blob_id, copies["original"].key)
        assert original == (folder / (photo.filename or "")).read_bytes()


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
