"""Models of every variety give the right answer, and wrong ones a named error."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from ml.errors import MlError, ModelMismatch, ModelUnusable, OutputInvalid
from ml.pack import Pack
from ml.session import Classifier, Predictions, top_classes

if TYPE_CHECKING:
    from tests.ml.colour_packs import MakePack

VARIETIES = [
    {},
    {"colour": "BGR"},
    {"layout": "NHWC"},
    {"layout": "NHWC", "colour": "BGR", "dtype": "uint8"},
    {"dtype": "float16"},
    {"dtype": "uint8", "kind": "probabilities", "output_dtype": "uint8"},
    {"kind": "probabilities"},
    {"kind": "probabilities", "output_dtype": "float16", "dtype": "float16", "embedding": False},
    {"batch": 1},
    {"batch": 4},
    {"background": True},
    {"background": True, "kind": "probabilities", "batch": 2, "layout": "NHWC", "colour": "BGR"},
]
PICTURES = {"red": (250, 5, 5), "green": (5, 250, 5), "blue": (5, 5, 250), "dark": (10, 10, 10)}


@pytest.mark.parametrize("variety", VARIETIES, ids=lambda variety: "-".join(map(str, variety.values())) or "plain")
def test_every_variety_names_the_colours(colour_pack: MakePack, variety: dict[str, object]) -> None:
    maker = colour_pack(**variety)
    pack = Pack.open(maker.write())
    classifier = Classifier(pack)
    predictions = classifier.classify([Image.new("RGB", (40, 30), colour) for colour in PICTURES.values()])
    background = pack.manifest.output.background
    named = [maker.classes()[top_classes(row, background)[0][0]] for row in predictions.probabilities]
    assert named == list(PICTURES)
    assert predictions.probabilities.dtype == np.float32
    assert predictions.probabilities.sum(axis=1) == pytest.approx(1, abs=0.02)
    if variety.get("embedding", True):
        assert predictions.embeddings is not None
        assert predictions.embeddings.shape == (4, 3)
    else:
        assert predictions.embeddings is None


@pytest.mark.parametrize("batch", ["N", 3])
def test_the_answers_to_several_crops_are_averaged(colour_pack: MakePack, batch: object) -> None:
    # Red at both ends, blue in the middle: the centre is blue, the whole is mostly red.
    picture = Image.new("RGB", (300, 50), "red")
    picture.paste("blue", (100, 0, 200, 50))
    photos = [picture, Image.new("RGB", (30, 30), "lime")]

    def answers(crop: str) -> Predictions:
        maker = colour_pack(batch=batch)
        folder = maker.write()
        manifest = folder / "pack.toml"
        manifest.write_text(manifest.read_text().replace("[input]", f"[input]\ncrop = {crop}"))
        return Classifier(Pack.open(folder)).classify(photos)

    centre, whole, both = answers('"centre"'), answers('"whole"'), answers('["centre", "whole"]')
    assert centre.probabilities[0].argmax() != whole.probabilities[0].argmax()
    np.testing.assert_allclose(both.probabilities, (centre.probabilities + whole.probabilities) / 2, atol=1e-6)
    assert centre.embeddings is not None
    assert whole.embeddings is not None
    assert both.embeddings is not None
    np.testing.assert_allclose(both.embeddings, (centre.embeddings + whole.embeddings) / 2, atol=1e-6)


def test_an_answer_does_not_depend_on_the_photos_beside_it(colour_pack: MakePack) -> None:
    for batch in ("N", 3):
        classifier = Classifier(Pack.open(colour_pack(batch=batch).write()))
        rng = np.random.default_rng(7)
        tensors = rng.random((7, 3, 16, 16), dtype=np.float32)
        together = classifier.run(tensors).probabilities
        alone = np.concatenate([classifier.run(part[None]).probabilities for part in tensors])
        assert np.array_equal(together, alone)


def test_temperature_softens_without_reordering(colour_pack: MakePack) -> None:
    red = [Image.new("RGB", (20, 20), PICTURES["red"])]
    plain = Classifier(Pack.open(colour_pack().write())).classify(red).probabilities[0]
    soft = Classifier(Pack.open(colour_pack(extra_manifest="temperature = 3.0").write())).classify(red).probabilities[0]
    assert soft.max() < plain.max()
    assert list(np.argsort(soft)) == list(np.argsort(plain))


def test_answers_that_are_not_numbers_are_an_error(colour_pack: MakePack) -> None:
    classifier = Classifier(Pack.open(colour_pack(kind="probabilities", gives="nan").write()))
    with pytest.raises(OutputInvalid, match="not numbers"):
        classifier.classify([Image.new("RGB", (20, 20))])


def test_logits_declared_as_probabilities_are_an_error(colour_pack: MakePack) -> None:
    classifier = Classifier(Pack.open(colour_pack(kind="probabilities", gives="logits").write()))
    with pytest.raises(OutputInvalid, match="declared as probabilities") as caught:
        classifier.classify([Image.new("RGB", (20, 20), "red")])
    assert 'kind = "logits"' in str(caught.value.hint)


def test_a_forgotten_scale_is_an_error(colour_pack: MakePack) -> None:
    maker = colour_pack(kind="probabilities", output_dtype="uint8")
    folder = maker.write()
    text = (folder / "pack.toml").read_text()
    (folder / "pack.toml").write_text("\n".join(line for line in text.splitlines() if not line.startswith("scale")))
    with pytest.raises(OutputInvalid, match="declared as probabilities"):
        Classifier(Pack.open(folder)).classify([Image.new("RGB", (20, 20), "red")])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "pixels"', 'name = "pixel"', 'no input "pixel"'),
        ('name = "answer"', 'name = "logits"', 'no output "logits"'),
        ('embedding = "embedding"', 'embedding = "features"', 'no output "features"'),
        ('dtype = "float32"', 'dtype = "float16"', "tensor\\(float\\)"),
        ('layout = "NCHW"', 'layout = "NHWC"', "shape"),
        ("size = 16", "size = 32", "shape"),
    ],
)
def test_a_manifest_that_does_not_fit_the_model_is_an_error(
    colour_pack: MakePack, old: str, new: str, message: str
) -> None:
    folder = colour_pack().write()
    text = (folder / "pack.toml").read_text()
    assert old in text
    (folder / "pack.toml").write_text(text.replace(old, new))
    with pytest.raises(ModelMismatch, match=message):
        Classifier(Pack.open(folder))


def test_a_wrong_number_of_classes_is_an_error(colour_pack: MakePack) -> None:
    folder = colour_pack(labels=["red", "green"]).write()
    text = (folder / "pack.toml").read_text()
    (folder / "pack.toml").write_text(text.replace("classes = 4", "classes = 2"))
    with pytest.raises(ModelMismatch, match="2 classes"):
        Classifier(Pack.open(folder))


def test_a_model_the_runtime_refuses_is_an_error_of_one_line(colour_pack: MakePack) -> None:
    maker = colour_pack()
    folder = maker.write()
    (folder / "model.onnx").write_bytes(maker.onnx().replace(b"ReduceMean", b"ReduceMoan"))
    (folder / "pack.toml").write_text(maker.manifest(["model.onnx", "labels.txt"]))
    with pytest.raises(ModelUnusable) as caught:
        Classifier(Pack.open(folder))
    assert "\n" not in str(caught.value)


def test_the_background_takes_its_share_from_every_label() -> None:
    probabilities = np.array([0.7, 0.2, 0.1], dtype=np.float32)
    assert dict(top_classes(probabilities, background=0)) == pytest.approx({1: 0.2, 2: 0.1})


def test_only_the_strongest_classes_are_kept_in_order() -> None:
    probabilities = np.linspace(0, 1, 100, dtype=np.float32)
    probabilities[10] = probabilities[99]
    top = top_classes(probabilities)
    assert len(top) == 32
    assert [index for index, _ in top[:3]] == [10, 99, 98]
    assert top_classes(np.array([0, 1, 0], dtype=np.float32)) == [(1, 1.0)]


def test_manifests_are_read_without_the_runtime_and_the_runtime_starts_in_silence(colour_pack: MakePack) -> None:
    folder = colour_pack().write()
    script = (
        "import sys\nfrom pathlib import Path\nimport ml.pack, ml.manifest, ml.installed, ml.labels, ml.taxonomy\n"
        f"pack = ml.pack.Pack.open(Path({str(folder)!r}))\nassert 'onnxruntime' not in sys.modules\n"
        "assert 'numpy' not in sys.modules and 'PIL' not in sys.modules\n"
        "from ml.session import Classifier\nClassifier(pack)\nassert 'onnxruntime' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_error_of_the_package_can_carry_a_hint() -> None:
    assert issubclass(ModelMismatch, MlError)
    assert MlError("what", hint="how").hint == "how"


def test_probabilities_in_bytes_may_lose_half_their_sum_to_rounding(colour_pack: MakePack) -> None:
    folder = colour_pack(kind="probabilities", output_dtype="uint8", gives="constant").write()
    text = (folder / "pack.toml").read_text()
    (folder / "pack.toml").write_text(text.replace(f"scale = {1 / 255!r}", "scale = 0.0016"))
    predictions = Classifier(Pack.open(folder)).classify([Image.new("RGB", (20, 20))])
    assert predictions.probabilities.sum() < 0.5
