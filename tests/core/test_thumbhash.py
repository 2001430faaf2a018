"""ThumbHash against hashes that other implementations published, and on shapes of every kind."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core import thumbhash

# The reference's own example photo: hash, average colour and ratio as its ports' tests state them.
FLOWER = bytes.fromhex("934A062D069256C374055867DA8AB6679490510719")


def test_encodes_the_gradient_that_the_javascript_decoder_was_checked_with() -> None:
    pixels = np.zeros((40, 60, 4), dtype=np.uint8)
    pixels[..., 0] = (255 * np.arange(60) // 60)[None, :]
    pixels[..., 1] = (255 * np.arange(40) // 40)[:, None]
    pixels[..., 2:] = (90, 255)
    ours = thumbhash.encode(pixels)
    theirs = base64.b64decode(b"HAkKNZpwd3eAeIh3iHiId3BwB/d4")
    assert ours[:5] == theirs[:5]
    # Most terms of a plain gradient are zero, which is half-way between the steps 7 and 8: either is right.
    assert len(ours) == len(theirs)
    for mine, other in zip(ours[5:].hex(), theirs[5:].hex(), strict=True):
        assert mine == other or {mine, other} == {"7", "8"}


def test_reads_the_reference_photos_average_and_shape() -> None:
    assert thumbhash.average(FLOWER) == pytest.approx((0.484127015, 0.341269821, 0.0793650597, 1.0), abs=1e-6)
    assert thumbhash.aspect_ratio(FLOWER) == pytest.approx(0.714285731)
    assert thumbhash.decode(FLOWER).shape == (32, 23, 4)


@pytest.mark.parametrize(
    ("encoded", "size"),
    [(b"3OcRJYB4d3h/iIeHeEh3eIhw+j3A", (23, 32)), (b"3OiFBQAziIWCjHn3aGpwZ/moB8iHeHR6Zw==", (32, 32))],
    ids=["opaque", "with alpha"],
)
def test_decodes_published_hashes_to_their_sizes(encoded: bytes, size: tuple[int, int]) -> None:
    assert thumbhash.decode(base64.b64decode(encoded)).shape[:2] == size


@given(
    width=st.integers(1, 100),
    height=st.integers(1, 100),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    alpha=st.sampled_from([0, 128, 255]),
)
def test_any_flat_image_keeps_its_colour(width: int, height: int, colour: tuple[int, int, int], alpha: int) -> None:
    pixels = np.empty((height, width, 4), dtype=np.uint8)
    pixels[...] = (*colour, alpha)
    encoded = thumbhash.encode(pixels)
    assert len(encoded) <= 30
    red, green, blue, opacity = thumbhash.average(encoded)
    assert opacity == pytest.approx(alpha / 255, abs=0.04)
    if alpha:
        assert (red * 255, green * 255, blue * 255) == pytest.approx(colour, abs=13)
    assert thumbhash.decode(encoded).shape[2] == 4


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        decoded = thumbhash.decode(data)
    except ValueError:
        return
    assert max(decoded.shape[:2]) == 32


def test_a_photo_and_its_placeholder_look_alike() -> None:
    photo = Image.linear_gradient("L").convert("RGB").resize((640, 480))
    placeholder = Image.fromarray(thumbhash.decode(thumbhash.of_image(photo))).convert("L")
    small = photo.convert("L").resize(placeholder.size)
    difference = np.abs(np.asarray(placeholder, dtype=int) - np.asarray(small, dtype=int))
    assert difference.mean() < 12


def test_refuses_pixels_of_another_shape() -> None:
    with pytest.raises(ValueError, match="ThumbHash"):
        thumbhash.encode(np.zeros((101, 4, 4), dtype=np.uint8))
