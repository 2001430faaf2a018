"""A first ``pack.toml`` for a model, from what its ONNX file and labels say; what they do not is marked as a guess."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ml.check import sample_pictures
from ml.errors import ExternalDataRefused, LabelsInvalid, ModelMismatch, ModelUnusable, PackFileMissing
from ml.manifest import IMAGENET_1K, IMAGENET_CLASSES, MODEL_NAME, InputSpec, is_safe_file_name
from ml.onnx_file import inspect
from ml.preprocess import tensor
from ml.session import open_session
from ml.taxonomy import BUILTIN, Taxonomy

if TYPE_CHECKING:
    from pathlib import Path

    import onnxruntime

_LABELS = "labels.txt"
TEXT_MODEL_NAME = "text.onnx"
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_USUAL_SIDE = 224
_CHANNELS = 3
_IMAGE_DIMENSIONS = 4
_TORCH = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_TENSORFLOW = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_ROUNDING = 0.02
_KNOWN_SHARE = 0.3
"""Share of label lines that are names of ImageNet classes, above which they are taken for ImageNet's."""


@dataclass(frozen=True)
class _Answer:
    name: str
    dtype: str
    values: np.ndarray[Any, Any]
    """``[N, C]``: what the model said of the sample pictures."""


def draft_manifest(folder: Path) -> str:
    """Return a manifest for the model and the labels in ``folder``, or for an encoder and ``text.onnx``, as TOML.

    What was found is right; what had to be guessed is marked, and ``model eval`` tells whether it was guessed well.
    Raises PackFileMissing, LabelsInvalid, ModelMismatch (no picture goes in), and what loading a model raises.
    """
    if (folder / TEXT_MODEL_NAME).is_file():
        from ml.draft_image_text import draft_image_text

        return draft_image_text(folder)
    model = read_file(folder, MODEL_NAME, hint="Call the model model.onnx.")
    labels = _label_lines(read_file(folder, _LABELS, hint="One line for each output of the model, in its order."))
    weights = sorted(inspect(model, str(folder / MODEL_NAME)).external_files)
    session = open_session(model, str(folder / MODEL_NAME), lambda location: read_weights(folder, location))
    spec = msgspec.structs.replace(draft_input(session), crop=("centre", "whole"))
    answers = _try(session, spec)
    main = next((answer for answer in answers if answer.values.shape[1] == len(labels)), None)
    if main is None:
        widths = ", ".join(f'"{answer.name}" has {answer.values.shape[1]}' for answer in answers)
        raise LabelsInvalid(f"{folder / _LABELS} has {len(labels)} lines, and no output has as many classes ({widths})")
    files = {name: hashlib.sha256(read_file(folder, name)).hexdigest() for name in (MODEL_NAME, _LABELS, *weights)}
    embedding = next((answer.name for answer in answers if answer is not main), None)
    return "\n".join([*draft_head(folder, files), *draft_input_lines(spec), *_output_lines(main, labels, embedding)])


def draft_head(folder: Path, files: dict[str, str], kind: str = "classifier") -> list[str]:
    """Return the lines before ``[input]``."""
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.absolute().name.lower()).strip("-._") or "my-model"
    return [
        "format = 1",
        f'name = "{name}"',
        'version = "1.0.0"',
        f'kind = "{kind}"',
        'licence = "unknown"                       # TO DO: the licence of the weights',
        'source = "unknown"                        # TO DO: where they come from',
        "",
        "[files]",
        *(f'"{file}" = "{digest}"' for file, digest in files.items()),
        "",
    ]


def draft_input_lines(spec: InputSpec, habit: str | None = None, shorter: str = "the size / 0.875") -> list[str]:
    """Return the lines of ``[input]``; ``habit`` and ``shorter`` say what was guessed."""
    lines = [
        "[input]",
        f'name = "{quoted(spec.name)}"',
        f"size = {spec.size}",
        f'layout = "{spec.layout}"',
        f'colour = "{spec.colour}"                           # guess: models of Caffe and OpenCV want BGR',
        f'dtype = "{spec.dtype}"',
        f'resize = "{spec.resize}"                      # guess',
        f"shorter_side = {spec.shorter}                       # guess: {shorter}",
    ]
    if len(spec.crops) > 1:
        named = ", ".join(f'"{crop}"' for crop in spec.crops)
        lines.append(f"crop = [{named}]             # the mean of both looks; one takes half the time")
    if spec.dtype != "uint8":
        habit = habit or ("the habit of TensorFlow" if spec.layout == "NHWC" else "the habit of PyTorch")
        lines += [
            f"# guess: {habit}. On the scale 0-255, in the order of colour.",
            f"mean = [{', '.join(map(str, spec.mean))}]",
            f"std = [{', '.join(map(str, spec.std))}]",
        ]
    return [*lines, ""]


def _output_lines(main: _Answer, labels: list[str], embedding: str | None) -> list[str]:
    bytes_ = main.dtype == "tensor(uint8)"
    sums = main.values.astype(np.float64).sum(axis=1)
    # In bytes, many small probabilities are rounded to nothing; logits in bytes add up to far more.
    probable = bool(
        sums.max() < 1.25 * 256 if bytes_ else main.values.min() >= 0 and np.abs(sums - 1).max() < _ROUNDING
    )
    background = labels[0].casefold() in {"background", "__background__", "dummy"}
    lines = [
        "[output]",
        f'name = "{quoted(main.name)}"',
        f'kind = "{"probabilities" if probable else "logits"}"',
        *(["scale = 0.00390625                      # guess: 1/256"] if bytes_ else []),
        f"classes = {len(labels)}",
        *(["background = 0"] if background else []),
        f'labels = "{_LABELS}"',
    ]
    if len(labels) - background == IMAGENET_CLASSES and _like_imagenet(labels):
        lines.append(f'wordnet = "{IMAGENET_1K}"')
    if embedding is not None:
        lines.append(f'embedding = "{quoted(embedding)}"              # guess: the other output')
    return [*lines, ""]


def draft_input(session: onnxruntime.InferenceSession) -> InputSpec:
    """Return what the model's one input says of itself, and the habits of its kind. Raises ModelMismatch."""
    inputs = session.get_inputs()
    node = inputs[0]
    shape = node.shape
    if len(inputs) != 1 or len(shape) != _IMAGE_DIMENSIONS or node.type not in _DTYPES:
        described = ", ".join(f'"{one.name}" {one.type} {one.shape}' for one in inputs)
        raise ModelMismatch(
            f"the model does not take one picture: its inputs are {described}",
            hint="A classifier has one input of four dimensions: float32, float16 or uint8.",
        )
    last = shape[3] == _CHANNELS and shape[1] != _CHANNELS
    sides = [side for side in (shape[1:3] if last else shape[2:4]) if isinstance(side, int)]
    mean, std = _TENSORFLOW if last else _TORCH
    raw = _DTYPES[node.type] == "uint8"
    return InputSpec(
        name=node.name,
        size=sides[0] if sides else _USUAL_SIDE,
        layout="NHWC" if last else "NCHW",
        colour="RGB",
        dtype=_DTYPES[node.type],  # type: ignore[arg-type]
        mean=(0.0, 0.0, 0.0) if raw else mean,
        std=(1.0, 1.0, 1.0) if raw else std,
    )


def _try(session: onnxruntime.InferenceSession, spec: InputSpec) -> list[_Answer]:
    """Run the sample pictures, each as often as a fixed batch wants, and gather what comes out as vectors."""
    batch = session.get_inputs()[0].shape[0]
    count = batch if isinstance(batch, int) else 1
    names = [node.name for node in session.get_outputs()]
    rows: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in names}
    for picture in sample_pictures():
        pixels = np.repeat(tensor(picture, spec)[None], count, axis=0)
        try:
            outputs = session.run(None, {spec.name: pixels})
        except Exception as cause:  # the runtime's exception classes have no common base but this one
            raise ModelUnusable(f"the model fails on a picture of {spec.size} pixels: {cause}") from cause
        for name, output in zip(names, outputs, strict=True):
            if isinstance(output, np.ndarray) and output.shape[:1] == (count,) and output.dtype.kind in "fu":
                rows[name].append(output.reshape(count, -1)[0])
    types = {node.name: node.type for node in session.get_outputs()}
    return [_Answer(name, types[name], np.stack(found)) for name, found in rows.items() if found]


def _like_imagenet(labels: list[str]) -> bool:
    known = {name.casefold() for name in Taxonomy.load(BUILTIN).class_names.values()}
    first = [line.split(",", maxsplit=1)[0].strip().casefold() for line in labels]
    return sum(name in known for name in first) > _KNOWN_SHARE * len(labels)


def _label_lines(data: bytes) -> list[str]:
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n").removesuffix("\n").split("\n")


def read_weights(folder: Path, location: str) -> bytes:
    """Return a file beside the model that holds weights of it. Raises ExternalDataRefused and PackFileMissing."""
    if not is_safe_file_name(location):
        raise ExternalDataRefused(
            f"the model wants to read {location!r}, which is not a file beside it",
            hint="Export it with the weights inside, or in one file beside it.",
        )
    return read_file(folder, location)


def read_file(folder: Path, name: str, hint: str | None = None) -> bytes:
    """Return a file's bytes. Raises PackFileMissing."""
    try:
        return (folder / name).read_bytes()
    except OSError as cause:
        raise PackFileMissing(f"{folder / name}: {cause.strerror}", hint=hint) from cause


def quoted(text: str) -> str:
    """Return ``text``, which comes from the model, as the inside of a TOML string without anything a terminal obeys."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped)
