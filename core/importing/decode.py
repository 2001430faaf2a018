"""From a file's bytes to its upright pixels, at the size of a screen, and the metadata beside them.

Only the decoder that the content asks for is tried, the size in the header is checked before any pixel is decoded, and
a JPEG is decoded straight to about the size that is wanted (its cosine transform scales by halves for nothing).
"""

from __future__ import annotations

import io
import mmap
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from core.importing import colour, sniff
from core.importing.errors import FileRefused, XmpRefused
from core.importing.exif import NO_EXIF, XMP_PACKET, Exif, read_exif
from core.importing.facts import FileFacts, gather, orientation_of
from core.importing.iptc import read_iptc
from core.importing.motion import motion_seconds
from core.importing.xmp_packet import NO_PROPERTIES, Properties, read_packet

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.importing.limits import Limits

MIN_LONGEST = 1600
MAX_LONGEST = 2560
RESIZED_LONGEST = 2048
"""A picture whose longer side decodes to 1600-2560 pixels is kept at that size; a larger one is resized to 2048."""

HEAVY_BYTES = 160 << 20
"""Decoding that needs more memory than this is done one file at a time."""

# Their containers turn the picture themselves, and the EXIF tag only repeats it.
_TURNED_BY_CONTAINER = frozenset({"image/heic", "image/heif", "image/jxl"})
# Pillow turns these itself while it loads them.
_TURNED_BY_DECODER = frozenset({"image/tiff"})
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = 5
_MOTION_MARKS = (b"MotionPhoto", b"MicroVideo")
_SAMSUNG_TRAILER = b"SEFT"
_WITH_MOTION = frozenset({"image/jpeg", "image/heic", "image/heif", "image/avif"})

# Every exception that Pillow and its decoders were seen to raise for damaged files.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, ArithmeticError, LookupError, TypeError)


@dataclass(frozen=True)
class Decoded:
    """An upright picture in RGB, and the facts of the file it came from.

    Its longer side has at most `MAX_LONGEST` pixels, or as many as the limits say. `profile` is the ICC profile of the
    pixels when it is not sRGB.
    """

    image: Image.Image
    profile: bytes | None
    facts: FileFacts


def decode(
    source: bytes | bytearray | BinaryIO,
    name: str,
    limits: Limits,
    *,
    before_heavy: Callable[[], None] = lambda: None,
) -> Decoded:
    """Decode one file. `before_heavy` is called before more than `HEAVY_BYTES` are allocated.

    Raises:
        FileRefused: with the reason in words for the user.
    """
    stream: BinaryIO = io.BytesIO(source) if isinstance(source, bytes | bytearray) else source
    kind = sniff.sniff(stream.read(sniff.HEAD_BYTES), name)
    stream.seek(0)
    verdict = sniff.verdict(kind, name)
    if verdict is not None:
        raise FileRefused(verdict.reason)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(stream, kind, limits, before_heavy)
    except MemoryError:
        raise FileRefused(f"decoding it needs more than {limits.memory >> 20:,} MiB of memory") from None
    except Image.DecompressionBombError:
        raise _too_large(kind, limits) from None
    except UnidentifiedImageError:
        raise FileRefused(f"a damaged {kind.label} file: its header cannot be read") from None
    except _DAMAGED as error:
        raise FileRefused(f"a damaged {kind.label} file: {_one_line(error)}") from None
    except FileRefused:
        raise
    except Exception as error:
        # No decoder promises which exceptions it raises.
        raise FileRefused(f"decoding the {kind.label} file failed ({type(error).__name__})") from error


def _decode(stream: BinaryIO, kind: sniff.FileType, limits: Limits, before_heavy: Callable[[], None]) -> Decoded:
    Image.MAX_IMAGE_PIXELS = limits.pixels
    if kind.nature is sniff.Nature.RAW:
        image = _open_raw(stream, limits, before_heavy)
    elif kind is sniff.JXL:
        image = _open_jxl(stream, limits, before_heavy)
    else:
        if "HEIF" in kind.decoders:
            _register_heif()
        image = Image.open(stream, formats=kind.decoders)
    _check_size(image.size, kind, limits)
    full = image.size

    xmp = _xmp_of(image)
    exif = _exif_of(image, stream, kind)
    _draft(image, max(MIN_LONGEST, limits.longest))
    if _cost(image) > HEAVY_BYTES:
        before_heavy()
    image.load()
    # Pillow adds what a PNG keeps behind its pixels only after they are read.
    if not xmp and not exif.image:
        xmp, exif = _xmp_of(image), _exif_of(image, stream, kind)
    turn = 1 if kind.mime in _TURNED_BY_CONTAINER else orientation_of(exif, xmp)
    profile = image.info.get("icc_profile")
    iptc = read_iptc(image.info.get("photoshop"))
    picture, profile = colour.to_rgb(_shrink(image, limits.longest), profile if isinstance(profile, bytes) else None)
    size = full
    if turn in _TRANSPOSITIONS and kind.mime not in _TURNED_BY_DECODER:
        picture = picture.transpose(_TRANSPOSITIONS[turn])
        size = full if turn < _SIDEWAYS else (full[1], full[0])
    facts = gather(
        size=size,
        orientation=turn,
        mime=kind.mime,
        exif=exif,
        xmp=xmp,
        iptc=iptc,
        motion_s=_motion(stream, kind, image),
    )
    return Decoded(picture, profile, facts)


def _check_size(size: tuple[int, int], kind: sniff.FileType, limits: Limits) -> None:
    if min(size) < 1:
        raise FileRefused(f"a damaged {kind.label} file: it says its size is {size[0]} x {size[1]}")
    if size[0] * size[1] > limits.pixels:
        raise _too_large(kind, limits, size)


def _too_large(kind: sniff.FileType, limits: Limits, size: tuple[int, int] | None = None) -> FileRefused:
    extent = f"{size[0]:,} x {size[1]:,} pixels, which is" if size else "a size"
    return FileRefused(
        f"the {kind.label} file announces {extent} over the limit of {limits.pixels // 10**6} megapixels"
    )


def _draft(image: Image.Image, least: int) -> None:
    """Ask a JPEG's decoder for the smallest of its sizes that is still large enough."""
    longest = max(image.size)
    factor = next((factor for factor in (8, 4, 2) if longest // factor >= least), 1)
    if factor > 1:
        image.draft(image.mode, (image.width // factor, image.height // factor))


def _cost(image: Image.Image) -> int:
    """Return about how many bytes the pixels take, with the copy in another form that most of them need."""
    return image.width * image.height * len(image.getbands()) * 2


def _shrink(image: Image.Image, longest: int) -> Image.Image:
    if max(image.size) <= max(MAX_LONGEST, longest):
        return image
    if image.mode not in {"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"}:
        image = colour.to_eight_bits(image)
    image = image.copy() if image.readonly else image
    resized = longest or RESIZED_LONGEST
    image.thumbnail((resized, resized), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return image


def _xmp_of(image: Image.Image) -> Properties:
    data = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(data, str):
        data = data.encode()
    if not data and hasattr(image, "tag_v2"):
        data = image.tag_v2.get(XMP_PACKET)
    if not isinstance(data, bytes) or not data:
        return NO_PROPERTIES
    try:
        return read_packet(data)
    except XmpRefused:
        # The picture is what was asked for; words that cannot be read safely are words that are not there.
        return NO_PROPERTIES


def _exif_of(image: Image.Image, stream: BinaryIO, kind: sniff.FileType) -> Exif:
    if kind is sniff.TIFF or kind.nature is sniff.Nature.RAW:
        return _exif_of_tiff(stream)
    data = image.info.get("exif")
    return read_exif(data) if isinstance(data, bytes) else NO_EXIF


def _motion(stream: BinaryIO, kind: sniff.FileType, image: Image.Image) -> float | None:
    """Look for a video only where something says that there is one: searching costs as much as hashing."""
    xmp = image.info.get("xmp")
    stream.seek(-len(_SAMSUNG_TRAILER), io.SEEK_END)
    told = isinstance(xmp, bytes) and any(mark in xmp for mark in _MOTION_MARKS)
    if kind.mime not in _WITH_MOTION or not (told or stream.read() == _SAMSUNG_TRAILER):
        return None
    if isinstance(stream, io.BytesIO):
        # Shares the bytes it was made from, unless somebody writes.
        return motion_seconds(stream.getvalue())
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return motion_seconds(mapped)


def _exif_of_tiff(stream: BinaryIO) -> Exif:
    """Read a TIFF file in place: it is one EXIF structure, however large."""
    if isinstance(stream, io.BytesIO):
        with stream.getbuffer() as view:
            return read_exif(view)
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
        return read_exif(view)


def _register_heif() -> None:
    import pi_heif

    if "HEIF" not in Image.OPEN:
        pi_heif.options.THUMBNAILS = False
        pi_heif.options.DECODE_THREADS = 1
        pi_heif.register_heif_opener()


def _open_jxl(stream: BinaryIO, limits: Limits, before_heavy: Callable[[], None]) -> Image.Image:
    try:
        import pylibjxl
    except ImportError:
        raise FileRefused("JPEG XL needs the package pylibjxl, which is not installed here") from None
    data = stream.read()
    header = pylibjxl.probe(data)
    size = (int(header["width"]), int(header["height"]))
    _check_size(size, sniff.JXL, limits)
    if size[0] * size[1] * int(header["channels"]) * 4 > HEAVY_BYTES:
        before_heavy()
    pixels, metadata = pylibjxl.decode(data, metadata=True)
    image = Image.fromarray(np.squeeze(pixels))
    exif, profile = metadata.get("exif"), metadata.get("icc_profile") or metadata.get("icc")
    if exif and len(exif) > 4:  # noqa: PLR2004  the box begins with the offset of its TIFF header (ISO/IEC 18181-2)
        start = 0 if exif[:2] in {b"II", b"MM"} else 4 + int.from_bytes(exif[:4], "big")
        image.info["exif"] = bytes(exif)[start:]
    if metadata.get("xmp"):
        image.info["xmp"] = bytes(metadata["xmp"])
    if profile:
        image.info["icc_profile"] = bytes(profile)
    return image


def _open_raw(stream: BinaryIO, limits: Limits, before_heavy: Callable[[], None]) -> Image.Image:
    import rawpy

    before_heavy()
    with rawpy.imread(stream) as raw:
        _check_size((raw.sizes.width, raw.sizes.height), sniff.TIFF, limits)
        try:
            # The camera's own rendering is what the photographer saw, and costs a tenth of developing the raw.
            preview = raw.extract_thumb()
        except rawpy.LibRawError:
            preview = None
        if preview is not None and preview.format == rawpy.ThumbFormat.JPEG:
            image = Image.open(io.BytesIO(preview.data), formats=sniff.JPEG.decoders)
            if max(image.size) >= MIN_LONGEST:
                return ImageOps.exif_transpose(image)
        return Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))


def _one_line(error: BaseException) -> str:
    """Return what a decoder said, without addresses of objects and without lines of their own."""
    text = " ".join(str(error).split()).split(" <", 1)[0]
    return "".join(c if c.isprintable() else "?" for c in text)[:160] or type(error).__name__
