"""A library's labels come from its pack, survive the pack's absence, and can be explained."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ml
import ml.builtin
from core.active_model import active_model
from core.edits import add_label, remove_label
from core.errors import PackRefused
from core.label_derivation import label_derivation
from core.labelling import Labeller, active_pack, explain, use_pack
from crdt.documents import shard_name
from crdt.operations import Put
from crdt.records import AutoRecord
from crdt.schema import pid_key
from ml.classes import ClassTable
from ml.installed import find_pack, remove_pack
from tests.ml.colour_packs import ColourPack, added_pack

if TYPE_CHECKING:
    from core.library import Library
    from ml.pack import Pack
    from tests.core.conftest import Bench
    from tests.ml.colour_packs import MakePack

TAXONOMY = """
format = 1
[[label]]
name = "Colourful"
[[label]]
name = "warm"
parents = ["Colourful"]
wnids = ["c-red"]
[[label]]
name = "cold"
parents = ["Colourful"]
wnids = ["c-green", "c-blue"]
"""


@pytest.fixture
def colour_pack(tmp_path: Path) -> MakePack:
    """Return a maker of tiny packs."""
    return lambda **variety: ColourPack(tmp_path / f"pack-{len(list(tmp_path.iterdir()))}", **variety)


@pytest.fixture
def pack(colour_pack: MakePack) -> Pack:
    labels = ["Crimson Red", "green", "blue", "dark"]
    maker = colour_pack(ids=["c-red", "c-green", "c-blue", "-"], taxonomy=TAXONOMY, labels=labels)
    return added_pack(maker.write())


def record(library: Library, bench: Bench, classes: list[tuple[int, float]], model: str) -> tuple[str, bytes]:
    """Add a photo of which ``model`` said ``classes``; return its document and id."""
    (pid,) = bench.add_photos(library, 1)
    document = shard_name("2024-05-01T12:00:00", pid)
    packed = AutoRecord.of(classes, at=1_700_000_000).pack()
    library.commit({document: [Put("auto", f"{pid_key(pid)}/{model}", packed)]}, action="retag", summary="retag")
    return document, pid


def test_the_pack_a_library_uses_is_a_setting_of_it(bench: Bench, pack: Pack) -> None:
    with bench.open() as library:
        use_pack(library, pack)
        assert active_model(library.setting) == "colours@1.0.0"
    with bench.open() as library:
        assert active_pack(library).sha256 == pack.sha256
        assert library.setting("pack") == f"colours@1.0.0 {pack.sha256}"


def test_with_the_built_in_pack_a_library_follows_the_program(
    bench: Bench, pack: Pack, colour_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = colour_pack(name="shipped").write()
    monkeypatch.setattr(ml.builtin, "BUILTIN_FOLDER", shipped)
    with bench.open() as library:
        assert active_pack(library).model == active_model(library.setting) == "shipped@1.0.0"
        use_pack(library, pack)
        assert active_model(library.setting) == "colours@1.0.0"
        use_pack(library, find_pack("shipped"))
        monkeypatch.setattr(ml.builtin, "BUILTIN_FOLDER", colour_pack(name="shipped", version="2.0.0").write())
        assert active_pack(library).model == active_model(library.setting) == "shipped@2.0.0"


def test_another_pack_of_the_same_name_is_refused(bench: Bench, pack: Pack, colour_pack: MakePack) -> None:
    with bench.open() as library:
        use_pack(library, pack)
        remove_pack("colours")
        with pytest.raises(PackRefused, match="no pack") as missing:
            active_pack(library)
        assert missing.value.hint is not None
        added_pack(colour_pack(dtype="uint8").write())
        with pytest.raises(PackRefused, match="not the one this library was labelled with"):
            active_pack(library)


def test_results_become_labels_as_the_library_stores_them(pack: Pack) -> None:
    labeller = Labeller()
    assert dict(labeller(pack.model, [(0, 0.9)])) == {"crimson red": 0.9, "warm": 0.9, "colourful": 0.9}
    assert dict(labeller(pack.model, [(1, 0.4), (2, 0.3)])) == pytest.approx({"cold": 0.7, "colourful": 0.7})
    assert labeller(pack.model, [(0, 0.3), (3, 0.5)]) == []
    assert labeller("never-heard-of@1", [(0, 1.0)]) == []
    assert labeller("../../etc@1", [(0, 1.0)]) == []
    assert labeller("colours", [(0, 1.0)]) == []


def test_labels_are_still_derived_where_the_pack_is_not_installed(bench: Bench, pack: Pack) -> None:
    with bench.open() as library:
        use_pack(library, pack)
        expected = Labeller(library.setting)(pack.model, [(0, 0.9)])
        remove_pack("colours")
        assert Labeller()(pack.model, [(0, 0.9)]) == []
        assert Labeller(library.setting)(pack.model, [(0, 0.9)]) == expected


def test_a_class_table_of_another_device_is_not_trusted() -> None:
    for text in ("", "no base85 \x7f", base64.b85encode(b"garbage").decode(), "A" * 4096):
        settings = {"classes:foreign@1": text}
        assert Labeller(settings.get)("foreign@1", [(0, 1.0)]) == []


def test_a_labeller_looks_again_when_told_to(colour_pack: MakePack) -> None:
    labeller = Labeller()
    assert labeller("colours@1.0.0", [(0, 0.9)]) == []
    added_pack(colour_pack().write())
    assert labeller("colours@1.0.0", [(0, 0.9)]) == []
    labeller.forget()
    assert dict(labeller("colours@1.0.0", [(0, 0.9)])) == {"red": 0.9}


def test_why_names_the_classes_the_bars_and_the_users_own_word(bench: Bench, pack: Pack) -> None:
    with bench.open() as library:
        use_pack(library, pack)
        document, pid = record(library, bench, [(1, 0.4), (2, 0.35), (0, 0.1)], pack.model)
        library.commit(
            {document: [Put("auto", f"{pid_key(pid)}/other@2", AutoRecord.of([(7, 0.5)]).pack())]},
            action="retag",
            summary="retag",
        )
        remove_label(library, [pid], "cold")
        add_label(library, [pid], "Beach")
        found = explain(library, document, pid)
        assert (found.added, found.rejected) == (("beach",), ("cold",))
        first, other = found.results
        assert (first.model, first.active, first.known, first.at) == (pack.model, True, True, 1_700_000_000)
        assert [name for name, _, _ in first.classes] == ["green", "blue", "Crimson Red"]
        cold = next(reason for reason in first.reasons if reason.label == "cold")
        assert cold.shown
        assert cold.path == ("colourful",)
        assert [part.name for part in cold.contributions] == ["green", "blue"]
        assert (other.model, other.known, other.reasons) == ("other@2", False, ())
        assert other.classes[0][0] == "class 7"

        only = explain(library, document, pid, "WARM")
        assert [reason.label for reason in only.results[0].reasons] == ["warm"]
        assert not only.results[0].reasons[0].shown
        assert only.rejected == ()
        (unreached,) = explain(library, document, pid, "dark").results[0].reasons
        assert (unreached.score, unreached.needed, unreached.shown) == (0.0, 0.6, False)
        assert explain(library, document, pid, "submarine").results[0].reasons == ()
        with pytest.raises(PackRefused):
            explain(library, document, pid, "")


def test_a_damaged_record_explains_nothing_and_harms_nothing(bench: Bench, pack: Pack) -> None:
    with bench.open() as library:
        use_pack(library, pack)
        document, pid = record(library, bench, [(0, 0.9)], pack.model)
        library.commit(
            {document: [Put("auto", f"{pid_key(pid)}/broken@1", b"\x00\xff")]}, action="retag", summary="retag"
        )
        assert [result.model for result in explain(library, document, pid).results] == [pack.model]


def test_a_table_of_the_thousand_imagenet_classes_fits_a_setting(shared_data: Path, bench: Bench) -> None:
    manifests = Path(__file__).parent.parent / "ml" / "manifests"
    name = "mobilenet-v1-0.25"
    pack = added_pack(shared_data / "models" / name, manifest=manifests / f"{name}.toml")
    with bench.open() as library:
        use_pack(library, pack)
        text = library.setting(f"classes:{pack.model}")
        assert text is not None
        assert len(text) < 200
        assert len(ClassTable.unpack(base64.b85decode(text)).entries) == 1001
        expected = Labeller()(pack.model, [(208, 0.9)])
        remove_pack(name)
        assert Labeller(library.setting)(pack.model, [(208, 0.9)]) == expected
        assert "dog" in dict(expected)


def test_a_changed_taxonomy_makes_labels_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = label_derivation()
    assert shipped == label_derivation()
    (tmp_path / "taxonomy").mkdir()
    for text in ("format = 1", "format = 1 # changed"):
        (tmp_path / "taxonomy" / "imagenet.toml").write_text(text)
        monkeypatch.setattr(ml, "__path__", [str(tmp_path)])
        assert label_derivation() != shipped
        shipped = label_derivation()
