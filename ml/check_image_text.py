"""A trial run of an image-text pack: whether both encoders load, run, and answer with vectors of one space."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ml.check import sample_pictures
from ml.errors import ModelMismatch
from ml.image_text import ImageEncoder, TextEncoder

if TYPE_CHECKING:
    from ml.pack import ImageTextPack

_TEXTS = ("a photo of a dog", "a red circle", "a chessboard", "")
_SAME = 1e-4


@dataclass(frozen=True)
class ImageTextReport:
    """What ``model test`` says of an image-text pack that runs."""

    model: str
    embedding: int
    """Length of the vectors."""
    load_ms: float
    """Both encoders and the tokenizer."""
    preprocess_ms: float
    """Median for one picture."""
    inference_ms: float
    """Median for one picture on one thread."""
    text_ms: float
    """Median for one text on one thread."""
    warnings: tuple[str, ...]


def check_image_text_pack(pack: ImageTextPack, *, repeats: int = 5) -> ImageTextReport:
    """Load and run both encoders; raises the MlError that says what is wrong.

    What is merely suspicious is in the report's warnings. ``repeats``: how often each input is run for the timing.
    """
    started = time.perf_counter()
    images, texts = ImageEncoder(pack), TextEncoder(pack)
    load_ms = (time.perf_counter() - started) * 1000
    preprocess: list[float] = []
    tensors = []
    for picture in sample_pictures():
        start = time.perf_counter()
        tensors.append(images.tensor(picture))
        preprocess.append(time.perf_counter() - start)
    inference: list[float] = []
    pictured = []
    for part in tensors * repeats:
        start = time.perf_counter()
        pictured.append(images.run(part[None])[0])
        inference.append(time.perf_counter() - start)
    reading: list[float] = []
    read = []
    for text in _TEXTS * repeats:
        start = time.perf_counter()
        read.append(texts.encode([text])[0])
        reading.append(time.perf_counter() - start)
    if len(pictured[0]) != len(read[0]):
        raise ModelMismatch(
            f"{pack.model}: pictures become vectors of {len(pictured[0])} numbers, texts of {len(read[0])}",
            hint="The two encoders must come from the same model, both with their projection.",
        )
    warnings = []
    if np.ptp(pictured, axis=0).max() < _SAME:
        warnings.append("every picture gets the same vector: is the input rule right, and is this the trained model?")
    if np.ptp(read, axis=0).max() < _SAME:
        warnings.append("every text gets the same vector: are vocabulary, merges and padding those of this model?")
    return ImageTextReport(
        model=pack.model,
        embedding=len(read[0]),
        load_ms=load_ms,
        preprocess_ms=median(preprocess) * 1000,
        inference_ms=median(inference) * 1000,
        text_ms=median(reading) * 1000,
        warnings=tuple(warnings),
    )
