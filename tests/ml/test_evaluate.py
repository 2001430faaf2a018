"""`model eval` counts what it says it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from ml.classes import class_table
from ml.errors import NothingToEvaluate
from ml.evaluate import Rate, calibration_error, evaluate
from ml.labels import LabelRules
from ml.pack import Pack
from ml.reliability_diagram import reliability_diagram
from ml.truth import TruthNames

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ml.colour_packs import MakePack

TAXONOMY = """
format = 1
[class_names]
n00000003 = "navy blue"
[[label]]
name = "colour"
wnids = ["n00000001", "n00000002", "n00000003"]
"""
IDS = ["n00000001", "n00000002", "n00000003", "-"]
RED, GREEN, BLUE, DARK = (250, 5, 5), (5, 250, 5), (5, 5, 250), (10, 10, 10)


@pytest.fixture
def pack(colour_pack: MakePack) -> Pack:
    return Pack.open(colour_pack(ids=IDS, taxonomy=TAXONOMY, labels=["red, crimson", "green", "blue", "dark"]).write())


def photo(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 20), colour).save(path)


def test_figures_of_a_folder_with_known_mistakes(pack: Pack, tmp_path: Path) -> None:
    photo(tmp_path / "red" / "1.png", RED)
    photo(tmp_path / "red" / "2.png", GREEN)
    photo(tmp_path / "colour" / "3.png", BLUE)
    photo(tmp_path / "n00000002" / "4.png", GREEN)
    photo(tmp_path / "octopus" / "5.png", RED)
    (tmp_path / "red" / "6.png").write_bytes(b"no picture")
    (tmp_path / "red" / "notes.txt").write_text("no photo")
    seen: list[tuple[int, int]] = []
    result = evaluate(pack, tmp_path, progress=lambda done, count: seen.append((done, count)))
    assert (result.photos, result.top1, result.top5) == (4, 0.75, 1.0)
    # The green photo called red gets "green", which is wrong; "colour" above it does not count.
    assert (result.precision, result.coverage) == (0.75, 1.0)
    assert 0 <= result.ece <= 1
    assert result.unknown == ("octopus",)
    assert [path for path, _ in result.unreadable] == [str(tmp_path / "red" / "6.png")]
    assert seen[-1] == (5, 5)
    assert [(wrong.truth, wrong.label, wrong.photos) for wrong in result.confusions] == [("red", "green", 1)]
    assert sum(found.photos for found in result.reliability) == 4
    assert (result.plain.known.precision, result.plain.known.coverage) == (Rate(3, 4), Rate(4, 4))
    assert result.halves is None


def test_files_are_named_by_class_id_or_label_too(pack: Pack, tmp_path: Path) -> None:
    for name, colour in (
        ("n00000001_anything.png", RED),
        ("Crimson.png", RED),
        ("navy_blue 12.png", BLUE),
        ("greens-007.png", GREEN),
        ("dark (3).PNG", DARK),
    ):
        photo(tmp_path / name, colour)
    result = evaluate(pack, tmp_path)
    assert (result.photos, result.top1, result.unknown) == (5, 1.0, ())


def test_one_folder_by_itself_says_what_it_holds(pack: Pack, tmp_path: Path) -> None:
    photo(tmp_path / "blue" / "IMG_0001.png", BLUE)
    result = evaluate(pack, tmp_path / "blue")
    assert (result.photos, result.top1) == (1, 1.0)


def test_a_label_stands_for_all_its_classes(pack: Pack) -> None:
    names = TruthNames(LabelRules(class_table(pack)), pack.labels())
    assert names.outputs("Colour") == {0, 1, 2}
    assert names.outputs("CRIMSON") == names.outputs("n00000001") == {0}
    assert names.outputs("n00000009_red") == frozenset()
    assert names.outputs("octopus") == frozenset()


def test_photos_of_which_nothing_is_known_are_an_error(pack: Pack, tmp_path: Path) -> None:
    photo(tmp_path / "octopus" / "1.png", RED)
    with pytest.raises(NothingToEvaluate) as caught:
        evaluate(pack, tmp_path)
    assert caught.value.hint is not None
    with pytest.raises(NothingToEvaluate):
        evaluate(pack, tmp_path / "absent")
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "1.jpg").write_bytes(b"")
    with pytest.raises(NothingToEvaluate, match="can be read"):
        evaluate(pack, tmp_path)


def test_calibration_error_is_the_distance_of_confidence_from_accuracy() -> None:
    assert calibration_error([]) == 0
    assert calibration_error([(1.0, True)] * 4) == 0
    assert calibration_error([(0.9, True), (0.9, False)]) == pytest.approx(0.4)
    assert calibration_error([(0.9, True), (0.9, True), (0.1, False), (0.1, False)]) == pytest.approx(0.1)


def test_intervals_are_wilsons() -> None:
    low, high = Rate(9, 10).interval
    assert (low, high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert Rate(0, 0).interval == (0, 1)
    assert Rate(10, 10).interval == pytest.approx((0.7225, 1), abs=1e-4)


def test_the_diagram_is_an_svg_that_says_what_it_shows(pack: Pack, tmp_path: Path) -> None:
    photo(tmp_path / "red" / "1.png", RED)
    photo(tmp_path / "red" / "2.png", GREEN)
    result = evaluate(pack, tmp_path)
    root = ET.fromstring(reliability_diagram(result.reliability, 'a <b> & "c"', result.ece))  # noqa: S314  # our own
    texts = [element.text or "" for element in root.iter()]
    assert 'a <b> & "c": reliability' in texts
    assert any("2 photos, 50% right" in text for text in texts)
    assert "prefers-color-scheme: dark" in "".join(texts)
