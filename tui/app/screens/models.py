"""The models that label photos: which there are, which one is used, and labelling again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.widgets import OptionList

from core.errors import CoreError
from tui.app.keys import MODELS, bindings
from tui.app.screen_work import work
from tui.app.screens.ask import AskScreen, Choice, ConfirmScreen
from tui.app.screens.form import Box, Field, FormScreen
from tui.app.screens.listing import ListingScreen
from tui.app.screens.long_work import worked
from tui.app.screens.text import TextScreen
from tui.app.workers.library_thread import NotOpen
from tui.app.workers.long_work import LongTask
from tui.cli.output import count, file_size, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.importing.events import ImportEvent
    from core.library import Library
    from core.packs import AvailableModel, PackDescription

_NEW_ONES, _ALL = "those it has not labelled yet", "all of them again"
_SHA256_DIGITS = 64


class ModelsScreen(ListingScreen):
    """Every pack on this machine."""

    TITLE = "Models"
    BINDINGS = bindings(MODELS)

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self._packs: Sequence[PackDescription] = ()
        self._active: frozenset[str | None] = frozenset()

    def on_mount(self) -> None:
        """Read them."""
        self.about(
            "A model says what photos show, on this device. Nothing is ever fetched unless you ask for it. "
            "Labels that you gave or took away stay, whatever a model says."
        )
        self.action_reload()

    @work(exclusive=True, group="read")
    async def action_reload(self) -> None:
        """Read them again."""
        try:
            self._active = await self.app.library.ask(_active)
            self._packs = await self.app.syncing.errand(lambda _stop: _list())
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self.list_rows((_row(pack, self._active) for pack in self._packs), "No model is here. a adds one.")

    @property
    def chosen(self) -> PackDescription | None:
        """The pack under the cursor."""
        place = self.place
        return self._packs[place] if place is not None and place < len(self._packs) else None

    @on(OptionList.OptionSelected)
    def clicked(self) -> None:
        """Use what was clicked, or taken with enter."""
        self.action_use()

    @work(group="edit", exclusive=True)
    async def action_use(self) -> None:
        """Let the pack under the cursor label this library's photos."""
        pack = self.chosen
        if pack is not None:
            await self._use(pack.model)

    async def _use(self, model: str) -> None:
        if model in self._active:
            self.say(f"{model} is the one that this library uses")
            return
        try:
            await self.app.library.ask(lambda library: _use(library, model))
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self.say(f"{model} labels this library's photos from now on; r labels those that are here")
        self.action_reload()

    @work(group="ask", exclusive=True)
    async def action_add(self) -> None:
        """Ask for a pack, install it, and use it if that is wanted."""
        filled = await self.app.push_screen_wait(
            FormScreen(
                "Add a model",
                "A folder with a pack, or the address of one with the SHA-256 that its author publishes. It is checked "
                "and tried before it is added.",
                (Field("source", "folder, or https://…"), Field("sha256", "SHA-256, for an address")),
                (Box("use", "Let it label this library's photos"),),
                yes="Add",
                complaint=_wrong,
            )
        )
        if filled is None:
            return
        source, sha256 = filled.lines["source"].strip(), filled.lines["sha256"].strip().lower()
        await self._add(source, partial(_add, source=source, sha256=sha256), use="use" in filled.ticked)

    @work(group="ask", exclusive=True)
    async def action_get(self) -> None:
        """Ask which of the models that are known by name, say where it is from, and fetch it on a yes."""
        try:
            known = await self.app.syncing.errand(lambda _stop: _available())
        except CoreError as error:
            self.complain(error)
            return

        async def suggest(typed: str) -> Sequence[Choice]:
            return [
                Choice(one.name, f"{file_size(one.size)}, {one.top1:.1f} %")
                for one in known
                if typed.lower() in one.name
            ]

        name = await self.app.push_screen_wait(
            AskScreen(
                "Get a model",
                hint="Size, and how many of ImageNet's photos its makers say it names right.",
                suggest=suggest,
                only_listed=True,
            )
        )
        chosen = next((one for one in known if one.name == name), None)
        if chosen is None:
            return
        filled = await self.app.push_screen_wait(
            FormScreen(
                f"Get {chosen.name}",
                f"{file_size(chosen.size)} from {plain(chosen.url)}, licence {plain(chosen.licence)}. What comes is "
                "compared with the SHA-256 that Safelight knows.",
                (Field("url", "another address of the same file, if you have one"),),
                (Box("use", "Let it label this library's photos"),),
                yes="Fetch it",
            )
        )
        if filled is not None:
            get = partial(_get, name=chosen.name, url=filled.lines["url"].strip() or None)
            await self._add(chosen.name, get, use="use" in filled.ticked)

    async def _add(
        self, what: str, add: Callable[[Callable[[int, int | None], object]], PackDescription], *, use: bool
    ) -> None:
        added: list[str] = []

        def work_(_library: Library, task: LongTask) -> list[str]:
            pack = add(task.advance)
            added.append(pack.model)
            return [f"added {pack.model}: {_facts(pack)}"]

        try:
            lines = await worked(self.app, LongTask(f"adding {what}", unit="bytes"), work_)
        except NotOpen:
            return
        if lines is not None and added:
            self.say(lines[0])
            if use:
                await self._use(added[0])
        self.action_reload()

    @work(group="ask", exclusive=True)
    async def action_remove(self) -> None:
        """Ask whether the pack goes, and delete it."""
        pack = self.chosen
        if pack is None:
            return
        question = f"Delete {plain(pack.model)} from this machine? Labels that it gave stay in the library."
        if not await self.app.push_screen_wait(ConfirmScreen("Remove a model", question, yes="Remove")):
            return
        try:
            removed = await self.app.syncing.errand(lambda _stop: _remove(pack.model))
        except CoreError as error:
            self.complain(error)
            return
        self.say(f"removed {removed}")
        self.action_reload()

    @work(group="test", exclusive=True)
    async def action_test(self) -> None:
        """Run the pack on generated pictures, and show how it did."""
        pack = self.chosen
        if pack is None:
            return
        self.say(f"trying {pack.model}…")
        try:
            lines = await self.app.syncing.errand(lambda _stop: _test(pack.model))
        except CoreError as error:
            self.complain(error)
            return
        self.say("")
        self.app.push_screen(TextScreen(f"{pack.model} runs", [plain(line) for line in lines]))

    @work(group="ask", exclusive=True)
    async def action_retag(self) -> None:
        """Ask which photos, and label them with the model in use."""

        async def suggest(_typed: str) -> Sequence[Choice]:
            return [Choice(_NEW_ONES), Choice(_ALL)]

        which = await self.app.push_screen_wait(
            AskScreen(
                f"Label photos with {' and '.join(sorted(filter(None, self._active))) or 'the model in use'}",
                hint="What you added or took away stays as it is.",
                suggest=suggest,
                only_listed=True,
            )
        )
        if which is None:
            return
        try:
            lines = await worked(self.app, LongTask("labelling"), partial(_retag, again=which == _ALL))
        except NotOpen:
            return
        if lines:
            self.say(lines[0])


# Imported where they run: modules of models take a while, and the screen waits for nothing.


def _active(library: Library) -> frozenset[str | None]:
    from core.active_model import active_model, text_model

    return frozenset({active_model(library.setting), text_model(library.setting)})


def _list() -> list[PackDescription]:
    from core import packs

    return packs.list_packs()


def _available() -> list[AvailableModel]:
    from core import packs

    return packs.available_models()


def _add(progress: Callable[[int, int | None], object], *, source: str, sha256: str) -> PackDescription:
    from core import packs

    return packs.add_pack(_expanded(source), sha256=sha256 or None, progress=progress)


def _get(progress: Callable[[int, int | None], object], *, name: str, url: str | None) -> PackDescription:
    from core import packs

    return packs.add_available_model(name, url=url, progress=progress)


def _use(library: Library, model: str) -> None:
    from core import packs

    packs.use_pack(library, model)


def _remove(model: str) -> str:
    from core import packs

    return packs.remove_pack(model)


def _test(model: str) -> list[str]:
    from core import packs

    report = packs.check_pack(model)
    embedding = "no embedding" if report.embedding is None else f"an embedding of {report.embedding} numbers"
    classes = getattr(report, "classes", None)  # an encoder has none
    times = f"{report.preprocess_ms:.1f} ms to prepare and {report.inference_ms:.1f} ms to run a picture"
    return [
        embedding if classes is None else f"{classes:,} classes, {embedding}",
        f"loaded in {report.load_ms:.0f} ms; {times}",
        *(f"warning: {warning}" for warning in report.warnings),
    ]


def _retag(library: Library, task: LongTask, *, again: bool) -> list[str]:
    from core.importing.tagging import retag

    reasons: list[str] = []

    def follow(event: ImportEvent) -> None:
        if event.progress is not None:
            task.advance(event.progress.files, event.progress.total_files)
        elif event.reason is not None and event.reason not in reasons:
            reasons.append(event.reason)

    summary = retag(library, again=again, progress=follow)
    already = f", {summary.skipped:,} had been already" if summary.skipped else ""
    return [f"labelled {count(summary.added, 'photo')}{already}, {summary.failed:,} failed", *reasons[:10]]


def _expanded(source: str) -> str:
    from pathlib import Path

    return source if "://" in source else str(Path(source).expanduser())


def _wrong(lines: dict[str, str]) -> tuple[str, str] | None:
    source, sha256 = lines["source"].strip(), lines["sha256"].strip().lower()
    if not source:
        return "source", "Which folder, or which address?"
    digits = len(sha256) == _SHA256_DIGITS and all(digit in "0123456789abcdef" for digit in sha256)
    if sha256 and not digits:
        return "sha256", "A SHA-256 has 64 hexadecimal digits."
    if "://" in source and not sha256:
        return "sha256", "From an address, a pack is taken only with its SHA-256."
    return None


def _row(pack: PackDescription, active: frozenset[str | None]) -> Text:
    used = pack.model in active
    row = Text.assemble(("● " if used else "  ", "green"), (plain(pack.model), "bold"), overflow="fold")
    if used:
        row.append("  in use", style="green")
    row.append("\n  " + _facts(pack), style="red" if pack.problem is not None else "dim")
    return row


def _facts(pack: PackDescription) -> str:
    if pack.problem is not None:
        return f"cannot be used: {plain(pack.problem)}"
    classes = f"{pack.classes:,} classes" if pack.classes is not None else pack.kind or ""
    origin = "built in" if pack.builtin else "added"
    return ", ".join(filter(None, (classes, file_size(pack.size or 0), plain(pack.licence or ""), origin)))
