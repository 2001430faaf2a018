"""The sidebar: where to look. A line is a query, with the number of photos it finds, or a device and its last sync."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from rich.text import Text
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui.app.completion import quoted
from tui.cli.cells import fitted
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library
    from tui.app.workers.library_thread import LibraryThread

_COLUMNS = 24
_MOST_LABELS = 300
_MOST_PLACES = 12
DEVICES = "\0devices"
"""Stands for a query in the lines that lead to the list of devices."""


@dataclass(frozen=True)
class Place:
    """One line: what it is called, what it searches for, how many photos that finds (None: not counted), or a word."""

    title: str
    query: str
    photos: int | None = None
    word: str = ""

    @property
    def about(self) -> str:
        """What stands at the end of the line."""
        return self.word if self.photos is None else f"{self.photos:,}"


@dataclass(frozen=True)
class Places:
    """All that the sidebar shows, by section."""

    sections: tuple[tuple[str, tuple[Place, ...]], ...] = field(default=())

    @classmethod
    async def ask(cls, thread: LibraryThread) -> Places:
        """Ask the library, one section at a time, so that what is more urgent comes between."""
        sections = []
        for title, read in _SECTIONS:
            places = await thread.ask(read, lane=f"places {title}", background=True)
            if places:
                sections.append((title, places))
        return cls(tuple(sections))

    def all(self) -> list[Place]:
        """Return every line that searches, without the sections."""
        return [place for _, places in self.sections for place in places if place.query != DEVICES]


def _fixed(library: Library) -> tuple[Place, ...]:
    return tuple(Place(title, query, library.catalog.count(query)) for title, query in _FIXED)


def _saved(library: Library) -> tuple[Place, ...]:
    return tuple(Place(name, query) for name, query in library.catalog.library_values("search").items())


def _albums(library: Library) -> tuple[Place, ...]:
    return tuple(Place(one.name, f"album:{quoted(one.name)}", one.photos) for one in library.catalog.albums())


def _labels(library: Library) -> tuple[Place, ...]:
    counts = islice(library.catalog.label_counts().items(), _MOST_LABELS)
    return tuple(Place(name, f"label:{quoted(name)}", count) for name, count in counts)


def _locations(library: Library) -> tuple[Place, ...]:
    from core.places import places

    return tuple(Place(one.title, one.query, one.photos) for one in places(library, most=_MOST_PLACES))


def _devices(library: Library) -> tuple[Place, ...]:
    """The other devices, and when each was last heard of: the library's first one has nobody to sync with."""
    from core.devices import devices

    others = [one for one in devices(library) if not one.this and not one.revoked]
    return tuple(Place(one.name or one.device_id.hex()[:8], DEVICES, word=_when(one.last_seen)) for one in others)


def _when(at: int | None) -> str:
    """Return a time as shortly as it can be told: of today the minute, else the day."""
    if at is None:
        return "never"
    then, now = time.localtime(at), time.localtime()
    if then[:3] == now[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%d.%m." if then[0] == now[0] else "%Y-%m-%d", then)


_FIXED = (
    ("All photos", ""),
    ("♥ Favourites", "is:favourite"),
    ("★ Rated", "is:rated"),
    ("◉ With a place", "has:gps"),
    ("◌ Without labels", "is:unlabelled"),
    ("⌫ Trash", "is:trash"),
)
_SECTIONS: tuple[tuple[str, Callable[[Library], tuple[Place, ...]]], ...] = (
    ("", _fixed),
    ("Saved searches", _saved),
    ("Albums", _albums),
    ("Places", _locations),
    ("Devices", _devices),
    ("Labels", _labels),
)


class Sidebar(OptionList):
    """Lines to look at."""

    DEFAULT_CSS = """
    Sidebar {
        width: 28;
        height: 1fr;
        padding: 0 0 0 1 !important;
        background: $surface;
        border: none;
        scrollbar-size-vertical: 1;
        &:focus { border: none; background: $surface; }
        & > .option-list--option-disabled { color: $primary; text-style: bold; }
        &.hidden { display: none; }
    }
    """

    class Chosen(Message):
        """A line was chosen: its query is to be searched for."""

        def __init__(self, query: str) -> None:
            self.query = query
            super().__init__()

    class DevicesWanted(Message):
        """A device was chosen: whoever did it wants to see the list of them."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Show nothing yet."""
        super().__init__(id=id, compact=True)
        self.places = Places()
        self._queries: list[str | None] = []

    def show(self, places: Places) -> None:
        """Show other lines; the one that is highlighted stays so."""
        if places == self.places:
            return
        here = self._queries[self.highlighted] if self.highlighted is not None else None
        self.places = places
        options: list[Option] = []
        self._queries = []
        for title, lines in places.sections:
            if title:
                options.append(Option(f"\n{title}", disabled=True))
                self._queries.append(None)
            for place in lines:
                options.append(Option(_line(place)))
                self._queries.append(place.query)
        self.clear_options()
        self.add_options(options)
        if here is not None and here in self._queries:
            self.highlighted = self._queries.index(here)

    def point_at(self, query: str) -> None:
        """Highlight the line of a query, if there is one."""
        self.highlighted = self._queries.index(query) if query in self._queries else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Tell which query was chosen."""
        event.stop()
        query = self._queries[event.option_index]
        if query == DEVICES:
            self.post_message(self.DevicesWanted())
        elif query is not None:
            self.post_message(self.Chosen(query))


def _line(place: Place) -> Text:
    about = place.about
    name = fitted(plain(place.title), _COLUMNS - len(about) - 1)
    return Text.assemble(name, " ", (about, "dim"), no_wrap=True)
