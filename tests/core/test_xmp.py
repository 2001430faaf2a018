"""Sidecars: valid XML whatever they carry, and read back as they were written."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.importing.description import from_xmp
from core.importing.xmp_packet import read_packet
from core.xmp import Sidecar, SidecarLabel, encode_sidecar, is_own_sidecar

# Leading and trailing blanks do not survive XMP readers; nothing in the library keeps them either.
NAMES = (
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=60)
    .map(str.strip)
    .filter(bool)
)


def parsed(data: bytes) -> ET.Element:
    return ET.fromstring(data)  # noqa: S314 - what the test itself has written


@given(
    labels=st.dictionaries(NAMES, st.booleans(), max_size=8),
    rejected=st.sets(NAMES, max_size=4),
    caption=st.none() | NAMES,
    rating=st.integers(0, 5),
    favourite=st.booleans(),
    rotation=st.sampled_from([0, 90, 180, 270]),
    location=st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    albums=st.sets(NAMES, max_size=4),
)
def test_the_import_reads_what_the_export_writes(
    labels: dict[str, bool],
    rejected: set[str],
    caption: str | None,
    rating: int,
    favourite: bool,
    rotation: int,
    location: tuple[float, float] | None,
    albums: set[str],
) -> None:
    data = encode_sidecar(
        Sidecar(
            labels=tuple(SidecarLabel(name, by_model=by_model) for name, by_model in labels.items()),
            rejected=tuple(rejected),
            caption=caption,
            rating=rating,
            favourite=favourite,
            rotation=rotation,
            location=location,
            albums=tuple(albums),
        )
    )
    parsed(data)
    read = from_xmp(read_packet(data))
    assert set(read.labels) == {name for name, by_model in labels.items() if not by_model}
    assert set(read.rejected) == rejected
    assert set(read.albums) == albums
    assert read.caption == caption
    assert (read.rating or 0) == rating
    assert bool(read.favourite) is favourite
    assert (read.rotation or 0) == rotation
    if location is not None and read.location is not None:
        assert read.location == pytest.approx(location, abs=1e-7)
    elif location is not None:
        assert location == pytest.approx((0, 0), abs=1e-7)  # no fix, for every reader


@given(st.text())
def test_any_caption_makes_well_formed_xml(caption: str) -> None:
    parsed(encode_sidecar(Sidecar(caption=caption)))


def test_markup_in_a_label_is_text() -> None:
    data = encode_sidecar(Sidecar(labels=(SidecarLabel('<rdf:li>"&]]>'),)))
    (item,) = parsed(data).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")
    assert item.text == '<rdf:li>"&]]>'


def test_labels_with_levels_are_hierarchical_for_other_programs() -> None:
    properties = read_packet(encode_sidecar(Sidecar(labels=(SidecarLabel("places/lisbon"), SidecarLabel("sea")))))
    assert properties["dc:subject"] == ["places/lisbon", "sea"]
    assert properties["lr:hierarchicalSubject"] == ["places|lisbon"]


def test_what_is_not_known_is_not_written() -> None:
    assert dict(read_packet(encode_sidecar(Sidecar()))) == {}


@pytest.mark.parametrize(
    ("degrees", "written"),
    [((38.72, -9.14), ("38,43.200000N", "9,8.400000W")), ((-0.5, 179.99999999), ("0,30.000000S", "179,59.999999E"))],
)
def test_coordinates_are_degrees_and_minutes(degrees: tuple[float, float], written: tuple[str, str]) -> None:
    properties = read_packet(encode_sidecar(Sidecar(location=degrees)))
    assert properties["exif:GPSLatitude"] == [written[0]]
    assert properties["exif:GPSLongitude"][0][:11] == written[1][:11]


def test_own_sidecars_are_told_from_others() -> None:
    assert is_own_sidecar(encode_sidecar(Sidecar(caption="x" * 100_000)))
    assert not is_own_sidecar(b'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.6"/>')
