"""What is known of one photo: its labels, each with its score and who says so, and the facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.cli.cells import fitted
from tui.cli.output import plain
from tui.cli.photo_text import facts

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from core.catalog import PhotoRecord

_COLUMNS = 35
_FACT_COLUMNS = 9
_ID_DIGITS = 16
_LEFT_OUT = {"labels", "caption"}


@dataclass(frozen=True)
class LabelLine:
    """One label as it is listed; `state` is the user's word on it, if any."""

    name: str
    score: float
    model: str | None
    state: str

    @property
    def reason(self) -> str:
        """Who says so, and how sure it is."""
        if self.state == "yours":
            return "you added it"
        if self.state == "rejected":
            return "you took it away: no model gives it again"
        return f"{self.score:.0%} by {self.model} · w says why"

    def text(self) -> Text:
        """Return the line."""
        sign, style = {"yours": ("✓", "bold"), "rejected": ("✗", "dim strike"), "model": (" ", "")}[self.state]
        about = self.state if self.state != "model" else f"{self.score:4.0%}"
        return Text.assemble(
            f"{sign} ", (fitted(plain(self.name), _COLUMNS - len(about) - 3), style), " ", (about, "dim")
        )


def label_lines(record: PhotoRecord) -> list[LabelLine]:
    """Return the labels of a photo: the user's own, the model's, and those that were rejected."""
    lines = [
        LabelLine(label.name, label.score, label.model, "yours" if label.source == "user" else "model")
        for label in record.labels
    ]
    return [*lines, *(LabelLine(name, 0.0, None, "rejected") for name in record.rejected)]


class LabelList(OptionList, can_focus=False):
    """The labels; one of them is chosen, and keys of the screen are about it."""

    DEFAULT_CSS = """
    LabelList {
        height: auto; max-height: 12; border: none; padding: 0; background: $surface; scrollbar-size-vertical: 1;
        & > .option-list--option-highlighted { background: $primary 30%; text-style: none; color: $foreground; }
    }
    """


class PhotoFacts(VerticalScroll, can_focus=False):
    """The panel beside a picture."""

    DEFAULT_CSS = """
    PhotoFacts {
        width: 38; height: 1fr; padding: 0 1; background: $surface; scrollbar-size-vertical: 1;
        &.hidden { display: none; }
        & .title { color: $primary; text-style: bold; margin-top: 1; }
        & #caption { color: $accent; }
        & #reason { color: $text-muted; }
    }
    """

    class LabelClicked(Message):
        """A label was clicked: it is chosen now."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Show nothing yet."""
        super().__init__(id=id)
        self._lines: list[LabelLine] = []

    def compose(self) -> ComposeResult:
        """Lay out the parts."""
        yield Static("", id="caption", markup=False)
        yield Static("Labels", classes="title")
        yield LabelList(compact=True)
        yield Static("", id="reason", markup=False)
        yield Static("none: the model is sure of nothing", id="no-labels", markup=False)
        yield Static("Facts", classes="title")
        yield Static("", id="facts", markup=False)

    def show(self, record: PhotoRecord, *, keep_choice: bool) -> None:
        """Show a photo; `keep_choice`: it is the same one, and the chosen label stays so."""
        chosen = self.chosen
        self._lines = label_lines(record)
        listed = self.query_one(LabelList)
        listed.clear_options()
        listed.add_options([Option(line.text()) for line in self._lines])
        names = [line.name for line in self._lines]
        if keep_choice and chosen is not None and chosen.name in names:
            listed.highlighted = names.index(chosen.name)
        else:
            listed.highlighted = 0 if self._lines else None
        self._tell_reason()
        self.query_one("#no-labels", Static).display = not self._lines
        listed.display = bool(self._lines)
        caption = self.query_one("#caption", Static)
        caption.update(plain(record.caption))
        caption.display = bool(record.caption)
        rows = Table.grid(padding=(0, 1, 0, 0))
        rows.add_column(style="dim", width=_FACT_COLUMNS)
        rows.add_column(overflow="fold")
        for name, value in facts(record):
            if name not in _LEFT_OUT:
                rows.add_row(name, Text(value[:_ID_DIGITS] if name == "id" else value))
        self.query_one("#facts", Static).update(rows)

    @property
    def chosen(self) -> LabelLine | None:
        """The label that keys are about."""
        here = self.query_one(LabelList).highlighted
        return self._lines[here] if here is not None and here < len(self._lines) else None

    def choose(self, step: int) -> None:
        """Choose another label."""
        listed = self.query_one(LabelList)
        if self._lines:
            here = listed.highlighted or 0
            listed.highlighted = max(0, min(here + step, len(self._lines) - 1))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say who gave the label."""
        event.stop()
        self._tell_reason()

    def _tell_reason(self) -> None:
        chosen = self.chosen
        reason = self.query_one("#reason", Static)
        text = "" if chosen is None else plain(chosen.reason)
        if reason.content != text:  # laying out again draws the whole screen anew
            reason.update(text)
            reason.display = chosen is not None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose what was clicked."""
        event.stop()
        self.post_message(self.LabelClicked())
