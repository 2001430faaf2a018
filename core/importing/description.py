"""What people said about a photo, wherever: in the file's own XMP and IPTC, in a sidecar, in a Takeout record.

None of it decides which photo a file is, or in which shard it lies.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

from core.importing.dates import CaptureTime, in_xmp

if TYPE_CHECKING:
    from core.importing.iptc import Iptc
    from core.importing.xmp_packet import Properties

MAX_CAPTION_CHARACTERS = 2000
MAX_LABELS = 200
_MAX_RATING = 5
_MAX_ALBUM = 250
_DEGREES = re.compile(r"(\d{1,3})(?:,(\d{1,2}(?:\.\d+)?))?(?:,(\d{1,2}(?:\.\d+)?))?\s*([NSEW])", re.ASCII)


class Description(msgspec.Struct, frozen=True, array_like=True):
    """Words about a photo; a field that is None or empty says nothing. `rating` is 0 to 5, degrees are WGS 84."""

    caption: str | None = None
    rating: int | None = None
    favourite: bool | None = None
    rotation: int | None = None
    labels: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    albums: tuple[str, ...] = ()
    location: tuple[float, float] | None = None
    taken: CaptureTime | None = None

    def over(self, weaker: Description) -> Description:
        """Return both together; where both speak, this one counts, and lists are joined."""
        return Description(
            caption=self.caption if self.caption is not None else weaker.caption,
            rating=self.rating if self.rating is not None else weaker.rating,
            favourite=self.favourite if self.favourite is not None else weaker.favourite,
            rotation=self.rotation if self.rotation is not None else weaker.rotation,
            labels=_joined(self.labels, weaker.labels),
            rejected=_joined(self.rejected, weaker.rejected),
            albums=_joined(self.albums, weaker.albums),
            location=self.location if self.location is not None else weaker.location,
            taken=self.taken if self.taken is not None else weaker.taken,
        )


NOTHING = Description()


def from_xmp(xmp: Properties) -> Description:
    """Return what the properties of an XMP packet say; the names are those that `core.xmp` writes, and Adobe's."""
    by_model = frozenset(_texts(xmp, "safelight:ModelLabels"))
    return Description(
        caption=_caption(xmp),
        rating=_rating(_first(xmp, "xmp:Rating")),
        favourite=True if _first(xmp, "safelight:Favourite") == "True" else None,
        rotation=_rotation(_first(xmp, "safelight:Rotation")),
        # What a model said is left to the model: it will say it again, with its score.
        labels=tuple(name for name in _keywords(xmp) if name not in by_model)[:MAX_LABELS],
        rejected=_texts(xmp, "safelight:RejectedLabels")[:MAX_LABELS],
        albums=tuple(dict.fromkeys(name[:_MAX_ALBUM] for name in _texts(xmp, "safelight:Albums")))[:MAX_LABELS],
        location=location(
            degrees(_first(xmp, "exif:GPSLatitude")),
            degrees(_first(xmp, "exif:GPSLongitude")),
        ),
        taken=in_xmp(xmp),
    )


def from_iptc(iptc: Iptc) -> Description:
    """Return what IPTC records say."""
    return Description(
        caption=_joined_caption(iptc.title, iptc.caption),
        labels=tuple(dict.fromkeys(iptc.keywords))[:MAX_LABELS],
    )


def location(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    """Return a place on Earth, or None: for numbers that are none, out of range, or both exactly zero (no fix)."""
    if latitude is None or longitude is None or not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180) or latitude == longitude == 0:  # noqa: PLR2004
        return None
    return latitude, longitude


def degrees(text: str | None) -> float | None:
    """Return XMP's `39,6.9N` or `39,6,54N`, or a plain number, as signed degrees."""
    if text is None:
        return None
    match = _DEGREES.fullmatch(text.strip())
    if match is None:
        try:
            return float(text)
        except ValueError:
            return None
    value = int(match[1]) + float(match[2] or 0) / 60 + float(match[3] or 0) / 3600
    return -value if match[4] in "SW" else value


def _caption(xmp: Properties) -> str | None:
    return _joined_caption(_first(xmp, "dc:title"), _first(xmp, "dc:description"))


def _joined_caption(title: str | None, text: str | None) -> str | None:
    """Put a title in front of the description, unless that repeats it."""
    parts = [part for part in (title, text) if part]
    if len(parts) == 2 and parts[0] in parts[1]:  # noqa: PLR2004  title and description
        parts = parts[1:]
    return "\n".join(parts)[:MAX_CAPTION_CHARACTERS] or None


def _keywords(xmp: Properties) -> tuple[str, ...]:
    flat = _texts(xmp, "dc:subject")
    if flat:
        return flat
    return _texts(xmp, "digiKam:TagsList") or tuple(
        name.replace("|", "/") for name in _texts(xmp, "lr:hierarchicalSubject")
    )


def _rating(text: str | None) -> int | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    # Lightroom's -1 means rejected, which is no number of stars.
    return int(value) if 0 <= value <= _MAX_RATING else None


def _rotation(text: str | None) -> int | None:
    return int(text) if text in {"90", "180", "270"} else None


def _first(xmp: Properties, name: str) -> str | None:
    return next((text for text in xmp.get(name, ()) if text), None)


def _texts(xmp: Properties, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in xmp.get(name, ()) if text))


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(first + second))[:MAX_LABELS]
