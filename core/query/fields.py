"""The fields of the query language: their names, what values they take, and the node each makes of a value.

A value that a field does not take raises :class:`BadValue`; the parser adds the place and the text of the query.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from core.query import values
from core.query.nodes import Colour, Flag, IdPrefix, MediaType, Near, Node, Range, Span, Text
from core.query.words import fold, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

IS_FLAGS: Mapping[str, str] = {
    "favourite": "marked as a favourite",
    "trash": "in the trash (everything else leaves the trash out)",
    "labelled": "has a label, from the model or from you",
    "unlabelled": "has no label",
    "confirmed": "has a label that you gave",
    "rated": "has a rating of 1 or more",
    "unrated": "has no rating",
    "landscape": "wider than high",
    "portrait": "higher than wide",
    "square": "as wide as high",
    "motion": "has a moving part inside the file",
    "guessed-date": "its date is a guess from the file's name or time",
    "dark": "is dark all in all",
    "bright": "is bright all in all",
    "blurry": "nothing in it is sharp",
    "black-and-white": "has no colours",
    "screenshot": "shows a screen, not the world",
}
"""Values of ``is:`` and what they say of a photo."""

LOOKS = ("dark", "bright", "blurry", "black-and-white", "screenshot")
"""Those values of ``is:`` that were measured of the picture."""

HAS_FLAGS: Mapping[str, str] = {
    "gps": "says where it was taken",
    "caption": "has a caption",
    "date": "has a date from the camera or from you, not a guess",
    "label": "has a label, from the model or from you",
    "album": "is in an album",
    "rating": "has a rating of 1 or more",
    "camera": "names its camera",
    "lens": "names its lens",
}
"""Values of ``has:`` and what they say of a photo."""

_FLAG_ALIASES = {
    "favorite": "favourite", "labeled": "labelled", "unlabeled": "unlabelled", "trashed": "trash",
    "bw": "black-and-white", "b&w": "black-and-white", "monochrome": "black-and-white", "blurred": "blurry",
}  # fmt: skip
_HAS_ALIASES = {"location": "gps", "labels": "label", "albums": "album"}

MEDIA_TYPES: Mapping[str, frozenset[str]] = {
    "jpeg": frozenset({"jpeg", "jpg", "pjpeg"}),
    "png": frozenset({"png", "apng"}),
    "heic": frozenset({"heic", "heif", "heic-sequence", "heif-sequence"}),
    "avif": frozenset({"avif"}),
    "webp": frozenset({"webp"}),
    "gif": frozenset({"gif"}),
    "tiff": frozenset({"tiff"}),
    "jxl": frozenset({"jxl"}),
    "bmp": frozenset({"bmp", "x-ms-bmp"}),
    "raw": frozenset(
        f"x-{maker}"
        for maker in (
            "adobe-dng", "dng", "canon-cr2", "canon-cr3", "canon-crw", "nikon-nef", "nikon-nrw", "sony-arw", "sony-sr2",
            "sony-srf", "fuji-raf", "olympus-orf", "panasonic-rw2", "panasonic-raw", "pentax-pef", "samsung-srw",
            "sigma-x3f", "hasselblad-3fr", "epson-erf", "kodak-dcr", "leica-rwl", "minolta-mrw", "phaseone-iiq", "raw",
        )
    )
    | {"dng"},
}  # fmt: skip
"""Values of ``type:`` and the subtypes of ``image/`` they stand for."""

_TYPE_ALIASES = {"jpg": "jpeg", "heif": "heic", "tif": "tiff", "dng": "raw"}

COLOURS = (
    "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "black", "grey", "white",
)  # fmt: skip
"""Values of ``colour:``."""

_NEAR_PARTS = 3
_DISTANCE = re.compile(r"([0-9]{0,9}\.?[0-9]{1,9})(km|m|mi)", re.ASCII)
_DISTANCE_KM = {"km": 1.0, "m": 0.001, "mi": 1.609344}
_DEGREES = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{0,15})?", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
EARTH_KM = 6371.0088
"""Mean radius of the earth (IUGG)."""


class BadValue(ValueError):
    """A value a field does not take; ``suggestion`` is what was probably meant."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        """Keep the suggestion beside the message."""
        super().__init__(message)
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Value:
    """What stands after a field's colon.

    Attributes:
        text: the value without its quotes, NFC.
        prefix: whether a star followed.
        span: its place in the query, field included.
        now: the wall clock that words such as ``today`` are counted from.
    """

    text: str
    prefix: bool
    span: Span
    now: datetime


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the language.

    Attributes:
        about: what it asks, for people.
        example: a value it takes.
        node: makes the node; raises :class:`ValueError` (:class:`BadValue` where it can suggest a value).
    """

    about: str
    example: str
    node: Callable[[Value], Node]


def _label(value: Value) -> Node:
    folded = unicodedata.normalize("NFC", fold(value.text.strip()))
    if not folded:
        raise BadValue("label: needs a name")
    return Text(field="label", text=folded, prefix=value.prefix, span=value.span)


def _words(field: str, value: Value) -> Node:
    if not words(value.text):
        raise BadValue(f"{field}: needs at least one letter or digit")
    return Text(field=field, text=value.text, prefix=value.prefix, span=value.span)


def _flag(field: str, known: Mapping[str, str], aliases: Mapping[str, str], value: Value) -> Node:
    name = value.text.lower()
    return Flag(field=field, name=_choice(field, aliases.get(name, name), known), span=value.span)


def _choice(field: str, name: str, known: Iterable[str]) -> str:
    known = list(known)
    if name not in known:
        raise BadValue(f"{field}: does not know {name!r}; it takes {', '.join(sorted(known))}", nearest(name, known))
    return name


def _media_type(value: Value) -> Node:
    name = value.text.lower()
    return MediaType(name=_choice("type", _TYPE_ALIASES.get(name, name), MEDIA_TYPES), span=value.span)


def _colour(value: Value) -> Node:
    name = value.text.lower()
    return Colour(name=_choice("colour", "grey" if name == "gray" else name, COLOURS), span=value.span)


def _range(field: str, read: Callable[[str], values.Stretch], value: Value) -> Node:
    low, high = values.read_range(value.text, read)
    return Range(field=field, low=low, high=high, span=value.span)


def _dated(field: str, read: Callable[[str, datetime], values.Stretch], value: Value) -> Node:
    low, high = values.read_range(value.text, lambda text: read(text, value.now))
    return Range(field=field, low=low, high=high, span=value.span)


def _rating(value: Value) -> Node:
    low, high = values.read_range(value.text, partial(values.number, whole=True))
    if any(bound is not None and not 0 <= bound.value <= 5 for bound in (low, high)):  # noqa: PLR2004 - stars
        raise BadValue("ratings go from 0 to 5")
    return Range(field="rating", low=low, high=high, span=value.span)


def _brightness(value: Value) -> Node:
    low, high = values.read_range(value.text, values.percentage)
    if any(bound is not None and not 0 <= bound.value <= 100 for bound in (low, high)):  # noqa: PLR2004 - per cent
        raise BadValue("brightness goes from 0 (black) to 100 (white)")
    return Range(field="brightness", low=low, high=high, span=value.span)


def _near(value: Value) -> Node:
    parts = [part.strip() for part in value.text.split(",")]
    distance = _DISTANCE.fullmatch(parts[-1].lower()) if len(parts) == _NEAR_PARTS else None
    if distance is None or not all(_DEGREES.fullmatch(part) for part in parts[:2]):
        raise BadValue("near: takes latitude, longitude and a distance, as in near:38.72,-9.14,10km")
    latitude, longitude = float(parts[0]), float(parts[1])
    if abs(latitude) > 90 or abs(longitude) > 180:  # noqa: PLR2004 - degrees
        raise BadValue("latitudes go from -90 to 90 and longitudes from -180 to 180")
    kilometres = float(distance[1]) * _DISTANCE_KM[distance[2]]
    return Near(
        latitude=latitude,
        longitude=longitude,
        kilometres=min(round(kilometres, 6), float(math.ceil(EARTH_KM * math.pi))),
        span=value.span,
    )


def _identifier(value: Value) -> Node:
    digits = value.text.lower()
    if not _HEX.fullmatch(digits):
        raise BadValue("id: takes up to 32 hex digits: the beginning of a photo's id")
    return IdPrefix(digits=digits, span=value.span)


FIELDS: Mapping[str, Field] = {
    "label": Field("a label's whole name", "dog", _label),
    "album": Field("words of an album's name", "Lisbon", partial(_words, "album")),
    "camera": Field("words of the camera's make and model", '"Pixel 8"', partial(_words, "camera")),
    "lens": Field("words of the lens's name", '"50mm"', partial(_words, "lens")),
    "name": Field("words of the file's name", "IMG_1234", partial(_words, "name")),
    "caption": Field("words of the caption", "birthday", partial(_words, "caption")),
    "is": Field("a state of the photo", "favourite", partial(_flag, "is", IS_FLAGS, _FLAG_ALIASES)),
    "has": Field("something the photo has", "gps", partial(_flag, "has", HAS_FLAGS, _HAS_ALIASES)),
    "date": Field("when it was taken, by the camera's clock", "2024-05..2024-08", partial(_dated, "date", values.date)),
    "imported": Field("when it came into the library", "today", partial(_dated, "imported", values.import_date)),
    "rating": Field("0 to 5", ">=3", _rating),
    "near": Field("latitude, longitude, distance", "38.72,-9.14,10km", _near),
    "type": Field("the kind of file", "raw", _media_type),
    "colour": Field("a colour that stands out", "red", _colour),
    "brightness": Field("mean light in per cent", "<20", _brightness),
    "width": Field("pixels, as shown", ">=4000", partial(_range, "width", partial(values.number, whole=True))),
    "height": Field("pixels, as shown", "<1000", partial(_range, "height", partial(values.number, whole=True))),
    "size": Field("of the file", ">2MB", partial(_range, "size", values.size)),
    "iso": Field("film speed", ">=1600", partial(_range, "iso", partial(values.number, whole=True))),
    "aperture": Field("f-number", "<=2.8", partial(_range, "aperture", values.aperture)),
    "focal": Field("focal length in millimetres", "24..70", partial(_range, "focal", values.focal_length)),
    "id": Field("the beginning of the photo's id", "3fa9", _identifier),
}
"""Every field by its name."""

FIELD_ALIASES: Mapping[str, str] = {
    "labels": "label", "tag": "label", "albums": "album", "filename": "name", "file": "name", "taken": "date",
    "added": "imported", "color": "colour", "stars": "rating", "f": "aperture",
}  # fmt: skip
"""Other spellings that people try."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``name``, if any is like it."""
    close = difflib.get_close_matches(name[:40].lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None
