"""A first ``pack.toml`` for an image-text pack: what its two ONNX files say, with what had to be guessed marked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.check import sample_pictures
from ml.draft import (
    TEXT_MODEL_NAME,
    draft_head,
    draft_input,
    draft_input_lines,
    quoted,
    read_file,
    read_weights,
)
from ml.errors import ModelMismatch, ModelUnusable
from ml.manifest import MODEL_NAME, InputSpec
from ml.onnx_file import inspect
from ml.preprocess import tensor
from ml.session import names_of, open_session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnxruntime

_TOKENIZER = ("vocab.json", "merges.txt")
_DTYPES = {"tensor(int64)": "int64", "tensor(int32)": "int32"}
_USUAL_CONTEXT = 77
_MATRIX = 2
_CLIP = ((122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232))


def draft_image_text(folder: Path) -> str:
    """Return a manifest for the encoders ``model.onnx`` and ``text.onnx`` in ``folder``, as TOML.

    Raises PackFileMissing, ModelMismatch (the two do not give vectors of one length), and what loading a model raises.
    """
    image, text = (_session(folder, name) for name in (MODEL_NAME, TEXT_MODEL_NAME))
    spec = draft_input(image)
    if spec.dtype != "uint8":
        # What CLIP was trained with; its successors that take 0 to 1 have other sizes, too.
        mean, std = _CLIP if spec.size == 224 else ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))  # noqa: PLR2004
        spec = InputSpec(
            name=spec.name,
            size=spec.size,
            layout=spec.layout,
            colour=spec.colour,
            dtype=spec.dtype,
            resize="bicubic" if spec.size == 224 else "bilinear",  # noqa: PLR2004
            shorter_side=spec.size,
            mean=mean,
            std=std,
        )
    tokens, mask = _text_inputs(text)
    context = tokens.shape[1] if isinstance(tokens.shape[1], int) else _USUAL_CONTEXT
    pictured = _vectors(image, {spec.name: tensor(sample_pictures()[1], spec)[None]})
    ids = np.ones((_batch(text), context), dtype=_DTYPES[tokens.type])
    read = _vectors(text, {tokens.name: ids, **({} if mask is None else {mask: ids})})
    own, others = _pair(pictured, read)
    models = (MODEL_NAME, TEXT_MODEL_NAME)
    weights = [name for model in models for name in sorted(inspect(read_file(folder, model), model).external_files)]
    names = dict.fromkeys((*models, *_TOKENIZER, *weights))
    files = {name: hashlib.sha256(read_file(folder, name)).hexdigest() for name in names}
    return "\n".join(
        [
            *draft_head(folder, files, kind="image-text"),
            *draft_input_lines(spec, "CLIP's at 224 pixels, none elsewhere", "the size"),
            "[output]",
            f'embedding = "{quoted(own)}"',
            "",
            "[text]",
            f'model = "{TEXT_MODEL_NAME}"',
            f'name = "{quoted(tokens.name)}"',
            f'dtype = "{_DTYPES[tokens.type]}"',
            f"context = {context}" + ("" if isinstance(tokens.shape[1], int) else "                         # guess"),
            *([] if mask is None else [f'mask = "{quoted(mask)}"']),
            f'embedding = "{quoted(others)}"',
            f'vocabulary = "{_TOKENIZER[0]}"',
            f'merges = "{_TOKENIZER[1]}"',
            "padding = 0                          # guess: 49407 for some exports of CLIP",
            "",
        ]
    )


def _session(folder: Path, name: str) -> onnxruntime.InferenceSession:
    model = read_file(folder, name)
    return open_session(model, str(folder / name), lambda location: read_weights(folder, location))


def _text_inputs(session: onnxruntime.InferenceSession) -> tuple[Any, str | None]:
    """Return the input for token ids, and the name of that for the mask, if there is one."""
    inputs = [node for node in session.get_inputs() if node.type in _DTYPES and len(node.shape) == _MATRIX]
    masks = [node for node in inputs if "mask" in node.name.lower()]
    others = [node for node in inputs if node not in masks]
    if len(others) != 1 or len(masks) > 1 or len(session.get_inputs()) != len(inputs):
        named = names_of(node.name for node in session.get_inputs())
        raise ModelMismatch(
            f"{TEXT_MODEL_NAME} does not take token ids, with or without a mask: its inputs are {named}",
            hint="Export the text half alone, with its projection.",
        )
    return others[0], masks[0].name if masks else None


def _batch(session: onnxruntime.InferenceSession) -> int:
    first = session.get_inputs()[0].shape[0]
    return first if isinstance(first, int) else 1


def _vectors(session: onnxruntime.InferenceSession, inputs: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, int]:
    """Return the lengths of the vectors that come out, by the outputs' names."""
    filled = {name: np.repeat(values[:1], _batch(session), axis=0) for name, values in inputs.items()}
    try:
        outputs = session.run(None, filled)
    except Exception as cause:  # the runtime's exception classes have no common base but this one
        raise ModelUnusable(f"the model fails on a made input: {cause}") from cause
    names = [node.name for node in session.get_outputs()]
    return {
        name: output.shape[1]
        for name, output in zip(names, outputs, strict=True)
        if isinstance(output, np.ndarray) and output.ndim == _MATRIX and output.dtype.kind == "f"
    }


def _pair(pictured: Mapping[str, int], read: Mapping[str, int]) -> tuple[str, str]:
    """Return the outputs that can be compared, those called embeddings before all others."""
    pairs = [(one, other) for one, length in pictured.items() for other, same in read.items() if length == same]
    if not pairs:
        raise ModelMismatch(
            f"{MODEL_NAME} gives no vector as long as one of {TEXT_MODEL_NAME}: {_lengths(pictured)}; {_lengths(read)}",
            hint="Export both halves with their projections.",
        )
    return max(pairs, key=lambda pair: sum("embed" in name.lower() for name in pair))


def _lengths(outputs: Mapping[str, int]) -> str:
    return ", ".join(f'"{name}" has {length}' for name, length in sorted(outputs.items())) or "it has none"
