"""A mistake in pack.toml is an error that names the file, the line and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import KindUnsupported, ManifestInvalid, MlError, TaxonomyInvalid
from ml.manifest import is_pack_name, is_pack_version, is_safe_file_name, load_manifest, parse_manifest
from ml.toml_source import TomlSource

MANIFESTS = Path(__file__).parent / "manifests"
GOOD = (MANIFESTS / "mobilenet-v2.toml").read_text()


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_ready_manifests_are_valid(path: Path) -> None:
    manifest = load_manifest(path)
    assert manifest.name == path.stem
    assert manifest.model == f"{path.stem}@1.0.0"
    assert manifest.input.shorter == round(manifest.input.size / 0.875)


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ('layout = "NCHW"', 'layuot = "NCHW"', "layuot", 'unknown key "layuot" in [input]'),
        ('layout = "NCHW"', 'layout = "CHWN"', "CHWN", '"layout"'),
        ("size = 224", 'size = "224"', 'size = "224"', '"size": expected int, got str'),
        ("size = 224", "size = 0", "size = 0", '"size": expected int >= 8'),
        ("size = 224", "", "[input]", '"size" is missing in [input]'),
        ("shorter_side = 256", "shorter_side = 200", "shorter_side", "less than size"),
        ("mean = [127.5, 127.5, 127.5]", "mean = [127.5, 127.5]", "mean", "length 3"),
        ("std = [127.5, 127.5, 127.5]", "std = [1, 0, 1]", "std", "positive"),
        ("std = [127.5, 127.5, 127.5]", "std = [1, nan, 1]", "std", "positive"),
        ("std = [127.5, 127.5, 127.5]", "std = [\n  1.0,\n  1.0,\n  'x',\n]", "std", '"std"'),
        ("mean = [127.5, 127.5, 127.5]", "mean = [1, inf, 1]", "mean", "three numbers"),
        ('dtype = "float32"', 'dtype = "uint8"', "mean", "raw bytes"),
        ('crop = ["centre", "whole"]', 'crop = "left"', "crop", '"crop"'),
        ('crop = ["centre", "whole"]', "crop = []", "crop", '"crop"'),
        ('crop = ["centre", "whole"]', 'crop = ["whole", "whole"]', "crop", "named twice"),
        ("background = 0", "background = 1001", "background", "not one of the 1001 outputs"),
        ("classes = 1001", "classes = 1002", "wordnet", "1,000 classes"),
        ("background = 0", "temperature = 2.0", "temperature", "logits only"),
        ("background = 0", "scale = inf", "scale", "positive"),
        ('labels = "labels.txt"', 'labels = "names.txt"', "names.txt", "not listed"),
        ('wordnet = "imagenet-1k"', 'wordnet = "ids.txt"', "ids.txt", "not listed"),
        ('wordnet = "imagenet-1k"', "", "taxonomy", "needs the classes' ids"),
        ('taxonomy = "imagenet"', 'taxonomy = "mine.toml"', "mine.toml", "not listed"),
        ('name = "mobilenet-v2"', 'name = "../evil"', "evil", "cannot name a pack"),
        ('name = "mobilenet-v2"', 'name = "con"', '"con"', "cannot name a pack"),
        ('version = "1.0.0"', 'version = "1/0"', "1/0", "cannot be a version"),
        ('licence = "Apache-2.0"', 'licence = "\\u001b[2J"', "licence", "cannot be shown"),
        ('"labels.txt" = "b8', '"../labels.txt" = "b8', "../labels.txt", "cannot be a file of a pack"),
        ('"labels.txt" = "b8', '"MODEL.onnx" = "b8', "MODEL.onnx", "twice"),
        ('"labels.txt" = "b8', '"labels.txt" = "B8', "labels.txt", "not 64 lower-case hex"),
        ('"model.onnx"', '"model2.onnx"', "[files]", '"model.onnx"'),
        ("format = 1", "format = 2", "format", "format 2 is not known"),
        ("format = 1", "format = true", "format", ""),
        ("format = 1", "", None, '"format" is missing'),
        ("classes = 1001", "classes = = 1001", "= =", "not valid TOML"),
        ("classes = 1001", "classes = 1001\nclasses = 1002", "1002", "not valid TOML"),
    ],
)
def test_a_mistake_is_found_at_its_line(old: str, new: str, at: str | None, message: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text.encode(), "some/pack.toml")
    where = "some/pack.toml:" if at is None else f"some/pack.toml:{line_of(text, at)}:"
    assert str(caught.value).startswith(where)
    assert message in str(caught.value)


def test_an_unknown_key_suggests_the_nearest() -> None:
    for wrong, right in (("layuot", "layout"), ("colour_order", "colour"), ("Shorter_side", "shorter_side")):
        text = GOOD.replace("crop =", f"{wrong} = 1\ncrop =")
        with pytest.raises(ManifestInvalid) as caught:
            parse_manifest(text.encode(), "pack.toml")
        assert caught.value.hint == f'Did you mean "{right}"?'
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(GOOD.replace("format = 1", "format = 1\nzzz = 1").encode(), "pack.toml")
    assert "Known here: format, name" in str(caught.value.hint)


def test_kinds_of_later_versions_are_named_as_such() -> None:
    with pytest.raises(KindUnsupported, match="faces"):
        parse_manifest(GOOD.replace('"classifier"', '"faces"').encode(), "pack.toml")


def test_defaults_are_those_of_the_format() -> None:
    text = GOOD
    for line in ('resize = "bilinear"', "shorter_side = 256", 'crop = ["centre", "whole"]', "background = 0\n"):
        text = text.replace(line, "")
    manifest = parse_manifest(text.replace("1001", "1000").encode(), "pack.toml")
    assert (manifest.input.resize, manifest.input.shorter, manifest.output.background) == ("bilinear", 256, -1)
    assert manifest.input.crops == ("centre",)
    assert manifest.output.threshold is None


@given(st.binary(max_size=300))
def test_garbage_is_an_error_and_never_a_crash(data: bytes) -> None:
    with pytest.raises(MlError):
        parse_manifest(data, "pack.toml")


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(["\x00", '"', "[", "]", "=", "\n", "9", "'", "\ud7ff", "#"]))
def test_a_damaged_manifest_is_read_or_refused_with_its_line(position: int, character: str) -> None:
    text = GOOD[:position] + character + GOOD[position + 1 :]
    line = None
    try:
        parse_manifest(text.encode(), "pack.toml")
    except ManifestInvalid as error:
        line = error.line
    except KindUnsupported:
        pass
    assert line is None or 1 <= line <= text.count("\n") + 1


def test_deep_nesting_and_huge_files_are_refused() -> None:
    with pytest.raises(ManifestInvalid):
        parse_manifest(b"a = " + b"[" * 100_000, "pack.toml")
    with pytest.raises(ManifestInvalid, match="larger than"):
        parse_manifest(b"#" * (5 << 20), "pack.toml")


@given(st.text(max_size=20))
def test_names_that_leave_their_folder_are_never_accepted(name: str) -> None:
    for accepts in (is_safe_file_name, is_pack_name, is_pack_version):
        if accepts(name):
            assert name.isascii()
            assert not set(name) & set('/\\:*?"<>|\0 @')
            assert name not in (".", "..")
            assert not name.startswith(("-", "."))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "pack.toml", "PACK.TOML", "nul.txt", "a.", "-rf", ".x"])
def test_unsafe_file_names_are_refused(name: str) -> None:
    assert not is_safe_file_name(name)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=6))
def test_the_line_of_a_key_is_the_line_it_was_written_on(entries: list[tuple[str, int]]) -> None:
    lines = ["# file"]
    expected = []
    for index, (name, blank) in enumerate(entries):
        lines += [""] * blank
        lines.append("[[label]]")
        expected.append((("label", index, name), len(lines) + 1))
        lines += [f"{name} = [", "  1,", "]"]
    source = TomlSource("\n".join(lines).encode(), "x.toml", TaxonomyInvalid)
    for key, line in expected:
        assert source.line_of(key) == line
