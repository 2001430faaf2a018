"""Thresholds fitted on photos keep what they promise on others, and a bad file of them takes no label away."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from core.label_derivation import label_derivation
from ml.calibration import (
    Calibration,
    calibration_of,
    forget_calibration,
    keep_calibration,
    own_calibration_path,
    read_calibration,
)
from ml.calibration_fit import LabelledPhoto, Thresholds, fit
from ml.check import check_pack
from ml.classes import ClassEntry, ClassTable, class_table
from ml.errors import CalibrationInvalid
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
wnids = ["c0", "c1"]
[[label]]
name = "cat"
parents = ["animal"]
wnids = ["c2", "c3"]
"""


def rules() -> LabelRules:
    entries = tuple(ClassEntry(f"c{n}", name) for n, name in enumerate(["pug", "beagle", "tabby", "persian"]))
    return LabelRules(ClassTable("m@1", entries, -1, 0.6, None, TAXONOMY))


def photos(count: int, seed: int) -> list[LabelledPhoto]:
    """A model that says what it knows with the right likelihood, but for pug: each second is a beagle."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        said = chance.randrange(4)
        sure = chance.uniform(0.3, 0.99)
        true = (
            said
            if chance.random() < (0.5 if said == 0 else sure)
            else (said ^ 1 if said == 0 or chance.random() < 0.5 else None)
        )
        kind = {0: {"pug", "dog"}, 1: {"beagle", "dog"}, 2: {"tabby", "cat"}, 3: {"persian", "cat"}}
        right = frozenset() if true is None else frozenset({*kind[true], "animal"})
        made.append(LabelledPhoto([(said, sure), (said ^ 1, (1 - sure) / 2)], right))
    return made


def precision(chosen: LabelRules, cases: list[LabelledPhoto]) -> tuple[float, int]:
    shown = [(label, case.right) for case in cases for label, _ in chosen.most_specific(case.classes)]
    return sum(label in right for label, right in shown) / len(shown), len(shown)


def test_labels_fitted_on_some_photos_are_as_right_as_asked_on_others() -> None:
    for wanted in (0.8, 0.9):
        thresholds = fit(rules(), photos(600, 1), precision=wanted)
        assert thresholds is not None
        got, shown = precision(thresholds.applied_to(rules()), photos(2000, 2))
        assert wanted - 0.03 < got < wanted + 0.08
        assert shown > 400


def test_a_label_that_is_often_wrong_needs_more_and_one_seen_once_needs_what_all_need() -> None:
    thresholds = fit(rules(), photos(600, 1))
    assert thresholds is not None
    assert thresholds.by_class["pug"] > thresholds.by_class.get("tabby", thresholds.classes) + 0.03
    sparse = fit(rules(), [case for case in photos(600, 1) if case.classes[0][0] != 0][:400] + photos(600, 1)[:1])
    assert sparse is not None
    assert abs(sparse.by_class.get("pug", sparse.classes) - sparse.classes) < 0.05


def test_no_threshold_where_none_is_right() -> None:
    wrong = [LabelledPhoto(case.classes, frozenset()) for case in photos(200, 3)]
    assert fit(rules(), wrong) is None


def test_a_few_photos_or_photos_of_nothing_are_no_ground_for_a_fit() -> None:
    for count in (0, 1, 9, 15):
        assert fit(rules(), photos(count, 4)) is None
    assert fit(rules(), [LabelledPhoto([], frozenset({"dog"}))] * 50) is None


def made(pack: Pack) -> Calibration:
    numbers = Thresholds(0.5, 0.7, {"colour": 0.4}, {"red": 0.2}, 0.8, 1.1, 1.0, 300)
    return Calibration.of(numbers, pack, 0.9)


def test_the_users_own_goes_before_the_packs_and_makes_labels_anew(colour_pack: MakePack) -> None:
    pack = Pack.open(colour_pack(labels=['red "wine"', "שלום", "🚗", "dark"]).write())
    before = label_derivation()
    assert class_table(pack).threshold == 0.6
    kept = made(pack)
    path = keep_calibration(kept)
    assert calibration_of(pack) == kept == read_calibration(path.read_bytes(), "file")
    assert (class_table(pack).threshold, class_table(pack).class_thresholds) == (0.5, {"red": 0.2})
    # What other devices get of the pack has the thresholds too.
    assert ClassTable.unpack(class_table(pack).pack()) == class_table(pack)
    changed = label_derivation()
    assert changed != before
    assert forget_calibration(pack.model)
    assert not forget_calibration(pack.model)
    assert label_derivation() == before
    assert class_table(pack).threshold == 0.6


def test_a_calibration_ships_with_a_pack_and_is_pinned(colour_pack: MakePack) -> None:
    maker = colour_pack()
    maker.folder.mkdir(parents=True)
    text = 'format = 1\nmodel = "colours@1.0.0"\nprecision = 0.9\nphotos = 9\nlikelihood = 0.8\ntemperature = 1.0\n'
    (maker.folder / "calibration.toml").write_text(text + "threshold = 0.33\nclass_threshold = 0.44\n")
    pack = Pack.open(maker.write(files=("calibration.toml",)))
    assert class_table(pack).threshold == 0.33


def test_one_for_another_pack_or_a_damaged_one_is_refused_and_the_labels_stay(colour_pack: MakePack) -> None:
    pack, other = Pack.open(colour_pack().write()), Pack.open(colour_pack(labels=["a", "b", "c", "d"]).write())
    keep_calibration(made(other))
    with pytest.raises(CalibrationInvalid, match="another pack"):
        calibration_of(pack)
    assert class_table(pack).threshold == 0.6
    path = own_calibration_path(pack.model)
    for damaged in ("", "threshold = 2", "not toml", made(pack).toml().replace("0.7", "1.7"), "\x00"):
        path.write_text(damaged)
        with pytest.raises(CalibrationInvalid):
            calibration_of(pack)
        assert class_table(pack).threshold == 0.6
    (warning,) = check_pack(pack, repeats=1).warnings
    assert str(path) in warning
