"""Tiny ImageNet as memory-mapped pixels, and the batches made from them.

The archives hold one WebP of 64x64 pixels per picture, named ``<wnid>/<number>.webp``. Decoding them takes longer
than a training step can wait for, so they are decoded once into a ``uint8`` array on disk.
"""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE_SIZE = 64
"""Side of every stored picture, in pixels."""

PIXEL_MEAN = (121.0, 113.0, 101.0)
PIXEL_STD = (70.0, 70.0, 70.0)
"""Mean and deviation per channel (RGB, 0-255 scale) of the training pixels, rounded; ``pack.toml`` repeats them."""

PAD = 4
"""Pixels of reflected border added before a crop is taken, so that a full-size crop can still shift."""

APP_SOFTNESS = 0.15
"""The weight that fits the filter the pack asks for: validation pictures are softened by it."""

_CHUNK = 500

FLIP_SHARE = 0.5
"""Share of the training pictures that are mirrored."""

SOFTNESS = (0.05, 0.2)
"""Range of the outer weight a of the kernel (a, 1 - 2a, a) that makes a picture as soft as a photo in the app.

Tiny ImageNet was reduced without much of a filter and is sharper than anything the app shows the model: neighbouring
pixels differ by 0.24 of the variance; in photos reduced by Pillow's bilinear filter by 0.085, by its bicubic one by
0.113. The kernel reaches those figures at a = 0.15 and a = 0.11.
"""

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Split:
    """One decoded split.

    ``pixels`` is uint8 ``[N, 3, 64, 64]`` in RGB order, ``targets`` int64 ``[N]`` indices into ``wnids``.
    """

    pixels: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.int64]
    wnids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.targets)


def data_directory() -> Path:
    """Return the folder of ``train.zip`` and ``val.zip``: ``$SAFELIGHT_TEST_DATA``, else the checkout's sibling."""
    shared = Path(os.environ.get("SAFELIGHT_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    return shared / "tiny-imagenet"


def load_split(name: str, cache: Path) -> Split:
    """Open the split ``name`` ("train" or "val"), decoding it into ``cache`` the first time.

    Classes are numbered in the order of their sorted WordNet ids. Raises ``FileNotFoundError`` where neither the cache
    nor the archive is there and ``ValueError`` where a picture is not 64x64.
    """
    pixels_file = cache / f"{name}-pixels.npy"
    targets_file = cache / f"{name}-targets.npy"
    wnids_file = cache / "wnids.txt"
    # The targets are written last: where they are, the pixels are whole.
    if not targets_file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _decode(data_directory() / f"{name}.zip", pixels_file, targets_file, wnids_file)
    pixels: npt.NDArray[np.uint8] = np.load(pixels_file, mmap_mode="r")
    targets: npt.NDArray[np.int64] = np.load(targets_file)
    return Split(pixels, targets, tuple(wnids_file.read_text(encoding="utf-8").split()))


def _decode(archive: Path, pixels_file: Path, targets_file: Path, wnids_file: Path) -> None:
    with zipfile.ZipFile(archive) as source:
        names = sorted(name for name in source.namelist() if name.endswith(".webp"))
        wnids = sorted({name.split("/")[-2] for name in names})
        number = {wnid: index for index, wnid in enumerate(wnids)}
        shape = (len(names), 3, IMAGE_SIZE, IMAGE_SIZE)
        pixels = np.lib.format.open_memmap(str(pixels_file), mode="w+", dtype=np.uint8, shape=shape)
        targets = np.empty(len(names), dtype=np.int64)
        for row, name in enumerate(names):
            with Image.open(io.BytesIO(source.read(name))) as image:
                if image.size != (IMAGE_SIZE, IMAGE_SIZE):
                    raise ValueError(f"{archive.name}:{name} is {image.size}, expected {IMAGE_SIZE}x{IMAGE_SIZE}")
                pixels[row] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            targets[row] = number[name.split("/")[-2]]
        pixels.flush()
    wnids_file.write_text("".join(f"{wnid}\n" for wnid in wnids), encoding="utf-8")
    np.save(targets_file, targets)


def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the permutation of ``range(count)`` for one epoch; a function of seed and epoch only."""
    return np.random.default_rng((seed, epoch)).permutation(count).astype(np.int64)


def augment(pixels: npt.NDArray[np.uint8], size: int, rng: np.random.Generator, *, soft: bool) -> torch.Tensor:
    """Cut, flip and resize one training batch.

    ``pixels`` is uint8 ``[N, 3, 64, 64]``; the result float32 ``[N, 3, size, size]``, normalised, channels
    last. The side of the crop is drawn once per batch (so that one resize serves all of it), its place and the
    flip once per picture. ``soft`` also softens each picture, by a strength of its own.
    """
    side = int(rng.integers(IMAGE_SIZE * 3 // 4, IMAGE_SIZE + 1))
    padded = np.pad(pixels, ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD)), mode="reflect")
    # A smaller crop needs no border to be movable; keeping it off the border keeps invented pixels rare.
    low = PAD if side < IMAGE_SIZE - PAD else 0
    high = IMAGE_SIZE + 2 * PAD - low - side
    count = len(pixels)
    tops = rng.integers(low, high + 1, size=count)
    lefts = rng.integers(low, high + 1, size=count)
    flips = rng.random(count) < FLIP_SHARE
    crops = np.empty((count, 3, side, side), dtype=np.uint8)
    for row in range(count):
        crop = padded[row, :, tops[row] : tops[row] + side, lefts[row] : lefts[row] + side]
        crops[row] = crop[:, :, ::-1] if flips[row] else crop
    images = to_input(crops)
    if soft:
        images = soften(images, rng.uniform(*SOFTNESS, size=count))
    return _resize(images, size)


def to_input(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Return uint8 pixels ``[N, 3, H, W]`` as float32 of the same shape, normalised per channel, channels last."""
    images = torch.from_numpy(np.array(pixels, order="C")).to(torch.float32, memory_format=torch.channels_last)
    return (images - torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1)) / torch.tensor(PIXEL_STD).view(1, 3, 1, 1)


def soften(images: torch.Tensor, strengths: npt.NDArray[np.float64]) -> torch.Tensor:
    """Return ``images [N, 3, H, W]`` smoothed across and down by a kernel of outer weight ``strengths [N]``."""
    outer = torch.from_numpy(strengths.astype(np.float32)).view(-1, 1, 1, 1)
    for axis in (2, 3):
        side = images.shape[axis]
        border = (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0)  # noqa: PLR2004 - rows, then columns
        padded = functional.pad(images, border, mode="replicate")
        neighbours = padded.narrow(axis, 0, side) + padded.narrow(axis, 2, side)
        images = images + outer * (neighbours - 2.0 * images)
    return images


def softened(split: Split, strengths: npt.NDArray[np.float64]) -> Split:
    """Return ``split`` with every picture softened by its strength, ``[N]``, and rounded to bytes again."""
    pixels = np.empty(split.pixels.shape, dtype=np.uint8)
    for start in range(0, len(split), _CHUNK):
        rows = slice(start, start + _CHUNK)
        images = torch.from_numpy(split.pixels[rows].astype(np.float32))
        pixels[rows] = soften(images, strengths[rows]).round().clamp(0, 255).to(torch.uint8).numpy()
    return Split(pixels, split.targets, split.wnids)


def sample(split: Split, count: int, seed: int) -> Split:
    """Return ``count`` pictures of ``split`` in random order, softened by strengths drawn from ``SOFTNESS``."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(split))[:count]
    return softened(Split(split.pixels[rows], split.targets[rows], split.wnids), rng.uniform(*SOFTNESS, size=count))


def batches(split: Split, size: int) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """Yield ``(pixels, targets)`` of at most ``size`` pictures each, in stored order."""
    for start in range(0, len(split), size):
        yield split.pixels[start : start + size], split.targets[start : start + size]


def _resize(images: torch.Tensor, size: int) -> torch.Tensor:
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=images.shape[-1] > size)
