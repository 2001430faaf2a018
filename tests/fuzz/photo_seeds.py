"""Seeds of what an import reads of a photo and of the files beside it: small things made here, nobody's photos."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from core.xmp import Sidecar, SidecarLabel, encode_sidecar
from tests.fuzz.photo_targets import jpeg


def exif(order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        return struct.pack(f"{order}HHII", tag, kind, count, value)

    def directory(*entries: bytes) -> bytes:
        return struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)

    orientation = 6 if order == "<" else 6 << 16
    image_at, data_at = 8, 400
    image = directory(entry(0x0112, 3, 1, orientation), entry(0x0132, 2, 20, data_at), entry(0x8769, 4, 1, 100),
                      entry(0x8825, 4, 1, 200), entry(0x010F, 2, 4, 0x41414141),
                      entry(0x4746, 3, 1, orientation))  # fmt: skip
    photo = directory(entry(0x9003, 2, 20, data_at), entry(0x9011, 2, 7, data_at + 20),
                      entry(0x829A, 5, 1, data_at + 28),
                      entry(0x8827, 3, 1, orientation), entry(0x9286, 7, 18, data_at + 60))  # fmt: skip
    gps = directory(entry(1, 2, 2, 0x4E), entry(2, 5, 3, data_at + 28), entry(3, 2, 2, 0x57),
                    entry(4, 5, 3, data_at + 28),
                    entry(6, 5, 1, data_at + 28), entry(7, 5, 3, data_at + 28), entry(29, 2, 11, data_at))  # fmt: skip
    data = (
        b"2024:05:12 13:45:01\0+02:00\0\0"
        + struct.pack(f"{order}6I", 38, 1, 43, 1, 12, 10)
        + bytes(8)
        + b"ASCII\0\0\0Screenshot"
    )
    laid = bytearray(mark + struct.pack(f"{order}I", image_at)).ljust(500, b"\0")
    for at, part in ((image_at, image), (100, photo), (200, gps), (data_at, data)):
        laid[at : at + len(part)] = part
    return bytes(laid)


def tiff() -> bytes:
    out = io.BytesIO()
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[0x010F] = "A camera"
    Image.new("L", (4, 3)).save(out, "TIFF", tiffinfo=info)
    return out.getvalue()


def big_tiff() -> bytes:
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16)
    entries = [struct.pack("<HHQQ", 0x0112, 3, 1, 6), struct.pack("<HHQQ", 0x0132, 2, 20, 100)]
    laid = head + struct.pack("<Q", len(entries)) + b"".join(entries)
    return laid.ljust(100, b"\0") + b"2024:05:12 13:45:01\0"


def exifs() -> list[bytes]:
    return [exif(), exif(">"), b"Exif\0\0" + exif(), tiff(), big_tiff()]


def sidecars() -> list[bytes]:
    full = Sidecar(
        (SidecarLabel("dog"), SidecarLabel("places/lisbon", by_model=True)), ("cat",), "a \u00e9\n& <b>", 4,
        favourite=True, rotation=90, taken="2024-05-12T13:45:01+02:00", location=(38.72, -9.14), albums=("Lisbon",),
    )  # fmt: skip
    flat = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmp:Rating="3" exif:GPSLatitude="39,6,54N" '
        b'exif:GPSLongitude="9.5" tiff:Orientation="6" xmp:CreateDate="2024-05-12T13:45:01.5Z"/></rdf:RDF></x:xmpmeta>'
    )
    return [
        encode_sidecar(full), encode_sidecar(Sidecar()), flat, b'<?xml version="1.0" encoding="latin-1"?>' + flat,
        flat.decode().encode("utf-16"), b"rubbish" + flat + b"rubbish", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    ]  # fmt: skip


def iptc() -> list[bytes]:
    def one(record: int, number: int, value: bytes) -> bytes:
        return bytes([0x1C, record, number]) + len(value).to_bytes(2, "big") + value

    full = [one(1, 90, b"\x1b%G"), one(2, 5, b"A title"), one(2, 25, b"dog"), one(2, 25, "caf\u00e9".encode()),
            one(2, 55, b"20240512"), one(2, 60, b"134501+0200"), one(2, 120, b"A caption")]  # fmt: skip
    return [b"".join(full), b"".join(full[1:]).replace("\u00e9".encode(), b"\xe9"), full[0], b"\x1c\2\5\x80\4\0\0\0\1a"]


def takeout() -> list[bytes]:
    full = {
        "title": "IMG_1.jpg", "description": "a day", "photoTakenTime": {"timestamp": "1715521501", "formatted": "x"},
        "geoData": {"latitude": 0.0, "longitude": 0.0}, "geoDataExif": {"latitude": 38.7, "longitude": -9.1},
        "favorited": True, "trashed": False, "people": [{"name": "Anna"}], "url": "https://example.org",
    }  # fmt: skip
    return [
        json.dumps(full).encode(), json.dumps({"title": "Lisbon"}).encode(), b"{}", b"[]", b"null",
        b'{"photoTakenTime":{"timestamp":1e400}}', b'{"photoTakenTime":{"timestamp":-1.5}}',
    ]  # fmt: skip


def names() -> list[bytes]:
    return [
        text.encode()
        for text in (
            "IMG_20240512_134501.jpg", "PXL_20240512_134501123.MP.jpg", "IMG_1(1).jpg", "IMG_1-edited.jpg",
            "Screenshot 2024-05-12 at 13.45.01.png", "1715521501000.jpg", "2024:05:12 13:45:01.123+02:00",
            "2024-05-12T13:45:60Z", "a" * 60 + ".heic", "(1).jpg", ".jpg",
        )
    ]  # fmt: skip


def motion() -> list[bytes]:
    header = b"\0\0\0\x1cmvhd" + bytes(12) + struct.pack(">II", 1000, 2300)
    large = b"\0\0\0\x28mvhd\1" + bytes(19) + struct.pack(">IQ", 1000, 2300)
    found = []
    for one in (header, large):
        movie = struct.pack(">I", len(one) + 8) + b"moov" + one
        found += [bytes(16) + movie, b"\0\0\0\1wide" + struct.pack(">Q", 16) + movie]
    return found


def heads() -> list[bytes]:
    found = [jpeg()[:64]]
    for form in ("PNG", "WEBP", "GIF", "BMP", "TIFF"):
        out = io.BytesIO()
        Image.new("RGB", (2, 2)).save(out, form)
        found.append(out.getvalue()[:64])
    return [
        *found, b"\0\0\0\x18ftypheic\0\0\0\0heicmif1", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf",
        b"II*\0\x10\0\0\0CR\2\0",
        b"\0\0\0\x18ftypmp42\0\0\0\0isom", b"RIFF\0\0\0\0AVI LIST", b"<?xml version='1.0'?><svg/>",
        b"\x47" + bytes(187) + b"\x47",
    ]  # fmt: skip


def pictures() -> list[bytes]:
    grey = io.BytesIO()
    Image.new("L", (9, 7)).save(grey, "JPEG", progressive=True)
    huge = bytearray(jpeg())
    size_at = huge.index(b"\xff\xc0") + 5
    huge[size_at : size_at + 4] = struct.pack(">HH", 65_500, 65_500)
    return [jpeg(), grey.getvalue(), bytes(huge)]


def segments() -> list[bytes]:
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc()[0])) + iptc()[0]
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return [
        b"\0" + exif(), b"\0" + exif(">"), b"\1" + sidecars()[0], b"\2" + resource, b"\3" + profile[:3000],
        b"\5\0\x64\0\0\0\0\1", b"\6\1\2\1\0\x48\0\x48\0\0", b"\7a comment", b"\4II*\0\x08\0\0\0\0\0",
    ]  # fmt: skip


def files() -> list[bytes]:
    """Return a small file of every kind that can be written here; of HEIC none can."""
    import pylibjxl

    picture = Image.linear_gradient("L").resize((12, 8)).convert("RGB")
    xmp, exif_block = sidecars()[1], b"Exif\0\0" + exif()[:80]
    wanted: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("PNG", "RGB", {"exif": exif_block}), ("PNG", "P", {}), ("PNG", "I;16", {}), ("PNG", "LA", {}),
        ("GIF", "P", {}),
        ("WEBP", "RGB", {"exif": exif_block, "xmp": xmp}), ("WEBP", "RGBA", {"lossless": True}), ("BMP", "RGB", {}),
        ("BMP", "1", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "F", {}), ("TIFF", "L", {}),
        ("JPEG", "CMYK", {"exif": exif_block}), ("JPEG", "L", {"progressive": True, "xmp": xmp}),
        ("AVIF", "RGB", {"exif": exif_block}),
    )  # fmt: skip
    found = [pylibjxl.encode(np.asarray(picture))]
    for form, mode, options in wanted:
        out = io.BytesIO()
        shown = picture.convert("L").convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
        shown.save(out, form, **options)
        found.append(out.getvalue())
    frames = io.BytesIO()
    picture.save(frames, "MPO", save_all=True, append_images=[picture])
    return [*found, frames.getvalue()]
