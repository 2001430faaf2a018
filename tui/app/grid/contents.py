"""What a grid shows: the photos of a query in their order, and their months. Made in the library's thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.catalog.descriptions import asked_texts
from core.catalog.sequence import NO_DAY, PhotoSequence
from core.query import parse
from tui.app.grid.layout import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from core.library import Library

Period = Literal["day", "month", "year"]

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_UNITS: dict[Period, Literal["D", "M", "Y"]] = {"day": "D", "month": "M", "year": "Y"}


@dataclass(frozen=True)
class Ordering:
    """A query and the order of what it finds; `descending` None means as the key does by itself."""

    query: str = ""
    sort: str = "taken"
    descending: bool | None = None


@dataclass(frozen=True, eq=False)
class Contents:
    """Photos in their order, in sections."""

    ordering: Ordering
    photos: PhotoSequence
    sections: Sequence[Section]

    @classmethod
    def empty(cls) -> Contents:
        """Return contents without photos."""
        return cls(Ordering(), PhotoSequence.empty(), ())

    @classmethod
    def ranked(cls, *sections: tuple[str, Sequence[bytes]]) -> Contents:
        """Return photos under titles, in the order in which they are given; a title without photos is left out."""
        pids = [pid for _, part in sections for pid in part]
        days = np.full(len(pids), NO_DAY, dtype=np.int32)
        titled = [Section(title, len(part)) for title, part in sections if part]
        return cls(Ordering(sort="score"), PhotoSequence(b"".join(pids), days), titled)

    @classmethod
    def of(cls, library: Library, ordering: Ordering) -> Contents:
        """Ask the library. Raises `QueryError`."""
        photos = library.catalog.sequence(ordering.query, ordering.sort, descending=ordering.descending)
        if ordering.sort == "taken":
            return cls(ordering, photos, months(photos.days))
        return cls(ordering, photos, ranks(library, ordering, photos) or (Section("", len(photos)),))

    def hop(self, index: int, period: Period, steps: int) -> int:
        """Return the first photo of the period `steps` after that of `index` (before it, if negative)."""
        if not len(self.photos):
            return 0
        starts = _starts(_periods(self.photos.days, period))
        here = int(np.searchsorted(starts, index, side="right")) - 1
        if steps < 0 and index > starts[here]:
            here += 1  # back to the beginning of this one first
        return int(starts[max(0, min(here + steps, len(starts) - 1))])


def ranks(library: Library, ordering: Ordering, photos: PhotoSequence) -> list[Section]:
    """Return what a description finds for sure and what it may find; nothing where the order does not part them."""
    texts = asked_texts(parse(ordering.query))
    if ordering.sort != "score" or len(texts) != 1:
        return []
    from core.text_search import rank_by_text

    sure = {photo.pid for photo in rank_by_text(library, texts[0]).photos if photo.sure}
    are_sure = [pid in sure for pid in photos]
    first = sum(are_sure)
    if not are_sure or not all(are_sure[:first]):
        return []
    return [Section(title, number) for title, number in (("Sure", first), ("Maybe", len(photos) - first)) if number]


def months(days: npt.NDArray[np.int32]) -> list[Section]:
    """Return the months of photos in the order of their days."""
    if not len(days):
        return []
    numbers = _periods(days, "month")
    starts = _starts(numbers)
    counts = np.diff([*starts, len(days)])
    return [
        Section(month_title(int(numbers[start])) if days[start] != NO_DAY else "No date", int(count))
        for start, count in zip(starts, counts, strict=True)
    ]


def month_title(months_since_1970: int) -> str:
    """Return `May 2024`."""
    year, month = divmod(months_since_1970, 12)
    return f"{_MONTHS[month]} {1970 + year}"


def _periods(days: npt.NDArray[np.int32], period: Period) -> npt.NDArray[np.int64]:
    numbers = days.astype("datetime64[D]").astype(f"datetime64[{_UNITS[period]}]").astype(np.int64)
    # Photos without a date are a period of their own, whatever the calendar makes of their number.
    return np.where(days == NO_DAY, np.iinfo(np.int64).min, numbers)


def _starts(periods: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    return np.concatenate(([0], np.flatnonzero(np.diff(periods)) + 1))
