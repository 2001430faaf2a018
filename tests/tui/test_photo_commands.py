"""Commands that change photos, and those that show what was changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml.labels import Reason
from tui.cli import exit_codes
from tui.cli.commands.why import _reason_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tui.conftest import CommandLine


def only(cli: CommandLine, *query: str) -> str:
    (found,) = cli.ids(*query)
    return found


def test_labels_are_added_found_listed_and_taken_off(filled: CommandLine) -> None:
    red = only(filled, "red.jpg")
    filled("label", "add", "Sun Set", red[:8])
    assert filled.ids('label:"sun set"') == [red]
    assert filled.json("label", "list") == [{"name": "Sun Set", "photos": 1}] or filled.json("label", "list") == [
        {"name": "sun set", "photos": 1}
    ]
    filled("label", "remove", "sun set", red)
    assert filled.ids('label:"sun set"') == []
    assert filled.json("label", "list") == []


def test_a_query_names_many_photos_and_undo_takes_all_back(filled: CommandLine) -> None:
    filled("label", "add", "lively", "--query", "name:red OR name:green")
    assert len(filled.ids("label:lively")) == 2
    filled("undo")
    assert "2 photos" in filled.out
    assert filled.ids("label:lively") == []


def test_rating_takes_the_stars_before_or_after_the_photos(filled: CommandLine) -> None:
    red, green = only(filled, "red.jpg"), only(filled, "green.jpg")
    filled("rate", red, green, "4")
    assert len(filled.ids("rating:4")) == 2
    filled("rate", "2", red)
    assert filled.ids("rating:2") == [red]
    filled("rate", "0", "--query", "rating:>0")
    assert filled.ids("is:rated") == []


def test_captions(filled: CommandLine) -> None:
    red = only(filled, "red.jpg")
    filled("caption", red, "A red square")
    assert filled.ids('"red square"') == [red]
    filled("caption", "Another text", red)
    assert filled.json("show", red)[0]["caption"] == "Another text"
    filled("caption", red, "")
    assert filled.json("show", red)[0]["caption"] == ""


def test_favourites_dates_and_rotations(filled: CommandLine) -> None:
    blue = only(filled, "blue.jpg")
    filled("favourite", blue)
    assert filled.ids("is:favourite") == [blue]
    filled("favourite", "--off", blue)
    assert filled.ids("is:favourite") == []
    filled("date", blue, "2020-02-03 04:05")
    assert filled.json("show", blue)[0]["taken_at"].startswith("2020-02-03T04:05:00")
    filled("date", blue, "2020-02-30", code=exit_codes.USAGE)
    filled("date", blue, "yesterday", code=exit_codes.USAGE)
    filled("rotate", "90", blue)
    assert filled.json("show", blue)[0]["rotation"] == 90
    filled("rotate", "45", blue, code=exit_codes.USAGE)


def test_albums(filled: CommandLine) -> None:
    red, green = only(filled, "red.jpg"), only(filled, "green.jpg")
    (identity,) = filled("album", "create", "Lisbon")
    filled("album", "add", "lisbon", red, green)
    assert filled.json("album", "list") == [{"id": identity, "name": "Lisbon", "photos": 2}]
    assert len(filled.ids("album:Lisbon")) == 2
    filled("album", "remove", "Lisbon", green)
    assert filled.ids("album:Lisbon") == [red]
    filled("album", "rename", identity[:6], "Porto")
    assert filled.json("show", red)[0]["albums"] == ["Porto"]
    filled("album", "delete", "Porto")
    assert filled.json("album", "list") == []
    filled("album", "add", "nowhere", red, code=exit_codes.FAILED)
    assert "no album 'nowhere'" in filled.err


def test_two_albums_of_one_name_are_told_apart_by_id(filled: CommandLine) -> None:
    first, second = filled("album", "create", "Twin")[0], filled("album", "create", "Twin")[0]
    filled("album", "delete", "Twin", code=exit_codes.FAILED)
    assert first[:8] in filled.err
    filled("album", "delete", first)
    assert [album["id"] for album in filled.json("album", "list")] == [second]


def test_trash_restore_and_purge(filled: CommandLine, photos: Path) -> None:
    red = only(filled, "red.jpg")
    filled("trash", red)
    assert red not in filled.ids()
    assert filled.ids("is:trash") == [red]
    filled("restore", "--query", "red")
    assert red in filled.ids()
    filled("trash", red)
    filled("purge", red, code=exit_codes.USAGE)
    assert "--yes" in filled.err
    filled("purge", red, "--yes")
    assert filled.ids("is:trash") == []
    filled("import", photos, "--no-labels")
    assert red not in filled.ids()
    filled("import", photos, "--no-labels", "--readmit-purged")
    assert red in filled.ids()


def test_a_photo_is_named_by_any_unique_beginning(filled: CommandLine) -> None:
    red = only(filled, "red.jpg")
    digits = next(n for n in range(1, 33) if sum(other.startswith(red[:n]) for other in filled.ids()) == 1)
    assert filled.json("show", red[:digits].upper())[0]["id"] == red
    filled("show", "zz", code=exit_codes.FAILED)
    filled("show", "", code=exit_codes.FAILED)
    assert "more than one" in filled.err or "no photo" in filled.err


def test_undo_of_an_import_says_that_the_photos_are_in_the_trash(filled: CommandLine) -> None:
    filled("undo")
    assert filled.out.strip() == "Undone: 3 photos imported (3 photos into the trash)"
    assert len(filled.ids("is:trash")) == 3
    filled("undo", code=exit_codes.FAILED)
    assert "nothing" in filled.err or "no edit" in filled.err


def test_a_reason_without_classes_has_no_line_of_them() -> None:
    missed = Reason("dog", 0.0, 0.5, shown=False, because_of=None, contributions=(), path=())
    assert list(_reason_text(missed)) == ["  dog  missed: 0%, needs 50%"]


def test_undo_of_an_import_into_an_album_counts_photos_only(cli: CommandLine, photos: Path) -> None:
    cli("import", photos, "--album", "May", "--no-labels")
    cli("undo")
    assert cli.out.strip() == "Undone: 3 photos imported (3 photos into the trash)"


def test_undo_says_that_later_changes_stay(filled: CommandLine) -> None:
    filled("purge", only(filled, "red.jpg"), "--yes")
    filled("undo")
    assert "(2 photos into the trash; what was changed since then is left as it is)" in filled.out


def test_the_log_lists_the_newest_first(filled: CommandLine) -> None:
    filled("rate", "--query", "", "3")
    entries = filled.json("log")
    assert [entry["action"] for entry in entries] == ["rate", "import", "init"]
    assert entries[1]["photos_added"] == 3
    assert len(filled("log", "--limit", "2")) == 2


def test_search_sorts_limits_and_counts(filled: CommandLine) -> None:
    names = [line["filename"] for line in filled.json("search", "--sort", "name")]
    assert names == sorted(names)
    assert [line["filename"] for line in filled.json("search", "--sort", "name:desc")] == names[::-1]
    assert [line["filename"] for line in filled.json("search", "has:date", "--sort", "date:asc")] == [
        "green.jpg",
        "red.jpg",
    ]
    assert len(filled.json("search", "--limit", "1")) == 1
    assert filled.json("search", "--limit", "0") == []
    assert filled("search", "--count") == ["3"]


def test_a_query_may_be_several_words_and_begin_with_a_minus(filled: CommandLine) -> None:
    assert len(filled.ids("type:jpeg", "-name:red")) == 2
    assert len(filled.ids("-name:red")) == 2
    assert filled.ids("name:red", "-name:red") == []


def test_no_match_is_no_error(filled: CommandLine) -> None:
    assert filled("search", "label:unicorn") == []
    assert filled.err == ""


def test_piped_results_are_tab_separated_with_the_whole_id(filled: CommandLine) -> None:
    line = filled("search", "name:red")[0].split("\t")
    assert [len(line[0]), *line[1:]] == [32, "2024-05-01T10:00:00", "red.jpg", ""]


def test_show_for_people_names_the_facts(filled: CommandLine) -> None:
    filled("show", "--query", "name:red")
    for fact in ("red.jpg", "2024-05-01T10:00:00", "Acme Box 1", "64 x 48", "image/jpeg"):
        assert fact in filled.out


def test_file_names_cannot_drive_the_terminal(
    cli: CommandLine, tmp_path: Path, photo_maker: Callable[..., Path]
) -> None:
    folder = tmp_path / "evil"
    photo_maker(folder / "a\x1b[2J\x1b]0;owned\x07.jpg")
    (folder / "b\x1b[31m.jpg").write_bytes(b"no photo")
    cli("import", folder, "--no-labels", code=None)
    assert "\x1b" not in cli.out + cli.err
    cli("search")
    assert "\x1b" not in cli.out
    cli("show", "--query", "")
    assert "\x1b" not in cli.out


def test_import_counts_duplicates_and_puts_them_into_the_album(
    filled: CommandLine, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "other name.jpg").write_bytes((photos / "red.jpg").read_bytes())
    filled("import", tmp_path / "again", "--album", "Again", "--no-labels")
    assert "1 duplicate" in filled.out
    assert filled.ids("album:Again") == filled.ids("name:red")


def test_a_skipped_path_that_was_named_is_said(cli: CommandLine, photos: Path) -> None:
    (photos / "notes.txt").write_text("no photo")
    cli("import", photos / "notes.txt", "--no-labels")
    assert f"{photos / 'notes.txt'}: skipped" in cli.err
    cli("import", photos, "--no-labels")
    assert "notes.txt" not in cli.err


def test_a_named_path_without_permission_costs_only_itself(
    cli: CommandLine, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, *rest, **more: "red" not in str(path) and may(path, *rest, **more))
    cli("import", photos / "red.jpg", photos, "--no-labels")
    assert "Imported 3 photos" in cli.out


def test_importing_again_says_that_photos_are_in_the_trash(filled: CommandLine, photos: Path) -> None:
    filled("undo")
    filled("import", photos, "--no-labels")
    assert "3 photos of these are in the trash" in filled.err
    filled("restore", "--query", "is:trash")
    filled("import", photos, "--no-labels")
    assert "trash" not in filled.err


def test_a_broken_file_is_one_line_and_exit_7(cli: CommandLine, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes((photos / "red.jpg").read_bytes()[:300])
    (photos / "notes.txt").write_text("no photo")
    (photos / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
    cli("import", photos, "--no-labels", code=exit_codes.PARTLY_DONE)
    assert [line for line in cli.err.splitlines() if "broken.jpg" in line]
    assert "Imported 3 photos" in cli.out
    assert "1 video" in cli.out


def test_moving_removes_the_sources(cli: CommandLine, photos: Path) -> None:
    cli("import", photos, "--move", "--no-labels")
    assert "3 sources removed" in cli.out
    assert [path for path in photos.rglob("*") if path.is_file()] == []
    cli("verify", "--deep")


def test_a_source_that_cannot_be_removed_is_one_line_and_exit_7(
    cli: CommandLine, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == "red.jpg":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    cli("import", photos, "--move", "--no-labels", code=exit_codes.PARTLY_DONE)
    assert "2 sources removed, 1 source not removed" in cli.out
    assert [line for line in cli.err.splitlines() if "red.jpg" in line and "not removed: permission denied" in line]
    assert [path.name for path in photos.iterdir()] == ["red.jpg"]


def test_open_writes_a_private_copy_and_removes_it(filled: CommandLine, tmp_path: Path, photos: Path) -> None:
    viewer = tmp_path / "viewer.sh"
    seen = tmp_path / "seen"
    viewer.write_text(
        f'#!/bin/sh\nstat -c %a "$(dirname "$1")" "$1" > {seen}\necho "$1" >> {seen}\ncp "$1" {seen}.copy\n'
    )
    viewer.chmod(0o755)
    filled("open", filled.ids("name:red")[0], "--with", str(viewer), "--yes")
    folder_mode, file_mode, path = seen.read_text().splitlines()
    assert (folder_mode, file_mode) == ("700", "600")
    assert Path(path).name == "red.jpg"
    assert not Path(path).parent.exists()
    assert seen.with_suffix(".copy").read_bytes() == (photos / "red.jpg").read_bytes()
    assert "in the clear" in filled.err


def test_open_asks_first_and_says_when_the_program_fails(filled: CommandLine) -> None:
    red = filled.ids("name:red")[0]
    filled("open", red, "--with", "true", code=exit_codes.USAGE)
    filled("open", red, "--with", "false", "--yes", code=exit_codes.FAILED)
    filled("open", red, "--with", "no-such-program-here", "--yes", code=exit_codes.USAGE)


@pytest.mark.parametrize("command", [["show"], ["trash"], ["restore"], ["purge"], ["favourite"]])
def test_every_command_wants_to_know_which_photos(filled: CommandLine, command: list[str]) -> None:
    filled(*command, code=exit_codes.USAGE)
    assert "which photos" in filled.err


def test_json_lines_are_one_object_each(filled: CommandLine) -> None:
    for line in filled("search", "--json"):
        assert isinstance(json.loads(line), dict)
