"""Learning one label from a few examples: a regularised logistic regression on a model's embeddings.

The examples are photos that show the thing, perhaps some that do not, and a sample of the rest of the library: most
photos of a library show something else, so it stands for *not this*, as weakly as its number is large. The three groups
weigh the same however many they are.

What the score of a photo means is found by leaving examples out: every example is scored by a classifier that never saw
it. On these scores stands the threshold. The photos of the sample that score high may well show the thing, unnoticed;
so their high scores say nothing, and what scores photos of other things reach is taken from their bulk, as a normal
distribution with the median and the spread of the sample's lower half (the empirical null of B. Efron, "Large-scale
simultaneous hypothesis testing", JASA 99, 2004).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml.errors import NothingToLearn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

PENALTY = 1e-3
"""Of the squared weights, beside a mean loss of the examples; features have the length 1."""
_STEPS = 60
_ONE_CORE = 1 << 18
"""Multiplications of one product."""
_POWER_STEPS = 12
_MAX_FOLDS = 10
_SPREAD_OF_HALF = 1.4826
"""The standard deviation of a normal distribution whose median absolute deviation is 1."""
_FAR = 6.0
"""How many standard deviations from the middle of other photos a label begins.

Three would do if their scores were normally distributed. They are not: photos of similar things reach 5. On Caltech-101
among 1,074 photos, learnt from five of eight, three photos were left to be found: with mobilenet-v2, from 5 on 49 % of
those found were right, from 6 on 57 %, from 7 on 65 %, and 71 %, 67 % and 61 % of the three were found.
"""
_WAY = 0.9
_WAY_OF_ONE = 0.6
"""A single example is not left out, and its own score is better than that of any other photo could be."""
_RIGHT_OF_SHOWN = 0.8
_FEW = 32


@dataclass(frozen=True)
class LinearClassifier:
    """Scores vectors of the length 1.

    A vector x is seen from ``centre``, as (x - centre) / |x - centre|: what all photos have in common says nothing.
    """

    centre: Rows
    """[D]."""
    weights: Rows
    """[D]."""
    bias: float
    slope: float
    """Of the probability, over the decision value; see :meth:`probabilities`."""
    threshold: float
    """The decision value from which the label holds."""

    def decide(self, rows: Rows) -> Rows:
        """Return the decision values [N] of vectors [N, D] of the length 1."""
        return self.decisions(rows @ self.weights, rows @ self.centre)

    def decisions(self, by_weights: Rows, by_centre: Rows) -> Rows:
        """Return decision values [N] from the vectors' products with ``weights`` and with ``centre``, each [N]."""
        distance = np.sqrt(np.maximum(1 - 2 * by_centre + float(self.centre @ self.centre), 1e-12))
        decisions: Rows = ((by_weights - float(self.weights @ self.centre)) / distance + self.bias).astype(np.float32)
        return decisions

    def probabilities(self, decisions: Rows) -> Rows:
        """Return scores 0-1 of decision values: 0.5 at the threshold."""
        scores: Rows = _sigmoid(self.slope * (decisions - np.float32(self.threshold)))
        return scores


@dataclass(frozen=True)
class Learnt:
    """A classifier, and how it did on examples that were left out."""

    classifier: LinearClassifier
    positive: Rows
    """Decision values of the positive examples, each of a classifier that did not see it; of a single one, its own."""
    negative: Rows
    """The same of the negative examples."""
    background: Rows
    """The same of the other photos: some may show the thing, and were learnt as if they did not."""


def learn(positive: Rows, negative: Rows, background: Rows) -> Learnt:
    """Fit a label.

    Args:
        positive: [P, D] vectors of the length 1 of photos that show the thing; at least one.
        negative: [N, D] of photos that do not; may be none.
        background: [B, D] of other photos of the library; may be none if there are negative ones.

    Raises:
        NothingToLearn: there is no positive example, or nothing to tell it from; or some vectors are no numbers, or
            photos that show the thing and photos that do not have the same vectors.
    """
    if not len(positive):
        raise NothingToLearn("no example shows what the label means", hint="Name at least one photo that does.")
    if len(negative) + len(background) < 2:  # noqa: PLR2004  a single other photo has no spread
        raise NothingToLearn(
            "there is nothing to tell the examples from",
            hint="Import other photos too, or name some that do not show it.",
        )
    rows = np.concatenate([positive, negative, background]).astype(np.float32)
    if not np.isfinite(rows).all():
        raise NothingToLearn("some examples have vectors that are no numbers", hint="Make them again: safelight retag.")
    centre: Rows = np.concatenate([background, negative]).mean(axis=0, dtype=np.float32)
    features = _seen_from(centre, rows)
    sizes = (len(positive), len(negative), len(background))
    folds = _folds(sizes)
    weights, biases = _fit(features, sizes[0], _sample_weights(sizes, folds))
    # [n, folds + 1]; the last column is of the classifier that saw all.
    decisions = np.concatenate([features[part] @ weights for part in _parts(features, len(biases))]) + biases
    left_out: Rows = np.where(folds < 0, decisions[:, -1], decisions[np.arange(len(rows)), folds])
    own = left_out[: sizes[0]]
    others = left_out[sizes[0] : sizes[0] + sizes[1]]
    rest = left_out[sizes[0] + sizes[1] :]
    # What was refuted must not be shown, whatever a classifier that did not see it would have said.
    known = np.maximum(others, decisions[sizes[0] : sizes[0] + sizes[1], -1])
    threshold, slope = _threshold(own, known, rest)
    final: Rows = np.ascontiguousarray(weights[:, -1])
    return Learnt(LinearClassifier(centre, final, float(biases[-1]), slope, threshold), own, others, rest)


def _seen_from(centre: Rows, rows: Rows) -> Rows:
    moved = rows - centre
    lengths = np.sqrt(np.einsum("nd,nd->n", moved, moved))
    seen: Rows = moved / np.maximum(lengths, 1e-6)[:, None]
    return seen


def _folds(sizes: tuple[int, int, int]) -> NDArray[np.intp]:
    """Return which fold leaves each example out; -1: none does. A single positive example is never left out."""
    count = min(_MAX_FOLDS, max(sizes[0], 2))
    parts = [np.arange(size) % count for size in sizes]
    if sizes[0] == 1:
        parts[0] = np.full(1, -1)
    if sizes[1] + sizes[2] < 2 * count:
        parts[1:] = [np.full(size, -1) for size in sizes[1:]]
    return np.concatenate(parts).astype(np.intp)


def _sample_weights(sizes: tuple[int, int, int], folds: NDArray[np.intp]) -> Rows:
    """Return what each example weighs in each fold and in the whole, [n, folds + 1]: half for either side."""
    count = max(0, int(folds.max())) + 1
    weights = np.zeros((len(folds), count + 1), dtype=np.float32)
    groups = np.repeat([0, 1, 2], sizes)
    for fold in range(count + 1):
        seen = folds != fold if fold < count else np.ones(len(folds), dtype=bool)
        there = [bool(np.any(seen & (groups == group))) for group in range(3)]
        others = there[1] + there[2]
        for group in range(3):
            if there[group]:
                members = seen & (groups == group)
                share = 0.5 if group == 0 else 0.5 / others
                weights[members, fold] = share / np.count_nonzero(members)
    return weights


def _fit(features: Rows, positives: int, weights: Rows) -> tuple[Rows, Rows]:
    """Fit one classifier for each column of `weights` [n, K]; return [D, K] and [K].

    All at once by accelerated gradient steps (Y. Nesterov, "A method for solving the convex programming problem with
    convergence rate O(1/k²)", 1983), which are products of matrices.
    """
    parts = _parts(features, count := weights.shape[1])
    answers = np.zeros((len(features), 1), dtype=np.float32)
    answers[:positives] = 1
    rate = np.float32(1 / (0.25 * _largest_curvature(features, weights) + PENALTY))
    now, bias = np.zeros((features.shape[1], count), dtype=np.float32), np.zeros(count, dtype=np.float32)
    ahead, bias_ahead = now, bias
    momentum = 1.0
    for _ in range(_STEPS):
        gradient = np.float32(PENALTY) * ahead
        bias_gradient = np.zeros_like(bias)
        for part in parts:
            rows = features[part]
            errors = (_sigmoid(rows @ ahead + bias_ahead) - answers[part]) * weights[part]
            gradient += rows.T @ errors
            bias_gradient += errors.sum(axis=0)
        moved = ahead - rate * gradient
        bias_moved = bias_ahead - rate * bias_gradient
        grown = (1 + math.sqrt(1 + 4 * momentum * momentum)) / 2
        share = np.float32((momentum - 1) / grown)
        ahead, bias_ahead = moved + share * (moved - now), bias_moved + share * (bias_moved - bias)
        now, bias, momentum = moved, bias_moved, grown
    return now, bias


def _parts(features: Rows, columns: int) -> list[slice]:
    """Return the rows in parts whose products OpenBLAS leaves to one core.

    Beside other busy programs, two hundred products that were each handed to all cores and waited for took 2.4 s; these
    take a tenth of it.
    """
    rows = max(1, _ONE_CORE // (features.shape[1] * columns))
    return [slice(start, start + rows) for start in range(0, len(features), rows)]


def _largest_curvature(features: Rows, weights: Rows) -> float:
    """Return an upper bound of the largest eigenvalue of the weighted second moments, with the bias, of any fold."""
    heaviest = weights.max(axis=1, keepdims=True)
    # Two directions: the features may have nothing of one, and OpenBLAS hands single ones to all cores.
    vectors = np.ones((features.shape[1], 2), dtype=np.float32)
    vectors[::2, 1] = -1
    vectors /= np.float32(math.sqrt(features.shape[1]))
    parts = _parts(features, 2)
    length = 0.0
    for _ in range(_POWER_STEPS):
        moved = np.zeros_like(vectors)
        for part in parts:
            moved += features[part].T @ (heaviest[part] * (features[part] @ vectors))
        lengths = np.sqrt(np.einsum("dk,dk->k", moved, moved))
        length = float(lengths.max())
        vectors = moved / np.maximum(lengths, np.float32(1e-12))
    return 1.2 * length + float(heaviest.sum())


def _threshold(positive: Rows, negative: Rows, background: Rows) -> tuple[float, float]:
    """Return the decision value from which the label holds, and the slope of the probability there.

    It lies far outside of what other photos reach, and nine tenths of the way from these to a typical example; where
    examples that do not show the thing are known, enough of the examples above it do.
    """
    bulk = np.concatenate([background, negative]) if len(background) < _FEW else background
    middle = _median(bulk)
    lower = bulk[bulk <= middle]
    spread = max(_SPREAD_OF_HALF * (middle - _median(lower)), 1e-3)
    typical = _median(positive)
    way = _WAY if len(positive) > 1 else _WAY_OF_ONE
    threshold = max(middle + _FAR * spread, middle + way * (typical - middle))
    refuted = np.sort(negative[negative >= threshold])
    for at in refuted.tolist():
        right = int(np.count_nonzero(positive >= threshold))
        wrong = int(np.count_nonzero(negative >= threshold))
        if right >= _RIGHT_OF_SHOWN * (right + wrong):
            break
        threshold = float(np.nextafter(np.float32(at), np.float32(np.inf)))
    # A typical example scores 0.95, so that scores say how far a photo is above the threshold.
    return threshold, math.log(19) / max(typical - threshold, spread)


def _median(values: Rows) -> float:
    """Return the median; NumPy's own would load `numpy.ma`, which takes as long as learning."""
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def _sigmoid(values: Rows) -> Rows:
    answers: Rows = (1 / (1 + np.exp(-np.clip(values, -60, 60)))).astype(np.float32)
    return answers
