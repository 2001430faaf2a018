"""Which labels a photo gets from a model's classes, and why.

A label's probability is the sum over its classes. It is shown when that clears the label's threshold, together with
everything above it, so that ``label:animal`` finds the dog. Two things keep a photo of which the model knows nothing
bare: the background class counts for no label, and a label that holds many classes must clear a higher bar, because
spreading a guess evenly over all classes already gives *animal* 40 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml.classes import ClassTable

RawClasses = Sequence[tuple[int, float]]
"""(output index, probability) of the strongest classes of one photo."""


@dataclass(frozen=True)
class Contribution:
    """What one class adds to a label."""

    index: int
    name: str
    class_id: str | None
    probability: float


@dataclass(frozen=True)
class Reason:
    """How one label was reached, or missed."""

    label: str
    score: float
    """Sum of the contributions, 0-1."""
    needed: float
    """The bar it has to clear by itself, 0-1."""
    shown: bool
    because_of: str | None
    """The more specific label that brought it along, when it does not clear the bar by itself."""
    contributions: tuple[Contribution, ...]
    """Strongest first."""
    path: tuple[str, ...]
    """Labels above it, nearest first."""


@dataclass(frozen=True)
class _Node:
    """One label of a pack: of the taxonomy, or a class under its own name."""

    label: str
    needed: float
    above: tuple[int, ...]
    """Indices of all nodes above, nearest first."""


class LabelRules:
    """Turns the raw classes of one model into labels. Immutable; cheap to call."""

    def __init__(self, table: ClassTable) -> None:
        """Work out, once, what each class counts for."""
        self.table = table
        self._nodes: list[_Node] = []
        self._counts_for: list[tuple[int, ...]] = []
        taxonomy = table.open_taxonomy()
        named = [i for i in range(len(table.entries)) if i != table.background]
        held: dict[str, int] = {}
        for index in named:
            class_id = table.entries[index].class_id
            for label in taxonomy.labels_of(class_id) if class_id is not None else ():
                held[label] = held.get(label, 0) + 1
        numbers: dict[str, int] = {label: number for number, label in enumerate(sorted(held))}
        for label in numbers:
            own = taxonomy.labels[label].threshold
            needed = own if own is not None else _bar(table.threshold, held[label] / len(named))
            above = tuple(numbers[a] for a in taxonomy.ancestors(label) if a in numbers)
            self._nodes.append(_Node(label, needed, above))
        for index, entry in enumerate(table.entries):
            if index == table.background:
                self._counts_for.append(())
                continue
            holders = taxonomy.holders(entry.class_id) if entry.class_id is not None else ()
            above_all: dict[int, None] = {numbers[holder]: None for holder in holders}
            for holder in holders:
                above_all.update(dict.fromkeys(self._nodes[numbers[holder]].above))
            own_number = len(self._nodes)
            self._nodes.append(_Node(entry.name, _bar(table.threshold, 1 / len(named)), tuple(above_all)))
            self._counts_for.append((own_number, *above_all))

    def roll_up(self, classes: RawClasses) -> dict[str, float]:
        """Every label with a probability above 0: label to probability."""
        return self._by_label(self._sums(classes))

    def choose(self, classes: RawClasses) -> list[tuple[str, float]]:
        """The labels to show, ``(label, probability)``, most probable first; equals by name."""
        sums = self._sums(classes)
        shown = self._shown(sums)
        scores = self._by_label({number: sums[number] for number in shown})
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))

    def most_specific(self, classes: RawClasses) -> list[tuple[str, float]]:
        """The labels to show that are not merely above another one shown."""
        sums = self._sums(classes)
        shown = self._shown(sums)
        covered = {above for number in shown for above in self._nodes[number].above}
        names = {self._nodes[number].label for number in covered}
        scores = self._by_label({n: sums[n] for n in shown if n not in covered and self._nodes[n].label not in names})
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))

    def reasons(self, classes: RawClasses) -> list[Reason]:
        """How every label that any of ``classes`` counts for fared, most probable first."""
        sums = self._sums(classes)
        shown = self._shown(sums)
        reasons: dict[str, Reason] = {}
        for number, score in sums.items():
            node = self._nodes[number]
            brought = None
            if number in shown and score < node.needed:
                below = [n for n in shown if number in self._nodes[n].above and sums[n] >= self._nodes[n].needed]
                brought = self._nodes[max(below, key=lambda n: (sums[n], self._nodes[n].label))].label
            parts = [
                Contribution(i, self.table.entries[i].name, self.table.entries[i].class_id, p)
                for i, p in classes
                if 0 <= i < len(self._counts_for) and number in self._counts_for[i]
            ]
            parts.sort(key=lambda part: (-part.probability, part.index))
            path = tuple(dict.fromkeys(self._nodes[a].label for a in node.above))
            reason = Reason(node.label, score, node.needed, number in shown, brought, tuple(parts), path)
            best = reasons.get(node.label)
            if best is None or (reason.shown, reason.score) > (best.shown, best.score):
                reasons[node.label] = reason
        return sorted(reasons.values(), key=lambda reason: (-reason.score, reason.label))

    def _sums(self, classes: RawClasses) -> dict[int, float]:
        sums: dict[int, float] = {}
        for index, probability in classes:
            # Results come from other devices too: an index past the table is no reason to fail.
            if 0 <= index < len(self._counts_for):
                for number in self._counts_for[index]:
                    sums[number] = sums.get(number, 0.0) + probability
        return sums

    def _shown(self, sums: dict[int, float]) -> set[int]:
        nodes = self._nodes
        shown = {number for number, score in sums.items() if score >= nodes[number].needed}
        for number in tuple(shown):
            shown.update(nodes[number].above)
        return shown

    def _by_label(self, sums: dict[int, float]) -> dict[str, float]:
        """Scores by name; a class and a label of one name are one label, and the greater score is its."""
        scores: dict[str, float] = {}
        for number, score in sums.items():
            label = self._nodes[number].label
            scores[label] = min(1.0, max(score, scores.get(label, 0.0)))
        return scores


def _bar(threshold: float, share: float) -> float:
    """The probability a label needs that holds ``share`` of all classes: ``threshold`` of the way from chance to 1.

    The same correction for chance as in Cohen's kappa.
    """
    return 1 - (1 - threshold) * (1 - share)
