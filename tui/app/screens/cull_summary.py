"""What becomes of a round of culling: asked at its end, and whenever somebody leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from textual import on
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui.app.widgets.card import Card
from tui.cli.output import count

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from tui.app.culling import CullRound

Ending = Literal["carry out", "go on", "throw away"]


class CullSummaryScreen(ModalScreen[Ending]):
    """Says what was decided, and asks whether that is to be done."""

    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [  # type: ignore[assignment]  # narrower than Textual's
        ("escape", "answer('go on')", "Go on culling"),
        ("n", "answer('throw away')", "Change nothing"),
        ("y", "answer('carry out')", "Do it"),
    ]
    DEFAULT_CSS = """
    CullSummaryScreen { align: center middle; background: $background 40%; }
    """

    def __init__(self, lines: list[str]) -> None:
        """Ask about what `lines` say."""
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """Lay out what was decided, and three buttons."""
        with Card(title="Culling: what becomes of it?"):
            yield Static("\n".join(self._lines), markup=False)
            yield Static("All of it is one edit: u in the library takes it back.", classes="muted", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Go on (esc)", id="go-on", compact=True)
                yield Button("Change nothing (n)", id="throw-away", compact=True)
                yield Button("Do it (y)", variant="primary", id="carry-out", compact=True)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        endings: dict[str | None, Ending] = {"throw-away": "throw away", "carry-out": "carry out"}
        self.dismiss(endings.get(event.button.id, "go on"))

    def action_answer(self, ending: Ending) -> None:
        """Answer."""
        self.dismiss(ending)


def summary_lines(decided: CullRound) -> list[str]:
    """Return what was decided, a line for each kind of it."""
    result = decided.result()
    favourites = sum(result.favourites.values())
    lines = [
        f"{count(len(result.rejected), 'photo')} into the trash" if result.rejected else "",
        f"{count(decided.count('keep'), 'photo')} kept" if decided.count("keep") else "",
        f"{count(favourites, 'favourite')} more" if favourites else "",
        f"{count(len(result.favourites) - favourites, 'favourite')} less"
        if len(result.favourites) > favourites
        else "",
        f"{count(len(result.ratings), 'rating')} set" if result.ratings else "",
        f"{count(decided.undecided, 'photo')} not decided: they stay as they are" if decided.undecided else "",
    ]
    return [line for line in lines if line]
