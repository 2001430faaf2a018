"""What the catalog has to know of labels: how a model's results become some, and which are more general than which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from core.labelling import Labeller as InstalledModels


class Labeller(Protocol):
    """Turns what models said into labels."""

    def __call__(self, model: str, classes: Sequence[tuple[int, float]], /) -> Sequence[tuple[str, float]]:
        """Labels and their scores, 0 to 1, for the raw classes of one photo; none if the model is not known here."""

    def active(self) -> str | None:
        """Return the model whose labels searches use, ``name@version``."""

    def below(self, name: str, /) -> Collection[str]:
        """All more special labels: those that cannot be true where ``name`` is false."""

    def above(self, name: str, /) -> Collection[str]:
        """All more general labels: those that are true where ``name`` is."""

    def forget(self) -> None:
        """Take note that the library's settings may have changed."""


class NoLabeller:
    """Where no model is known: models say nothing, and no label is more general than another."""

    def __call__(self, _model: str, _classes: Sequence[tuple[int, float]], /) -> Sequence[tuple[str, float]]:
        """No labels."""
        return ()

    def active(self) -> str | None:
        """No model."""
        return None

    def below(self, _name: str, /) -> Collection[str]:
        """No labels."""
        return ()

    def above(self, _name: str, /) -> Collection[str]:
        """No labels."""
        return ()

    def forget(self) -> None:
        """Nothing to forget."""


class LibraryLabeller:
    """Labels by the models that are installed, or that the library's settings describe; loaded when first asked."""

    def __init__(self, setting: Callable[[str], str | None]) -> None:
        """Read the library's settings by `setting`."""
        self._setting = setting
        self._models: InstalledModels | None = None
        self._active: tuple[str | None] | None = None
        self._above: dict[str, frozenset[str]] = {}
        self._below: dict[str, frozenset[str]] = {}
        self._classes: dict[str, frozenset[int]] | None = None

    def __call__(self, model: str, classes: Sequence[tuple[int, float]], /) -> Sequence[tuple[str, float]]:
        """Labels and their scores for the raw classes of one photo."""
        return self._installed()(model, classes)

    def active(self) -> str | None:
        """Return the model that the library names, else the built-in one."""
        if self._active is None:
            from core.active_model import active_model

            self._active = (active_model(self._setting),)
        return self._active[0]

    def below(self, name: str, /) -> Collection[str]:
        """Labels of which the model knows nothing but classes of this label."""
        if name not in self._below:
            held = self._held()
            own = held.get(name, frozenset())
            self._below[name] = frozenset(other for other, classes in held.items() if classes <= own and other != name)
        return self._below[name]

    def above(self, name: str, /) -> Collection[str]:
        """Labels whose classes are this label's and more."""
        if name not in self._above:
            held = self._held()
            own = held.get(name)
            above = () if own is None else (other for other, classes in held.items() if own < classes)
            self._above[name] = frozenset(above)
        return self._above[name]

    def forget(self) -> None:
        """Look at the library's settings again."""
        self._active = self._classes = None
        self._above.clear()
        self._below.clear()
        if self._models is not None:
            self._models.forget()

    def _installed(self) -> InstalledModels:
        if self._models is None:
            from core.labelling import Labeller as Models

            self._models = Models(self._setting)
        return self._models

    def _held(self) -> dict[str, frozenset[int]]:
        if self._classes is None:
            active = self.active()
            rules = None if active is None else self._installed().rules(active)
            self._classes = {} if rules is None else rules.held_classes()
        return self._classes
