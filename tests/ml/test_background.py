"""What stands out from the background is found, whatever else a model's cosines do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from ml.background import MAYBE, SURE, Sought, background_prompts, encode_prompts, score
from ml.image_text import ImageEncoder, TextEncoder
from ml.pack import ImageTextPack
from tests.ml.test_image_text import standin_folder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DOGS = (
    "n02086",
    "n02090379",
    "n02091134",
    "n02093991",
    "n02100236",
    "n02102318",
    "n02105251",
    "n02109047",
    "n02110958",
)
SNAKES = ("n01739381", "n0174", "n01753488")


def rows(seed: int, count: int, shared: float = 0.0) -> NDArray[np.float32]:
    made = np.random.default_rng(seed).standard_normal((count, 64)) + shared
    normalised: NDArray[np.float32] = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return normalised


@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
def test_a_bias_that_all_vectors_share_changes_nothing(shared: float) -> None:
    """Real models' vectors lie in a narrow cone, so that every cosine is high."""
    background, texts, pictures = rows(1, 100, shared), rows(2, 3, shared), rows(3, 400, shared)
    pictures[:20] += 1.2 * (texts[0] - background.mean(axis=0))
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    sought = Sought.of(texts[0], background)
    above = sought.stand_out(pictures)
    assert (above[:20] >= SURE).all()
    assert (above[20:] >= MAYBE).sum() < 10
    assert np.argsort(-above)[:20].max() < 20
    leads = pictures @ sought.direction
    assert (leads[above >= MAYBE] >= MAYBE * sought.spread(pictures)[above >= MAYBE] * 0.999).all()


def test_what_says_the_same_or_nothing_is_no_background() -> None:
    background = np.concatenate([rows(1, 100), np.zeros((3, 64), dtype=np.float32)])
    assert len(Sought.of(background[7], background).background) == 99
    assert not Sought.of(background[7], background[6:8]).is_distinct
    flat = Sought.of(background[7], background).stand_out(np.zeros((2, 64), dtype=np.float32))
    assert not (flat >= MAYBE).any()
    assert score(SURE) == 0.5
    assert 0 < score(-1e9) < score(MAYBE) < score(10) <= 1


def test_the_real_pair_tells_dogs_and_snakes_from_the_rest(shared_data: Path, tmp_path: Path) -> None:
    pack = ImageTextPack.open(standin_folder(shared_data, tmp_path / "standin"))
    paths = sorted((shared_data / "labelled" / "imagenet-sample").iterdir())
    kept = [path for number, path in enumerate(paths) if path.name.startswith((*DOGS, *SNAKES)) or number % 4 == 0]
    pictures = ImageEncoder(pack, threads=2).encode(Image.open(path).convert("RGB") for path in kept)
    encoder = TextEncoder(pack)
    background = encode_prompts(encoder, background_prompts())
    for text, meant in (("dog", DOGS), ("snake", SNAKES)):
        above = Sought.of(encode_prompts(encoder, [text])[0], background).stand_out(pictures)
        is_meant = np.array([path.name.startswith(meant) for path in kept])
        assert (above[is_meant] >= MAYBE).mean() >= 0.9, text
        assert (is_meant[above >= SURE]).mean() >= 0.8, text
        assert is_meant[np.argsort(-above)[: is_meant.sum()]].mean() >= 0.8, text
