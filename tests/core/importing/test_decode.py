"""Decoding: formats, orientation, colours, limits, and files that are no honest pictures."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from core.importing import sniff
from core.importing.decode import MAX_LONGEST, decode
from core.importing.errors import FileRefused
from core.importing.limits import STANDARD, Limits
from core.importing.motion import motion_seconds
from core.importing.renditions import THUMBNAIL_LONGEST, render

if TYPE_CHECKING:
    from pathlib import Path

    from core.importing.facts import FileFacts


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def quadrants(width: int = 240, height: int = 160) -> Image.Image:
    """Four corners: red, green, blue, white."""
    image = Image.new("RGB", (width, height))
    for colour, box in zip(
        ("red", "lime", "blue", "white"),
        ((0, 0), (width // 2, 0), (0, height // 2), (width // 2, height // 2)),
        strict=True,
    ):
        image.paste(Image.new("RGB", (width // 2, height // 2), colour), box)
    return image


def corner(image: Image.Image, right: bool, low: bool) -> tuple[int, ...]:
    where = (image.width * (3 if right else 1) // 4, image.height * (3 if low else 1) // 4)
    pixel = image.getpixel(where)
    assert isinstance(pixel, tuple)
    return tuple(round(level / 255) for level in pixel)


@pytest.mark.parametrize(
    ("form", "mime"),
    [
        ("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("GIF", "image/gif"),
        ("TIFF", "image/tiff"), ("BMP", "image/bmp"), ("AVIF", "image/avif"), ("MPO", "image/jpeg"),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_upright_picture(form: str, mime: str) -> None:
    decoded = decode(encoded(quadrants(), form), "a.bin", STANDARD)
    assert decoded.facts.mime == mime
    assert (decoded.facts.width, decoded.facts.height) == decoded.image.size == (240, 160)
    assert corner(decoded.image, right=False, low=False) == (1, 0, 0)
    assert corner(decoded.image, right=False, low=True) == (0, 0, 1)


def test_jpeg_xl_when_its_package_is_there() -> None:
    pylibjxl = pytest.importorskip("pylibjxl", reason="JPEG XL needs the package pylibjxl")
    data = pylibjxl.encode(np.asarray(quadrants()))
    decoded = decode(data, "a.jxl", STANDARD)
    assert decoded.facts.mime == "image/jxl"
    assert corner(decoded.image, right=True, low=False) == (0, 1, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_eight_orientations_end_upright(form: str, orientation: int) -> None:
    stored = quadrants()
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    if orientation != 1:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(stored, form, exif=exif.tobytes()), "a", STANDARD)
    assert decoded.image.size == (240, 160)
    assert (decoded.facts.width, decoded.facts.height, decoded.facts.orientation) == (240, 160, orientation)
    assert corner(decoded.image, right=False, low=False) == (1, 0, 0)
    assert corner(decoded.image, right=True, low=False) == (0, 1, 0)
    assert corner(decoded.image, right=False, low=True) == (0, 0, 1)


@pytest.mark.parametrize(("size", "longest"), [((4000, 3000), 2000), ((3000, 2000), 2048), ((2500, 1800), 2500)])
def test_a_preview_is_about_as_large_as_a_screen(size: tuple[int, int], longest: int) -> None:
    decoded = decode(encoded(quadrants(*size), "JPEG"), "a.jpg", STANDARD)
    assert max(decoded.image.size) == longest <= MAX_LONGEST
    assert (decoded.facts.width, decoded.facts.height) == size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F", "LAB"])
def test_every_depth_and_colour_becomes_rgb(mode: str) -> None:
    grey = Image.linear_gradient("L")
    if mode.startswith("I") or mode == "F":
        values = np.asarray(grey).astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
        image = Image.fromarray(values * 257 if mode != "F" else values / 255)
    elif mode == "LAB":
        image = Image.merge("LAB", [grey, Image.new("L", grey.size, 128), Image.new("L", grey.size, 128)])
    else:
        image = grey.convert("RGB").convert(mode)
    decoded = decode(encoded(image, "TIFF"), "a.tif", STANDARD)
    assert decoded.image.mode == "RGB"
    levels = np.asarray(decoded.image.convert("L"), dtype=int)
    assert levels[0].mean() < 30
    assert levels[-1].mean() > 225


def test_transparency_is_laid_on_white() -> None:
    decoded = decode(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"), "a.png", STANDARD)
    assert decoded.image.getpixel((4, 4)) == (255, 255, 255)


def test_thumbnails_are_in_srgb_and_previews_keep_their_profile() -> None:
    # The same numbers mean another colour in Lab-like or wide profiles; here the profile swaps nothing but says so.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decode(encoded(quadrants(), "JPEG", icc_profile=srgb), "a.jpg", STANDARD)
    assert decoded.profile is None
    rendered = render(decoded.image, decoded.profile, 10_000)
    thumbnail = Image.open(io.BytesIO(rendered.thumbnail))
    assert max(thumbnail.size) <= THUMBNAIL_LONGEST
    assert Image.open(io.BytesIO(rendered.preview)).size == rendered.preview_size == (240, 160)
    assert 5 <= len(rendered.thumbhash) <= 32


def test_a_preview_never_takes_much_of_what_its_photo_takes() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1500, 2000, 3), dtype=np.uint8)
    rendered = render(Image.fromarray(noise), None, 2_000_000)
    assert len(rendered.preview) < 0.2 * 2_000_000


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(20_000, 10_000), (2**31 - 1, 2**31 - 1), (128_000_001, 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(FileRefused, match="over the limit of 128 megapixels"):
        decode(_png_header(*size), "bomb.png", STANDARD)


def test_the_limit_on_pixels_can_be_set() -> None:
    with pytest.raises(FileRefused, match="240 x 160 pixels"):
        decode(encoded(quadrants(), "JPEG"), "a.jpg", Limits(pixels=30_000))


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", "a.jpg", "empty"),
        (b"hello", "a.jpg", "its content is none"),
        (b"8BPS\0\1" + bytes(40), "a.psd", "Photoshop pictures are not read"),
        (b"II*\0\x10\0\0\0CR\2\0", "a.cr2", "rawpy"),
        (b"II*\0\x08\0\0\0" + bytes(20), "a.nef", "Nikon raw"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "a.jpg", "damaged JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1", "a.heic", "damaged HEIC"),
        (b"\xff\x0a" + bytes(30), "a.jxl", "JPEG XL"),
    ],
)
def test_what_is_no_picture_says_why(content: bytes, name: str, reason: str) -> None:
    if name.endswith((".cr2", ".nef")) and find_spec("rawpy"):
        pytest.skip("rawpy is installed, so raws are read")
    with pytest.raises(FileRefused, match=reason):
        decode(content, name, STANDARD)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
@settings(max_examples=20)
@given(data=st.data())
def test_damaged_files_decode_or_are_refused(form: str, data: st.DataObject) -> None:
    whole = bytearray(encoded(quadrants(64, 48), form))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(whole)))
    try:
        decode(bytes(whole[:cut]), "a." + form.lower(), Limits(pixels=1_000_000))
    except FileRefused:
        return


@given(st.binary(max_size=64), st.sampled_from(["a.jpg", "a.mp4", "a", "a.nef", "a.txt"]))
def test_any_beginning_of_a_file_is_something(head: bytes, name: str) -> None:
    kind = sniff.sniff(head, name)
    verdict = sniff.verdict(kind, name)
    assert (verdict is None) == (kind.nature is sniff.Nature.PHOTO)


@pytest.mark.parametrize(
    ("head", "name", "video"),
    [
        (b"\0\0\0\x18ftypmp42\0\0\0\0isom", "a.mp4", True),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "a.mov", True),
        (b"RIFF\0\0\0\0AVI LIST", "a.avi", True),
        (b"\x1aE\xdf\xa3", "a.mkv", True),
        (b"%PDF-1.7", "a.pdf", False),
        (b"{}", "a.json", False),
    ],
)
def test_videos_and_documents_are_skipped_and_not_failed(head: bytes, name: str, video: bool) -> None:
    kind = sniff.sniff(head, name)
    verdict = sniff.verdict(kind, name)
    assert verdict is not None
    assert not verdict.failed
    assert (kind.nature is sniff.Nature.VIDEO) is video


@functools.lru_cache(maxsize=512)
def facts_of(path: Path) -> FileFacts:
    """Return the facts of a real photo, whose pixels are as they have to be. Some take a second to decode."""
    decoded = decode(path.read_bytes(), path.name, STANDARD)
    assert decoded.image.mode == "RGB"
    assert max(decoded.image.size) <= MAX_LONGEST
    return decoded.facts


def test_real_photos_of_every_kind_decode(shared_data: Path) -> None:
    refused = {}
    for path in sorted((shared_data / "photos").rglob("*")):
        if path.parent.name == "malformed" or path.suffix in {".csv", ".xmp"} or path.is_dir():
            continue
        try:
            facts_of(path)
        except FileRefused as refusal:
            refused[path.name] = str(refusal)
    # Truncated indeed: the manifest of the photos says so, too.
    assert list(refused) == ["pillow__ultrahdr.jpg"]


@pytest.mark.parametrize(
    ("name", "clock", "offset", "source"),
    [
        ("immich/metadata__dates__date-priority-test.jpg", "2023-02-02T02:00:00", None, "exif.DateTimeOriginal"),
        ("immich/metadata__dates__gps-datetime.jpg", "2023-11-15T12:30:00", 0, "xmp.GPSTimeStamp"),
        ("immich/metadata__gps-position__thompson-springs.jpg", "2022-01-10T21:15:33", 0, "exif.GPSDateStamp"),
        (
            "immich/formats__motionphoto__samsung-one-ui-6.heic",
            "2024-01-12T21:38:53.853",
            -480,
            "exif.DateTimeOriginal",
        ),
        ("immich/formats__webp__denali.webp", "2010-08-13T21:00:01.85", None, "exif.DateTimeOriginal"),
    ],
)
def test_dates_of_real_photos(shared_data: Path, name: str, clock: str, offset: int | None, source: str) -> None:
    taken = facts_of(shared_data / "photos" / name).taken
    assert taken is not None
    assert (taken.clock, taken.offset_minutes, taken.source) == (clock, offset, source)


def test_the_video_inside_a_motion_photo_is_measured(shared_data: Path) -> None:
    path = shared_data / "photos" / "immich" / "formats__motionphoto__samsung-one-ui-6.heic"
    data = path.read_bytes()
    assert facts_of(path).motion_s == pytest.approx(2.3, abs=1)
    assert decode(encoded(quadrants(), "JPEG"), "a.jpg", STANDARD).facts.motion_s is None
    # The video of that photo, as it stands behind a JPEG, with the mark that Samsung puts at the end.
    video = data[data.rfind(b"ftypmp42") - 4 :]
    assert video.endswith(b"SEFT")
    assert decode(encoded(quadrants(), "JPEG") + video, "a.jpg", STANDARD).facts.motion_s


@given(st.binary(max_size=200))
def test_no_bytes_behind_a_photo_make_the_search_for_video_fail(data: bytes) -> None:
    motion_seconds(b"\xff\xd8\xff" * 5 + b"\0\0\0\x18ftypmp42" + data + b"moov" + data + b"mvhd" + data)


def test_facts_of_a_real_photo(shared_data: Path) -> None:
    path = shared_data / "photos" / "immich" / "metadata__gps-position__thompson-springs.jpg"
    facts = decode(path.read_bytes(), path.name, STANDARD).facts
    assert facts.location == pytest.approx((39.115, -108.400968), abs=1e-5)
    assert facts.altitude_m == pytest.approx(1483.9)
    motorola = shared_data / "photos" / "immich" / "metadata__gps-position__empty_gps.jpg"
    facts = decode(motorola.read_bytes(), motorola.name, STANDARD).facts
    assert facts.location is None
    assert (facts.make, facts.model, facts.iso, facts.f_number) == ("motorola", "moto g(9) plus", 234, 1.8)
    rated = shared_data / "photos" / "immich" / "metadata__rating__mongolels.jpg"
    words = decode(rated.read_bytes(), rated.name, STANDARD).facts.description
    assert (words.rating, words.caption) == (3, "Mongol Els")
