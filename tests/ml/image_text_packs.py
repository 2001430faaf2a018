"""Tiny image-text packs made on the spot: colours for pictures, and the words for those colours for texts.

The image encoder gives the mean of each channel. The text encoder counts tokens: "red", "lime" and "blue" are words of
its vocabulary, each with a direction of its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml.text_tokens import END, START, byte_letters
from tests.ml.onnx_writer import TYPES, integer, ints, model_file, node, put, tensor_message, value_info

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = 16
_WORDS = {
    "red": ["r e", "re d</w>"],
    "lime": ["l i", "m e</w>", "li me</w>"],
    "blue": ["b l", "u e</w>", "bl ue</w>"],
}
_PAIRS = [pair for pairs in _WORDS.values() for pair in pairs]
_TOKENS = [
    *byte_letters(),
    *(f"{letter}</w>" for letter in byte_letters()),
    *(pair.replace(" ", "") for pair in _PAIRS),
    START,
    END,
]
VOCABULARY = json.dumps({token: number for number, token in enumerate(_TOKENS)}).encode()
MERGES = "".join(f"{pair}\n" for pair in ("#version: 0.2", *_PAIRS)).encode()


@dataclass
class ImageTextPack:
    """A pack of two encoders; every field is one way in which packs differ."""

    folder: Path
    size: int = 16
    dtype: str = "int64"
    text_dimensions: int = 3
    mask: bool = False
    batch: int | str = "N"
    text_gives: str = "counts"
    """counts, nan, zero, another shape."""
    image_gives: str = "means"
    """means, nan, constant."""
    name: str = "colour-words"
    version: str = "1.0.0"
    extra_text: str = ""

    def image_onnx(self) -> bytes:
        offset = {"means": 0.0, "nan": np.nan, "constant": 0.0}[self.image_gives]
        factor = 0.0 if self.image_gives == "constant" else 1.0
        nodes = node("ReduceMean", ["pixels"], "means", ints("axes", [2, 3]) + integer("keepdims", 0))
        nodes += node("Mul", ["means", "factor"], "scaled") + node("Add", ["scaled", "offset"], "image_embeds")
        graph = nodes + put(2, "image")
        graph += put(5, tensor_message("factor", np.array(factor, dtype=np.float32)))
        graph += put(5, tensor_message("offset", np.array([offset, 1e-3, 1e-3], dtype=np.float32)))
        graph += value_info(11, "pixels", "float32", [self.batch, 3, self.size, self.size])
        graph += value_info(12, "image_embeds", "float32", [self.batch, 3])
        return model_file(graph)

    def text_onnx(self) -> bytes:
        table = np.zeros((len(_TOKENS), self.text_dimensions), dtype=np.float32)
        for column, word in enumerate(_WORDS):
            table[_TOKENS.index(f"{word}</w>"), column % self.text_dimensions] = 1
        if self.text_gives != "zero":
            table[_TOKENS.index(START)] = 0.05
        if self.text_gives == "nan":
            table[:] = np.nan
        nodes = node("Gather", ["table", "input_ids"], "rows", integer("axis", 0))
        axes = [2] if self.text_gives == "another shape" else [1]
        last = "rows"
        if self.mask:
            nodes += node("Cast", ["attention_mask"], "floats", integer("to", TYPES["float32"]))
            nodes += node("Unsqueeze", ["floats", "last_axis"], "columns") + node("Mul", ["rows", "columns"], "masked")
            last = "masked"
        nodes += node("ReduceMean", [last], "text_embeds", ints("axes", axes) + integer("keepdims", 0))
        graph = nodes + put(2, "text") + put(5, tensor_message("table", table))
        if self.mask:
            graph += put(5, tensor_message("last_axis", np.array([2], dtype=np.int64)))
        graph += value_info(11, "input_ids", self.dtype, [self.batch, CONTEXT])
        if self.mask:
            graph += value_info(11, "attention_mask", self.dtype, [self.batch, CONTEXT])
        sides = CONTEXT if self.text_gives == "another shape" else self.text_dimensions
        graph += value_info(12, "text_embeds", "float32", [self.batch, sides])
        return model_file(graph)

    def write(self) -> Path:
        """Write both models, the tokenizer's files and the manifest; returns the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = {
            "model.onnx": self.image_onnx(),
            "text.onnx": self.text_onnx(),
            "vocab.json": VOCABULARY,
            "merges.txt": MERGES,
        }
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        (self.folder / "pack.toml").write_text(self.manifest(digests))
        return self.folder

    def manifest(self, digests: dict[str, str]) -> str:
        lines = [
            "format = 1",
            f'name = "{self.name}"',
            f'version = "{self.version}"',
            'kind = "image-text"',
            'licence = "CC0-1.0"',
            'source = "made by a test"',
            "",
            "[files]",
            *(f'"{name}" = "{digest}"' for name, digest in digests.items()),
            "",
            "[input]",
            'name = "pixels"',
            f"size = {self.size}",
            'layout = "NCHW"',
            'colour = "RGB"',
            'dtype = "float32"',
            "std = [255, 255, 255]",
            "",
            "[output]",
            'embedding = "image_embeds"',
            "",
            "[text]",
            'model = "text.onnx"',
            'name = "input_ids"',
            f'dtype = "{self.dtype}"',
            f"context = {CONTEXT}",
            *(['mask = "attention_mask"'] if self.mask else []),
            'embedding = "text_embeds"',
            'vocabulary = "vocab.json"',
            'merges = "merges.txt"',
            self.extra_text,
        ]
        return "\n".join(lines)
