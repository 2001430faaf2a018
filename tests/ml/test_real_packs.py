"""The four real packs answer, photo for photo, as a straight-line program without any of this package does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from ml.check import check_pack
from ml.classes import class_table
from ml.evaluate import evaluate
from ml.pack import Pack
from ml.session import Classifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANIFESTS = Path(__file__).parent / "manifests"
PACKS = ["mobilenet-v2", "mobilenet-v2-int8", "squeezenet-1.1-fp16", "mobilenet-v1-0.25"]
LEAST_TOP1 = {"mobilenet-v2": 0.85, "mobilenet-v2-int8": 0.82, "squeezenet-1.1-fp16": 0.58, "mobilenet-v1-0.25": 0.42}


def reference(name: str, models: Path, photos: list[Path]) -> NDArray[np.float32]:
    """Return ``[N, 1000]`` scores in WordNet order, by Pillow, numpy and onnxruntime alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several spin between photos, for as long as they work
    session = onnxruntime.InferenceSession(models / name / "model.onnx", options, providers=["CPUExecutionProvider"])
    side = 128 if name == "mobilenet-v1-0.25" else 224
    rows = []
    for path in photos:
        photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        scale = round(side / 0.875) / min(photo.size)
        larger = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BILINEAR)
        left, top = (larger.width - side) // 2, (larger.height - side) // 2
        squares = [larger.crop((left, top, left + side, top + side))]
        if name != "mobilenet-v1-0.25":
            squares.append(photo.resize((side, side), Image.Resampling.BILINEAR))
        inputs = [{session.get_inputs()[0].name: as_input(name, np.asarray(square))[None]} for square in squares]
        answers = [session.run(None, one)[0].reshape(-1)[-1000:].astype(np.float32) for one in inputs]
        rows.append(np.mean(answers, axis=0))
    return np.stack(rows)


def as_input(name: str, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
    if name == "squeezenet-1.1-fp16":
        means = np.array([104, 117, 123], dtype=np.float32)
        return (pixels[:, :, ::-1] - means).astype(np.float16).transpose(2, 0, 1)
    if name == "mobilenet-v2-int8":
        return pixels
    centred = (pixels.astype(np.float32) - 127.5) / 127.5
    return centred.transpose(2, 0, 1) if name == "mobilenet-v2" else centred


def strongest(scores: NDArray[np.float32]) -> list[int]:
    return [int(index) for index in np.argsort(-scores, kind="stable")[:5]]


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "labelled" / "imagenet-sample").iterdir())


@pytest.mark.parametrize("name", PACKS)
def test_answers_equal_the_reference_photo_for_photo(name: str, shared_data: Path, photos: list[Path]) -> None:
    expected = reference(name, shared_data / "models", photos)
    pack = Pack.open(shared_data / "models" / name, MANIFESTS / f"{name}.toml")
    classifier = Classifier(pack)
    ids = [entry.class_id for entry in class_table(pack).entries]
    wordnet = (shared_data / "models" / "imagenet-wnids.txt").read_text().split()
    offset = len(ids) - 1000
    assert ids[offset:] == wordnet
    right = 0
    for path, scores in zip(photos, expected, strict=True):
        with Image.open(path) as photo:
            row = classifier.classify([photo]).probabilities[0][offset:]
        assert strongest(row) == strongest(scores), path.name
        right += wordnet[int(row.argmax())] == path.name.partition("_")[0]
    assert right / len(photos) >= LEAST_TOP1[name]


@pytest.mark.parametrize("name", PACKS)
def test_they_pass_their_trial(name: str, shared_data: Path) -> None:
    report = check_pack(Pack.open(shared_data / "models" / name, MANIFESTS / f"{name}.toml"), repeats=1)
    assert report.warnings == ()
    assert report.embedding == {"mobilenet-v2": 1280, "mobilenet-v1-0.25": 256}.get(name)


def test_the_figures_of_honest_photos_are_kept(shared_data: Path) -> None:
    name = "mobilenet-v1-0.25"
    pack = Pack.open(shared_data / "models" / name, MANIFESTS / f"{name}.toml")
    result = evaluate(pack, shared_data / "labelled" / "caltech101")
    assert result.photos >= 350
    assert result.top1 > 0.37
    assert result.precision > 0.8
    assert result.coverage > 0.5
    assert result.ece < 0.1
    # Thresholds fitted on one half keep their promise on the other, also of things without a class or a word.
    assert result.halves is not None
    assert result.halves.all.coverage.of == 808
    assert result.halves.all.precision.interval[1] >= 0.9
    assert result.halves.all.precision.share > result.shown.all.precision.share + 0.1
    assert result.plain.all.precision.share < 0.3
