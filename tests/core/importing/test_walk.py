"""What a walk finds, leaves out, and never opens."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from core.importing.sidecar import Sidecars
from core.importing.walk import Found, LeftOut, printable, walk

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")


def _reasons(root: Path) -> dict[str, str]:
    return {step.path.name: step.reason for step in walk([root]) if isinstance(step, LeftOut)}


def _found(root: Path) -> list[str]:
    return [step.path.relative_to(root).as_posix() for step in walk([root]) if isinstance(step, Found)]


def test_folders_are_walked_in_one_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.jpg", "a/z.jpg", "c.jpg", "a.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert _found(tmp_path) == ["a/z.jpg", "a.jpg", "b/10.jpg", "b/2.jpg", "c.jpg"]


def test_sidecars_go_with_their_photo_and_lonely_ones_are_named(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.xmp", "a.jpg.xmp", "a.jpg.json", "alone.xmp", "settings.json"):
        (tmp_path / name).write_bytes(b"x")
    steps = list(walk([tmp_path]))
    photos = [step for step in steps if isinstance(step, Found)]
    assert [photo.sidecars for photo in photos] == [Sidecars(("a.jpg.xmp", "a.xmp"), "a.jpg.json")]
    assert _reasons(tmp_path) == {"alone.xmp": "describes a photo that is not beside it", "settings.json": "no photo"}
    named = [step for step in walk([tmp_path / "a.jpg"]) if isinstance(step, Found)]
    assert named[0].sidecars == photos[0].sidecars


def test_junk_hidden_files_and_libraries_are_left_out(tmp_path: Path) -> None:
    for name in (".hidden.jpg", "Thumbs.db", "library.toml", "._a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir" / "thumb.jpg").write_bytes(b"x")
    inner = tmp_path / "library"
    (inner / "blobs").mkdir(parents=True)
    for name in ("library.toml", "log.db"):
        (inner / name).write_bytes(b"x")
    reasons = _reasons(tmp_path)
    assert reasons["library"] == "a Safelight library"
    assert set(reasons) == {".hidden.jpg", "Thumbs.db", "._a.jpg", "@eaDir", "library"}
    assert _found(tmp_path) == ["library.toml"]


@posix_only
def test_nothing_but_files_is_ever_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket.jpg"))
        assert _reasons(tmp_path) == {"pipe.jpg": "a named pipe", "socket.jpg": "a socket"}
    assert _reasons(Path(os.devnull)) == {"null": "a device"}


@posix_only
def test_folders_inside_each_other_without_end_are_left_out(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 102)
    deep.mkdir(parents=True)
    (deep / "deep.jpg").write_bytes(b"x")
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert _found(tmp_path) == ["a.jpg"]
    assert "more than 100 folders deep" in _reasons(tmp_path).values()


def test_links_lead_to_files_but_never_round_in_circles(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (tmp_path / "elsewhere.jpg").write_bytes(b"x")
    (folder / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    (folder / "broken.jpg").symlink_to(tmp_path / "missing.jpg")
    (folder / "self.jpg").symlink_to(folder / "self.jpg")
    (folder / "up").symlink_to(tmp_path)
    steps = {step.path.name: step for step in walk([folder])}
    link = steps["link.jpg"]
    assert isinstance(link, Found)
    assert link.is_link
    assert "leads nowhere" in _reasons(folder)["broken.jpg"]
    assert "link to a folder" in _reasons(folder)["up"]
    assert isinstance(steps["self.jpg"], LeftOut)
    # A folder that is named by the user is walked, also through a link.
    assert _found(folder / "up") == ["elsewhere.jpg", "photos/link.jpg"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_without_permission_is_a_failure_of_its_own(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    (tmp_path / "a.jpg").write_bytes(b"x")
    try:
        steps = list(walk([tmp_path]))
    finally:
        closed.chmod(0o700)
    assert [(step.path.name, isinstance(step, Found)) for step in steps] == [("a.jpg", True), ("closed", False)]
    assert steps[1].failed  # type: ignore[union-attr]


def test_a_path_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    (step,) = walk([tmp_path / "no such folder"])
    assert isinstance(step, LeftOut)
    assert step.failed


@posix_only
def test_a_name_that_is_not_utf_8_is_found_and_can_be_printed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9\n.jpg")).write_bytes(b"x")
    (step,) = walk([tmp_path])
    assert isinstance(step, Found)
    assert printable(step.path.name) == "caf\ufffd\ufffd.jpg"
    printable(step.path).encode()
