"""Importing into a real library: what ends in it, what does not, and that one bad file costs nothing else."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core import bundles, edits
from core.catalog import DateSource
from core.importing import moving
from core.importing.pipeline import import_paths
from core.importing.walk import printable
from core.verify import verify
from core.xmp import Sidecar, SidecarLabel, encode_sidecar
from crdt.records import PhotoFacts
from tests.core.importing.imports import Heard, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.library import Library
    from tests.core.conftest import Bench


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_name_that_is_not_utf_8_is_stored_printable(library: Library, make_photo: Callable[..., Path]) -> None:
    path = make_photo("x.jpg")
    odd = path.rename(path.with_name(os.fsdecode(b"caf\xe9\x1b[2J.jpg")))
    _, heard = run(library, odd.parent)
    (event,) = heard.of("added")
    assert event.path == printable(odd)
    (record,) = library.catalog.search()
    assert record.filename == "caf\ufffd\ufffd[2J.jpg"


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
