"""Keys that are typed faster than a question can appear: held until it has the focus, and then given to it.

Without this, `t` and `dog` typed at once would label nothing and do what `d`, `o` and `g` do on the screen below: `d`
puts photos into the trash. A key waits while a question is on its way (a worker of the group `ASKING` has begun and
has not asked yet), or the screen on top is not laid out or filled, and also where it was sent to a widget before that
and comes back unused. A question that does not come takes what was typed for it along: what is not sure to be meant is
not done.

Keys behind a tab wait as well, until the focus has moved: that takes the tab's way through the screen, and a password
manager that types `words`, tab, `words`, enter would have all of it in the first field. So do keys behind an enter in a
field or on a button, until the focus has moved, or everybody has heard of it; and as long as a passphrase is tried.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from textual import events
from textual.widgets import Button, Input
from textual.worker import WorkerState

if TYPE_CHECKING:
    from textual.app import App
    from textual.screen import Screen
    from textual.widget import Widget
    from textual.worker import Worker

ASKING: Final = "ask"
"""The group of workers that ask something as soon as they can."""
_PATIENCE_S: Final = 3.0
"""How long a question may take to appear. One that waits for a relay takes longer: nothing waits for that one."""
_MOVING_S: Final = 0.5
"""How long the focus may take to move; where there is nothing else to focus, it does not."""
_MOVES: Final = {"tab": "app.focus_next", "shift+tab": "app.focus_previous"}
_BEGUN: Final = {WorkerState.PENDING, WorkerState.RUNNING}

Typed = events.Key | events.Paste


class TypeAhead:
    """Decides which keys wait, and keeps them in the order in which they were typed."""

    def __init__(self, app: App[Any]) -> None:
        """Watch over the keys of `app`."""
        self._app = app
        self._asked: WeakSet[Worker[Any]] = WeakSet()
        self._laid_out: WeakSet[Screen[Any]] = WeakSet()
        self._waiting: list[Typed] = []
        self._since = 0.0
        self._asked_at = 0.0
        self._given_again: set[float] = set()
        self._left: Widget | None = None
        self._left_until = 0.0
        self.patience_s = _PATIENCE_S
        """How long keys wait; more in tests, whose machine may be busy."""

    @property
    def is_holding(self) -> bool:
        """Whether any key waits."""
        return bool(self._waiting)

    def asks(self, worker: Worker[Any]) -> None:
        """Take note that a worker's question is on the screen, or about to be."""
        self._asked.add(worker)
        self._asked_at = time.monotonic()
        self._given_again.clear()

    def goes_on(self, event: Typed) -> None:
        """Take note of a key that does not wait."""
        if not isinstance(event, events.Key) or not self._app.screen_stack:
            return
        field = self._app.focused
        if event.key == "enter" and isinstance(field, Input | Button):
            self._left, self._left_until = field, time.monotonic() + self.patience_s
        elif event.key in _MOVES:
            active = self._app.screen.active_bindings.get(event.key)
            if active is not None and active.binding.action == _MOVES[event.key]:
                self._left, self._left_until = field, time.monotonic() + _MOVING_S

    def was_sent(self, field: Input | Button) -> None:
        """Take note that everybody has heard of an enter in a field, or on a button, whatever came of it."""
        if self._left is field:
            self._left = None

    def holds(self, event: Typed, *, came_back: bool) -> bool:
        """Keep the event if it has to wait; tell whether it does.

        One that `came_back` from a widget, as the tab itself does, waits for no focus.
        """
        moving = self._focus_is_moving()
        if came_back:
            waits = self._question_is_coming() or (self.is_holding and not moving) or self._is_for_the_question(event)
        else:
            waits = self.is_holding or moving or self._question_is_coming()
        if waits:
            if not self._waiting:
                self._since = time.monotonic()
            if came_back and _leads_on(event):
                self._left = None  # it has led nowhere yet: it does when it is given again
            self._waiting.append(event)
        return waits

    def released(self) -> list[Typed]:
        """Return what may go on now, in the order in which it was typed; nothing as long as the question is awaited."""
        if not self._waiting:
            return []
        if self._question_is_coming():
            if time.monotonic() - self._since < self.patience_s:
                return []
            self._give_up()
            return []
        if self._focus_is_moving():
            return []
        waiting, self._waiting = sorted(self._waiting, key=lambda event: event.time), []
        return waiting

    def _give_up(self) -> None:
        self._waiting.clear()
        self._laid_out.add(self._app.screen)
        for worker in self._app.workers:
            if worker.group == ASKING:
                self._asked.add(worker)

    def _is_for_the_question(self, event: Typed) -> bool:
        """Whether it was typed before the question that is asked now, and came back from what lies below; once each."""
        asked = any(worker in self._asked and worker.state in _BEGUN for worker in self._app.workers)
        if not asked or event.time >= self._asked_at or event.time in self._given_again:
            return False
        self._given_again.add(event.time)
        return True

    def _focus_is_moving(self) -> bool:
        if self._left is not None and (self._app.focused is not self._left or time.monotonic() > self._left_until):
            self._left = None
        return self._left is not None

    def _question_is_coming(self) -> bool:
        if not self._app.screen_stack:
            return False
        screen = self._app.screen
        if screen not in self._laid_out:
            unfocused = screen.focused is None and screen.AUTO_FOCUS != "" and screen.focus_chain
            if not screen.is_mounted or unfocused or not getattr(screen, "is_filled", True):
                return True
            self._laid_out.add(screen)
        return any(
            worker.group == ASKING and worker.state in _BEGUN and worker not in self._asked
            for worker in self._app.workers
        )


def _leads_on(event: Typed) -> bool:
    """Whether the focus may move with a key."""
    return isinstance(event, events.Key) and (event.key == "enter" or event.key in _MOVES)


def again(event: Typed) -> Typed:
    """Return the event as it was before it was sent to a widget."""
    fresh = events.Key(event.key, event.character) if isinstance(event, events.Key) else events.Paste(event.text)
    fresh.time = event.time
    return fresh
