"""A drafted manifest is a valid one, and right in all that the model itself says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml.draft import draft_manifest
from ml.errors import ExternalDataRefused, LabelsInvalid, NotOnnx, PackFileMissing
from ml.manifest import parse_manifest
from ml.pack import Pack
from ml.session import Classifier
from tests.ml.test_session import VARIETIES

if TYPE_CHECKING:
    from tests.ml.colour_packs import MakePack

MANIFESTS = Path(__file__).parent / "manifests"


@pytest.mark.parametrize("variety", VARIETIES, ids=lambda variety: "-".join(map(str, variety.values())) or "plain")
def test_a_draft_describes_the_model(colour_pack: MakePack, variety: dict[str, object]) -> None:
    folder = colour_pack(**variety).write()
    written = parse_manifest((folder / "pack.toml").read_bytes(), "pack.toml")
    (folder / "pack.toml").write_text(draft_manifest(folder))
    pack = Pack.open(folder)
    drafted = pack.manifest
    assert drafted.files == written.files
    assert (drafted.input.name, drafted.input.size) == (written.input.name, written.input.size)
    assert (drafted.input.layout, drafted.input.dtype) == (written.input.layout, written.input.dtype)
    assert (drafted.output.name, drafted.output.kind) == (written.output.name, written.output.kind)
    assert (drafted.output.classes, drafted.output.background) == (written.output.classes, written.output.background)
    assert drafted.output.embedding == "embedding"
    assert drafted.output.scale == pytest.approx(written.output.scale, rel=0.01)
    Classifier(pack)


def test_weights_beside_the_model_are_pinned_and_others_refused(colour_pack: MakePack) -> None:
    maker = colour_pack(external="weights.bin")
    maker.folder.mkdir(parents=True)
    folder = maker.write()
    assert '"weights.bin" = ' in draft_manifest(folder)
    maker = colour_pack(external="/etc/passwd")
    with pytest.raises(ExternalDataRefused):
        draft_manifest(maker.write())


def test_what_is_missing_or_wrong_is_named(colour_pack: MakePack, tmp_path: Path) -> None:
    with pytest.raises(PackFileMissing, match=r"model\.onnx") as caught:
        draft_manifest(tmp_path)
    assert caught.value.hint is not None
    with pytest.raises(LabelsInvalid, match="has 2 lines"):
        draft_manifest(colour_pack(labels=["a", "b"]).write())
    folder = colour_pack().write()
    (folder / "model.onnx").write_bytes(b"PK")
    with pytest.raises(NotOnnx):
        draft_manifest(folder)


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.toml")), ids=lambda path: path.stem)
def test_drafts_of_the_real_models_agree_with_their_manifests(path: Path, shared_data: Path) -> None:
    written = parse_manifest(path.read_bytes(), str(path))
    drafted = parse_manifest(draft_manifest(shared_data / "models" / path.stem).encode(), "draft")
    assert (drafted.name, drafted.files) == (written.name, written.files)
    assert (drafted.input.size, drafted.input.layout, drafted.input.shorter) == (
        written.input.size,
        written.input.layout,
        written.input.shorter,
    )
    assert (drafted.output.kind, drafted.output.wordnet) == (written.output.kind, written.output.wordnet)
    assert (drafted.output.background, drafted.output.embedding) == (
        written.output.background,
        written.output.embedding,
    )
    assert drafted.output.scale == written.output.scale
