"""Which date a photo gets, and from where."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.importing import dates
from core.importing.dates import CaptureTime
from core.importing.exif import NO_EXIF, Exif, read_exif


def _exif(**photo: str) -> Exif:
    tags = {"original": 0x9003, "digitized": 0x9004, "subsec": 0x9291, "offset": 0x9011, "offset_time": 0x9010}
    image = {0x0132: photo.pop("changed")} if "changed" in photo else {}
    return Exif(image, {tags[name]: value for name, value in photo.items()}, {})


def test_the_original_date_comes_first_with_its_fraction_and_offset() -> None:
    exif = _exif(
        original="2024:05:17 14:03:02", digitized="2024:05:18 00:00:00", changed="2025:01:01 00:00:00",
        subsec="348   ", offset="+02:00",
    )  # fmt: skip
    found = dates.in_file(exif, {})
    assert found == CaptureTime("2024-05-17T14:03:02.348", 120, "exif.DateTimeOriginal")
    assert found.with_offset() == "2024-05-17T14:03:02.348+02:00"


@pytest.mark.parametrize(
    "unset", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2023:02:30 10:00:00", "x", "1700:01:01"]
)
def test_a_date_that_is_none_gives_way_to_the_next(unset: str) -> None:
    exif = _exif(original=unset, digitized="2001:02:03 04:05:06")
    assert dates.in_file(exif, {}) == CaptureTime("2001-02-03T04:05:06", None, "exif.DateTimeDigitized")
    exif = _exif(original=unset, digitized=unset, changed="2001:02:03 04:05:06")
    assert dates.in_file(exif, {}) == CaptureTime("2001-02-03T04:05:06", None, "exif.DateTime")


def test_gps_then_xmp_then_iptc() -> None:
    gps = Exif({}, {}, {29: "2022:01:10", 7: (21.0, 15.0, 33.519)})
    xmp = {"xmp:CreateDate": ["2010-09-27T14:35:33+02:00"]}
    assert dates.in_file(gps, xmp) == CaptureTime("2022-01-10T21:15:33", 0, "exif.GPSDateStamp")
    assert dates.in_file(NO_EXIF, xmp) == CaptureTime("2010-09-27T14:35:33", 120, "xmp.CreateDate")
    assert dates.in_file(NO_EXIF, {}, "1999-12-31T23:59:58-0530") == CaptureTime(
        "1999-12-31T23:59:58", -330, "iptc.DateCreated"
    )
    assert dates.in_file(NO_EXIF, {}) is None


@pytest.mark.parametrize(
    ("name", "clock"),
    [
        ("IMG_20240512_134501.jpg", "2024-05-12T13:45:01"),
        ("PXL_20240512_134501123.MP.jpg", "2024-05-12T13:45:01.123"),
        ("2024-05-12 13.45.01.jpg", "2024-05-12T13:45:01"),
        ("Screenshot 2024-05-12 at 13.45.01.png", "2024-05-12T13:45:01"),
        ("signal-2024-05-12-13-45-01-123.jpg", "2024-05-12T13:45:01.123"),
        ("20240512134501.jpg", "2024-05-12T13:45:01"),
        ("IMG-20240512-WA0003.jpg", "2024-05-12T00:00:00"),
        ("FB_IMG_1500000000000.jpg", "2017-07-14T02:40:00"),
        ("IMG_20241345_999999.jpg", None),
        ("IMG_20240230_101010.jpg", None),
        ("DSC01234.jpg", None),
        ("123456789012345678.jpg", None),
        ("120240512345.jpg", None),
    ],
)
def test_dates_in_file_names(name: str, clock: str | None) -> None:
    found = dates.in_name(name)
    assert (None if found is None else found.clock) == clock


def test_the_time_of_the_file_is_the_last_resort_and_says_so() -> None:
    moment = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()
    found = dates.fallback("holiday.jpg", moment)
    assert found is not None
    assert found.source == "file.time"
    there = datetime.fromisoformat(found.with_offset())
    assert there.timestamp() == moment
    assert dates.fallback("holiday.jpg", 1e18) is None
    named = dates.fallback("20240512_134501.jpg", moment)
    assert named is not None
    assert named.source == "file.name"


@pytest.mark.parametrize(
    ("beside", "within", "corrects"),
    [
        (CaptureTime("2024-05-01T12:00:00", 0, "t"), CaptureTime("2024-05-01T14:00:00", None, "e"), False),
        (CaptureTime("2024-05-01T12:00:00", 0, "t"), CaptureTime("2024-05-01T14:00:00", 120, "e"), False),
        (CaptureTime("2024-05-01T12:00:00", 0, "t"), CaptureTime("2024-05-01T14:07:00", None, "e"), True),
        (CaptureTime("2024-05-01T12:00:00", 0, "t"), CaptureTime("2024-05-03T12:00:00", None, "e"), True),
        (CaptureTime("2024-05-01T12:00:00", None, "t"), CaptureTime("2024-05-01T12:00:00.5", 60, "e"), False),
        (CaptureTime("2024-05-01T12:00:00", None, "t"), CaptureTime("2024-05-01T13:00:00", None, "e"), True),
        (CaptureTime("2024-05-01T12:00:00", None, "t"), None, True),
    ],
)
def test_what_stands_beside_a_file_corrects_its_date_only_where_it_differs(
    beside: CaptureTime, within: CaptureTime | None, corrects: bool
) -> None:
    assert beside.corrects(within) is corrects


@given(st.binary(max_size=400))
def test_no_bytes_make_the_reader_of_exif_fail(data: bytes) -> None:
    for prefix in (b"", b"II*\0\x08\0\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"):
        exif = read_exif(prefix + data)
        dates.in_file(exif, {})


@given(
    text=st.from_regex(r"[A-Za-z0-9 ]{0,20}", fullmatch=True),
    numbers=st.lists(st.integers(0, 65_535), min_size=1, max_size=8),
    order=st.sampled_from("<>"),
)
def test_what_is_written_as_exif_is_read_back(text: str, numbers: list[int], order: str) -> None:
    raw = text.encode() + b"\0"
    entries = [(0x010F, 2, raw), (0x0112, 3, struct.pack(f"{order}{len(numbers)}H", *numbers))]
    blob, data = bytearray(), bytearray()
    start = 8 + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        count = len(value) // (2 if kind == 3 else 1)
        blob += struct.pack(f"{order}HHI", tag, kind, count)
        if len(value) <= 4:
            blob += value.ljust(4, b"\0")
        else:
            blob += struct.pack(f"{order}I", start + len(data))
            data += value
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", len(entries))
    exif = read_exif(header + bytes(blob) + bytes(4) + bytes(data))
    assert (exif.text(0x010F, "image") or "") == text.strip()
    assert exif.numbers(0x0112, "image") == tuple(numbers)
