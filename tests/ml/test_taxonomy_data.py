"""The built-in taxonomy is sound: whole, without cycles or repetition, with each class in its right sense."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import pytest

TAXONOMY = Path(__file__).resolve().parents[2] / "ml" / "taxonomy" / "imagenet.toml"
WNID = re.compile(r"n\d{8}")


class Label(TypedDict):
    name: str
    parents: list[str]
    wnids: list[str]


@cache
def _data() -> dict[str, object]:
    return tomllib.loads(TAXONOMY.read_text(encoding="utf-8"))


def _labels() -> dict[str, Label]:
    entries = cast("list[dict[str, object]]", _data()["label"])
    return {cast("str", entry["name"]): cast("Label", {"parents": [], "wnids": [], **entry}) for entry in entries}


def _class_names() -> dict[str, str]:
    return cast("dict[str, str]", _data()["class_names"])


def _ancestors(name: str, path: tuple[str, ...] = ()) -> set[str]:
    assert name not in path, f"cycle: {' > '.join((*path, name))}"
    found: set[str] = set()
    for parent in _labels()[name]["parents"]:
        found |= {parent} | _ancestors(parent, (*path, name))
    return found


@cache
def _below() -> dict[str, frozenset[str]]:
    below: dict[str, set[str]] = {name: set() for name in _labels()}
    for name, label in _labels().items():
        for holder in {name} | _ancestors(name):
            below[holder] |= set(label["wnids"])
    return {name: frozenset(wnids) for name, wnids in below.items()}


def _labels_of(display_name: str) -> set[str]:
    wnids = {wnid for wnid, name in _class_names().items() if name == display_name}
    assert wnids, f"no class is called {display_name!r}"
    return {label for label, classes in _below().items() if classes & wnids}


def test_entries_have_nothing_but_the_known_keys() -> None:
    assert set(_data()) == {"format", "label", "class_names"}
    assert _data()["format"] == 1
    for entry in cast("list[dict[str, object]]", _data()["label"]):
        assert set(entry) <= {"name", "parents", "wnids"}, entry


def test_names_are_unique_and_lower_case() -> None:
    names = [cast("str", entry["name"]) for entry in cast("list[dict[str, object]]", _data()["label"])]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    for name in [*names, *_class_names().values()]:
        assert re.fullmatch(r"[a-z][a-z' -]*[a-z]", name), name


def test_number_of_labels_is_what_a_person_can_survey() -> None:
    assert 150 <= len(_labels()) <= 350


def test_every_class_of_imagenet_is_named_and_placed() -> None:
    named = list(_class_names())
    assert len(named) == 1000
    assert all(WNID.fullmatch(wnid) for wnid in named)
    assert named == sorted(named), "the order of the sorted ids is ImageNet's order of classes"
    placed = {wnid for label in _labels().values() for wnid in label["wnids"]}
    assert placed == set(named)


def test_classes_are_those_of_the_shared_lists(shared_data: Path) -> None:
    thousand = (shared_data / "models" / "imagenet-wnids.txt").read_text(encoding="utf-8").split()
    tiny = (shared_data / "tiny-imagenet" / "classes.tsv").read_text(encoding="utf-8").splitlines()
    assert list(_class_names()) == thousand
    assert {line.split("\t")[0] for line in tiny} <= set(_class_names())


def test_parents_exist_and_form_no_cycle() -> None:
    labels = _labels()
    for name, label in labels.items():
        assert set(label["parents"]) <= set(labels), name
        assert len(set(label["parents"])) == len(label["parents"]), name
        _ancestors(name)


def test_every_label_has_a_class() -> None:
    assert [name for name, wnids in _below().items() if not wnids] == []


def test_nothing_is_said_twice() -> None:
    for name, label in _labels().items():
        assert len(set(label["wnids"])) == len(label["wnids"]), f"{name}: a class twice"
        for ancestor in _ancestors(name):
            again = set(label["wnids"]) & set(_labels()[ancestor]["wnids"])
            assert not again, f"{again} stand under {name} and again under {ancestor}"
        for parent in label["parents"]:
            others = set(label["parents"]) - {parent}
            assert not any(parent in _ancestors(other) for other in others), f"{name}: {parent} follows from the rest"


def test_no_two_labels_mean_the_same_classes() -> None:
    seen: dict[frozenset[str], str] = {}
    for name, wnids in _below().items():
        assert wnids not in seen, f"{name} and {seen[wnids]}"
        seen[wnids] = name


def test_no_label_is_an_alias_of_one_class() -> None:
    for name, wnids in _below().items():
        if len(wnids) == 1:
            assert _class_names()[next(iter(wnids))] != name, name


def test_a_class_that_bears_a_labels_name_stands_under_it() -> None:
    for wnid, name in _class_names().items():
        if name in _labels():
            assert wnid in _labels()[name]["wnids"], f"{wnid} is called {name} but is not one"


def test_classes_of_one_name_share_a_label() -> None:
    counts = Counter(_class_names().values())
    for name in (name for name, count in counts.items() if count > 1):
        wnids = {wnid for wnid, other in _class_names().items() if other == name}
        assert any(wnids <= set(label["wnids"]) for label in _labels().values()), name


@pytest.mark.parametrize(
    ("display_name", "holds", "lacks"),
    [
        # What a careless look-up by name gets wrong.
        ("ear of corn", {"corn", "vegetable", "food"}, {"animal"}),
        ("crane", {"water bird", "bird"}, {"heavy machine"}),
        ("construction crane", {"heavy machine"}, {"bird"}),
        ("drumstick", {"musical instrument"}, {"food"}),
        ("computer mouse", {"electronics"}, {"animal"}),
        ("metal nail", {"hardware"}, {"animal"}),
        ("pirate ship", {"ship", "boat", "vehicle"}, {"person"}),
        ("kite bird", {"bird of prey"}, {"toy"}),
        ("hot dog", {"fast food", "food"}, {"dog", "animal"}),
        ("boxer dog", {"dog", "pet"}, {"person"}),
        ("sea anemone", {"sea animal"}, {"flower", "plant"}),
        ("brain coral", {"coral", "sea animal"}, {"plant"}),
        ("flowerpot", {"plant"}, {"cookware"}),
        ("archery bow", {"weapon"}, {"clothing"}),
        ("paddle wheel", {"wheel"}, {"sports equipment"}),
        ("gondola", {"boat"}, {"aircraft"}),
        ("plate of food", {"food"}, {"tableware"}),
        ("cup", {"cup", "tableware"}, {"food"}),
        ("jaguar", {"big cat"}, {"car", "pet"}),
        ("lion", {"wild cat", "mammal"}, {"cat", "pet"}),
    ],
)
def test_senses(display_name: str, holds: set[str], lacks: set[str]) -> None:
    labels = _labels_of(display_name)
    assert holds <= labels
    assert not lacks & labels


@pytest.mark.parametrize(
    ("label", "fewest"),
    [("dog", 118), ("cat", 5), ("bird", 59), ("snake", 17), ("car", 10), ("food", 30), ("musical instrument", 25)],
)
def test_broad_labels_hold_what_they_should(label: str, fewest: int) -> None:
    assert len(_below()[label]) >= fewest
