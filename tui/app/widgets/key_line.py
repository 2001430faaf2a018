"""The last line of a screen: keys that can be pressed now, and to click on.

Textual's own footer is a widget for each key, all made anew whenever the focus or the screen changes, which took as
long as everything else that such a key did. This one draws one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from tui.cli.cells import width

if TYPE_CHECKING:
    from textual import events
    from textual.screen import Screen

_GAP = 1
"""Columns between two keys."""
_STEP = 4
"""Columns that a turn of the mouse's wheel moves the line by, where not all of it fits."""


@dataclass(frozen=True)
class _Part:
    """One key: how it is called and shown, what it does, and the columns it stands in."""

    key: str
    shown: str
    word: str
    about: str
    enabled: bool
    start: int
    end: int


class KeyLine(Widget):
    """Keys of what has the focus, of its screen and of the app, each with a word for what it does."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-line--key", "key-line--word", "key-line--hover"}
    DEFAULT_CSS = """
    KeyLine {
        dock: bottom; height: 1; width: 100%; background: $surface; color: $footer-foreground;
        & > .key-line--key { color: $footer-key-foreground; background: $footer-key-background; text-style: bold; }
        & > .key-line--word { color: $footer-description-foreground; background: $footer-description-background; }
        & > .key-line--hover { background: $block-hover-background; }
    }
    """

    _hovered: reactive[_Part | None] = reactive(None)

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self._parts: list[_Part] = []
        self._are_read_soon = False
        self._left = 0
        """Columns that were moved out of sight by the wheel."""

    @property
    def words(self) -> list[str]:
        """What stands there: `esc Back`."""
        return [f"{part.shown} {part.word}" for part in self._parts]

    def on_mount(self) -> None:
        """Hear of it when other keys can be pressed."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self._changed(self.screen)

    def on_unmount(self) -> None:
        """Hear no more."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _changed(self, screen: Screen[object]) -> None:
        # A terminal that loses the focus takes it from every widget: the keys stay what they were.
        if self.app.app_focus and screen is self.screen and not self._are_read_soon:
            self._are_read_soon = True
            self.call_later(self._read)

    def _read(self) -> None:
        """Find out which keys can be pressed: of several that do one thing, the first."""
        self._are_read_soon = False
        if not self.is_attached:
            return
        parts: dict[str, _Part] = {}
        start = 0
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.action not in parts:
                shown = self.app.get_key_display(binding)
                end = start + width(f"{shown} {binding.description}")
                parts[binding.action] = _Part(
                    binding.key, shown, binding.description, active.tooltip, active.enabled, start, end
                )
                start = end + _GAP
        if self._parts != list(parts.values()):
            self._parts = list(parts.values())
            self._left, self._hovered = 0, None
            self.refresh()

    @property
    def _too_wide(self) -> int:
        return max(0, self._parts[-1].end - self.size.width) if self._parts else 0

    def render_line(self, y: int) -> Strip:
        """Draw all keys beside each other."""
        base = self.rich_style
        if y or not self._parts:
            return Strip.blank(self.size.width, base)
        key, word, hover = (self.get_component_rich_style(f"key-line--{name}") for name in ("key", "word", "hover"))
        segments: list[Segment] = []
        for part in self._parts:
            for text, style in ((part.shown, key), (f" {part.word}", word)):
                segments.append(Segment(text, _drawn(style, part, hover if part == self._hovered else None)))
            segments.append(Segment(" " * _GAP, base))
        return Strip(segments).crop_extend(self._left, self._left + self.size.width, base)

    def _at(self, x: int) -> _Part | None:
        return next((part for part in self._parts if part.start <= x + self._left < part.end), None)

    def on_resize(self) -> None:
        """Leave no room at the right that there are keys for."""
        self._left = min(self._left, self._too_wide)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Mark the key below the mouse."""
        self._hovered = self._at(event.x)

    def on_leave(self) -> None:
        """Mark none."""
        self._hovered = None

    def watch__hovered(self, hovered: _Part | None) -> None:
        """Say more of the key below the mouse."""
        self.tooltip = hovered.about if hovered is not None else None
        self.styles.pointer = "default" if hovered is None else "pointer"

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Press the key that was clicked on."""
        part = self._at(event.x)
        if part is not None and part.enabled:
            self.app.simulate_key(part.key)
        elif part is not None:
            self.app.bell()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Show what is further to the right."""
        self._move(event, _STEP)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Show what is further to the left."""
        self._move(event, -_STEP)

    def _move(self, event: events.Event, columns: int) -> None:
        event.stop()
        left = min(max(0, self._left + columns), self._too_wide)
        if left != self._left:
            self._left = left
            self.refresh()


def _drawn(style: Style, part: _Part, hover: Style | None) -> Style:
    """A part's style, with what the mouse above it and being of no use now change."""
    changed = style if hover is None else style + Style(bgcolor=hover.bgcolor)
    return changed if part.enabled else changed + Style(dim=True)
