"""Packs made badly or in bad faith are refused in words, and odd ones that are right work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from ml.classes import ClassTable, class_table
from ml.errors import LabelsInvalid, OutputInvalid, TaxonomyInvalid
from ml.installed import add_pack, packs_folder
from ml.labels import LabelRules
from ml.pack import Pack
from ml.session import Classifier, top_classes
from ml.taxonomy import Taxonomy

if TYPE_CHECKING:
    from tests.ml.colour_packs import MakePack

IDS = ["c-red", "c-green", "c-blue", "-"]
CIRCLE = """
format = 1
[[label]]
name = "warm"
parents = ["bright"]
wnids = ["c-red"]
[[label]]
name = "bright"
parents = ["warm"]
"""


def test_a_taxonomy_that_goes_round_in_a_circle_is_refused_with_its_line(colour_pack: MakePack) -> None:
    with pytest.raises(TaxonomyInvalid, match=r"taxonomy of colours@1.0.0:5: .* form a circle"):
        class_table(Pack.open(colour_pack(ids=IDS, taxonomy=CIRCLE).write()))
    with pytest.raises(TaxonomyInvalid, match="itself"):
        Taxonomy.parse(CIRCLE.replace('"bright"', '"warm"', 1).encode(), "mine.toml")


def test_a_label_of_ten_thousand_characters_is_refused(colour_pack: MakePack) -> None:
    with pytest.raises(LabelsInvalid, match=r"labels.txt:2: .* too long"):
        Pack.open(colour_pack(labels=["red", "g" * 10_000, "blue", "dark"]).write())
    with pytest.raises(TaxonomyInvalid, match="longer than 200 bytes"):
        Taxonomy.parse(f'format = 1\n[[label]]\nname = "{"x" * 10_000}"\n'.encode(), "mine.toml")


def test_labels_from_right_to_left_and_of_signs_are_labels(colour_pack: MakePack) -> None:
    names = ["אדום", "🟢👍🏽", "أزرق داكن", "тёмный"]
    pack = Pack.open(colour_pack(labels=names).write())
    classifier, rules = Classifier(pack), LabelRules(class_table(pack))
    for colour, name in (("red", names[0]), ("lime", names[1]), ("blue", names[2])):
        row = classifier.classify([Image.new("RGB", (20, 20), colour)]).probabilities[0]
        assert rules.choose(top_classes(row))[0][0] == name
    assert ClassTable.unpack(class_table(pack).pack()) == class_table(pack)
    # A sign that turns the rest of a line round could show another name than there is.
    with pytest.raises(LabelsInvalid, match="cannot be shown"):
        Pack.open(colour_pack(labels=["red", "green\u202egpj", "blue", "dark"]).write())


@pytest.mark.parametrize("gives", ["nan", "logits"])
def test_answers_that_are_no_probabilities_are_not_installed(colour_pack: MakePack, gives: str) -> None:
    with pytest.raises(OutputInvalid, match="not numbers" if gives == "nan" else "declared as probabilities"):
        add_pack(colour_pack(kind="probabilities", gives=gives).write())
    assert list(packs_folder().iterdir()) == []
