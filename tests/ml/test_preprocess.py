"""The tensor is exactly what the manifest describes, and no shape of photo costs more than another."""

from __future__ import annotations

import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ml.manifest import InputSpec
from ml.preprocess import resize_and_crop, tensor, tensors

SPEC = InputSpec(name="x", size=32, layout="NCHW", colour="RGB", dtype="float32")


def with_(**changes: object) -> InputSpec:
    return msgspec.structs.replace(SPEC, **changes)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_colour_order_layout_and_type() -> None:
    picture = Image.new("RGB", (50, 40), (10, 20, 30))
    plain = tensor(picture, SPEC)
    assert (plain.shape, str(plain.dtype)) == ((3, 32, 32), "float32")
    assert list(plain[:, 0, 0]) == [10, 20, 30]
    last = tensor(picture, with_(layout="NHWC", colour="BGR", dtype="uint8"))
    assert (last.shape, str(last.dtype)) == ((32, 32, 3), "uint8")
    assert list(last[0, 0]) == [30, 20, 10]
    assert last.flags.c_contiguous
    half = tensor(picture, with_(dtype="float16", mean=(10.0, 10.0, 10.0), std=(1.0, 2.0, 4.0)))
    assert half.dtype == np.float16
    assert list(half[:, 5, 5]) == [0, 5, 5]


def test_mean_and_std_follow_the_colour_order() -> None:
    picture = Image.new("RGB", (40, 40), (10, 20, 30))
    assert list(tensor(picture, with_(colour="BGR", mean=(30.0, 20.0, 10.0)))[:, 0, 0]) == [0, 0, 0]


@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(90, 61), (61, 90), (37, 37), (20, 75), (300, 120)])
def test_it_is_resize_then_centre_crop(resize: str, size: tuple[int, int]) -> None:
    picture = noise(*size)
    width, height = (round(side * 37 / min(size)) for side in size)
    method = Image.Resampling.BILINEAR if resize == "bilinear" else Image.Resampling.BICUBIC
    whole = picture.resize((width, height), method)
    left, top = (width - 32) // 2, (height - 32) // 2
    expected = whole.crop((left, top, left + 32, top + 32))
    assert resize_and_crop(picture, with_(resize=resize)).tobytes() == expected.tobytes()


def test_the_whole_of_a_photo_is_pressed_into_the_square_and_the_centre_is_not() -> None:
    picture = Image.new("RGB", (96, 32), "red")
    picture.paste("blue", (32, 0, 64, 32))
    centre, whole = tensors(picture, with_(crop=("centre", "whole")))
    assert (centre == tensor(picture, SPEC)).all()
    assert (whole == tensor(picture, with_(crop="whole"))).all()
    assert (centre[0, 4:28, 4:28] == 0).all()
    assert list(whole[0, 16, [2, 16, 29]]) == [255, 0, 255]


def test_an_extreme_panorama_gives_the_same_square_and_needs_no_memory() -> None:
    picture = noise(1200, 40)
    expected = picture.resize((round(1200 * 37 / 40), 37), Image.Resampling.BILINEAR)
    left = (expected.width - 32) // 2
    square = np.asarray(resize_and_crop(picture, SPEC)).astype(int)
    difference = np.abs(square - np.asarray(expected.crop((left, 2, left + 32, 34))).astype(int))
    assert difference.max() <= 1
    tracemalloc.start()
    for size in ((60_000, 1), (1, 60_000)):
        tensor(Image.new("RGB", size), with_(size=224))
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F", "YCbCr", "HSV"])
def test_every_mode_of_picture_is_taken(mode: str) -> None:
    assert tensor(Image.new(mode, (40, 50)), SPEC).shape == (3, 32, 32)


def test_sixteen_bits_keep_their_greys() -> None:
    grey = Image.fromarray(np.full((40, 40), 128 * 256, dtype=np.uint16))
    assert grey.mode == "I;16"
    assert tensor(grey, SPEC).max() == 128


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert tensor(clear, SPEC).min() == 255
    palette = Image.new("P", (40, 40))
    palette.info["transparency"] = 0
    assert tensor(palette, SPEC).min() == 255


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([8, 31, 64]))
def test_any_size_gives_the_square(width: int, height: int, size: int) -> None:
    assert resize_and_crop(Image.new("RGB", (width, height)), with_(size=size)).size == (size, size)
