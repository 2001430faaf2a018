"""The command line on real libraries: commands run in this process, on photos made for the test."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from core.importing.pipeline import import_paths
from core.library import Library
from tests.core.empty_library import empty_library
from tests.core.one_worker import _one_worker
from tui.cli.application import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["_one_worker"]

PHOTOS = 3
PASSPHRASE = "correct horse battery staple"


@dataclass
class CommandLine:
    """`safelight` on one library. `out` and `err` are what the last command printed."""

    root: Path
    passphrase_file: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def __call__(self, *arguments: str | Path, code: int | None = 0) -> list[str]:
        self.capture.readouterr()
        ended = run([str(argument) for argument in arguments])
        self.out, self.err = self.capture.readouterr()
        assert code is None or ended == code, f"{arguments} ended with {ended}\n{self.out}\n{self.err}"
        return self.out.splitlines()

    def json(self, *arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(*arguments, "--json", code=code)]

    def ids(self, *query: str) -> list[str]:
        return [line["id"] for line in self.json("search", *query)]


def make_photo(
    path: Path, *, colour: tuple[int, int, int] = (200, 30, 30), taken: str | None = None, size: int = 64
) -> Path:
    """A small JPEG, with a date when `taken` (as EXIF writes it) is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (size, size * 3 // 4), colour)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Acme", "Box 1"
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken
    image.save(path, exif=exif)
    return path


def make_photos(folder: Path) -> Path:
    """Three different photos: two dated, one without a date."""
    make_photo(folder / "red.jpg", colour=(220, 20, 20), taken="2024:05:01 10:00:00")
    make_photo(folder / "green.jpg", colour=(20, 220, 20), taken="2023:01:02 03:04:05")
    make_photo(folder / "blue.jpg", colour=(20, 20, 220))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The three photos that `filled` holds."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A command line whose library does not exist yet, and which soon gives up a relay that does not answer."""
    monkeypatch.setattr("core.sync.patience._FIRST_S", 0.001)
    passphrase_file = tmp_path / "passphrase"
    passphrase_file.touch(mode=0o600)
    passphrase_file.write_text(PASSPHRASE + "\n")
    root = tmp_path / "library"
    monkeypatch.setenv("SAFELIGHT_LIBRARY", str(root))
    monkeypatch.setenv("SAFELIGHT_PASSPHRASE_FILE", str(passphrase_file))
    return CommandLine(root, passphrase_file, capsys)


def create_library(root: Path) -> None:
    """An empty library whose passphrase is quickly tried."""
    empty_library(PASSPHRASE.encode(), "test device").write(root)


@pytest.fixture
def cli(empty: CommandLine) -> CommandLine:
    """A command line with an empty library."""
    create_library(empty.root)
    return empty


@pytest.fixture(scope="session")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of three photos, imported without labels, and what this machine remembers of it."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
        create_library(folder / "library")
        with Library.open(folder / "library", Library.unlock(folder / "library", PASSPHRASE.encode())) as library:
            assert import_paths(library, [make_photos(folder / "photos")], label=False, workers=1).added == PHOTOS
    return folder


@pytest.fixture
def filled(empty: CommandLine, filled_once: Path) -> CommandLine:
    """A command line with a library of three photos: a copy that this test may change."""
    shutil.copytree(filled_once / "library", empty.root)
    shutil.copytree(filled_once / "state", os.environ["SAFELIGHT_STATE_DIR"])
    return empty


@pytest.fixture
def photo_maker() -> Callable[..., Path]:
    return make_photo
