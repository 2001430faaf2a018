"""Tables of what known sets of photos show."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.classes import ClassTable, _imagenet_entries
from ml.errors import TaxonomyInvalid
from ml.labels import LabelRules
from ml.taxonomy import BUILTIN
from ml.truth import known_truth, read_truth

CALTECH = Path(__file__).resolve().parents[2] / "ml" / "taxonomy" / "truth" / "caltech101.toml"


@pytest.fixture(scope="module")
def rules() -> LabelRules:
    return LabelRules(ClassTable("m@1", _imagenet_entries(-1), -1, 0.6, BUILTIN))


def test_every_folder_of_caltech101_is_answered(shared_data: Path, rules: LabelRules) -> None:
    root = shared_data / "labelled" / "caltech101"
    named = {folder.name for folder in read_truth(CALTECH.read_bytes(), "caltech101")}
    assert named == {path.name for path in root.iterdir() if path.is_dir()}
    assert known_truth(root, rules) is not None
    assert known_truth(shared_data / "labelled" / "imagenet-sample", rules) is None


def test_what_is_right_of_a_photo_is_everything_that_is_true_of_it(tmp_path: Path, rules: LabelRules) -> None:
    root = tmp_path / "caltech101"
    for name in ("dalmatian", "chair", "pigeon", "yin_yang"):
        (root / name).mkdir(parents=True)
    table = known_truth(root, rules)
    assert table is not None
    spotted = table.of(root / "dalmatian" / "1.jpg", root)
    assert spotted.labels == {"dalmatian", "dog", "pet", "mammal", "animal"}
    assert [rules.table.entries[output].name for output in spotted.outputs] == ["dalmatian"]
    chair = table.of(root / "chair" / "1.jpg", root)
    assert {"chair", "furniture", "rocking chair"} <= chair.labels
    pigeon = table.of(root / "pigeon" / "1.jpg", root)
    assert pigeon.labels == {"bird", "animal"}
    assert not pigeon.outputs
    assert table.of(root / "yin_yang" / "1.jpg", root).labels == frozenset()


def test_a_few_folders_of_a_table_do_not_make_it_the_users(tmp_path: Path, rules: LabelRules) -> None:
    for name in ("chair", "watch", "holiday", "garden party"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    assert known_truth(tmp_path / "photos", rules) is None
    assert known_truth(tmp_path / "absent", rules) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\nclasses = ["n99999999"]', "no class"),
        ('name = "a"\nlabels = ["no such label"]', "no label"),
        ('name = "a"\n[[folder]]\nname = "a"', "twice"),
        ('name = "a"\ncolour = "red"', "colour"),
    ],
)
def test_mistakes_in_a_table_are_named(text: str, said: str) -> None:
    with pytest.raises(TaxonomyInvalid, match=said) as caught:
        read_truth(f'format = 1\ntaxonomy = "imagenet"\n[[folder]]\n{text}\n'.encode(), "mine.toml")
    assert str(caught.value).startswith("mine.toml")
