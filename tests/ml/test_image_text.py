"""Pictures and texts become vectors of one space, and a pack that cannot do so is refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from PIL import Image

from ml.check_image_text import check_image_text_pack
from ml.draft import draft_manifest
from ml.errors import (
    KindUnsupported,
    ManifestInvalid,
    MlError,
    ModelMismatch,
    OutputInvalid,
    PackFileChanged,
    TokensInvalid,
)
from ml.image_text import ImageEncoder, TextEncoder
from ml.installed import add_pack, find_any_pack, find_image_text_pack, find_pack, installed_packs
from ml.manifest import ImageTextManifest, load_manifest, parse_any_manifest
from ml.pack import ImageTextPack, Pack, open_pack
from tests.ml.image_text_packs import ImageTextPack as Maker

if TYPE_CHECKING:
    from tests.ml.colour_packs import MakePack

MANIFESTS = Path(__file__).parent / "manifests" / "image-text"
STANDIN = {
    "model.onnx": "standin_image_encoder.onnx",
    "text.onnx": "standin_text_encoder.onnx",
    "vocab.json": "vocab.json",
    "merges.txt": "merges.txt",
}


def standin_folder(shared_data: Path, folder: Path) -> Path:
    """Put the stand-in pair's files where its manifest wants them, under the names that packs have."""
    folder.mkdir(exist_ok=True)
    for name, source in STANDIN.items():
        # Hard links cost nothing, where both folders lie on one disk.
        try:
            os.link(shared_data / "models" / "image-text-standin" / source, folder / name)
        except OSError:
            (folder / name).write_bytes((shared_data / "models" / "image-text-standin" / source).read_bytes())
    (folder / "pack.toml").write_bytes((MANIFESTS / "standin.toml").read_bytes())
    return folder


@pytest.mark.parametrize("variety", [{}, {"mask": True, "dtype": "int32"}, {"batch": 1}, {"batch": 3}], ids=str)
def test_pictures_and_words_meet(tmp_path: Path, variety: dict[str, object]) -> None:
    pack = ImageTextPack.open(Maker(tmp_path / "pack", **variety).write())  # type: ignore[arg-type]
    words = TextEncoder(pack).encode(["a red thing", "LIME", "so blue", "", "red " * 50])
    pictures = ImageEncoder(pack).encode([Image.new("RGB", (40, 30), name) for name in ("red", "lime", "blue")])
    assert np.linalg.norm(words, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(pictures, axis=1) == pytest.approx(1, abs=1e-5)
    assert (pictures @ words[:3].T).argmax(axis=1).tolist() == [0, 1, 2]
    assert (words[4] @ words[:3].T).argmax() == 0, "a text that is cut off is still that text"
    assert words.dtype == pictures.dtype == np.float32


def test_a_text_that_says_nothing_is_no_error(tmp_path: Path) -> None:
    pack = ImageTextPack.open(Maker(tmp_path / "pack", text_gives="zero").write())
    assert not TextEncoder(pack).encode(["..."]).any()


@pytest.mark.parametrize(
    ("variety", "error", "message"),
    [
        ({"text_dimensions": 4}, ModelMismatch, "pictures become vectors of 3 numbers, texts of 4"),
        ({"text_gives": "nan"}, OutputInvalid, "not numbers"),
        ({"image_gives": "nan"}, OutputInvalid, "not numbers"),
        ({"text_gives": "another shape"}, ModelMismatch, "texts of 16"),
        ({"extra_text": "padding = 100000"}, TokensInvalid, "no token 100000"),
    ],
    ids=str,
)
def test_a_pack_that_cannot_compare(
    tmp_path: Path, variety: dict[str, object], error: type[MlError], message: str
) -> None:
    folder = Maker(tmp_path / "pack", **variety).write()  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        add_pack(folder)
    assert [found.model for found in installed_packs() if not found.builtin] == []


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('name = "input_ids"', 'name = "tokens"', ModelMismatch, 'no input "tokens"'),
        ('dtype = "int64"', 'dtype = "int32"', ModelMismatch, "the manifest says dtype"),
        ("context = 16", "context = 77", ModelMismatch, "has the shape"),
        ('embedding = "text_embeds"', 'embedding = "pooled"', ModelMismatch, 'no output "pooled"'),
        ('embedding = "image_embeds"', 'embedding = "pooled"', ModelMismatch, 'no output "pooled"'),
        ("size = 16", "size = 32", ModelMismatch, "has the shape"),
        ('model = "text.onnx"', 'model = "model.onnx"', ManifestInvalid, "encoder of pictures"),
        ('model = "text.onnx"', 'model = "../text.onnx"', ManifestInvalid, "not listed"),
        ('vocabulary = "vocab.json"', 'vocabulary = "merges.txt"', TokensInvalid, "not a list of tokens"),
        ('merges = "merges.txt"', 'merges = "other.txt"', ManifestInvalid, "not listed"),
        ("context = 16", "context = 100000", ManifestInvalid, '"context"'),
        ('name = "input_ids"', 'name = "\\u001b[2J"', ManifestInvalid, "cannot be shown"),
        ('kind = "image-text"', 'kind = "faces"', KindUnsupported, "cannot be used yet"),
        ("[input]", '[input]\ncrop = ["centre", "whole"]', ManifestInvalid, "looks at one crop"),
        ('kind = "image-text"', 'kind = "classifier"', ManifestInvalid, "pack.toml:"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path: Path, old: str, new: str, error: type[MlError], message: str) -> None:
    folder = Maker(tmp_path / "pack").write()
    text = (folder / "pack.toml").read_text()
    assert old in text
    (folder / "pack.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(error, match=message):
        check_image_text_pack(ImageTextPack.open(folder))


def test_a_mask_that_the_manifest_does_not_name(tmp_path: Path) -> None:
    folder = Maker(tmp_path / "pack", mask=True).write()
    (folder / "pack.toml").write_text((folder / "pack.toml").read_text().replace('mask = "attention_mask"\n', ""))
    with pytest.raises(ModelMismatch, match="further inputs") as caught:
        TextEncoder(ImageTextPack.open(folder))
    assert "mask" in (caught.value.hint or "")


def test_every_file_is_pinned(tmp_path: Path) -> None:
    folder = Maker(tmp_path / "pack").write()
    pack = ImageTextPack.open(folder)
    (folder / "merges.txt").write_bytes((folder / "merges.txt").read_bytes() + b"u e</w>\n")
    with pytest.raises(PackFileChanged):
        pack.tokenizer()
    with pytest.raises(PackFileChanged):
        open_pack(folder)


def test_the_two_kinds_are_not_taken_for_each_other(tmp_path: Path, colour_pack: MakePack) -> None:
    words = add_pack(Maker(tmp_path / "pack").write())
    labels = add_pack(colour_pack().write())
    assert isinstance(words, ImageTextPack)
    assert isinstance(labels, Pack)
    assert find_image_text_pack("colour-words").sha256 == find_any_pack("colour-words@1.0.0").sha256 == words.sha256
    assert find_any_pack("colours").sha256 == labels.sha256
    with pytest.raises(KindUnsupported, match=r"colour-words@1\.0\.0 is an image-text pack"):
        find_pack("colour-words")
    with pytest.raises(KindUnsupported, match=r"colours@1\.0\.0 labels photos"):
        find_image_text_pack("colours")
    assert [(found.model, found.problem) for found in installed_packs() if not found.builtin] == [
        ("colour-words@1.0.0", None),
        ("colours@1.0.0", None),
    ]


@pytest.mark.parametrize("variety", [{}, {"mask": True, "dtype": "int32"}, {"batch": 2}], ids=str)
def test_a_manifest_is_drafted_from_the_files(tmp_path: Path, variety: dict[str, object]) -> None:
    folder = Maker(tmp_path / "My Words", **variety).write()  # type: ignore[arg-type]
    written = load_manifest(folder / "pack.toml")
    (folder / "pack.toml").write_text(draft_manifest(folder))
    drafted = load_manifest(folder / "pack.toml")
    assert isinstance(drafted, ImageTextManifest)
    assert isinstance(written, ImageTextManifest)
    assert (drafted.name, drafted.files) == ("my-words", written.files)
    assert (drafted.text, drafted.output) == (written.text, written.output)
    assert drafted.input == msgspec.structs.replace(written.input, shorter_side=16)
    assert check_image_text_pack(ImageTextPack.open(folder), repeats=1).warnings == ()


def test_two_halves_that_do_not_fit_are_not_drafted(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match='"image_embeds" has 3; "text_embeds" has 4'):
        draft_manifest(Maker(tmp_path / "pack", text_dimensions=4).write())


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_documented_manifests_are_valid(path: Path) -> None:
    manifest = load_manifest(path)
    assert isinstance(manifest, ImageTextManifest)
    assert set(manifest.files) == set(STANDIN)
    assert manifest.text.context == 77


def test_placeholders_for_checksums_never_pass(tmp_path: Path) -> None:
    """Whoever copies a documented manifest without filling it in is told which file's SHA-256 belongs there."""
    folder = Maker(tmp_path / "pack").write()
    manifest = parse_any_manifest((MANIFESTS / "mobileclip-s2.toml").read_bytes(), "mobileclip-s2.toml")
    assert set(manifest.files.values()) == {"0" * 64}
    with pytest.raises(PackFileChanged, match="its SHA-256 is"):
        open_pack(folder, MANIFESTS / "mobileclip-s2.toml")


def test_the_real_pair_knows_its_animals(shared_data: Path, tmp_path: Path) -> None:
    pack = ImageTextPack.open(standin_folder(shared_data, tmp_path / "standin"))
    report = check_image_text_pack(pack, repeats=1)
    assert (report.embedding, report.warnings) == (256, ())
    sample = shared_data / "labelled" / "imagenet-sample"
    names = ["n02110958_pug", "n01740131_night_snake", "n01818515_macaw"]
    photos = [Image.open(sample / f"{name}.JPEG").convert("RGB") for name in names]
    words = TextEncoder(pack).encode(["a photo of a dog", "a photo of a snake", "a photo of a bird"])
    assert (ImageEncoder(pack).encode(photos) @ words.T).argmax(axis=1).tolist() == [0, 1, 2]
