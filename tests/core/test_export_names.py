"""Names of exported files: never two the same, never out of the folder, the same whatever the order."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.export_names import Layout, Wish, plan, safe_name, viewable_name
from core.importing.sniff import is_named_as_media, is_named_as_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

ANY_NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("name", "mime", "shown"),
    [
        ("beach.jpg", "image/jpeg", "beach.jpg"),
        ("IMG_1.CR2", "image/x-canon-cr2", "IMG_1.CR2"),
        ("beach.jpg.exe", "image/jpeg", "beach.jpg.exe.jpg"),
        ("invoice.desktop", "image/png", "invoice.desktop.png"),
        ("beach\u202egpj.hta", "image/jpeg", "beach\u202egpj.hta.jpg"),
        ("clip.mp4", "video/mp4", "clip.mp4.jpg"),
        ("no ending", "application/x-sh", "no ending.jpg"),
        ("x" * 250 + ".bat", "image/webp", None),
    ],
)
def test_what_a_viewer_is_given_is_named_as_a_picture(name: str, mime: str, shown: str | None) -> None:
    """The name is another device's word; the platform's opener runs what is called a program."""
    viewed = viewable_name(safe_name(name), mime)
    assert shown is None or viewed == shown
    assert is_named_as_picture(viewed)
    assert len(viewed.encode()) <= 200


@pytest.mark.parametrize(
    ("name", "mime", "written"),
    [
        ("beach.jpg", "image/jpeg", "beach.jpg"),
        ("Beach.JPEG", "image/png", "Beach.JPEG"),
        ("IMG_1.CR2", "image/x-canon-cr2", "IMG_1.CR2"),
        ("scan.dng", "", "scan.dng"),
        ("clip.MOV", "image/jpeg", "clip.MOV"),
        ("beach.jpg.exe", "image/jpeg", "beach.jpg.exe.jpg"),
        ("beach.jpg.", "image/jpeg", "beach.jpg..jpg"),
        ("beach.jpg ", "image/jpeg", "beach.jpg .jpg"),
        ("beach\u202egpj.hta", "image/jpeg", "beach\u202egpj.hta.jpg"),
        ("..", "image/jpeg", "__.jpg"),
        (".bash_profile", "text/plain", ".bash_profile.jpg"),
        ("beach.xmp", "image/jpeg", "beach.xmp.jpg"),
        ("no ending", "image/png", "no ending.png"),
        ("_raw_of_a_card", "image/x-canon-cr3", "_raw_of_a_card.cr3"),
    ],
)
def test_nothing_that_a_system_runs_is_exported(name: str, mime: str, written: str) -> None:
    """The name is another device's word, and so is the media type."""
    first, second = plan([Wish(bytes([pid]) * 16, name, None, (), mime) for pid in (1, 2)], Layout.FLAT)
    names = {*first.names, *second.names}
    assert written in names
    assert all(is_named_as_media(each) for each in names)


@given(ANY_NAME, st.booleans())
def test_a_name_stays_in_its_folder(name: str, windows: bool) -> None:
    safe = safe_name(name, windows=windows)
    assert safe not in {"", ".", ".."}
    assert "\0" not in safe
    assert len(safe.encode()) <= 200
    assert PurePosixPath(safe).name == safe
    if windows:
        assert PureWindowsPath(safe).name == safe
        assert not PureWindowsPath(safe).drive


@pytest.mark.parametrize("name", ["CON", "con.jpg", "NUL .jpg", "a:b.jpg", "trailing. ", "tab\t.jpg"])
def test_names_that_windows_reads_otherwise_are_changed(name: str) -> None:
    assert safe_name(name, windows=True) != name
    assert safe_name(name, windows=False) == name


def test_a_long_name_keeps_its_extension() -> None:
    assert safe_name("ß" * 300 + ".jpeg").endswith("ß.jpeg")


WISHES = st.lists(
    st.builds(
        Wish,
        pid=st.binary(min_size=16, max_size=16),
        file_name=st.sampled_from(["IMG_1.jpg", "img_1.JPG", "a/b.png", "é.jpg", "e\u0301.jpg", ""]) | ANY_NAME,
        taken_at=st.none() | st.sampled_from(["2024-05-01T10:00:00", "2024-06-30T23:59:59+02:00"]),
        albums=st.sets(st.sampled_from(["Lisbon", "lisbon", "a/b", ".."])).map(lambda names: tuple(sorted(names))),
    ),
    max_size=12,
    unique_by=lambda wish: wish.pid,
)


@given(WISHES, st.sampled_from(Layout), st.randoms())
def test_no_two_files_share_a_place_and_the_order_does_not_matter(
    wishes: Sequence[Wish], layout: Layout, random: object
) -> None:
    targets = plan(wishes, layout)
    places = [(target.folder, unicodedata.normalize("NFC", target.names[0].casefold())) for target in targets]
    assert len(set(places)) == len(places)
    assert {target.pid for target in targets} == {wish.pid for wish in wishes}
    assert all(len(set(target.names)) == 3 for target in targets)
    shuffled = list(wishes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(shuffled, layout) == targets


def test_layouts() -> None:
    wish = Wish(b"\1" * 16, "x.jpg", "2024-05-01T10:00:00", ("Lisbon", "Sea"))
    assert [target.folder for target in plan([wish], Layout.FLAT)] == [()]
    assert [target.folder for target in plan([wish], Layout.DATE)] == [("2024", "05")]
    assert [target.folder for target in plan([wish], Layout.ALBUM)] == [("Lisbon",), ("Sea",)]
    bare = Wish(b"\1" * 16, "x.jpg", None, ())
    assert [target.folder for target in plan([bare], Layout.DATE)] == [("undated",)]
    assert [target.folder for target in plan([bare], Layout.ALBUM)] == [("no album",)]
