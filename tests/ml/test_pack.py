"""A pack is opened whole and unchanged, or refused by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ml.errors import LabelsInvalid, ManifestInvalid, PackFileChanged, PackFileMissing, PackNotFound
from ml.pack import Pack
from ml.session import Classifier

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ml.colour_packs import MakePack


def test_an_opened_pack_knows_its_labels_and_its_own_digest(colour_pack: MakePack) -> None:
    folder = colour_pack().write()
    pack = Pack.open(folder)
    assert (pack.model, pack.labels()) == ("colours@1.0.0", ("red", "green", "blue", "dark"))
    assert pack.sha256 == Pack.open(folder).sha256
    (folder / "pack.toml").write_text((folder / "pack.toml").read_text() + "\n# a remark\n")
    assert Pack.open(folder).sha256 != pack.sha256


def test_a_manifest_elsewhere_describes_the_folder(colour_pack: MakePack, tmp_path: Path) -> None:
    folder = colour_pack().write()
    elsewhere = tmp_path / "mine.toml"
    (folder / "pack.toml").rename(elsewhere)
    assert Pack.open(folder, elsewhere).name == "colours"
    with pytest.raises(PackNotFound, match=r"pack\.toml"):
        Pack.open(folder)


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt"])
def test_a_changed_file_is_noticed_on_opening_and_after(colour_pack: MakePack, name: str) -> None:
    folder = colour_pack().write()
    pack = Pack.open(folder)
    data = bytearray((folder / name).read_bytes())
    data[0 if name == "labels.txt" else -1] ^= 1  # a label stays one
    (folder / name).write_bytes(data)
    with pytest.raises(PackFileChanged, match=name):
        Pack.open(folder)
    with pytest.raises(PackFileChanged, match=name):
        pack.read(name)
    if name == "model.onnx":
        with pytest.raises(PackFileChanged):
            Classifier(pack)


def test_a_missing_file_is_named(colour_pack: MakePack) -> None:
    folder = colour_pack().write()
    (folder / "labels.txt").unlink()
    with pytest.raises(PackFileMissing, match=r"labels\.txt: there is no such file"):
        Pack.open(folder)


@pytest.mark.skipif(os.name == "nt", reason="links and pipes need privileges on Windows")
def test_links_folders_and_pipes_are_no_files(colour_pack: MakePack, tmp_path: Path) -> None:
    folder = colour_pack().write()
    labels = folder / "labels.txt"
    labels.rename(tmp_path / "elsewhere.txt")
    labels.symlink_to(tmp_path / "elsewhere.txt")
    with pytest.raises(PackFileMissing, match=r"labels\.txt"):
        Pack.open(folder)
    labels.unlink()
    labels.mkdir()
    with pytest.raises(PackFileMissing, match="not a plain"):
        Pack.open(folder)
    labels.rmdir()
    os.mkfifo(labels)
    with pytest.raises(PackFileMissing, match="not a plain"):
        Pack.open(folder)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["red", "green", "blue"], "has 3 lines; the manifest declares 4"),
        (["red", "green", "blue", "dark", ""], "has 5 lines"),
        (["red", "", "blue", "dark"], "2: the line is empty"),
        (["red", "green\x1b[31m", "blue", "dark"], "2: the line has characters that cannot be shown"),
        (["red", "g" * 501, "blue", "dark"], "2: the line"),
    ],
)
def test_labels_that_do_not_fit_are_refused(colour_pack: MakePack, labels: list[str], message: str) -> None:
    with pytest.raises(LabelsInvalid, match=r"labels\.txt") as caught:
        Pack.open(colour_pack(labels=labels).write())
    assert message in str(caught.value)


def test_windows_line_ends_and_byte_order_marks_do_not_matter(colour_pack: MakePack) -> None:
    maker = colour_pack()
    folder = maker.write()
    (folder / "labels.txt").write_bytes("\ufeffred\r\ngreen\r\nblue\r\ndark".encode())
    (folder / "pack.toml").write_text(maker.manifest(["model.onnx", "labels.txt"]))
    assert Pack.open(folder).labels() == ("red", "green", "blue", "dark")


def test_labels_in_another_encoding_are_refused(colour_pack: MakePack) -> None:
    maker = colour_pack()
    folder = maker.write()
    (folder / "labels.txt").write_bytes("rot\ngrün\nblau\ndunkel\n".encode("latin-1"))
    (folder / "pack.toml").write_text(maker.manifest(["model.onnx", "labels.txt"]))
    with pytest.raises(LabelsInvalid, match="UTF-8"):
        Pack.open(folder)


def test_ids_are_checked_line_by_line(colour_pack: MakePack) -> None:
    taxonomy = 'format = 1\n[[label]]\nname = "warm"\nwnids = ["c1"]\n'
    good = colour_pack(ids=["c1", "c2", "-", ""], taxonomy=taxonomy)
    assert Pack.open(good.write()).class_ids() == ("c1", "c2", None, None)
    for ids, message in ((["c1", "c1", "a", "b"], "2: c1 already"), (["c 1", "c2", "a", "b"], "1: 'c 1' is not an id")):
        with pytest.raises(LabelsInvalid, match=message):
            Pack.open(colour_pack(ids=ids, taxonomy=taxonomy).write())


def test_a_folder_in_place_of_the_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pack.toml").mkdir()
    with pytest.raises(ManifestInvalid, match="cannot be read"):
        Pack.open(tmp_path)
