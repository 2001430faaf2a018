"""Imported photos get the labels of the library's pack, through real workers, and keep the user's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core.edits import add_label, remove_label
from core.importing.pipeline import import_paths
from core.importing.tagging import retag
from core.labelling import explain, use_pack
from ml.installed import remove_pack
from tests.ml.colour_packs import ColourPack, added_pack

if TYPE_CHECKING:
    from pathlib import Path

    from core.importing.events import ImportEvent
    from core.library import Library
    from tests.core.conftest import Bench

COLOURS = {"red": (240, 5, 5), "green": (5, 240, 5), "blue": (5, 5, 240), "white": (255, 255, 255)}
TAXONOMY = """
format = 1
[[label]]
name = "colourful"
[[label]]
name = "cold"
parents = ["colourful"]
wnids = ["c-green", "c-blue"]
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with one photo of each colour, named after it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (90, 60), colour).save(folder / f"{name}.png")
    return folder


def names(library: Library, query: str) -> set[str]:
    return {str(record.filename).removesuffix(".png") for record in library.catalog.search(query)}


def test_labels_come_with_the_import_and_ancestors_with_them(bench: Bench, photos: Path, tmp_path: Path) -> None:
    # White is a third of each colour, which makes it cold at 0.67.
    threshold, ids = "threshold = 0.8", ["-", "c-green", "c-blue", "-"]
    pack = added_pack(ColourPack(tmp_path / "pack", ids=ids, taxonomy=TAXONOMY, extra_manifest=threshold).write())
    with bench.open() as library:
        use_pack(library, pack)
        assert import_paths(library, [photos], workers=1).added == 4
        assert names(library, "label:red") == {"red"}
        assert names(library, "label:cold") == {"green", "blue"}
        assert names(library, "label:colourful") == {"green", "blue"}
        assert names(library, "-label:colourful -label:red") == {"white"}

        (blue,) = library.catalog.search("label:blue")
        remove_label(library, [blue.pid], "blue")
        add_label(library, [blue.pid], "sky")
        assert retag(library, again=True, workers=1).added == 4
        assert names(library, "label:blue") == set()
        assert names(library, "label:sky") == {"blue"}
        why = explain(library, blue.document, blue.pid, "cold").results[0].reasons[0]
        assert why.shown
        assert why.contributions[0].name == "blue"
    # Another process, without the pack: the results are there, and so are the labels.
    remove_pack("colours")
    with bench.open() as library:
        library.rebuild_view()
        assert names(library, "label:colourful") == {"green", "blue"}


def test_another_pack_labels_again_and_the_first_ones_results_are_kept(
    bench: Bench, photos: Path, tmp_path: Path
) -> None:
    first = added_pack(ColourPack(tmp_path / "first").write())
    second = added_pack(
        ColourPack(tmp_path / "second", name="farben", labels=["rot", "grün", "blau", "dunkel"]).write()
    )
    with bench.open() as library:
        use_pack(library, first)
        import_paths(library, [photos], workers=1)
        use_pack(library, second)
        assert retag(library, workers=1).added == 4
        assert names(library, "label:blau") == {"blue"}
        assert names(library, "label:blue") == set()
        use_pack(library, first)
        assert names(library, "label:blue") == {"blue"}


def test_a_photo_the_model_fails_on_is_imported_without_labels(bench: Bench, photos: Path, tmp_path: Path) -> None:
    pack = added_pack(ColourPack(tmp_path / "pack", gives="nan on white").write())
    with bench.open() as library:
        use_pack(library, pack)
        summary = import_paths(library, [photos], workers=1)
        assert (summary.added, summary.failed) == (4, 0)
        assert names(library, "label:red") == {"red"}
        (white,) = library.catalog.search("white")
        assert explain(library, white.document, white.pid).results == ()
        heard: list[ImportEvent] = []
        assert retag(library, workers=1, progress=heard.append).failed == 1
        assert "not numbers" in next(event.reason or "" for event in heard if event.kind == "failed")


def test_without_its_pack_a_library_takes_photos_and_says_so(bench: Bench, photos: Path, tmp_path: Path) -> None:
    pack = added_pack(ColourPack(tmp_path / "pack").write())
    with bench.open() as library:
        use_pack(library, pack)
        remove_pack("colours")
        heard: list[ImportEvent] = []
        assert import_paths(library, [photos], workers=1, progress=heard.append).added == 4
        assert any("without labels" in (event.reason or "") for event in heard if event.kind == "note")
