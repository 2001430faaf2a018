"""Tiny packs made on the spot: a model that names the colour of a picture, in every variety a manifest can describe.

The ONNX files are written byte by byte (the field numbers are those of onnx.proto), so that they can also be wrong in
ways no exporter would produce.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

COLOURS = ("red", "green", "blue", "dark")
_TYPES = {"float32": 1, "uint8": 2, "int64": 7, "float16": 10}
_INT, _INTS, _GRAPH, _TENSOR = 2, 7, 5, 4


def varint(value: int) -> bytes:
    parts = bytearray()
    while True:
        parts.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(parts)


def put(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def node(operator: str, inputs: list[str], output: str, attributes: bytes = b"", domain: str = "") -> bytes:
    body = b"".join(put(1, name) for name in inputs) + put(2, output) + put(4, operator) + attributes
    return put(1, body + (put(7, domain) if domain else b""))


def ints(name: str, values: list[int]) -> bytes:
    return put(5, put(1, name) + b"".join(put(8, value) for value in values) + put(20, _INTS))


def integer(name: str, value: int) -> bytes:
    return put(5, put(1, name) + put(3, value & (1 << 64) - 1) + put(20, _INT))


def nested_graph(name: str, graph: bytes) -> bytes:
    return put(5, put(1, name) + put(6, graph) + put(20, _GRAPH))


def tensor_message(name: str, values: np.ndarray, external: str | None = None) -> bytes:
    body = b"".join(put(1, side) for side in values.shape) + put(2, _TYPES[str(values.dtype)]) + put(8, name)
    if external is None:
        return body + put(9, values.tobytes())
    entries = [("location", external), ("offset", "0"), ("length", str(values.nbytes))]
    return body + b"".join(put(13, put(1, key) + put(2, value)) for key, value in entries) + put(14, 1)


def value_info(number: int, name: str, dtype: str, shape: list[int | str]) -> bytes:
    sides = b"".join(put(1, put(1, side) if isinstance(side, int) else put(2, side)) for side in shape)
    return put(number, put(1, name) + put(2, put(1, put(1, _TYPES[dtype]) + put(2, sides))))


def model_file(graph: bytes, domains: tuple[str, ...] = ("",)) -> bytes:
    opsets = b"".join(put(8, put(1, domain) + put(2, 13 if not domain else 1)) for domain in domains)
    return put(1, 8) + put(7, graph) + opsets


@dataclass
class ColourPack:
    """A pack that says which colour a picture has; every field is one way in which packs differ."""

    folder: Path
    layout: str = "NCHW"
    colour: str = "RGB"
    dtype: str = "float32"
    size: int = 16
    batch: int | str = "N"
    kind: str = "logits"
    """What the manifest says; the model follows it unless ``gives`` says otherwise."""
    gives: str | None = None
    """logits, probabilities, nan, constant."""
    output_dtype: str = "float32"
    background: bool = False
    embedding: bool = True
    external: str | None = None
    domain: str = ""
    extra_nodes: bytes = b""
    extra_manifest: str = ""
    name: str = "colours"
    version: str = "1.0.0"
    labels: list[str] = field(default_factory=list)
    taxonomy: str | None = None
    ids: list[str] = field(default_factory=list)

    def classes(self) -> list[str]:
        return [*(["background"] if self.background else []), *COLOURS]

    def onnx(self) -> bytes:
        working = "float16" if self.dtype == "float16" else "float32"
        channels = list(range(3)) if self.colour == "RGB" else [2, 1, 0]
        weights = np.zeros((3, 4), dtype=working)
        for row, channel in enumerate(channels):
            weights[row, channel] = 10
        offsets = np.array([0, 0, 0, 5], dtype=working)
        gives = self.gives or self.kind
        if gives == "nan":
            offsets[1] = np.nan
        if gives == "constant":
            weights[:] = 0
        if self.background:
            weights = np.concatenate([np.zeros((3, 1), dtype=working), weights], axis=1)
            offsets = np.concatenate([np.array([4], dtype=working), offsets])
        unit = np.array(1 / 255 if self.dtype == "uint8" else 1, dtype=working)
        axes = [2, 3] if self.layout == "NCHW" else [1, 2]
        nodes = node("Cast", ["pixels"], "numbers", integer("to", _TYPES[working]))
        nodes += node("ReduceMean", ["numbers"], "means", ints("axes", axes) + integer("keepdims", 0))
        nodes += node("Mul", ["means", "unit"], "embedding")
        nodes += node("MatMul", ["embedding", "weights"], "products", domain=self.domain)
        nodes += node("Add", ["products", "offsets"], "sums")
        last = "sums"
        if gives in ("probabilities", "nan", "constant"):
            nodes += node("Softmax", ["sums"], "softmax", integer("axis", 1))
            last = "softmax"
        if self.output_dtype == "uint8":
            nodes += node("Mul", [last, "scale"], "scaled")
            last = "scaled"
        nodes += node("Cast", [last], "answer", integer("to", _TYPES[self.output_dtype]))
        image = [3, self.size, self.size] if self.layout == "NCHW" else [self.size, self.size, 3]
        graph = nodes + self.extra_nodes + put(2, "colours")
        graph += put(5, tensor_message("weights", weights, self.external))
        graph += put(5, tensor_message("offsets", offsets)) + put(5, tensor_message("unit", unit))
        graph += put(5, tensor_message("scale", np.array(255, dtype=working)))
        graph += value_info(11, "pixels", self.dtype, [self.batch, *image])
        graph += value_info(12, "answer", self.output_dtype, [self.batch, len(self.classes())])
        graph += value_info(12, "embedding", working, [self.batch, 3])
        if self.external is not None and "/" not in self.external:
            (self.folder / self.external).write_bytes(weights.tobytes())
        return model_file(graph, ("", self.domain) if self.domain else ("",))

    def write(self, *, files: tuple[str, ...] = ()) -> Path:
        """Write model, labels and manifest; returns the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "model.onnx").write_bytes(self.onnx())
        (self.folder / "labels.txt").write_text("".join(f"{label}\n" for label in self.labels or self.classes()))
        names = ["model.onnx", "labels.txt", *files]
        if self.ids:
            (self.folder / "ids.txt").write_text("".join(f"{name}\n" for name in self.ids))
            names.append("ids.txt")
        if self.taxonomy is not None:
            (self.folder / "taxonomy.toml").write_text(self.taxonomy)
            names.append("taxonomy.toml")
        (self.folder / "pack.toml").write_text(self.manifest(names))
        return self.folder

    def manifest(self, names: list[str]) -> str:
        pinned = "\n".join(
            f'"{name}" = "{hashlib.sha256((self.folder / name).read_bytes()).hexdigest()}"' for name in names
        )
        lines = [
            "format = 1",
            f'name = "{self.name}"',
            f'version = "{self.version}"',
            'kind = "classifier"',
            'licence = "CC0-1.0"',
            'source = "made by a test"',
            *(['taxonomy = "taxonomy.toml"'] if self.taxonomy is not None else []),
            "",
            "[files]",
            pinned,
            "",
            "[input]",
            'name = "pixels"',
            f"size = {self.size}",
            f'layout = "{self.layout}"',
            f'colour = "{self.colour}"',
            f'dtype = "{self.dtype}"',
            *([] if self.dtype == "uint8" else ["std = [255, 255, 255]"]),
            "",
            "[output]",
            'name = "answer"',
            f'kind = "{self.kind}"',
            f"classes = {len(self.classes())}",
            'labels = "labels.txt"',
            *(["background = 0"] if self.background else []),
            *([f"scale = {1 / 255!r}"] if self.output_dtype == "uint8" else []),
            *(['embedding = "embedding"'] if self.embedding else []),
            *(['wordnet = "ids.txt"'] if self.ids else []),
            self.extra_manifest,
        ]
        return "\n".join(lines)


MakePack = Callable[..., ColourPack]


@pytest.fixture
def colour_pack(tmp_path: Path) -> MakePack:
    """Return a maker of colour packs, each in a folder of its own; the keywords are ColourPack's fields."""
    count = iter(range(1000))

    def make(**variety: object) -> ColourPack:
        return ColourPack(tmp_path / f"pack-{next(count)}", **variety)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def writer() -> ModuleType:
    """Return this module: the functions that write ONNX files."""
    return sys.modules[__name__]
