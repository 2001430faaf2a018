"""How far a picture's likeness to a text stands out from its likeness to a hundred texts that were not asked for.

The cosine of a picture and a text says little by itself: some pictures are near every text and some texts near every
picture, and each model has a range of its own. So it is measured in standard deviations above the mean of the same
picture's cosines with a fixed background of everyday prompts. This is test normalisation, as speaker verification does
with a cohort of impostors (Auckenthaler, Carey, Lloyd-Thomas, "Score Normalization for Text-Independent Speaker
Verification Systems", Digital Signal Processing 10, 2000). What it finds is measured in docs/search.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PROMPTS_FILE = Path(__file__).parent / "prompts" / "background.txt"

MAYBE = 2.5
"""Standard deviations above the background from which a picture may be meant: by chance one in 160 would be there, were
cosines normally distributed, and fewer with what else is asked for below."""
SURE = 3.5
"""And from which it is taken to be meant: one in four thousand by chance."""
_BEATEN_BY = 1
"""How many prompts of the background may fit better: that of the same thing in other words, and no second one."""
_SAME = 0.95
"""Cosine from which a prompt of the background says what the text says."""
_LEAST_SPREAD = 1e-6
_MOST_EXPONENT = 700.0
_LEAST_PROMPTS = 20
"""Of so few a mean and a spread say something; fewer are left only of a text that is like all the others."""


class EncodesTexts(Protocol):
    """A text encoder, wherever it runs."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``[N, D]``, each row of length 1, or zeros for a text that tells the model nothing; N >= 1."""


@dataclass(frozen=True)
class Sought:
    """A text to look for, and the background it has to stand out from."""

    text: NDArray[np.float32]
    """``[D]``, of length 1."""
    background: NDArray[np.float32]
    """``[B, D]``, rows of length 1."""

    @classmethod
    def of(cls, text: NDArray[np.float32], background: NDArray[np.float32]) -> Sought:
        """Leave prompts out of the background that say what the text says, or tell the model nothing."""
        likeness = background @ text
        return cls(text, background[(likeness < _SAME) & background.any(axis=1)])

    @property
    def is_distinct(self) -> bool:
        """Whether the text says anything that the background does not: else no picture can stand out."""
        return len(self.background) >= _LEAST_PROMPTS

    @property
    def direction(self) -> NDArray[np.float32]:
        """``[D]``; its product with a picture is how far that is above the mean of the background, in cosines."""
        centre: NDArray[np.float32] = self.text - self.background.mean(axis=0)
        return centre

    def stand_out(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return for ``[N, D]`` pictures how many standard deviations above the background they are, ``[N]``.

        Minus infinity where the picture fits several prompts of the background better.
        """
        against = pictures @ self.background.T
        own = pictures @ self.text
        above: NDArray[np.float32] = ((own - against.mean(axis=1)) / _spread(against)).astype(np.float32)
        above[(against > own[:, None]).sum(axis=1) > _BEATEN_BY] = -np.inf
        return above

    def spread(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the standard deviation of each picture's cosines with the background, ``[N]`` for ``[N, D]``."""
        return _spread(pictures @ self.background.T)


def _spread(against: NDArray[np.float32]) -> NDArray[np.float32]:
    spread: NDArray[np.float32] = np.maximum(against.std(axis=1), _LEAST_SPREAD)
    return spread


def background_prompts() -> list[str]:
    """Return the prompts of the background, in the order of their file."""
    return PROMPTS_FILE.read_text(encoding="utf-8").splitlines()


def encode_prompts(encoder: EncodesTexts, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return ``[N, D]`` for texts as people type them, put as captions of photos, which models learnt from.

    One word alone is read as anything from a name to a brand; after "a photo of" it is a thing (Radford et al., 2021,
    section 3.1.4). Raises what ``encoder`` does.
    """
    captions = [text if text.casefold().startswith("a photo") else f"a photo of {text}" for text in texts]
    return encoder.encode(captions)


def score(above: float) -> float:
    """Return standard deviations above the background as a number from 0 to 1: a half where a picture is sure."""
    return 1 / (1 + math.exp(min(SURE - above, _MOST_EXPONENT)))
