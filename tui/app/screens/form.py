"""A few lines to fill in at once, and boxes to tick; what was typed stays in no field once it was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from tui.app.widgets.card import Card
from tui.app.widgets.tick_box import TickBox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult


@dataclass(frozen=True)
class Field:
    """A line: its name in the answer, what it asks for, what stands there; a `secret` one is not shown."""

    name: str
    placeholder: str
    value: str = ""
    secret: bool = False


@dataclass(frozen=True)
class Box:
    """A box to tick: its name in the answer, and what ticking it means."""

    name: str
    label: str
    ticked: bool = False


@dataclass(frozen=True)
class Filled:
    """What was filled in."""

    lines: dict[str, str]
    ticked: frozenset[str]


class FormScreen(ModalScreen["Filled | None"]):
    """Asks for several things; None is no answer."""

    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [("escape", "cancel", "Cancel")]  # type: ignore[assignment]  # narrower
    DEFAULT_CSS = """
    FormScreen { align: center middle; background: $background 40%; }
    FormScreen TickBox { margin-bottom: 1; }
    """

    def __init__(
        self,
        title: str,
        about: str,
        fields: Sequence[Field],
        boxes: Sequence[Box] = (),
        *,
        yes: str,
        complaint: Callable[[dict[str, str]], tuple[str, str] | None] = lambda _: None,
    ) -> None:
        """Ask; `complaint` names the field that cannot be as it is and says why, or returns None."""
        super().__init__()
        self._title, self._about, self._fields, self._boxes, self._yes = title, about, fields, boxes, yes
        self._complaint = complaint

    def compose(self) -> ComposeResult:
        """Lay out the lines."""
        with Card(title=self._title):
            if self._about:
                yield Static(self._about, classes="muted", markup=False)
            for field in self._fields:
                yield Input(
                    value=field.value,
                    placeholder=field.placeholder,
                    password=field.secret,
                    id=field.name,
                    select_on_focus=False,
                )
            for box in self._boxes:
                yield TickBox(box.label, box.ticked, id=box.name)
            yield Static("", id="said", classes="muted", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(self._yes, variant="primary", id="yes", compact=True)

    @on(Input.Submitted)
    def to_next(self, event: Input.Submitted) -> None:
        """Go to the next line, and from the last one on."""
        names = [field.name for field in self._fields]
        at = names.index(event.input.id or "")
        if at + 1 < len(names):
            self.query_one(f"#{names[at + 1]}").focus()
        else:
            self.answer()

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Give no answer."""
        self._forget()
        self.dismiss(None)

    @on(Button.Pressed, "#yes")
    def answer(self) -> None:
        """Give what stands there, if it can be so."""
        lines = {field.name: self.query_one(f"#{field.name}", Input).value for field in self._fields}
        wrong = self._complaint(lines)
        if wrong is not None:
            name, why = wrong
            said = self.query_one("#said", Static)
            said.update(why)
            said.set_class(True, "error")
            self.query_one(f"#{name}").focus()
            return
        ticked = frozenset(box.name for box in self._boxes if self.query_one(f"#{box.name}", TickBox).value)
        self._forget()
        self.dismiss(Filled(lines, ticked))

    def _forget(self) -> None:
        for field in self.query(Input):
            field.value = ""
