"""`model test` tells a pack that works from one that only runs."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml.check import check_pack, sample_pictures
from ml.errors import OutputInvalid
from ml.pack import Pack

if TYPE_CHECKING:
    from tests.ml.colour_packs import MakePack


def test_a_working_pack_gets_times_and_no_warning(colour_pack: MakePack) -> None:
    report = check_pack(Pack.open(colour_pack(background=True).write()))
    assert (report.model, report.classes, report.embedding) == ("colours@1.0.0", 5, 3)
    assert report.warnings == ()
    assert min(report.load_ms, report.preprocess_ms, report.inference_ms) > 0
    assert report.labels[3] == "red"


def test_probabilities_declared_as_logits_are_an_error(colour_pack: MakePack) -> None:
    with pytest.raises(OutputInvalid, match="declared as logits") as caught:
        check_pack(Pack.open(colour_pack(gives="probabilities").write()))
    assert 'kind = "probabilities"' in str(caught.value.hint)


def test_a_model_that_answers_the_same_for_everything_is_suspicious(colour_pack: MakePack) -> None:
    report = check_pack(Pack.open(colour_pack(kind="probabilities", gives="constant").write()))
    assert len(report.warnings) == 1
    assert "same answer" in report.warnings[0]


def test_labels_in_another_order_than_their_ids_are_suspicious(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "models" / "mobilenet-v1-0.25"
    shutil.copy(source / "model.onnx", tmp_path)
    lines = (source / "labels.txt").read_text().splitlines()
    text = (Path(__file__).parent / "manifests" / "mobilenet-v1-0.25.toml").read_text()
    (tmp_path / "labels.txt").write_text("\n".join([lines[0], *sorted(lines[1:])]))
    pinned = hashlib.sha256((source / "labels.txt").read_bytes()).hexdigest()
    mixed = hashlib.sha256((tmp_path / "labels.txt").read_bytes()).hexdigest()
    assert pinned in text
    (tmp_path / "pack.toml").write_text(text.replace(pinned, mixed))
    (warning,) = check_pack(Pack.open(tmp_path), repeats=1).warnings
    assert "another order" in warning


@pytest.mark.parametrize("fault", ["none", "order", "colour"])
def test_drawings_show_outputs_in_another_order_and_colours_exchanged(
    shared_data: Path, tmp_path: Path, fault: str
) -> None:
    name = "mobilenet-v1-0.25"
    shutil.copy(shared_data / "models" / name / "model.onnx", tmp_path)
    lines = (shared_data / "models" / name / "labels.txt").read_text().splitlines()
    ids = (shared_data / "models" / "imagenet-wnids.txt").read_text().split()
    if fault == "order":
        # Names and ids agree with one another, but not with the model: only what it sees can tell.
        lines, ids = [lines[0], *lines[:0:-1]], ids[::-1]
    text = (Path(__file__).parent / "manifests" / f"{name}.toml").read_text()
    if fault == "colour":
        text = text.replace('"RGB"', '"BGR"')
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    (tmp_path / "ids.txt").write_text("\n".join(["-", *ids]))
    pins = {file: hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() for file in ("labels.txt", "ids.txt")}
    text = re.sub('"labels.txt" = ".*"', "\n".join(f'"{file}" = "{pin}"' for file, pin in pins.items()), text)
    (tmp_path / "pack.toml").write_text(text.replace('wordnet = "imagenet-1k"', 'wordnet = "ids.txt"'))
    report = check_pack(Pack.open(tmp_path), repeats=1)
    said = " ".join(report.warnings)
    assert report.references == 6
    assert (report.recognised >= 5) == (fault != "order")
    assert ("another order" in said) == (fault == "order")
    assert ("red and blue exchanged" in said) == (fault == "colour")


def test_the_pictures_are_the_same_everywhere_and_all_different() -> None:
    first, again = sample_pictures(), sample_pictures()
    assert all(one.tobytes() == other.tobytes() for one, other in zip(first, again, strict=True))
    assert len({picture.tobytes() for picture in first}) == len(first)
