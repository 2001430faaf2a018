"""Photos are found by what a text describes: after import and retag, ranked, cut off, together with other terms."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core import edits, packs, vocabulary
from core.errors import InvalidEdit, NoSuchLabel, NoTextEncoder, QueryError
from core.importing.pipeline import import_paths
from core.importing.tagging import retag
from core.library import Library
from core.search import default_sort, search_result
from core.text_search import rank_by_text
from core.vectors import open_vectors
from ml.background import background_prompts, score
from ml.installed import remove_pack
from tests.core.conftest import PASSPHRASE
from tests.core.empty_library import empty_library
from tests.ml.colour_packs import ColourPack
from tests.ml.image_text_packs import ImageTextPack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from core.importing.events import ImportEvent
    from crypto.keys import DeviceSecrets
    from tests.core.conftest import Bench

COLOURS = {"red": (240, 5, 5), "brick": (200, 60, 60), "green": (5, 240, 5), "blue": (5, 5, 240), "grey": (90, 90, 90)}
MODEL = "colour-words@1.0.0"


def write_photos(folder: Path) -> Path:
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (90, 60), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DeviceSecrets]:
    """Make a library of five photos and both kinds of packs, once: what processes of models answered is in it."""
    folder = tmp_path_factory.mktemp("described")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
        patch.setenv("SAFELIGHT_DATA_DIR", str(folder / "data"))
        made = empty_library(PASSPHRASE, "desk")
        made.write(folder / "library")
        packs.add_pack(str(ColourPack(folder / "labels").write()))
        packs.add_pack(str(ImageTextPack(folder / "words").write()))
        with Library.open(folder / "library", made.secrets) as library:
            packs.use_pack(library, "colours")
            packs.use_pack(library, "colour-words")
            assert import_paths(library, [write_photos(folder / "photos")], workers=1).added == len(COLOURS)
    return folder, made.secrets


@pytest.fixture
def describing(described: tuple[Path, DeviceSecrets], tmp_path: Path) -> Iterator[Library]:
    """Return a library of five photos and both kinds of packs."""
    folder, secrets = described
    for name, copy in (
        ("state", os.environ["SAFELIGHT_STATE_DIR"]),
        ("data", os.environ["SAFELIGHT_DATA_DIR"]),
        ("library", tmp_path / "described"),
    ):
        shutil.copytree(folder / name, copy)
    with Library.open(tmp_path / "described", secrets) as library:
        yield library


def names(library: Library, query: str, sort: str = "score") -> list[str]:
    return [str(record.filename).removesuffix(".png") for record in library.catalog.search(query, sort)]


def test_a_description_ranks_and_goes_with_the_rest(describing: Library) -> None:
    catalog = describing.catalog
    assert names(describing, '~"a red thing"') == ["red", "brick"]
    assert names(describing, "~blue") == ["blue"]
    assert names(describing, '~"a red thing" name:brick') == ["brick"]
    assert set(names(describing, "~red OR ~lime")) == {"red", "brick", "green"}
    assert set(names(describing, "-~red -~lime")) == {"blue", "grey"}
    assert set(names(describing, "(name:grey OR ~blue) -name:red", "name")) == {"grey", "blue"}
    assert catalog.count("~red") == len(catalog.pids("~red")) == len(catalog.sequence("~red")) == 2
    assert names(describing, "~xyzzy") == [], "words that say no more than any other prompt"
    assert names(describing, "label:red ~red") == ["red", "brick"], "the labelling pack labels as it did"
    (blue,) = catalog.search("~blue")
    edits.trash(describing, [blue.pid])
    assert names(describing, "~blue") == []
    assert names(describing, "~blue is:trash") == ["blue"]


def test_sure_and_maybe_are_told_apart(describing: Library) -> None:
    found = describing.catalog.search("~red", "score")
    assert [(record.sure, record.score is not None and record.score >= 0.5) for record in found] == [(True, True)] * 2
    assert search_result(found[0]).sure is True
    assert search_result(describing.catalog.search("")[0]).score is None
    assert describing.catalog.search("name:red")[0].sure is None
    assert score(2) == pytest.approx(0.182, abs=1e-3)
    assert score(3.5) == 0.5
    assert default_sort("~red date:2024") == "score"
    assert default_sort("-~red") == default_sort("red") == "taken"


def test_new_photos_are_found_at_once_and_old_ones_after_a_retag(bench: Bench, photos: Path, tmp_path: Path) -> None:
    packs.add_pack(str(ColourPack(tmp_path / "labels").write()))
    packs.add_pack(str(ImageTextPack(tmp_path / "words").write()))
    with bench.open() as library:
        packs.use_pack(library, "colours")
        import_paths(library, [photos / "red.png", photos / "green.png"], workers=1)
        packs.use_pack(library, "colour-words")
        with pytest.raises(NoTextEncoder, match="not looked at any photo") as caught:
            rank_by_text(library, "red")
        assert "retag" in (caught.value.hint or "")
        import_paths(library, [photos / "brick.png"], workers=1)
        assert names(library, "~red") == ["brick"]
        summary = retag(library, workers=1)
        assert (summary.added, summary.skipped) == (2, 1)
        assert names(library, "~red") == ["red", "brick"]
        assert retag(library, workers=1).added == 0, "nothing is computed twice"
        assert len(open_vectors(library, MODEL)) == len(open_vectors(library, "colours@1.0.0")) == 3


def test_a_text_that_says_nothing_finds_nothing(bench: Bench, photos: Path, tmp_path: Path) -> None:
    packs.add_pack(str(ImageTextPack(tmp_path / "words", text_gives="zero").write()))
    with bench.open() as library:
        packs.use_pack(library, "colour-words")
        assert rank_by_text(library, "xyzzy").photos == [], "an empty library is no error"
        import_paths(library, [photos], workers=1)
        assert rank_by_text(library, "xyzzy").photos == []


def test_without_a_pack_the_query_says_which_to_bring(bench: Bench, photos: Path) -> None:
    with bench.open() as library:
        import_paths(library, [photos], label=False, workers=1)
        with pytest.raises(QueryError, match="MobileCLIP-S2") as caught:
            library.catalog.search('date:2024 -~"a dog"')
        assert (caught.value.column, caught.value.length) == (11, 8)
        assert "model add" in (caught.value.hint or "")


def test_a_device_without_the_pack_says_so_and_goes_on(describing: Library, photos: Path) -> None:
    remove_pack("colour-words")
    Image.new("RGB", (90, 60), "pink").save(photos / "pink.png")
    told: list[ImportEvent] = []
    assert import_paths(describing, [photos], workers=1, progress=told.append).added == 1
    assert any("not installed on this machine" in (event.reason or "") for event in told if event.kind == "note")
    assert retag(describing, workers=1, again=True, progress=told.append).added == len(COLOURS) + 1
    assert sum("not installed" in (event.reason or "") for event in told if event.kind == "note") == 2


def test_another_pack_of_the_same_name_is_not_taken_for_it(describing: Library, tmp_path: Path) -> None:
    remove_pack("colour-words")
    packs.add_pack(str(ImageTextPack(tmp_path / "other", image_gives="constant").write()))
    describing.set_setting("text-pack", f"{MODEL} {'0' * 64}")
    with pytest.raises(QueryError, match="its manifest differs"):
        describing.catalog.count("~red")
    for setting in ("", " ", "\x1b[2J@1 x", "../../etc@1 x", "a" * 4000):
        describing.set_setting("text-pack", setting)
        with pytest.raises(QueryError, match="this library has none"):
            describing.catalog.count("~red")


def test_the_background_is_everyday_and_each_prompt_once() -> None:
    prompts = background_prompts()
    assert len(prompts) == len(set(prompts)) >= 100
    assert all(prompt and prompt == prompt.strip() and prompt.isascii() for prompt in prompts)


def test_words_become_a_label_of_all_photos(describing: Library, photos: Path) -> None:
    added = vocabulary.add(describing, "Warm", ["a red thing", "red"])
    assert (added.name, added.texts, added.photos) == ("warm", ("a red thing", "red"), 2)
    assert set(names(describing, "label:warm")) == {"red", "brick"}
    (red,) = describing.catalog.search("name:red")
    assert [(label.name, label.source) for label in red.labels if label.name == "warm"] == [("warm", "taught")]
    (reason,) = vocabulary.reasons(describing, red.pid, "warm")
    assert (reason.model, reason.text, reason.shown) == (MODEL, "a red thing", True)
    edits.remove_label(describing, [red.pid], "warm")
    Image.new("RGB", (90, 60), (220, 30, 30)).save(photos / "rust.png")
    import_paths(describing, [photos], workers=1)
    assert vocabulary.refresh(describing) == 1
    assert set(names(describing, "label:warm")) == {"brick", "rust"}, "what was taken away stays away"
    assert vocabulary.refresh(describing) == 0
    assert [label.photos for label in vocabulary.word_labels(describing)] == [2]
    vocabulary.add(describing, "warm", ["blue"])
    assert names(describing, "label:warm") == ["blue"]
    vocabulary.forget(describing, "WARM")
    assert names(describing, "label:warm") == []
    with pytest.raises(NoSuchLabel):
        vocabulary.forget(describing, "warm")


def test_words_that_cannot_be_a_label(describing: Library) -> None:
    for texts in ([str(number) for number in range(20)], ["x" * 201], ["a\x1bb"], [""]):
        with pytest.raises(InvalidEdit, match="1 to 16 texts"):
            vocabulary.add(describing, "warm", texts)
    with pytest.raises(InvalidEdit):
        vocabulary.add(describing, "x" * 10_000)
    # What another device may have written.
    for key, value in (("", "red"), ("A", "red"), ("a", "\x1b[2J"), ("b", "\n" * 50), ("c", ""), ("d" * 300, "red")):
        describing.set_setting(f"words:{key}", value)
    assert vocabulary.word_labels(describing) == []
    assert vocabulary.refresh(describing) == 0
    describing.set_setting("words:🌅 غروب", "red")
    assert vocabulary.refresh(describing) == 1
    assert set(names(describing, 'label:"🌅 غروب"')) == {"red", "brick"}
    remove_pack("colour-words")
    assert vocabulary.refresh(describing) == 1
    assert names(describing, 'label:"🌅 غروب"') == [], "without the pack nobody knows"
    with pytest.raises(NoTextEncoder):
        vocabulary.add(describing, "warm")
