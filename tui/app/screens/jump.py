"""Jump mode: letters on everything on the screen; typing them goes there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.app.grid.photo_grid import PhotoGrid

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual import events
    from textual.app import ComposeResult
    from textual.geometry import Offset

_LETTERS = "asdfghjklqwertyuiopzxcvbnm"


@dataclass(frozen=True)
class Target:
    """A place on the screen, and what going there means."""

    at: Offset
    go: Callable[[], object]


def jump_targets(screen: Screen[Any]) -> list[Target]:
    """Return what can be reached on a screen: photos that can be seen, and whatever takes the focus."""
    targets: list[Target] = []
    for widget in screen.focus_chain:
        if not widget.region:
            continue
        if isinstance(widget, PhotoGrid):
            targets += [_photo(widget, index) for index in widget.visible_indexes()]
        else:
            targets.append(Target(widget.region.offset, widget.focus))
    return [target for target in targets if screen.region.contains(*target.at)]


def jump_labels(count: int) -> list[str]:
    """Return short words for so many targets, none of which begins another."""
    if count <= len(_LETTERS):
        return list(_LETTERS[:count])
    return ["".join(pair) for pair in product(_LETTERS, repeat=2)][:count]


def _photo(grid: PhotoGrid, index: int) -> Target:
    place = grid.where(index)

    def go() -> None:
        grid.focus()
        grid.go_to(index)

    offset = place.offset.__add__((1, 1))
    return Target(offset if grid.region.contains(*offset) else grid.region.offset, go)


class JumpScreen(ModalScreen[None]):
    """Shows the letters and takes the keys."""

    DEFAULT_CSS = """
    JumpScreen { background: $background 30%; layers: base; }
    JumpScreen Static {
        position: absolute; width: auto; height: 1; padding: 0 1; color: $background; background: $accent;
        text-style: bold;
    }
    """

    def __init__(self, targets: list[Target]) -> None:
        """Offer these."""
        super().__init__()
        words = jump_labels(len(targets))
        self._targets = dict(zip(words, targets, strict=False))
        self._typed = ""

    def compose(self) -> ComposeResult:
        """Put the letters where they lead."""
        for word, target in self._targets.items():
            label = Static(word, markup=False)
            label.styles.offset = target.at
            yield label

    def on_key(self, event: events.Key) -> None:
        """Take a letter; anything else ends it."""
        event.stop()
        event.prevent_default()
        self._typed += (event.character or " ").lower()
        target = self._targets.get(self._typed)
        if target is not None:
            self.dismiss()
            self.app.call_after_refresh(target.go)
        elif not any(word.startswith(self._typed) for word in self._targets):
            self.dismiss()
