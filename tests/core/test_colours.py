"""The colours a search finds are those of the placeholder, and bytes that are no placeholder have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.catalog.colours import colours_of, named
from core.query.fields import COLOURS
from core.thumbhash import decode, encode, of_image

if TYPE_CHECKING:
    from pathlib import Path


def names(bits: int) -> set[str]:
    return {name for number, name in enumerate(COLOURS) if bits >> number & 1}


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ("#d01010", "red"),
        ("#f08020", "orange"),
        ("#f0e020", "yellow"),
        ("#20a030", "green"),
        ("#20c8d0", "cyan"),
        ("#2040d0", "blue"),
        ("#6020c0", "purple"),
        ("#e050c0", "pink"),
        ("#704018", "brown"),
        ("#080808", "black"),
        ("#808080", "grey"),
        ("#fafafa", "white"),
        ("#000000", "black"),
        ("#ffffff", "white"),
    ],
)
def test_a_picture_of_one_colour_has_that_colour(rgb: str, name: str) -> None:
    assert names(colours_of([of_image(Image.new("RGB", (40, 30), rgb))])[0]) == {name}


def test_two_halves_of_a_picture_each_count() -> None:
    picture = Image.new("RGB", (40, 30), "#d01010")
    picture.paste("#2040d0", (0, 0, 20, 30))
    assert {"red", "blue"} <= names(colours_of([of_image(picture)])[0])


pictures = st.builds(
    lambda height, width, seed, alpha: (
        (np.random.default_rng(seed).random((height, width, 4)) * 256).astype(np.uint8)
        | np.array([0, 0, 0, 0 if alpha else 255], np.uint8)
    ),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(0, 1000),
    st.booleans(),
)


@given(st.lists(pictures, max_size=5))
def test_many_at_once_have_the_colours_of_the_painted_placeholders(rgba: list[np.ndarray]) -> None:
    hashes = [encode(one) for one in rgba]
    together = colours_of(hashes)
    assert together == [colours_of([one])[0] for one in hashes]
    for one, bits in zip(hashes, together, strict=True):
        painted = named(decode(one)[..., :3] / 255.0)
        shares = {name: float((painted == number).mean()) for number, name in enumerate(COLOURS)}
        # The placeholder is painted with other points than those counted: a colour on the edge may fall either way.
        assert {name for name, share in shares.items() if share > 0.7} <= names(bits)
        assert not {name for name in names(bits) if shares[name] == 0 and name != "grey"} or len(names(bits)) > 1


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_bytes_that_are_no_placeholder_have_no_colours_and_hurt_nobody(hashes: list[bytes]) -> None:
    good = of_image(Image.new("RGB", (4, 3), "#d01010"))
    assert names(colours_of([*hashes, good])[-1]) == {"red"}
    assert colours_of([one[:4] for one in hashes]) == [0] * len(hashes)


def test_most_real_photos_have_the_colours_they_are_found_by_and_are_found_by_those_they_have(
    shared_data: Path,
) -> None:
    right = wrong = hit = missed = 0
    for path in sorted((shared_data / "labelled" / "caltech101").glob("*/*.jpg"))[::3]:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((64, 64))
        pixels = named(np.asarray(picture) / 255.0)
        colours = names(colours_of([of_image(picture)])[0])
        for name in ("red", "orange", "yellow", "green", "blue"):
            share = float((pixels == COLOURS.index(name)).mean())
            right += name in colours and share >= 0.05
            wrong += name in colours and share < 0.05
            hit += name in colours and share >= 0.15
            missed += name not in colours and share >= 0.15
    assert right + wrong > 30
    assert right / (right + wrong) > 0.8
    assert hit / (hit + missed) > 0.7
