"""Photos as lines of text, for people and for `cut` and `awk`."""

from __future__ import annotations

import math
import shutil
import sys
from typing import TYPE_CHECKING

from tui.cli import output
from tui.cli.cells import fitted

if TYPE_CHECKING:
    from core.catalog.records import PhotoRecord

_SHORTEST_ID = 8
_DATE_CELLS = 16
_NAME_CELLS = 30
_NARROW = 80
_LONG_EXPOSURE = 0.5
"""Seconds; shorter ones are fractions on every camera's display."""
_SURE = {True: "sure", False: "maybe"}
_DIM, _BOLD, _END = "\x1b[2m", "\x1b[1m", "\x1b[0m"


def tab_line(photo: PhotoRecord) -> str:
    """Id, date, name and labels (joined by commas), separated by tabs; for a description, `sure` or `maybe` last."""
    labels = ", ".join(output.plain(label.name) for label in photo.labels)
    fields = [photo.id, photo.taken_at or "", output.plain(photo.filename or ""), labels]
    return "\t".join(fields if photo.sure is None else [*fields, _SURE[photo.sure]])


def id_digits(photos: int) -> int:
    """How many digits of an id tell `photos` photos apart, save for one case in a thousand."""
    # Of n photos, n²/2 pairs may share d digits with a chance of 16^-d each.
    needed = math.ceil(math.log(max(1, photos * photos / 2) * 1000, 16))
    return max(_SHORTEST_ID, needed)


class Table:
    """Lines as wide as the terminal: id, date, name, marks and labels."""

    def __init__(self, digits: int) -> None:
        self._digits = digits
        self._width = max(_NARROW // 2, shutil.get_terminal_size().columns)
        self._colour = output.colour_wanted(sys.stdout)

    def row(self, photo: PhotoRecord) -> str:
        """One photo."""
        name_cells = _NAME_CELLS if self._width >= _NARROW else _NAME_CELLS // 2
        identity = photo.id[: self._digits]
        date = (photo.taken or "no date").replace("T", " ")[:_DATE_CELLS].ljust(_DATE_CELLS)
        name = fitted(output.plain(photo.filename or ""), name_cells)
        marks = "" if photo.sure is None else f"{_SURE[photo.sure]:<5}  "
        marks += ("♥ " if photo.favourite else "") + ("★" * photo.rating + " " if photo.rating else "")
        used = self._digits + 2 + _DATE_CELLS + 2 + name_cells + 2
        labels = fitted(
            marks + ", ".join(output.plain(label.name) for label in photo.labels), max(0, self._width - used)
        )
        if self._colour:
            return f"{_BOLD}{identity}{_END}  {_DIM}{date}{_END}  {name}  {labels.rstrip()}"
        return f"{identity}  {date}  {name}  {labels.rstrip()}"


def facts(photo: PhotoRecord) -> list[tuple[str, str]]:
    """What `show` prints: names of facts and the facts, those that are known."""
    extra = photo.extra
    exposure = "" if extra.exposure_s is None else _exposure(extra.exposure_s)
    lens = ", ".join(
        part
        for part in (
            photo.lens or "",
            "" if photo.f_number is None else f"f/{photo.f_number:g}",
            exposure,
            "" if photo.focal_mm is None else f"{photo.focal_mm:g} mm",
            "" if photo.iso is None else f"ISO {photo.iso}",
        )
        if part
    )
    place = "" if photo.latitude is None or photo.longitude is None else f"{photo.latitude:.6f}, {photo.longitude:.6f}"
    if place and extra.altitude_m is not None:
        place += f", {extra.altitude_m:.0f} m"
    labels = ", ".join(
        f"{label.name} {label.score:.2f}" if label.source != "user" else f"{label.name} (yours)"
        for label in photo.labels
    )
    rows = [
        ("id", photo.id),
        ("name", photo.filename or ""),
        ("taken", _taken(photo)),
        ("size", f"{photo.width} x {photo.height}, {output.file_size(photo.size)}, {photo.mime}"),
        ("camera", photo.camera or ""),
        ("lens", lens),
        ("place", place),
        ("looks", _looks(photo)),
        ("labels", labels),
        ("caption", photo.caption),
        ("rating", "★" * photo.rating),
        ("favourite", "yes" if photo.favourite else ""),
        ("rotation", f"{photo.rotation}°" if photo.rotation else ""),
        ("albums", ", ".join(photo.albums)),
        ("motion", "" if photo.motion_s is None else f"{photo.motion_s:g} s of video"),
        ("trash", "yes" if photo.trashed_at is not None else ""),
    ]
    return [(name, output.plain(text)) for name, text in rows if text]


def _looks(photo: PhotoRecord) -> str:
    """What was measured of the picture, as `is:` and `brightness:` find it."""
    light = "" if photo.brightness is None else f"brightness {photo.brightness:.0%}"
    return ", ".join(filter(None, (*photo.looks, light)))


def _taken(photo: PhotoRecord) -> str:
    from core.catalog.records import DateSource

    said = photo.taken_at
    if said is None:
        return "unknown"
    source = {
        DateSource.FILE: "from the file",
        DateSource.USER: "corrected by you",
        DateSource.GUESS: "a guess, from the file's name, time or a sidecar",
    }.get(photo.date_source, "")
    detail = (
        f": {photo.extra.date_source}" if photo.extra.date_source and photo.date_source is not DateSource.USER else ""
    )
    return f"{said} ({source}{detail})" if source else said


def _exposure(seconds: float) -> str:
    return f"1/{round(1 / seconds)} s" if 0 < seconds < _LONG_EXPOSURE else f"{seconds:g} s"
