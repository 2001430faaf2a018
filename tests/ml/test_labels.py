"""A photo gets the narrowest labels that are probable enough, everything above them, and otherwise nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.classes import ClassEntry, ClassTable, class_table
from ml.errors import LabelsInvalid, TaxonomyInvalid
from ml.labels import LabelRules
from ml.pack import Pack

if TYPE_CHECKING:
    from tests.ml.colour_packs import MakePack

TAXONOMY = """
format = 1
[[label]]
name = "animal"
[[label]]
name = "dog"
parents = ["animal"]
wnids = ["collie", "husky"]
[[label]]
name = "cat"
parents = ["animal"]
wnids = ["tabby"]
threshold = 0.9
[[label]]
name = "boat"
wnids = ["canoe"]
"""
ENTRIES = (
    ClassEntry(None, ""),
    ClassEntry("collie", "collie"),
    ClassEntry("husky", "husky"),
    ClassEntry("tabby", "tabby"),
    ClassEntry("canoe", "canoe"),
    ClassEntry(None, "spaceship"),
)
TABLE = ClassTable(model="m@1", entries=ENTRIES, background=0, threshold=0.6, taxonomy=None, taxonomy_text=TAXONOMY)
RULES = LabelRules(TABLE)


def names(classes: list[tuple[int, float]]) -> list[str]:
    return [name for name, _ in RULES.choose(classes)]


def test_a_sure_class_is_shown_with_everything_above_it() -> None:
    assert names([(1, 0.95)]) == ["animal", "collie", "dog"]
    assert RULES.most_specific([(1, 0.95)]) == [("collie", 0.95)]


def test_a_class_that_bears_its_labels_name_is_that_label() -> None:
    taxonomy = 'format = 1\n[[label]]\nname = "cup"\nwnids = ["cup", "mug"]\n'
    entries = (ClassEntry("cup", "cup"), ClassEntry("mug", "mug"))
    rules = LabelRules(ClassTable("m@1", entries, -1, 0.6, None, taxonomy))
    assert rules.most_specific([(0, 0.95)]) == [("cup", 0.95)]
    assert rules.most_specific([(1, 0.95)]) == [("mug", 0.95)]
    assert rules.most_specific([(0, 0.4), (1, 0.4)]) == [("cup", 0.8)]


def test_undecided_between_breeds_it_is_a_dog_and_no_breed() -> None:
    assert dict(RULES.choose([(1, 0.4), (2, 0.3)])) == pytest.approx({"animal": 0.7, "dog": 0.7})


def test_a_single_class_must_leave_half_the_doubt_of_a_label() -> None:
    assert names([(1, 0.79)]) == ["animal", "dog"]
    assert "collie" in names([(1, 0.81)])
    # Without anything above it, the class is the label.
    assert names([(5, 0.61)]) == ["spaceship"]


def test_undecided_between_kinds_it_is_an_animal() -> None:
    assert names([(1, 0.45), (3, 0.45)]) == ["animal"]


def test_a_photo_of_which_the_model_knows_nothing_gets_no_label() -> None:
    assert names([(1, 0.2), (4, 0.3), (3, 0.1)]) == []
    assert names([(0, 0.9), (1, 0.1)]) == []
    assert names([]) == []


def test_a_threshold_of_its_own_holds_and_a_brought_along_label_says_so() -> None:
    assert names([(3, 0.7)]) == ["animal"]
    reasons = {reason.label: reason for reason in RULES.reasons([(3, 0.85)])}
    # The tabby clears its own bar and brings the cat along, which alone would not.
    assert (reasons["cat"].shown, reasons["cat"].because_of) == (True, "tabby")
    assert reasons["tabby"].because_of is None


def test_reasons_name_classes_bars_and_the_path() -> None:
    reasons = {reason.label: reason for reason in RULES.reasons([(2, 0.5), (1, 0.2), (4, 0.1)])}
    dog = reasons["dog"]
    assert dog.score == pytest.approx(0.7)
    assert (dog.needed, dog.shown) == (0.6, True)
    assert [(part.name, part.probability) for part in dog.contributions] == [("husky", 0.5), ("collie", 0.2)]
    assert reasons["husky"].path == ("dog", "animal")
    assert (reasons["boat"].shown, reasons["boat"].needed) == (False, 0.6)


def test_results_of_a_larger_model_do_no_harm() -> None:
    assert names([(99, 0.9), (-1, 0.9)]) == []
    assert RULES.reasons([(99, 0.9)]) == []


def test_names_are_spelt_as_the_library_stores_them_and_unspellable_ones_left_out() -> None:
    rules = LabelRules(TABLE, lambda name: "" if name == "collie" else name.upper())
    assert rules.choose([(1, 0.9)]) == [("ANIMAL", 0.9), ("DOG", 0.9)]
    assert "" not in rules.roll_up([(1, 0.9)])
    assert "" not in {reason.label for reason in rules.reasons([(1, 0.9)])}


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1)), max_size=8))
def test_what_is_shown_is_closed_upwards_and_never_above_one(classes: list[tuple[int, float]]) -> None:
    shown = dict(RULES.choose(classes))
    assert all(0 <= score <= 1 for score in shown.values())
    if {"dog", "cat"} & shown.keys():
        assert "animal" in shown
    if {"collie", "husky"} & shown.keys():
        assert "dog" in shown
    reasons = RULES.reasons(classes)
    assert {reason.label for reason in reasons if reason.shown} == shown.keys()
    assert list(shown) == sorted(shown, key=lambda name: (-shown[name], name))


def test_a_table_survives_packing_and_a_damaged_one_is_refused() -> None:
    packed = TABLE.pack()
    assert ClassTable.unpack(packed) == TABLE
    for damaged in (packed[:-5], b"", b"garbage", packed[:10] + bytes([packed[10] ^ 255]) + packed[11:]):
        with pytest.raises(LabelsInvalid):
            ClassTable.unpack(damaged)


@given(st.binary(max_size=100))
def test_garbage_is_no_table(data: bytes) -> None:
    with pytest.raises(LabelsInvalid):
        ClassTable.unpack(data)


def test_without_a_taxonomy_the_classes_are_the_labels(colour_pack: MakePack) -> None:
    pack = Pack.open(colour_pack(labels=["red, crimson", "green", "blue", "dark"]).write())
    assert LabelRules(class_table(pack)).choose([(0, 0.7), (1, 0.2)]) == [("red", 0.7)]


def test_a_packs_own_taxonomy_and_threshold_apply(colour_pack: MakePack) -> None:
    taxonomy = 'format = 1\n[class_names]\nc1 = "scarlet"\n[[label]]\nname = "colourful"\nwnids = ["c1", "c2", "c3"]\n'
    maker = colour_pack(ids=["c1", "c2", "c3", "-"], taxonomy=taxonomy, extra_manifest="threshold = 0.5")
    rules = LabelRules(class_table(Pack.open(maker.write())))
    assert dict(rules.choose([(0, 0.3), (1, 0.25)])) == pytest.approx({"colourful": 0.55})
    assert [name for name, _ in rules.choose([(0, 0.9)])] == ["colourful", "scarlet"]
    assert rules.choose([(3, 0.55)]) == [("dark", 0.55)]


def test_a_pack_with_a_broken_taxonomy_is_refused(colour_pack: MakePack) -> None:
    maker = colour_pack(ids=["c1", "c2", "c3", "-"], taxonomy='format = 1\n[[label]]\nname = "a"\nparents = ["b"]\n')
    with pytest.raises(TaxonomyInvalid, match=r":4: .*\"b\""):
        class_table(Pack.open(maker.write()))
