"""XMP, sidecars and Takeout records: what is taken from them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.importing import committer, sidecar
from core.importing.committer import Prepared
from core.importing.dates import CaptureTime
from core.importing.description import Description, degrees, from_xmp
from core.importing.errors import XmpRefused
from core.importing.exif import Exif, Value
from core.importing.facts import Looks, gather
from core.importing.iptc import Iptc, read_iptc
from core.importing.protocol import Done
from core.importing.sidecar import Sidecars, find, takeout_names
from core.importing.walk import Found
from core.importing.xmp_packet import MAX_PACKET_BYTES, read_packet
from core.xmp import Sidecar, SidecarLabel, encode_sidecar
from crdt.documents import DocumentKind, is_document_name
from crdt.operations import Put
from crdt.schema import SHAPES

HEAD = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    b'xmlns:exif="http://ns.adobe.com/exif/1.0/" '
)
TAIL = b"</rdf:Description></rdf:RDF></x:xmpmeta>"

texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=20).map(
    lambda text: " ".join(text.split())
).filter(bool)  # fmt: skip


@given(
    labels=st.lists(texts, max_size=4, unique=True),
    by_model=st.lists(texts, max_size=3, unique=True),
    caption=st.none() | texts,
    rating=st.integers(0, 5),
    favourite=st.booleans(),
    rotation=st.sampled_from([0, 90, 180, 270]),
    place=st.none() | st.tuples(st.floats(-89, 89), st.floats(-179, 179)),
    albums=st.lists(texts, max_size=2, unique=True),
)
def test_what_an_export_writes_an_import_reads(
    labels: list[str],
    by_model: list[str],
    caption: str | None,
    rating: int,
    favourite: bool,
    rotation: int,
    place: tuple[float, float] | None,
    albums: list[str],
) -> None:
    own = sorted(set(labels) - set(by_model))
    everything = [SidecarLabel(name) for name in own] + [SidecarLabel(name, by_model=True) for name in by_model]
    written = Sidecar(
        labels=tuple(everything), caption=caption, rating=rating, favourite=favourite, rotation=rotation,
        taken="2021-03-04T05:06:07+01:00", location=place, albums=tuple(albums),
    )  # fmt: skip
    read = from_xmp(read_packet(encode_sidecar(written)))
    assert sorted(read.labels) == own
    assert read.caption == caption
    assert (read.rating or 0, read.favourite or False, read.rotation or 0) == (rating, favourite, rotation)
    assert sorted(read.albums) == sorted(albums)
    assert read.taken == CaptureTime("2021-03-04T05:06:07", 60, "xmp.DateTimeOriginal")
    if place is not None and (abs(place[0]) > 1e-6 or abs(place[1]) > 1e-6):
        assert read.location == pytest.approx(place, abs=1e-7)


def test_lightrooms_attributes_and_digikams_elements_say_the_same() -> None:
    as_attributes = HEAD + b'xmp:Rating="4" exif:GPSLatitude="39,6.9N" exif:GPSLongitude="108,24.06W">' + TAIL
    as_elements = (
        HEAD
        + b"><xmp:Rating>4</xmp:Rating><exif:GPSLatitude>39,6,54N</exif:GPSLatitude>"
        + b"<exif:GPSLongitude>108.401W</exif:GPSLongitude>"
        + TAIL
    )
    first, second = from_xmp(read_packet(as_attributes)), from_xmp(read_packet(as_elements))
    assert first.rating == second.rating == 4
    assert first.location == pytest.approx((39.115, -108.401))
    # Decimal degrees with a letter are no form that XMP knows.
    assert second.location is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("38,43.2N", 38.72), ("9,8.4W", -9.14), ("-9.14", -9.14), ("", None), ("north", None), ("1,2,3,4N", None)],
)
def test_degrees(text: str, value: float | None) -> None:
    found = degrees(text)
    assert found == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize("rating", ["-1", "6", "many", "nan"])
def test_a_rating_outside_of_the_stars_is_none(rating: str) -> None:
    assert from_xmp({"xmp:Rating": [rating]}).rating is None


def test_entity_bombs_are_refused_before_they_expand() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    for step in range(1, 30):
        bomb += b'<!ENTITY a%d "%s">' % (step, b"&a%d;" % (step - 1 or 0) * 10 if step > 1 else b"&a;" * 10)
    bomb += b"]>" + HEAD + b"><dc:title>&a29;</dc:title>" + TAIL
    with pytest.raises(XmpRefused, match="entities"):
        read_packet(bomb)
    outside = b'<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + HEAD + b"><dc:title>&x;</dc:title>" + TAIL
    with pytest.raises(XmpRefused, match="entities"):
        read_packet(outside)


def test_packets_beyond_all_bounds_are_refused() -> None:
    with pytest.raises(XmpRefused, match="limit"):
        read_packet(HEAD + b">" + b" " * MAX_PACKET_BYTES + TAIL)
    with pytest.raises(XmpRefused, match="deep"):
        read_packet(HEAD + b">" + b"<dc:a>" * 5000 + b"</dc:a>" * 5000 + TAIL)
    long = b"x" * 100_000
    found = read_packet(HEAD + b'dc:format="' + long + b'"><dc:title>' + long + b"</dc:title>" + TAIL)
    assert {name: len(value) for name, (value,) in found.items()} == {"dc:format": 65_536, "dc:title": 65_536}
    many = b"".join(b"<rdf:li>%d</rdf:li>" % n for n in range(20_000))
    found = read_packet(HEAD + b"><dc:subject><rdf:Bag>" + many + b"</rdf:Bag></dc:subject>" + TAIL)
    assert len(found["dc:subject"]) == 4096
    assert len(from_xmp(found).labels) == 200


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for packet in (data, HEAD + data + TAIL, HEAD + b">" + data + TAIL):
        try:
            from_xmp(read_packet(packet))
        except XmpRefused:
            continue


def test_rubbish_and_latin_1_around_a_packet_do_not_hide_it() -> None:
    packet = HEAD + b"><dc:title>caf\xe9</dc:title>" + TAIL
    assert from_xmp(read_packet(b"\x01\x02" + packet + b"\0\0\0")).caption == "café"


def test_sidecars_are_found_in_both_styles() -> None:
    there = {"IMG_1.jpg.xmp", "IMG_1.XMP", "IMG_2.xmp", "IMG_1.jpg.json"}
    assert find("IMG_1.jpg", there.__contains__) == Sidecars(("IMG_1.jpg.xmp", "IMG_1.XMP"), "IMG_1.jpg.json")
    assert find("IMG_2.heic", there.__contains__) == Sidecars(("IMG_2.xmp",), None)
    assert find("IMG_3.jpg", there.__contains__) == Sidecars()


@pytest.mark.parametrize(
    ("photo", "record"),
    [
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata"),
        ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(2)"),
        ("IMG_1(2).jpg", "IMG_1.jpg(2)"),
        ("IMG_1-edited.jpg", "IMG_1.jpg"),
        ("a_photo_with_a_rather_long_name_2023.jpg", "a_photo_with_a_rather_long_name_2023.jpg.suppl"),
    ],
)
def test_the_names_that_takeout_gives_its_records(photo: str, record: str) -> None:
    assert record in takeout_names(photo)


def test_a_takeout_record_is_read(tmp_path: Path) -> None:
    record = {
        "title": "IMG_1.jpg",
        "description": "Three boats",
        "photoTakenTime": {"timestamp": "1715514301", "formatted": "12 May 2024"},
        "geoData": {"latitude": 0.0, "longitude": 0.0, "altitude": 0.0},
        "geoDataExif": {"latitude": 38.72, "longitude": -9.14},
        "favorited": True,
        "people": [{"name": "Ana"}, {}],
    }
    (tmp_path / "IMG_1.jpg.json").write_text(json.dumps(record))
    read = sidecar.read(tmp_path, Sidecars(takeout="IMG_1.jpg.json"))
    assert read.complaints == ()
    assert read.description == Description(
        caption="Three boats",
        favourite=True,
        labels=("Ana",),
        location=(38.72, -9.14),
        taken=CaptureTime("2024-05-12T11:45:01", 0, "takeout.photoTakenTime"),
    )


def test_other_json_beside_a_photo_says_nothing_and_bad_files_are_complaints(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"description": "settings of some program"}')
    assert sidecar.read(tmp_path, Sidecars(takeout="a.json")) == sidecar.SidecarReading()
    (tmp_path / "b.json").write_text("[" * 100_000)
    (tmp_path / "b.xmp").write_text("<not xml")
    read = sidecar.read(tmp_path, Sidecars(("b.xmp", "missing.xmp"), "b.json"))
    assert read.description == Description()
    assert len(read.complaints) == 3


def test_the_stronger_description_wins_and_lists_join() -> None:
    strong = Description(caption="mine", labels=("a", "b"))
    weak = Description(caption="theirs", rating=3, labels=("b", "c"))
    assert strong.over(weak) == Description(caption="mine", rating=3, labels=("a", "b", "c"))


@given(st.binary(max_size=200))
def test_iptc_of_any_bytes(data: bytes) -> None:
    read_iptc({0x0404: data})
    read_iptc({0x0404: b"\x1c\x02\x19" + data})


def test_iptc_keywords_and_dates() -> None:
    def record(number: int, value: bytes) -> bytes:
        return bytes([0x1C, 2, number]) + len(value).to_bytes(2, "big") + value

    data = (
        record(25, b"sea")
        + record(25, "Österreich".encode("latin-1"))
        + record(55, b"20240512")
        + record(60, b"134501+0200")
    )
    found = read_iptc({0x0404: data})
    assert found.keywords == ("sea", "Österreich")
    assert found.created == "2024-05-12T13:45:01+0200"


_values = (
    st.text(max_size=400)
    | st.binary(max_size=30)
    | st.lists(st.integers(-(2**63), 2**64 - 1) | st.floats(), max_size=4).map(tuple)
)
_tags = st.sampled_from(
    [0x010F, 0x0110, 0x0112, 0x0132, 0x4746, 0x829A, 0x829D, 0x8827, 0x9003, 0x9004, 0x9291, 0x9011, 0x920A, 0xA434]
)


@given(
    image=st.dictionaries(_tags, _values, max_size=6),
    photo=st.dictionaries(_tags, _values, max_size=8),
    gps=st.dictionaries(st.integers(0, 31), _values, max_size=8),
    clock=st.none() | st.from_regex(r"[0-9]{4}:[01][0-9]:[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9]", fullmatch=True),
    subsec=st.none() | st.text("0123456789 x", max_size=12),
    words=st.dictionaries(
        st.sampled_from(
            ["dc:title", "dc:subject", "xmp:Rating", "exif:GPSLatitude", "safelight:Albums", "xmp:CreateDate"]
        ),
        st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=5),
    ),
)
def test_no_metadata_make_facts_that_cannot_be_stored(
    image: dict[int, Value],
    photo: dict[int, Value],
    gps: dict[int, Value],
    clock: str | None,
    subsec: str | None,
    words: dict[str, list[str]],
) -> None:
    if clock is not None:
        photo[0x9003] = clock
    if subsec is not None:
        photo[0x9291] = subsec
    facts = gather(size=(4, 3), orientation=1, mime="image/jpeg", exif=Exif(image, photo, gps), xmp=words, iptc=Iptc())
    done = Done(facts, (4, 3), b"", b"", Looks(1000, None, 0, 1000, None), None)
    source = Found(Path("IMG.jpg"), 10, 1.6e9, Sidecars())
    prepared = Prepared(source, bytes(16), 10, None, None, done, sidecar.SidecarReading())  # type: ignore[arg-type]
    committer._facts(prepared, 1_700_000_000).pack()
    assert is_document_name(prepared.document)
    for operation in committer._words(bytes(16), facts.description, facts):
        assert isinstance(operation, Put)
        assert SHAPES[DocumentKind.SHARD][operation.map].accepts(operation.value)
