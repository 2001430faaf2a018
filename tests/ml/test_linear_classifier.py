"""Learning a label from a few examples: it finds the others, says little of the rest, and refuses what cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ml.errors import NothingToLearn
from ml.linear_classifier import learn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

WIDTH = 320


def unit(rows: Rows) -> Rows:
    scaled: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def library(count: int, *, seed: int = 0) -> Rows:
    """Photos of anything, with what all photos of one model have in common."""
    rng = np.random.default_rng(seed)
    return unit((rng.standard_normal((count, WIDTH)) + 1.0).astype(np.float32))


def thing(count: int, *, seed: int = 1, direction: int = 0, spread: float = 0.5) -> Rows:
    """Photos of one thing: a direction of its own, and noise."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, WIDTH)) * spread + 1.0
    rows[:, direction * 40 : direction * 40 + 40] += 2.0
    return unit(rows.astype(np.float32))


NONE: Rows = np.zeros((0, WIDTH), dtype=np.float32)


def test_five_examples_find_the_others_and_hardly_anything_else() -> None:
    """Some of the sample shows the thing too, unnoticed; that neither hides the others nor lets all in."""
    things, rest = thing(60), library(2_000)
    background = np.concatenate([rest[:500], things[40:]])
    learnt = learn(things[:5], NONE, background)
    found = learnt.classifier.decide(things[5:]) >= learnt.classifier.threshold
    wrong = learnt.classifier.decide(rest) >= learnt.classifier.threshold
    assert found.mean() > 0.8
    assert wrong.sum() <= 5
    scores = learnt.classifier.probabilities(learnt.classifier.decide(things))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.array_equal(scores[5:] >= 0.5, found)
    again = learn(things[:5], NONE, background)
    assert np.array_equal(again.classifier.weights, learnt.classifier.weights)


def test_photos_that_are_refuted_stay_away_and_so_does_what_looks_like_them() -> None:
    """Something that looks much like it is taken for it, until a few of them are named as wrong."""
    things = thing(30)
    lookalikes = unit(thing(40, seed=7) + 0.6 * thing(40, seed=8, direction=3))
    rest = library(600)
    background = np.concatenate([rest, lookalikes[10:]])
    before = learn(things[:8], NONE, background).classifier
    after = learn(things[:8], lookalikes[:8], background).classifier
    taken_before = (before.decide(lookalikes[8:]) >= before.threshold).mean()
    taken_after = (after.decide(lookalikes[8:]) >= after.threshold).mean()
    assert taken_after <= taken_before
    assert taken_after < 0.1
    assert (after.decide(things[8:]) >= after.threshold).mean() > 0.8


def test_one_example_finds_what_is_nearly_the_same_and_contradictions_find_little() -> None:
    """Neither is an error: the classifier is as careful as its examples."""
    one = thing(1)
    learnt = learn(one, NONE, library(300))
    nearly = unit(one + 0.01 * library(5, seed=3))
    assert (learnt.classifier.decide(nearly) >= learnt.classifier.threshold).all()
    assert (learnt.classifier.decide(library(300, seed=5)) >= learnt.classifier.threshold).mean() < 0.02
    torn = thing(12)
    contradictory = learn(torn[:6], torn[6:], library(300))
    assert (contradictory.classifier.decide(torn[6:]) >= contradictory.classifier.threshold).sum() <= 3
    same = learn(torn[:3], torn[:3], library(300))
    assert (same.classifier.decide(torn[:3]) >= same.classifier.threshold).sum() <= 1


@pytest.mark.parametrize(
    ("positive", "background", "message"),
    [
        (NONE, library(10), "no example"),
        (thing(3), NONE, "nothing to tell"),
        (np.full((2, WIDTH), np.nan, dtype=np.float32), library(10), "no numbers"),
    ],
)
def test_what_cannot_be_learnt_is_said(positive: Rows, background: Rows, message: str) -> None:
    """An error with a hint, never a classifier that means nothing."""
    with pytest.raises(NothingToLearn, match=message) as caught:
        learn(positive, NONE, background)
    assert caught.value.hint
