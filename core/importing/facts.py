"""The facts of one photo: those gathered from the metadata in its file, and what was measured of its pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from core.importing import exif as tags
from core.importing.dates import CaptureTime, in_file
from core.importing.description import NOTHING, Description, from_iptc, from_xmp, location

if TYPE_CHECKING:
    from core.importing.exif import Exif
    from core.importing.iptc import Iptc
    from core.importing.xmp_packet import Properties

_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 1, 2, 3, 4, 5, 6
_EXPOSURE, _F_NUMBER, _FOCAL, _LENS, _LENS_MAKE = 0x829A, 0x829D, 0x920A, 0xA434, 0xA433
_ISO_TAGS = (0x8827, 0x8833, 0x8831)
_USER_COMMENT = 0x9286
_SCREENSHOT = "Screenshot"
_MAX_TEXT = 120
_ORIENTATIONS = range(1, 9)


class FileFacts(msgspec.Struct, frozen=True, array_like=True):
    """What the bytes of a file say. Sizes in pixels after the orientation; seconds, millimetres, degrees, metres."""

    width: int
    height: int
    orientation: int
    mime: str
    taken: CaptureTime | None = None
    location: tuple[float, float] | None = None
    altitude_m: float | None = None
    make: str | None = None
    model: str | None = None
    lens: str | None = None
    iso: int | None = None
    f_number: float | None = None
    exposure_s: float | None = None
    focal_mm: float | None = None
    description: Description = NOTHING
    motion_s: float | None = None
    screenshot: bool = False


class Looks(msgspec.Struct, frozen=True, array_like=True):
    """What was measured of a picture.

    Attributes:
        brightness: mean luma (ITU-R BT.601), in thousandths of white's.
        sharpness: energy of second differences over that of first ones, in thousandths, in the sharpest ninth of the
            picture, across or down, whichever is less; ``None`` for a picture without any edge.
        colourfulness: of Hasler and Süsstrunk, in tenths: 0 for grey, 150 for a little colour, 1000 for much.
        flatness: how many thousandths of the pixels equal the one to their right.
        perceptual_hash: 8 bytes of which like pictures share most bits; ``None`` for a picture of hardly any contrast.
    """

    brightness: int
    sharpness: int | None
    colourfulness: int
    flatness: int
    perceptual_hash: bytes | None


def gather(
    *,
    size: tuple[int, int],
    orientation: int,
    mime: str,
    exif: Exif,
    xmp: Properties,
    iptc: Iptc,
    motion_s: float | None = None,
) -> FileFacts:
    """Return the facts of a file of `size` (upright) from its parsed metadata; what makes no sense is left out."""
    words = from_xmp(xmp).over(from_iptc(iptc))
    if words.rating is None:
        stars = exif.number(tags.RATING, "image")
        if stars is not None and 0 < stars <= 5:  # noqa: PLR2004  Windows writes 0 for "not rated"
            words = msgspec.structs.replace(words, rating=int(stars))
    place = _place(exif) or words.location
    make, model = exif.text(tags.MAKE, "image"), exif.text(tags.MODEL, "image")
    return FileFacts(
        width=size[0],
        height=size[1],
        orientation=orientation,
        mime=mime,
        taken=in_file(exif, xmp, iptc.created),
        location=place,
        altitude_m=_altitude(exif) if place else None,
        make=_printable(make),
        model=_printable(model),
        lens=_printable(exif.text(_LENS)),
        iso=_iso(exif),
        f_number=_positive(exif.number(_F_NUMBER)),
        exposure_s=_positive(exif.number(_EXPOSURE)),
        focal_mm=_positive(exif.number(_FOCAL)),
        # Date and place of the file's own XMP are facts, already counted above; as words they would be corrections.
        description=msgspec.structs.replace(words, taken=None, location=None),
        motion_s=motion_s,
        screenshot=_says_screenshot(exif, xmp),
    )


def orientation_of(exif: Exif, xmp: Properties) -> int:
    """Return the orientation, 1 to 8, that the metadata ask for; 1 when they do not."""
    value = exif.number(tags.ORIENTATION, "image")
    if value is None:
        text = next(iter(xmp.get("tiff:Orientation", ())), "1")
        value = float(text) if text.isascii() and text.isdigit() else 1
    return int(value) if value in _ORIENTATIONS else 1


def _says_screenshot(exif: Exif, xmp: Properties) -> bool:
    """Whether the comment says so, as in what iPhones (EXIF) and Macs (XMP as well) make of their screens."""
    raw = exif.photo.get(_USER_COMMENT)
    # Eight bytes name the comment's encoding.
    comment = raw[8:].replace(b"\0", b"").decode("ascii", "replace") if isinstance(raw, bytes) else ""
    return any(text.strip() == _SCREENSHOT for text in (comment, *xmp.get("exif:UserComment", ())))


def _place(exif: Exif) -> tuple[float, float] | None:
    return location(
        _coordinate(exif, _LATITUDE, _LATITUDE_REF, "S"),
        _coordinate(exif, _LONGITUDE, _LONGITUDE_REF, "W"),
    )


def _coordinate(exif: Exif, tag: int, ref_tag: int, negative: str) -> float | None:
    parts = exif.numbers(tag, "gps")[:3]
    # Also what is no number; and two enormous ones would have no sum.
    if not parts or not abs(parts[0]) <= 360:  # noqa: PLR2004  degrees
        return None
    # Some writers leave minutes or seconds as 0/0, which means they have none.
    value = math.fsum(part / 60.0**power for power, part in enumerate(parts) if math.isfinite(part))
    reference = exif.text(ref_tag, "gps") or ""
    return -value if reference.upper().startswith(negative) else value


def _altitude(exif: Exif) -> float | None:
    value = exif.number(_ALTITUDE, "gps")
    if value is None or not -12_000 <= value <= 100_000:  # noqa: PLR2004  metres: below any sea floor, above any sky
        return None
    raw = exif.gps.get(_ALTITUDE_REF)
    below = raw in {(1,), b"\x01", "\x01", "1"}
    return -value if below else value


def _iso(exif: Exif) -> int | None:
    for tag in _ISO_TAGS:
        value = exif.number(tag)
        # 65535 is what a camera writes when the real speed does not fit and stands in the next tag.
        if value is not None and 0 < value < 2**31 and value != 65_535:  # noqa: PLR2004
            return int(value)
    return None


def _positive(value: float | None) -> float | None:
    return value if value is not None and 0 < value <= 1e6 else None  # noqa: PLR2004  seconds, millimetres, stops


def _printable(text: str | None) -> str | None:
    if text is None:
        return None
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MAX_TEXT] or None
