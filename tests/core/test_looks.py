"""How photos look is measured when they are imported, and searched: dark, blurry, black-and-white, a screenshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from benchmarks.looks import COPIES, differing_bits, measured, photos, score
from core.catalog import Catalog
from core.catalog.labels import NoLabeller
from core.errors import QueryError
from core.query.fields import LOOKS
from crdt.operations import Operation, Put
from crdt.records import CopyRecord, PhotoFacts
from crdt.replica import Replica, new_actor

if TYPE_CHECKING:
    from pathlib import Path

MONTH = "photos:2024-05"


def catalog_of(*photos: tuple[PhotoFacts, str]) -> Catalog:
    replica = Replica.create(MONTH, new_actor(b"device"))
    for number, (facts, name) in enumerate(photos):
        key = (bytes([number]) * 16).hex()
        copy = CopyRecord(role="original", key=bytes(32), size=1, file_name=name)
        operations: list[Operation] = [Put("photo", key, facts.pack())]
        operations.append(Put("copy", f"{key}/{bytes([number]).hex() * 32}", copy.pack()))
        replica.edit(operations)
    catalog = Catalog.empty(NoLabeller())
    catalog.load_document(MONTH, replica)
    return catalog


def facts(*, width: int = 4000, height: int = 3000, mime: str = "image/jpeg", **fields: Any) -> PhotoFacts:
    return PhotoFacts(width=width, height=height, size=1, mime=mime, wall_clock="2024-05-17T14:03:00", **fields)


def found(catalog: Catalog, query: str) -> set[int]:
    return {pid[0] for pid in catalog.pids(query)}


def test_looks_are_searched_and_what_was_not_measured_is_nothing_of_all_that() -> None:
    catalog = catalog_of(
        (facts(brightness=120, sharpness=3000, colourfulness=300, flatness=20), "night.jpg"),
        (facts(brightness=820, sharpness=700, colourfulness=20, flatness=20), "fog.jpg"),
        (facts(brightness=500, colourfulness=300, flatness=1000), "plain.jpg"),
        (facts(), "old.jpg"),
    )
    assert found(catalog, "is:dark") == {0}
    assert found(catalog, "is:bright") == found(catalog, "is:blurry") == {1}
    assert found(catalog, "is:bw") == found(catalog, "is:black-and-white") == {1}
    assert found(catalog, "-is:dark -is:bright") == {2, 3}
    assert found(catalog, "brightness:<50") == {0}
    assert found(catalog, "brightness:50%..") == {1, 2}
    assert found(catalog, "-brightness:0..100") == {3}
    assert found(catalog, "is:blurry is:bright brightness:82") == {1}
    record = catalog.photo(bytes([1]) * 16)
    assert record is not None
    assert (record.looks, record.brightness) == (("bright", "blurry", "black-and-white"), 0.82)


def test_screens_are_told_by_their_pixels_their_size_their_metadata_or_their_name() -> None:
    drawn: dict[str, Any] = {"flatness": 800, "brightness": 500}
    catalog = catalog_of(
        (facts(width=1170, height=2532, mime="image/png", **drawn), "a.png"),
        (facts(width=1170, height=2532, **drawn), "sent.jpg"),
        (facts(width=700, height=411, mime="image/png", **drawn), "window.png"),
        (facts(width=5000, height=1000, **drawn), "banner.jpg"),
        (facts(width=1170, height=2532, make="Apple", **drawn), "wall.jpg"),
        (facts(width=1170, height=2532, flatness=200), "portrait.jpg"),
        (facts(flatness=200, screenshot=True), "IMG_1.png"),
        (facts(flatness=200), "Bildschirmfoto 2024-05-17 um 14.03.00.jpg"),
        (facts(flatness=200), "Screenshot_20240517-140300_Maps.jpg"),
        (facts(flatness=200), "Capture d\N{RIGHT SINGLE QUOTATION MARK}e\N{COMBINING ACUTE ACCENT}cran 3.png"),
        (facts(flatness=200), "a new sofa.jpg"),
        (facts(width=64, height=64, mime="image/png", **drawn), "icon.png"),
    )
    assert found(catalog, "is:screenshot") == {0, 1, 2, 6, 7, 8, 9}


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("is:blury", "is:blurry"),
        ("is:screenshots", "is:screenshot"),
        ("is:blackwhite", "is:black-and-white"),
        ("brightness:dark", "brightness:<20"),
        ("brightness:<101", "brightness:<20"),
        ("brigtness:3", "brightness"),
    ],
)
def test_what_is_mistyped_is_pointed_at(query: str, hint: str) -> None:
    with pytest.raises(QueryError) as raised:
        catalog_of().count(query)
    assert hint in str(raised.value.hint)


def test_pictures_without_anything_in_them_have_no_sharpness_and_no_hash() -> None:
    for colour in ("black", "white", "teal"):
        looks = measured(Image.new("RGB", (400, 300), colour))
        assert (looks.sharpness, looks.perceptual_hash, looks.flatness) == (None, None, 1000)
    for size in ((1, 1), (2, 500), (500, 1)):
        measured(Image.new("RGB", size, "white"))


def test_most_photos_are_what_they_are_said_to_look_like(shared_data: Path) -> None:
    pictures = list(photos(shared_data, every=14))
    total = score(pictures, drawn=14)
    figures = {look: (round(total.precision(look), 2), round(total.recall(look), 2)) for look in LOOKS}
    assert len(pictures) > 60
    for look in LOOKS:
        precision, recall = total.precision(look), total.recall(look)
        # Some plain photos are dark, and some bright: products before white.
        assert precision > (0.75 if look in {"dark", "bright"} else 0.85), (look, figures)
        assert recall > (0.6 if look in {"dark", "bright"} else 0.85), (look, figures)


def test_near_duplicates_share_their_hash_and_other_photos_do_not(shared_data: Path) -> None:
    from core.duplicates import DEFAULT_DISTANCE

    pictures = [one for one in photos(shared_data, every=14) if measured(one).perceptual_hash is not None]
    known = [measured(picture) for picture in pictures]
    for name, copied in COPIES.items():
        if name.startswith("5"):
            continue
        bits = [differing_bits(looks, measured(copied(one))) for looks, one in zip(known, pictures, strict=True)]
        share = sum(each <= DEFAULT_DISTANCE for each in bits) / len(bits)
        assert share > 0.8, (name, share)
    pairs = [differing_bits(one, other) for number, one in enumerate(known) for other in known[:number]]
    assert sum(bits <= DEFAULT_DISTANCE for bits in pairs) < 0.001 * len(pairs)
