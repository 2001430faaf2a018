"""What a file is, by its first bytes; names only decide where bytes cannot (camera raws inside a TIFF).

A picture that is not read here is told apart from a file that is no picture: the first is a failure that its owner
wants to hear of, the second is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import PurePath

HEAD_BYTES = 4096
"""How much of a file's beginning `sniff` looks at."""


class Nature(Enum):
    """What an import does with a file."""

    PHOTO = "photo"
    RAW = "raw"
    UNREAD_PICTURE = "unread picture"
    VIDEO = "video"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class FileType:
    """One kind of file: `label` is for people, `mime` its media type, `decoders` Pillow's names of who may open it."""

    nature: Nature
    label: str
    mime: str
    decoders: tuple[str, ...] = ()


JPEG = FileType(Nature.PHOTO, "JPEG", "image/jpeg", ("JPEG", "MPO"))
PNG = FileType(Nature.PHOTO, "PNG", "image/png", ("PNG",))
WEBP = FileType(Nature.PHOTO, "WebP", "image/webp", ("WEBP",))
GIF = FileType(Nature.PHOTO, "GIF", "image/gif", ("GIF",))
TIFF = FileType(Nature.PHOTO, "TIFF", "image/tiff", ("TIFF",))
BMP = FileType(Nature.PHOTO, "BMP", "image/bmp", ("BMP",))
HEIC = FileType(Nature.PHOTO, "HEIC", "image/heic", ("HEIF",))
HEIF = FileType(Nature.PHOTO, "HEIF", "image/heif", ("HEIF",))
AVIF = FileType(Nature.PHOTO, "AVIF", "image/avif", ("AVIF",))
JXL = FileType(Nature.PHOTO, "JPEG XL", "image/jxl")
EMPTY = FileType(Nature.OTHER, "empty file", "application/octet-stream")
UNKNOWN = FileType(Nature.OTHER, "unknown content", "application/octet-stream")

_PICTURE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".apng",
        ".webp",
        ".gif",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".heic",
        ".heif",
        ".hif",
        ".avif",
        ".avifs",
        ".jxl",
    ]
)
_RAW_SUFFIXES = {
    ".3fr": "Hasselblad",
    ".arw": "Sony",
    ".cr2": "Canon",
    ".cr3": "Canon",
    ".crw": "Canon",
    ".dcr": "Kodak",
    ".dng": "DNG",
    ".erf": "Epson",
    ".iiq": "Phase One",
    ".k25": "Kodak",
    ".kdc": "Kodak",
    ".mef": "Mamiya",
    ".mos": "Leaf",
    ".mrw": "Minolta",
    ".nef": "Nikon",
    ".nrw": "Nikon",
    ".orf": "Olympus",
    ".pef": "Pentax",
    ".raf": "Fujifilm",
    ".rw2": "Panasonic",
    ".rwl": "Leica",
    ".sr2": "Sony",
    ".srf": "Sony",
    ".srw": "Samsung",
    ".x3f": "Sigma",
}
_VIDEO_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".qt",
        ".3gp",
        ".3g2",
        ".avi",
        ".mkv",
        ".webm",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".insv",
    ]
)

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# (offset, bytes, what it is); the first that matches decides.
_MAGIC: tuple[tuple[int, bytes, FileType], ...] = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"GIF87a", GIF),
    (0, b"GIF89a", GIF),
    (0, b"\xff\x0a", JXL),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", JXL),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", FileType(Nature.UNREAD_PICTURE, "JPEG 2000", "image/jp2")),
    (0, b"\xff\x4f\xff\x51", FileType(Nature.UNREAD_PICTURE, "JPEG 2000", "image/jp2")),
    (0, b"8BPS", FileType(Nature.UNREAD_PICTURE, "Photoshop", "image/vnd.adobe.photoshop")),
    (0, b"icns", FileType(Nature.UNREAD_PICTURE, "Apple icon", "image/icns")),
    (0, b"\x00\x00\x01\x00", FileType(Nature.UNREAD_PICTURE, "Windows icon", "image/vnd.microsoft.icon")),
    (0, b"v/1\x01", FileType(Nature.UNREAD_PICTURE, "OpenEXR", "image/x-exr")),
    (0, b"gimp xcf", FileType(Nature.UNREAD_PICTURE, "GIMP", "image/x-xcf")),
    (0, b"#?RADIANCE", FileType(Nature.UNREAD_PICTURE, "Radiance HDR", "image/vnd.radiance")),
    (0, b"FUJIFILMCCD-RAW", FileType(Nature.RAW, "Fujifilm raw", "image/x-fuji-raf")),
    (0, b"IIU\0", FileType(Nature.RAW, "Panasonic raw", "image/x-panasonic-rw2")),
    (0, b"IIRO", FileType(Nature.RAW, "Olympus raw", "image/x-olympus-orf")),
    (0, b"IIRS", FileType(Nature.RAW, "Olympus raw", "image/x-olympus-orf")),
    (0, b"MMOR", FileType(Nature.RAW, "Olympus raw", "image/x-olympus-orf")),
    (0, b"\0MRM", FileType(Nature.RAW, "Minolta raw", "image/x-minolta-mrw")),
    (0, b"FOVb", FileType(Nature.RAW, "Sigma raw", "image/x-sigma-x3f")),
    (6, b"HEAPCCDR", FileType(Nature.RAW, "Canon raw", "image/x-canon-crw")),
    (0, b"\x1aE\xdf\xa3", FileType(Nature.VIDEO, "Matroska or WebM video", "video/x-matroska")),
    (0, b"\x00\x00\x01\xba", FileType(Nature.VIDEO, "MPEG video", "video/mpeg")),
    (0, b"\x00\x00\x01\xb3", FileType(Nature.VIDEO, "MPEG video", "video/mpeg")),
    (0, b"FLV\x01", FileType(Nature.VIDEO, "Flash video", "video/x-flv")),
    (0, b"0&\xb2u\x8ef\xcf\x11", FileType(Nature.VIDEO, "Windows Media video", "video/x-ms-wmv")),
)
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1"})
_MPEG_TS_PACKET = 188
_SYNC = 0x47
# The sizes that a BMP's second header can have, which is more of a mark than its two letters.
_BMP_HEADERS = frozenset(bytes([size]) for size in (12, 16, 40, 52, 56, 64, 108, 124))


def sniff(head: bytes, name: str) -> FileType:
    """Return what a file is that begins with `head` (its first `HEAD_BYTES`, or all of it) and is called `name`."""
    if not head:
        return EMPTY
    suffix = PurePath(name).suffix.lower()
    by_magic = next((kind for offset, magic, kind in _MAGIC if head.startswith(magic, offset)), None)
    return by_magic or _by_structure(head, suffix) or _by_name(head, suffix)


def _by_structure(head: bytes, suffix: str) -> FileType | None:
    """Tell apart what needs a look at more than one place."""
    kind = None
    if head[:4] in _TIFF_MAGIC:
        kind = _tiff(head, suffix)
    elif head[:4] == b"RIFF":
        kind = _riff(head[8:12])
    elif head[4:8] == b"ftyp":
        kind = _iso_media(head)
    elif head[:2] == b"BM" and head[14:15] in _BMP_HEADERS:
        kind = BMP
    elif len(head) > _MPEG_TS_PACKET and head[0] == head[_MPEG_TS_PACKET] == _SYNC:
        kind = FileType(Nature.VIDEO, "MPEG transport stream", "video/mp2t")
    return kind


def _by_name(head: bytes, suffix: str) -> FileType:
    """Judge what has no mark at its beginning."""
    if suffix in _VIDEO_SUFFIXES:
        return FileType(Nature.VIDEO, "video", "video/unknown")
    if head.lstrip()[:5].lower() in {b"<?xml", b"<svg "} and b"<svg" in head.lower():
        return FileType(Nature.UNREAD_PICTURE, "SVG drawing", "image/svg+xml")
    return UNKNOWN


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a file is not imported; `failed` when its owner must have thought that it would be."""

    reason: str
    failed: bool


def verdict(kind: FileType, name: str) -> Verdict | None:
    """Return why a file of this kind and name is no photo to us, or None when it is one."""
    named = is_named_as_picture(name)
    found = None
    if kind.nature is Nature.RAW and find_spec("rawpy") is None:
        reason = f"a camera raw ({kind.label}); reading raws needs the package rawpy, which is not installed"
        found = Verdict(reason, failed=True)
    elif kind.nature is Nature.UNREAD_PICTURE:
        found = Verdict(f"{kind.label} pictures are not read", failed=True)
    elif kind.nature is Nature.VIDEO:
        found = Verdict(f"a video ({kind.label}), not a photo", failed=False)
    elif kind is EMPTY:
        found = Verdict("the file is empty", failed=named)
    elif kind.nature is Nature.OTHER:
        found = Verdict("named as a picture, but its content is none" if named else "not a photo", failed=named)
    return found


def is_named_as_picture(name: str) -> bool:
    """Whether the name promises a picture, so that content which is none is worth a word of its own."""
    suffix = PurePath(name).suffix.lower()
    return suffix in _PICTURE_SUFFIXES or suffix in _RAW_SUFFIXES


def is_named_as_media(name: str) -> bool:
    """Whether the name is that of a picture or a video: no system runs what is called so."""
    return is_named_as_picture(name) or PurePath(name).suffix.lower() in _VIDEO_SUFFIXES


def _tiff(head: bytes, suffix: str) -> FileType:
    if head[8:10] == b"CR":
        return FileType(Nature.RAW, "Canon raw", "image/x-canon-cr2")
    maker = _RAW_SUFFIXES.get(suffix)
    if maker is None:
        return TIFF
    # The raws of most makers are TIFF files whose first picture is a small thumbnail: only the name tells.
    label = "DNG raw" if maker == "DNG" else f"{maker} raw"
    return FileType(Nature.RAW, label, f"image/x-{maker.lower().replace(' ', '-')}-{suffix[1:]}")


def _riff(form: bytes) -> FileType:
    if form == b"WEBP":
        return WEBP
    if form == b"AVI ":
        return FileType(Nature.VIDEO, "AVI video", "video/x-msvideo")
    return UNKNOWN


def _iso_media(head: bytes) -> FileType:
    """Tell apart what begins with a `ftyp` box (ISO/IEC 14496-12): major brand first, then the compatible ones."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] == b"crx ":
        return FileType(Nature.RAW, "Canon raw", "image/x-canon-cr3")
    for known, kind in ((_AVIF_BRANDS, AVIF), (_HEIC_BRANDS, HEIC)):
        if brands[0] in known:
            return kind
    if brands[0] in _HEIF_BRANDS:
        if _AVIF_BRANDS.intersection(brands):
            return AVIF
        return HEIC if _HEIC_BRANDS.intersection(brands) else HEIF
    return FileType(Nature.VIDEO, "MPEG-4 or QuickTime video", "video/mp4")
