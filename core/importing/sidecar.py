"""Files beside a photo that describe it: XMP sidecars in both naming styles, and Google Takeout's JSON records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import msgspec

from core.importing.dates import at_utc
from core.importing.description import MAX_CAPTION_CHARACTERS, NOTHING, Description, from_xmp, location
from core.importing.errors import XmpRefused
from core.importing.xmp_packet import MAX_PACKET_BYTES, read_packet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

XMP_SUFFIX, JSON_SUFFIX = ".xmp", ".json"
_MAX_RECORD_BYTES = 1 << 20
_MAX_TITLE = 200
# Takeout cuts the name of a record before ".json" to this many characters.
_TAKEOUT_NAME = 46
_TAKEOUT_TAIL = ".supplemental-metadata"
_COUNTER = re.compile(r"(.+?)(\(\d+\))(\.[^.]+)?$")
_EDITED = re.compile(r"-edited$")
_TAKEOUT_ALBUM = "metadata.json"
# Takeout's folders that are no albums of the user's.
_NO_ALBUM = re.compile(r"Photos from \d{4}|Untitled(?:\(\d+\))?|", re.ASCII)


class Sidecars(msgspec.Struct, frozen=True):
    """The names, in the photo's own folder, of the files that describe it (the strongest XMP first) or the folder."""

    xmp: tuple[str, ...] = ()
    takeout: str | None = None
    takeout_album: str | None = None


NO_SIDECARS = Sidecars()


@dataclass(frozen=True, slots=True)
class SidecarReading:
    """What sidecars said, and what was wrong with those that could not be read (the photo is imported all the same)."""

    description: Description = NOTHING
    complaints: tuple[str, ...] = ()
    in_bin: bool = False


class _Seconds(msgspec.Struct):
    timestamp: str | int | float | None = None


class _Place(msgspec.Struct):
    latitude: float | None = None
    longitude: float | None = None


class _Person(msgspec.Struct):
    name: str | None = None


class _TakeoutRecord(msgspec.Struct, rename="camel"):
    photo_taken_time: _Seconds | None = None
    title: str | None = None
    description: str | None = None
    geo_data: _Place | None = None
    geo_data_exif: _Place | None = None
    favorited: bool = False
    trashed: bool = False
    people: list[_Person] = []


class _TakeoutAlbum(msgspec.Struct):
    title: str | None = None


_decoder = msgspec.json.Decoder(_TakeoutRecord, strict=False)
_album_decoder = msgspec.json.Decoder(_TakeoutAlbum, strict=False)


def find(name: str, is_there: Callable[[str], bool]) -> Sidecars:
    """Return which files describe the photo `name`, asking `is_there` about names in its folder."""
    stem = PurePath(name).stem
    candidates = (f"{base}{suffix}" for base in (name, stem) for suffix in (XMP_SUFFIX, XMP_SUFFIX.upper()))
    records = (f"{base}{JSON_SUFFIX}" for base in takeout_names(name))
    record = next((record for record in records if is_there(record)), None)
    return Sidecars(
        xmp=tuple(candidate for candidate in candidates if is_there(candidate)),
        takeout=record,
        takeout_album=_TAKEOUT_ALBUM if record is not None and is_there(_TAKEOUT_ALBUM) else None,
    )


def takeout_names(name: str) -> list[str]:
    """Return the names, without `.json`, that Takeout may have given the record of the photo `name`, best first.

    `IMG_1.jpg` → `IMG_1.jpg.supplemental-metadata` (cut at 46 characters), formerly `IMG_1.jpg`; a second file of the
    same name, `IMG_1(1).jpg`, → `IMG_1.jpg(1)`; an edited one, `IMG_1-edited.jpg`, shares the record of `IMG_1.jpg`.
    """
    counter = ""
    match = _COUNTER.fullmatch(name)
    if match is not None:
        counter, name = match[2], f"{match[1]}{match[3] or ''}"
    path = PurePath(name)
    plain = f"{_EDITED.sub('', path.stem)}{path.suffix}"
    names = []
    for base in dict.fromkeys([name, plain]):
        full = f"{base}{_TAKEOUT_TAIL}"
        names += [full[:_TAKEOUT_NAME], full, base, base[:_TAKEOUT_NAME], PurePath(base).stem[:_TAKEOUT_NAME]]
    return [f"{found}{counter}" for found in dict.fromkeys(names)]


def read(folder: Path, sidecars: Sidecars) -> SidecarReading:
    """Read what was found. Never raises for a bad sidecar: it becomes a complaint."""
    description = NOTHING
    complaints: list[str] = []
    in_bin = False
    for name in sidecars.xmp:
        try:
            data = _bounded(folder / name, MAX_PACKET_BYTES)
            description = description.over(from_xmp(read_packet(data)))
        except (XmpRefused, OSError) as error:
            complaints.append(f"its sidecar was not used: {_reason(error)}")
    if sidecars.takeout is not None:
        try:
            record = _decoder.decode(_bounded(folder / sidecars.takeout, _MAX_RECORD_BYTES))
        except (msgspec.MsgspecError, OSError, ValueError, RecursionError, XmpRefused) as error:
            complaints.append(f"its Takeout record was not used: {_reason(error)}")
        else:
            # Any other JSON beside a photo has no time of capture, and says nothing to us.
            if record.photo_taken_time is not None:
                description = description.over(_from_takeout(record, _album(folder, sidecars.takeout_album)))
                in_bin = record.trashed
    return SidecarReading(description, tuple(complaints), in_bin)


def is_sidecar_name(name: str) -> bool:
    """Whether a file of this name is never a photo itself."""
    return PurePath(name).suffix.lower() in {XMP_SUFFIX, JSON_SUFFIX}


def _album(folder: Path, name: str | None) -> str | None:
    """Return the title of the album that a folder of Takeout's is, or None."""
    if name is None:
        return None
    try:
        title = _album_decoder.decode(_bounded(folder / name, _MAX_RECORD_BYTES)).title
    except (msgspec.MsgspecError, OSError, ValueError, RecursionError, XmpRefused):
        return None
    title = (title or "").strip()[:_MAX_TITLE]
    return None if _NO_ALBUM.fullmatch(title) else title


def _from_takeout(record: _TakeoutRecord, album: str | None) -> Description:
    taken = None
    if record.photo_taken_time is not None and record.photo_taken_time.timestamp is not None:
        try:
            taken = at_utc(float(record.photo_taken_time.timestamp), "takeout.photoTakenTime")
        except (ValueError, OverflowError):
            taken = None
    place = None
    for found in (record.geo_data, record.geo_data_exif):
        if found is not None and place is None:
            place = location(found.latitude, found.longitude)
    return Description(
        caption=(record.description or "")[:MAX_CAPTION_CHARACTERS] or None,
        favourite=True if record.favorited else None,
        labels=_names(record.people),
        albums=() if album is None else (album,),
        location=place,
        taken=taken,
    )


def _names(people: Iterable[_Person]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(person.name for person in people if person.name))


def _bounded(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise XmpRefused(f"it is larger than {limit:,} bytes")
    return data


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
