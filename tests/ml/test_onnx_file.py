"""Hostile and mistaken model files are found before the runtime sees them."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from ml.errors import ExternalDataRefused, NotOnnx, OperatorRefused
from ml.onnx_file import inspect
from ml.pack import Pack
from ml.session import Classifier
from tests.ml import onnx_writer as writer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ml.colour_packs import MakePack


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret.bin", "C:\\secret.bin", "other.bin", "*/_ORT_MEM_ADDR_/*"]
)
def test_weights_in_a_file_that_is_not_the_packs_are_refused(colour_pack: MakePack, location: str) -> None:
    maker = colour_pack(external=location if location != "other.bin" else None)
    folder = maker.write()
    if location == "other.bin":
        maker.external = location
        folder = maker.write()
        assert (folder / location).is_file()
    with pytest.raises(ExternalDataRefused) as caught:
        Classifier(Pack.open(folder))
    assert repr(location) in str(caught.value)


def test_weights_in_a_file_of_the_pack_are_read_from_checked_bytes(colour_pack: MakePack) -> None:
    maker = colour_pack(external="weights.bin")
    maker.folder.mkdir(parents=True)
    maker.onnx()
    folder = maker.write(files=("weights.bin",))
    pack = Pack.open(folder)
    blue = [Image.new("RGB", (20, 20), (0, 0, 255))]
    assert Classifier(pack).classify(blue).probabilities[0].argmax() == 2


def test_a_nested_graph_cannot_hide_a_reference(colour_pack: MakePack) -> None:
    hidden = writer.put(5, writer.tensor_message("w", np.zeros(3, dtype="float32"), "/etc/shadow"))
    constant = writer.node("Constant", [], "c", writer.put(5, writer.put(1, "value") + writer.put(5, hidden[2:])))
    for inner in (hidden, constant):
        graph = inner
        for _ in range(5):
            graph = writer.node("If", ["c"], "r", writer.nested_graph("then_branch", graph))
        with_hidden = colour_pack(extra_nodes=graph)
        with_hidden.folder.mkdir(parents=True)
        assert inspect(with_hidden.onnx(), "m").external_files == {"/etc/shadow"}
        assert ("", "If") in inspect(with_hidden.onnx(), "m").operators


def test_endless_nesting_is_refused() -> None:
    graph = b""
    for _ in range(5000):
        graph = writer.node("If", ["c"], "r", writer.nested_graph("then_branch", graph))
    with pytest.raises(NotOnnx, match="nested too deeply"):
        inspect(writer.model_file(graph), "m")


def test_operators_of_foreign_libraries_are_refused(colour_pack: MakePack) -> None:
    with pytest.raises(OperatorRefused, match=r"MatMul of com\.evil"):
        Classifier(Pack.open(colour_pack(domain="com.evil").write()))


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "exported to ONNX"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(100), "TensorFlow Lite"),
        (b"\x20\x00\x00\x00ORTM" + bytes(100), "ONNX Runtime's own format"),
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "Keras"),
    ],
)
def test_other_files_are_named_for_what_they_are(colour_pack: MakePack, data: bytes, hint: str) -> None:
    folder = colour_pack().write()
    (folder / "model.onnx").write_bytes(data)
    pin(folder)
    with pytest.raises(NotOnnx) as caught:
        Classifier(Pack.open(folder))
    assert hint in str(caught.value.hint)
    assert str(folder / "model.onnx") in str(caught.value)


def test_a_model_cut_off_anywhere_is_no_model(colour_pack: MakePack) -> None:
    maker = colour_pack()
    maker.folder.mkdir(parents=True)
    data = maker.onnx()
    for end in range(0, len(data) - 20, 7):
        with pytest.raises(NotOnnx):
            inspect(data[:end], "m")


@given(st.binary(max_size=200))
@example(b"\xff" * 11)
@example(b"\x08\x08\x3a\x00")
def test_garbage_is_walked_without_a_crash(data: bytes) -> None:
    with contextlib.suppress(NotOnnx, OperatorRefused):
        inspect(data, "m")


def test_the_real_models_refer_to_nothing(shared_data: Path) -> None:
    for path in sorted((shared_data / "models").glob("*/*.onnx")):
        contents = inspect(path.read_bytes(), path.name)
        assert not contents.external_files
        assert contents.operators


def pin(folder: Path) -> None:
    """Make the manifest agree with the model file as it is."""
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    lines = (folder / "pack.toml").read_text().splitlines()
    lines = [f'"model.onnx" = "{digest}"' if line.startswith('"model.onnx"') else line for line in lines]
    (folder / "pack.toml").write_text("\n".join(lines))
