"""Export: the same bytes, nothing replaced, nothing half-written, and a re-import that gives the same library."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core import edits, packs
from core.errors import DiskFull, ExportRefused
from core.export import ExportEvent, export, write_original
from core.export_names import Layout
from core.importing.pipeline import import_paths
from core.library import Library
from crdt.operations import Put
from crdt.schema import label_key
from crypto.kdf import FLOOR, new_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crypto.keys import DeviceSecrets

PASSPHRASE = b"a passphrase for exporting"


def new_library(root: Path) -> Library:
    kdf = new_parameters(opslimit=FLOOR.opslimit, memlimit=FLOOR.memlimit)
    return Library.create(root, PASSPHRASE, device_name="test", kdf=kdf)[0]


def photo(path: Path, colour: tuple[int, int, int], taken: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken
    Image.new("RGB", (40, 30), colour).save(path, exif=exif)
    return path


def make_sources(folder: Path) -> Path:
    photo(folder / "a" / "IMG_1.jpg", (255, 0, 0), "2024:05:01 10:00:00")
    photo(folder / "b" / "IMG_1.jpg", (0, 255, 0), "2023:01:02 03:04:05")
    photo(folder / "c" / "img_1.JPG", (0, 0, 255))
    photo(folder / "d" / "other.jpg", (255, 255, 0), "2024:05:31 23:59:59")
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return make_sources(tmp_path / "sources")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DeviceSecrets]:
    """A folder with a library of the four photos, and who opens it."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
        with new_library(folder / "library") as made:
            assert import_paths(made, [make_sources(folder / "sources")], label=False, workers=1).added == 4
            return folder, made.members.secrets


@pytest.fixture
def library(tmp_path: Path, filled: tuple[Path, DeviceSecrets]) -> Iterator[Library]:
    folder, secrets = filled
    shutil.copytree(folder / "library", tmp_path / "library")
    shutil.copytree(folder / "state", os.environ["SAFELIGHT_STATE_DIR"])
    with Library.open(tmp_path / "library", secrets) as made:
        yield made


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def digests(folder: Path) -> set[bytes]:
    return {hashlib.sha256(data).digest() for name, data in contents(folder).items() if not name.endswith(".xmp")}


def test_originals_are_byte_identical_and_names_that_collide_are_told_apart(
    library: Library, sources: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    summary = export(library, "", out)
    assert (summary.exported, summary.present, summary.failed, summary.sidecars) == (4, 0, 0, 4)
    assert digests(out) == digests(sources)
    names = [name for name in contents(out) if not name.endswith(".xmp")]
    assert len({name.casefold() for name in names}) == 4
    assert sum(name.casefold() == "img_1.jpg" for name in names) == 1
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in out.iterdir())


def test_doing_it_again_writes_nothing_and_changes_nothing(library: Library, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(library, "", out)
    before = contents(out)
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    summary = export(library, "", out)
    assert (summary.exported, summary.present, summary.sidecars) == (0, 4, 0)
    assert contents(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_exporting_parts_first_gives_no_photo_two_names(library: Library, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for pid in sorted(library.catalog.pids(""), reverse=True):
        export(library, f"id:{pid.hex()}", out)
    summary = export(library, "", out)
    assert (summary.exported, summary.present) == (0, 4)


def test_an_export_that_was_stopped_is_continued(library: Library, sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    events: list[ExportEvent] = []
    summary = export(
        library,
        "",
        out,
        progress=lambda event, _done, _total: events.append(event),
        should_stop=lambda: len(events) == 2,
    )
    assert summary.stopped
    assert summary.exported == 2
    summary = export(library, "", out)
    assert (summary.exported, summary.present, summary.stopped) == (2, 2, False)
    assert digests(out) == digests(sources)


def test_a_different_file_is_never_replaced(library: Library, sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("IMG_1.jpg", "img_1.JPG", "other.jpg"):
        (out / name).write_bytes(b"somebody else's")
    export(library, "", out)
    assert (out / "other.jpg").read_bytes() == b"somebody else's"
    assert (out / "IMG_1.jpg").read_bytes() == b"somebody else's"
    assert digests(sources) <= digests(out)


def test_links_folders_and_pipes_in_the_way_are_left_alone(library: Library, sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (out / "other.jpg").symlink_to(victim)
    (out / "IMG_1.jpg").mkdir()
    os.mkfifo(out / "img_1.JPG")
    assert export(library, "", out).failed == 0
    assert victim.read_bytes() == b"precious"


def test_the_sidecar_of_another_program_stays_and_ours_is_brought_up_to_date(library: Library, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (pid,) = library.catalog.pids("name:other")
    export(library, "name:other", out)
    edits.set_caption(library, [pid], "New words")
    assert export(library, "name:other", out).sidecars == 1
    assert "New words" in (out / "other.jpg.xmp").read_text()
    (out / "other.jpg.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    summary = export(library, "name:other", out)
    assert summary.failed == 1
    assert (out / "other.jpg.xmp").read_text() == "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def test_a_file_has_the_time_at_which_the_photo_was_taken(library: Library, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (pid,) = library.catalog.pids("name:other")
    edits.set_taken(library, [pid], "1999-12-31T23:00:00-01:00")
    export(library, "name:other", out)
    assert (out / "other.jpg").stat().st_mtime == datetime(2000, 1, 1, tzinfo=UTC).timestamp()


def test_layouts_by_date_and_album(library: Library, tmp_path: Path) -> None:
    pids = library.catalog.pids("has:date")
    album = edits.create_album(library, "Lisbon / Porto")
    edits.add_to_album(library, pids[:1], album)
    export(library, "", tmp_path / "dates", layout=Layout.DATE, sidecars=False)
    folders = {path.parent.relative_to(tmp_path / "dates").as_posix() for path in (tmp_path / "dates").rglob("*.jpg")}
    assert {"2024/05", "2023/01"} <= folders
    export(library, "", tmp_path / "albums", layout=Layout.ALBUM, sidecars=False)
    assert {path.name for path in (tmp_path / "albums").iterdir()} == {"Lisbon _ Porto", "no album"}


def test_the_library_itself_is_no_destination(library: Library, tmp_path: Path) -> None:
    with pytest.raises(ExportRefused):
        export(library, "", library.root / "out")
    link = tmp_path / "link"
    link.symlink_to(library.root)
    with pytest.raises(ExportRefused):
        export(library, "", link / "deeper")
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(ExportRefused):
        export(library, "", file)
    assert not (library.root / "out").exists()


def test_a_damaged_blob_costs_one_photo_and_leaves_nothing(library: Library, tmp_path: Path) -> None:
    (pid,) = library.catalog.pids("name:other")
    (original,) = [copy for copy in library.catalog.copies(pid) if copy.role == "original"]
    path = library.blobs.path(original.blob_id)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    out = tmp_path / "out"
    events: list[ExportEvent] = []
    summary = export(library, "", out, progress=lambda event, _done, _total: events.append(event))
    assert (summary.exported, summary.failed, summary.damaged) == (3, 1, 1)
    assert [event.photo for event in events if event.event == "failed"] == [pid]
    assert not (out / "other.jpg").exists()
    assert [name for name in contents(out) if name.startswith(".")] == []
    path.unlink()
    assert export(library, "", out).damaged == 1


def test_a_full_disk_ends_it_and_leaves_nothing_half_written(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("core.export.os.fsync", full)
    with pytest.raises(DiskFull):
        export(library, "", tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_without_hard_links_files_still_arrive(
    library: Library, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("core.export.os.link", refuse)
    out = tmp_path / "out"
    export(library, "", out)
    assert export(library, "", out).present == 4
    assert digests(out) == digests(sources)


def test_what_a_killed_export_left_is_cleared_away_after_a_day(library: Library, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    old, new = out / ".safelight-0.part", out / ".safelight-1.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    export(library, "", out)
    assert not old.exists()
    assert new.exists()


def test_one_original_is_written_for_a_viewer(library: Library, sources: Path, tmp_path: Path) -> None:
    (pid,) = library.catalog.pids("name:other")
    folder = tmp_path / "view"
    folder.mkdir()
    path = write_original(library, pid, folder)
    assert path.read_bytes() == (sources / "d" / "other.jpg").read_bytes()
    assert [entry.name for entry in folder.iterdir()] == ["other.jpg"]


def test_a_re_import_gives_the_same_library(library: Library, tmp_path: Path) -> None:
    pids = library.catalog.pids("", "name")
    edits.add_label(library, pids[:2], "harbour")
    edits.add_label(library, pids[:1], "places/lisbon")
    edits.set_caption(library, pids[:1], 'Boats & "nets" <at dawn>')
    edits.set_rating(library, pids[1:3], 4)
    edits.set_favourite(library, pids[2:3], True)
    edits.set_rotation(library, pids[3:], 90)
    edits.set_taken(library, pids[:1], "2001-02-03T04:05:06+02:00")
    edits.add_to_album(library, pids, edits.create_album(library, "Summer"))
    out = tmp_path / "out"
    export(library, "", out, layout=Layout.DATE)

    def known(one: Library) -> list[tuple[object, ...]]:
        return [
            (
                record.size,
                record.taken_at,
                record.date_source,
                sorted((label.name, label.source) for label in record.labels),
                record.caption,
                record.rating,
                record.favourite,
                record.rotation,
                record.albums,
            )
            for record in sorted(one.catalog.search(""), key=lambda record: (record.size, record.taken_at or ""))
        ]

    with new_library(tmp_path / "second") as second:
        import_paths(second, [out], label=False, workers=1)
        assert known(second) == known(library)


def test_labels_of_a_model_are_left_to_the_model_and_rejections_are_kept(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "labelled" / "caltech101" / "dalmatian"
    manifest = Path(__file__).resolve().parents[1] / "ml" / "manifests" / "mobilenet-v1-0.25.toml"
    packs.add_pack(str(shared_data / "models" / "mobilenet-v1-0.25"), manifest=manifest)

    def labels(library: Library) -> list[set[tuple[str, str]]]:
        return [{(label.name, label.source) for label in one.labels} for one in library.catalog.search("", "name")]

    with new_library(tmp_path / "library") as first, new_library(tmp_path / "second") as second:
        for library in (first, second):
            packs.use_pack(library, "mobilenet-v1-0.25")
        import_paths(first, sorted(folder.iterdir())[:3], workers=1)
        dogs = first.catalog.pids("label:dog")
        assert dogs
        edits.remove_label(first, dogs[:1], "dog")
        edits.add_label(first, dogs[:1], "fire station")
        export(first, "", tmp_path / "out")
        import_paths(second, [tmp_path / "out"], workers=1)
        assert labels(second) == labels(first)
        assert second.catalog.count("label:dog") == len(dogs) - 1
        assert second.catalog.count('label:"fire station"') == 1


@pytest.mark.parametrize("name", ["../../escape.jpg", "..", ".hidden.jpg", "a\\b.jpg", "x" * 300 + ".jpg"])
def test_a_name_from_elsewhere_stays_in_the_folder(
    library: Library, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pid,) = library.catalog.pids("name:other")
    record = library.catalog.photo(pid)
    assert record is not None
    monkeypatch.setattr(library.catalog, "photo", lambda _pid: _with_name(record, name))
    out = tmp_path / "deep" / "out"
    summary = export(library, "name:other", out)
    assert summary.exported == 1
    assert {path.parent for path in (tmp_path / "deep").rglob("*") if path.is_file()} == {out}


def _with_name(record: object, name: str) -> object:
    import msgspec

    return msgspec.structs.replace(record, filename=name)  # type: ignore[type-var]


def test_where_the_log_is_cut_off_everything_that_the_catalog_knows_is_exported(
    library: Library, sources: Path, tmp_path: Path
) -> None:
    pids = library.catalog.pids("")
    for pid, document in library.catalog.documents_of(pids).items():
        rejection = Put("label", label_key(pid, "lake"), False)
        library.commit({document: [rejection]}, action="label.remove", summary="a label that a model gave")
    for _ in range(8):
        edits.set_caption(library, pids, os.urandom(1500).hex())
    library.save_derived()
    export(library, "", tmp_path / "sound")
    library.close()
    assert (library.root / "log.db").stat().st_size > 60_000
    os.truncate(library.root / "log.db", 40_000)
    with Library.open(library.root, Library.unlock(library.root, PASSPHRASE)) as cut:
        summary = export(cut, "", tmp_path / "out")
        assert (summary.exported, summary.failed, summary.sidecars) == (4, 0, 4)
        assert "log-damaged" in {alarm.name for alarm in cut.alarms}
    assert digests(tmp_path / "out") == digests(sources)
    assert contents(tmp_path / "out") == contents(tmp_path / "sound")
    assert sum(b"lake" in data for data in contents(tmp_path / "out").values()) == 4
