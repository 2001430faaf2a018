"""Eight-bit quantisation of the ONNX model, and running ONNX models over a split."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from ml.training.dataset import Split, batches, to_input
from ml.training.onnx_graph import EMBEDDING, INPUT, LOGITS

if TYPE_CHECKING:
    import numpy.typing as npt

CALIBRATION_PICTURES = 2000
CALIBRATION_BATCH = 100


class TrainingPictures(CalibrationDataReader):  # type: ignore[misc]
    """Every n-th of the pictures given, normalised, in batches."""

    def __init__(self, train: Split) -> None:
        chosen = np.linspace(0, len(train) - 1, CALIBRATION_PICTURES).astype(np.int64)
        self._pixels = train.pixels[chosen]
        self._next = 0

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """Return the next batch, or None after the last."""
        pixels = self._pixels[self._next : self._next + CALIBRATION_BATCH]
        self._next += CALIBRATION_BATCH
        return {INPUT: contiguous(pixels)} if len(pixels) else None


def contiguous(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the normalised input ``[N, 3, H, W]`` in plain C order, as ONNX Runtime takes it."""
    return np.ascontiguousarray(to_input(pixels).numpy())


def quantise(
    model: onnx.ModelProto, train: Split, method: str = "percentile", *, reduced: bool = True
) -> onnx.ModelProto:
    """Return the eight-bit model in QDQ form: int8 weights per channel, uint8 activations, calibrated on ``train``.

    ``reduced`` keeps the weights within 7 bits. On CPUs without 8-bit dot products, pairs of products are summed in
    16 bits, which overflow with full-range weights: the same file would then be right on one machine and wrong on the
    next.
    """
    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "float.onnx"), Path(scratch, "int8.onnx")
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            TrainingPictures(train),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduced,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=methods[method],
            extra_options={"CalibPercentile": 99.99} if method == "percentile" else {},
        )
        return onnx.load(target)


def run(
    model: onnx.ModelProto, split: Split, batch: int = 50
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return logits ``[N, classes]`` and embeddings ``[N, width]`` of every picture of ``split``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    logits, embeddings = [], []
    for pixels, _ in batches(split, batch):
        outputs = session.run([LOGITS, EMBEDDING], {INPUT: contiguous(pixels)})
        logits.append(outputs[0])
        embeddings.append(outputs[1])
    return np.concatenate(logits), np.concatenate(embeddings)


def accuracy(logits: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return (top-1, top-5) as shares of 1."""
    order = np.argsort(-logits, axis=1)[:, :5]
    hits = order == targets[:, None]
    return float(hits[:, 0].mean()), float(hits.any(axis=1).mean())
