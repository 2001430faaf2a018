"""Targets for what an import reads of a photo and of the files beside it. None of it may cost the photo."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from PIL import Image

from core.catalog.records import ThumbRef
from core.importing import dates, sidecar, sniff
from core.importing.decode import decode
from core.importing.description import from_iptc, from_xmp
from core.importing.errors import FileRefused, XmpRefused
from core.importing.exif import NO_EXIF, read_exif
from core.importing.facts import gather, orientation_of
from core.importing.iptc import Iptc, read_iptc
from core.importing.limits import Limits
from core.importing.motion import motion_seconds
from core.importing.xmp_packet import NO_PROPERTIES, read_packet
from core.xmp import Sidecar, SidecarLabel, encode_sidecar
from tests.fuzz.target import same, scratch, target
from tui.app.workers.pictures import _decode_jpeg
from tui.app.workers.thumbnails import ThumbnailProblem, whole_thumbnail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.blobs import BlobStore

_SIZE = (64, 48)
_LIMITS = Limits(pixels=1_000_000)
_APP1, _APP13 = 0xE1, 0xED
_RESOURCE = 0x0404
_SEGMENT = 65_533


@target(XmpRefused, covers=("core.importing.xmp_packet", "core.importing.description", "core.importing.facts"))
def xmp_packet(data: bytes) -> None:
    """An XMP packet from inside a photo."""
    properties = read_packet(data)
    orientation = orientation_of(NO_EXIF, properties)
    gather(size=_SIZE, orientation=orientation, mime="image/jpeg", exif=NO_EXIF, xmp=properties, iptc=Iptc())


@target(covers=("core.importing.sidecar", "core.importing.xmp_packet", "core.xmp"))
def xmp_sidecar(data: bytes) -> None:
    """An XMP sidecar: it is read, or complained of; what we write of it says the same again."""
    (scratch() / "a.xmp").write_bytes(data)
    reading = sidecar.read(scratch(), sidecar.Sidecars(xmp=("a.xmp",)))
    said = reading.description
    names = frozenset(label.strip() for label in said.labels)
    written = encode_sidecar(
        Sidecar(
            labels=tuple(SidecarLabel(name) for name in names if name),
            rating=said.rating or 0,
            favourite=bool(said.favourite),
            rotation=said.rotation or 0,
        )
    )
    again = from_xmp(read_packet(written))
    same((again.rating or 0, bool(again.favourite)), (said.rating or 0, bool(said.favourite)), "a sidecar")
    same(again.rotation, said.rotation, "a sidecar's rotation")


@target(covers=("core.importing.exif", "core.importing.facts", "core.importing.dates"))
def exif(data: bytes) -> None:
    """The EXIF block of a photo, or a TIFF file: what cannot be read is left out."""
    read = read_exif(data)
    facts = gather(
        size=_SIZE, orientation=orientation_of(read, NO_PROPERTIES), mime="image/tiff", exif=read, xmp=NO_PROPERTIES,
        iptc=Iptc(),
    )  # fmt: skip
    if facts.location is not None:
        latitude, longitude = facts.location
        same(-90 <= latitude <= 90 and -180 <= longitude <= 180, True, "a place on Earth")


@target(covers=("core.importing.iptc", "core.importing.dates", "core.importing.description"))
def iptc(data: bytes) -> None:
    """IPTC records: what cannot be read is left out."""
    read = read_iptc({_RESOURCE: data})
    from_iptc(read)
    dates.in_file(NO_EXIF, NO_PROPERTIES, read.created)


@target(covers=("core.importing.sidecar", "core.importing.dates"), values=0)
def takeout(data: bytes) -> None:
    """A Takeout record and an album's: they are read, or complained of."""
    for name in ("a.json", "metadata.json"):
        (scratch() / name).write_bytes(data)
    sidecar.read(scratch(), sidecar.Sidecars(takeout="a.json", takeout_album="metadata.json"))


@target(covers=("core.importing.dates", "core.importing.sidecar"), longest=512)
def file_name(data: bytes) -> None:
    """A file's name, from which a date and the names of what lies beside it are worked out."""
    name = PurePath(data.replace(b"\0", b"").decode("utf-8", "surrogateescape")).name or "a"
    found = dates.fallback(name, float(len(data)) * 1e7)
    if found is not None:
        same(found.same_moment(found), True, "a time in a name")
    sidecar.find(name, lambda _: True)
    parsed = dates.parse(data.decode("latin-1"), "fuzz")
    if parsed is not None:
        again = dates.parse(parsed.with_offset(), "fuzz")
        same(again, parsed, "a time")
        parsed.corrects(again)


@target(covers=("core.importing.motion",))
def motion(data: bytes) -> None:
    """A video behind a photo: its length, or none."""
    seconds = motion_seconds(b"\xff\xd8\xff" * 5 + b"\0\0\0\x18ftypmp42" + data)
    same(seconds is None or 0 < seconds <= 600, True, "the seconds of a video")


@target(covers=("core.importing.sniff",), longest=sniff.HEAD_BYTES)
def sniffed(data: bytes) -> None:
    """The first bytes of any file, called this or that."""
    for name in ("a.jpg", "a.mp4", "a", "a.nef", "a.txt"):
        kind = sniff.sniff(data, name)
        verdict = sniff.verdict(kind, name)
        same(kind.nature in {sniff.Nature.PHOTO, sniff.Nature.RAW} or verdict is not None, True, "a verdict")


@cache
def jpeg() -> bytes:
    """Return a small photo without any metadata."""
    out = io.BytesIO()
    Image.new("RGB", _SIZE, "teal").save(out, "JPEG")
    return out.getvalue()


def jpeg_with(marker: int, content: bytes) -> bytes:
    """Return that photo with one application segment."""
    content = content[:_SEGMENT]
    return jpeg()[:2] + bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content + jpeg()[2:]


@dataclass
class _Held:
    """A bundle that holds one picture, and the store that holds that bundle."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    @contextmanager
    def open(self, _blob_id: bytes, _key: bytes) -> Iterator[_Held]:
        yield self


@target(
    FileRefused,
    ThumbnailProblem,
    covers=(
        "tui.app.workers.thumbnails",
        "tui.app.workers.pictures",
        "tui.app.workers.received_jpeg",
        "core.bundles",
    ),
    longest=8192,
)
def shown_picture(data: bytes) -> None:
    """A preview or a thumbnail that another device made: the app decodes them itself, being small JPEGs or nothing."""
    how, data = data[:1], data[1:]
    if how < b"\x80":
        _decode_jpeg(data)
    else:
        held = cast("BlobStore", _Held(data))
        whole_thumbnail(held, ThumbRef(bytes(32), bytes(32), 0, len(data)), _SIZE)


@target(FileRefused, covers=("core.importing.decode", "core.importing.colour"), longest=8192)
def jpeg_metadata(data: bytes) -> None:
    """A whole photo with an application segment of any content: EXIF, XMP, Photoshop's, ICC, or another, by a byte."""
    which, data = data[:1] or b"\0", data[1:]
    kinds = (
        (_APP1, b"Exif\0\0"), (_APP1, b"http://ns.adobe.com/xap/1.0/\0"), (_APP13, b"Photoshop 3.0\0"),
        (0xE2, b"ICC_PROFILE\0\1\1"), (0xE2, b"MPF\0"), (0xEE, b"Adobe"), (0xE0, b"JFIF\0"), (0xFE, b""),
    )  # fmt: skip
    marker, start = kinds[which[0] % len(kinds)]
    decoded = decode(jpeg_with(marker, start + data), "a.jpg", _LIMITS)
    same(decoded.image.size in {_SIZE, _SIZE[::-1]}, True, "the size of a photo")


@target(FileRefused, covers=("core.importing.decode", "core.importing.colour", "core.importing.exif"), longest=8192)
def picture_file(data: bytes) -> None:
    """A whole file of any kind that an import decodes: upright pixels within the limits, or a refusal in words."""
    decoded = decode(data, "a.jpg", _LIMITS)
    image, facts = decoded.image, decoded.facts
    same(0 < image.width * image.height <= _LIMITS.pixels, True, "the pixels of a photo")
    same(image.mode, "RGB", "the form of a photo's pixels")
    same(facts.width > 0 < facts.height, True, "the size of a photo")
