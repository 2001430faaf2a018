"""What the library screen has to do with models, settings and long work: the ways there, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from tui.app.widgets.status_line import StatusLine
from tui.cli.output import plain

if TYPE_CHECKING:
    from tui.app.app import SafelightApp
    from tui.app.workers.long_work import LongTask

_LOOK_S = 0.5


class LibraryUpkeep(Screen[None]):
    """Models, settings and long work; a part of the library screen."""

    app: SafelightApp
    _told: LongTask | None = None

    def say(self, text: str, *, error: bool = False) -> None:
        """Say what happened."""
        raise NotImplementedError

    def action_reload(self) -> None:
        """Read everything again."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Look now and then at the work that goes on."""
        self.set_interval(_LOOK_S, self._look_at_work)

    def _look_at_work(self) -> None:
        task = self.app.work.task
        if task is None or task is self._told or self.app.importer.is_running:
            return
        line = self.query_one(StatusLine)
        if task.running:
            line.going_on(plain(task.line))
            return
        self._told = task
        line.going_on("")
        self.say(task.line, error=task.error is not None)
        self.action_reload()

    def action_models(self) -> None:
        """Show the models."""
        from tui.app.screens.models import ModelsScreen

        self.app.push_screen(ModelsScreen(), lambda _: self.action_reload())

    def action_settings(self) -> None:
        """Show the settings."""
        from tui.app.screens.settings import SettingsScreen

        self.app.push_screen(SettingsScreen(), lambda _: self._show_settings())

    def _show_settings(self) -> None:
        from tui.app.grid.photo_grid import DENSITIES, PhotoGrid

        wanted = self.app.settings.density
        if wanted in DENSITIES:
            self.query_one(PhotoGrid).density = DENSITIES[DENSITIES.index(wanted)]

    def action_show_work(self) -> None:
        """Show how far an import, or other long work, is."""
        from tui.app.screens.importing import ImportScreen
        from tui.app.screens.long_work import LongWorkScreen

        if self.app.importer.is_running:
            self.app.push_screen(ImportScreen())
        elif self.app.work.task is not None:
            self.app.push_screen(LongWorkScreen())
        elif self.app.importer.state is not None:
            self.app.push_screen(ImportScreen())
        else:
            self.say("nothing long is at work")
