"""Tiny packs made on the spot: a model that names the colour of a picture, in every variety a manifest can describe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ml.installed import add_pack
from ml.pack import Pack
from tests.ml.onnx_writer import TYPES, integer, ints, model_file, nested_graph, node, put, tensor_message, value_info

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = ("red", "green", "blue", "dark")


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
    """logits, probabilities, nan, nan on white, constant, never (it runs for ever)."""
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
        nodes = node("Cast", ["pixels"], "numbers", integer("to", TYPES[working]))
        nodes += node("ReduceMean", ["numbers"], "means", ints("axes", axes) + integer("keepdims", 0))
        nodes += node("Mul", ["means", "unit"], "embedding")
        seen = "embedding"
        if gives == "nan on white":
            nodes += node("Sub", ["limit", "embedding"], "left") + node("Sqrt", ["left"], "root")
            nodes += node("Mul", ["root", "root"], "square") + node("Sub", ["limit", "square"], "again")
            seen = "again"
        if gives == "never":
            nodes += node("Loop", ["turns", "go", "embedding"], "looped", nested_graph("body", _endless(working)))
            seen = "looped"
        nodes += node("MatMul", [seen, "weights"], "products", domain=self.domain)
        nodes += node("Add", ["products", "offsets"], "sums")
        last = "sums"
        if gives in ("probabilities", "nan", "constant"):
            nodes += node("Softmax", ["sums"], "softmax", integer("axis", 1))
            last = "softmax"
        if self.output_dtype == "uint8":
            nodes += node("Mul", [last, "scale"], "scaled")
            last = "scaled"
        nodes += node("Cast", [last], "answer", integer("to", TYPES[self.output_dtype]))
        image = [3, self.size, self.size] if self.layout == "NCHW" else [self.size, self.size, 3]
        graph = nodes + self.extra_nodes + put(2, "colours")
        graph += put(5, tensor_message("weights", weights, self.external))
        graph += put(5, tensor_message("offsets", offsets)) + put(5, tensor_message("unit", unit))
        graph += put(5, tensor_message("scale", np.array(255, dtype=working)))
        graph += put(5, tensor_message("turns", np.array(2**62))) + put(5, tensor_message("go", np.array(True)))
        graph += put(5, tensor_message("limit", np.array(0.99, dtype=working)))
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


def _endless(dtype: str) -> bytes:
    """Return a loop's body that changes nothing and says: again."""
    graph = node("Identity", ["go"], "again") + node("Identity", ["value"], "same") + put(2, "body")
    graph += value_info(11, "turn", "int64", []) + value_info(11, "go", "bool", [])
    graph += value_info(11, "value", dtype, ["N", 3])
    return graph + value_info(12, "again", "bool", []) + value_info(12, "same", dtype, ["N", 3])


MakePack = Callable[..., ColourPack]
"""Makes a pack in a folder of its own; the keywords are the fields of ``ColourPack``."""


def added_pack(folder: Path, manifest: Path | None = None) -> Pack:
    """Install a pack that labels photos."""
    pack = add_pack(folder, manifest=manifest)
    assert isinstance(pack, Pack)
    return pack
