"""Thresholds fitted on labelled photos, one for each label, for a stated precision.

How likely a label is right, given its probability s, is a logistic function of logit s (Platt 1999), one for labels and
one for classes under their own names, with an offset for each label. The offsets are drawn from a normal distribution
whose width is estimated from the same photos (empirical Bayes; a logistic model with random intercepts, Stiratelli,
Laird and Ware 1984): a label that was seen often gets an offset of its own, one that was seen once or never stays at
what holds for all. The slope is a temperature (Guo et al. 2017, who scale logits by one number): of the label's own
odds instead of the classes'.

A label is shown where it is right with a likelihood of at least c; c is the lowest at which as many of the narrowest
labels shown are right as was asked for. Since offsets flatter the photos they were fitted on, c is found by five-fold
cross-validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ml.labels import LabelRules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml.labels import RawClasses

EXPECTED_PRECISION = 0.9
"""Share of the narrowest labels shown that are to be right, unless something else is asked for."""

_FOLDS = 5
_LEAST_SCORE = 0.02
"""Probabilities below say nothing of a label."""
_CANDIDATES = np.arange(0.3, 0.985, 0.01)
_LOWEST, _HIGHEST = 0.1, 0.9999
"""Bounds of a threshold; the upper one means: practically never."""
_NOTABLE = 0.03
"""Thresholds that differ from the common one by less are not written down."""
_ROUNDS = 25
_FEWEST_SHOWN = 20
"""Labels shown in cross-validation below which a precision says nothing."""


@dataclass(frozen=True)
class LabelledPhoto:
    """What a fit needs of a photo."""

    classes: RawClasses
    right: frozenset[str]
    """All labels that are right; none for a photo of something there is no word for."""


@dataclass(frozen=True)
class Thresholds:
    """The result of a fit, 0-1."""

    labels: float
    """For labels of the taxonomy that have none of their own."""
    classes: float
    """For classes under their own names that have none of their own."""
    by_label: dict[str, float]
    by_class: dict[str, float]
    likelihood: float
    """c: how likely a label is right at its threshold."""
    temperature: float
    """By which the log-odds of labels are too large; over 1 the model is too sure of itself."""
    spread: float
    """Standard deviation of the labels' offsets, on the scale of log-odds."""
    photos: int

    def applied_to(self, rules: LabelRules) -> LabelRules:
        """Return the same rules with these thresholds."""
        table = msgspec.structs.replace(
            rules.table,
            threshold=self.labels,
            class_threshold=self.classes,
            label_thresholds=self.by_label,
            class_thresholds=self.by_class,
        )
        return LabelRules(table)


def fit(
    rules: LabelRules, photos: Sequence[LabelledPhoto], *, precision: float = EXPECTED_PRECISION
) -> Thresholds | None:
    """Return the thresholds for ``precision`` (0-1, both excluded), or None where no threshold reaches it.

    The answer depends on the order of ``photos`` through the folds only; give them in one that says nothing of them.
    """
    if len(photos) < 2 * _FOLDS:
        return None
    cases = [_Case.of(rules, photo) for photo in photos]
    shown = np.zeros(len(_CANDIDATES))
    right = np.zeros(len(_CANDIDATES))
    for fold in range(_FOLDS):
        inside = [case for number, case in enumerate(cases) if number % _FOLDS != fold]
        model = _Model.fit(rules, inside)
        for case in cases[fold::_FOLDS]:
            for_each, of_them_right = case.narrowest(model, _CANDIDATES)
            shown += for_each
            right += of_them_right
    enough = (shown >= _FEWEST_SHOWN) & (right >= precision * shown)
    if not enough.any():
        return None
    likelihood = float(_CANDIDATES[int(np.argmax(enough))])
    return _Model.fit(rules, cases).thresholds(rules, likelihood, len(cases))


@dataclass(frozen=True)
class _Case:
    """One photo: K labels with a probability worth looking at."""

    nodes: NDArray[np.int64]
    """[K] indices of the rules' nodes."""
    logits: NDArray[np.float64]
    """[K] log-odds of their probabilities."""
    right: NDArray[np.bool_]
    """[K]"""
    below: NDArray[np.float64]
    """[K, K], 1 where the row's node is below the column's, and bears another name."""
    twins: tuple[tuple[int, int], ...]
    """(class, label) of one name: one label."""

    @classmethod
    def of(cls, rules: LabelRules, photo: LabelledPhoto) -> _Case:
        scores = {node: score for node, score in rules.scores(photo.classes).items() if score >= _LEAST_SCORE}
        nodes = sorted(scores)
        places = {node: place for place, node in enumerate(nodes)}
        below = np.zeros((len(nodes), len(nodes)))
        twins = []
        for place, node in enumerate(nodes):
            for above in rules.nodes[node].above:
                if rules.nodes[above].label == rules.nodes[node].label:
                    twins.append((place, places[above]))
                else:
                    below[place, places[above]] = 1
        clipped = np.clip([scores[node] for node in nodes], 1e-4, 1 - 1e-4)
        right = np.array([rules.nodes[node].label in photo.right for node in nodes], dtype=np.bool_)
        return cls(np.array(nodes, dtype=np.int64), _logit(clipped), right, below, tuple(twins))

    def narrowest(self, model: _Model, likelihoods: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return, for each of L likelihoods, how many narrowest labels are shown, and how many of them are right."""
        shown = model.likelihood(self)[None, :] >= likelihoods[:, None]
        shown = shown | (shown @ self.below > 0)
        narrow = shown & ~(shown @ self.below > 0)
        for class_, label in self.twins:
            narrow[:, class_] &= ~narrow[:, label]
        return narrow.sum(axis=1), (narrow & self.right[None, :]).sum(axis=1)


@dataclass(frozen=True)
class _Model:
    """P(right) = sigmoid(intercept + slope * logit s + offset)."""

    intercepts: NDArray[np.float64]
    """[2] of labels and of classes; so are the slopes."""
    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]
    """[nodes]"""
    kinds: NDArray[np.int64]
    """[nodes], 1 for classes."""
    spread: float

    @classmethod
    def fit(cls, rules: LabelRules, cases: Sequence[_Case]) -> _Model:
        """Alternate Newton steps for the common numbers, for the offsets, and for the width of their distribution."""
        kinds = np.array([node.is_class for node in rules.nodes], dtype=np.int64)
        where = np.concatenate([case.nodes for case in cases])
        x = np.concatenate([case.logits for case in cases])
        y = np.concatenate([case.right for case in cases]).astype(np.float64)
        lines = np.array([[0.0, 1.0], [0.0, 1.0]])
        offsets = np.zeros(len(kinds))
        seen = np.bincount(where, minlength=len(kinds)) > 0
        variance = 1.0
        for _ in range(_ROUNDS):
            for kind in (0, 1):
                mine = kinds[where] == kind
                design = np.stack([np.ones(int(mine.sum())), x[mine]], axis=1)
                chance = _sigmoid(design @ lines[kind] + offsets[where[mine]])
                weight = chance * (1 - chance) + 1e-6
                # A weak pull towards "the score is the likelihood" keeps few photos from a slope without end.
                curvature = (design * weight[:, None]).T @ design + np.eye(2)
                gradient = design.T @ (y[mine] - chance) - (lines[kind] - [0.0, 1.0])
                lines[kind] += np.clip(np.linalg.solve(curvature, gradient), -1, 1)
            chance = _sigmoid(lines[kinds[where], 0] + lines[kinds[where], 1] * x + offsets[where])
            gradient = np.bincount(where, y - chance, len(kinds)) - offsets / variance
            curvature = np.bincount(where, chance * (1 - chance), len(kinds)) + 1 / variance
            offsets += np.clip(gradient / curvature, -1, 1)
            if seen.any():
                variance = float(np.clip(np.mean(offsets[seen] ** 2 + 1 / curvature[seen]), 0.01, 9.0))
        return cls(lines[:, 0], np.maximum(lines[:, 1], 0.2), offsets, kinds, float(np.sqrt(variance)))

    def likelihood(self, case: _Case) -> NDArray[np.float64]:
        """[K] how likely each label of the photo is right."""
        kinds = self.kinds[case.nodes]
        return _sigmoid(self.intercepts[kinds] + self.slopes[kinds] * case.logits + self.offsets[case.nodes])

    def thresholds(self, rules: LabelRules, likelihood: float, photos: int) -> Thresholds:
        """Return at which probabilities the labels are as likely right as said."""
        wanted = float(_logit(np.array(likelihood)))

        def needed(kind: int, offset: float = 0.0) -> float:
            at = _sigmoid(np.array((wanted - self.intercepts[kind] - offset) / self.slopes[kind]))
            return round(float(np.clip(at, _LOWEST, _HIGHEST)), 4)

        common = needed(0), needed(1)
        own: tuple[dict[str, float], dict[str, float]] = ({}, {})
        for number, node in enumerate(rules.nodes):
            kind = int(node.is_class)
            threshold = needed(kind, float(self.offsets[number]))
            if node.label and abs(threshold - common[kind]) >= _NOTABLE:
                own[kind][node.label] = threshold
        return Thresholds(
            labels=common[0],
            classes=common[1],
            by_label=own[0],
            by_class=own[1],
            likelihood=likelihood,
            temperature=float(1 / self.slopes[0]),
            spread=self.spread,
            photos=photos,
        )


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(x, -50, 50)))
    return result


def _logit(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.log(probability / (1 - probability))
    return result
