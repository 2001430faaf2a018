"""The examples of docs/models.md are what the program reads."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from ml.manifest import EmbeddingSpec, InputSpec, Manifest, OutputSpec, TextSpec, parse_manifest
from ml.taxonomy import Taxonomy

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
BLOCKS = [re.sub(r"(?m)^   ", "", block) for block in re.findall(r"(?ms)^ *```toml\n(.*?)^ *```", PAGE)]


def test_the_example_manifest_is_one() -> None:
    manifest = parse_manifest(BLOCKS[0].encode(), "docs/models.md")
    assert manifest.model == "my-resnet@1.0.0"
    assert manifest.input.mean == pytest.approx((0.485 * 255, 0.456 * 255, 0.406 * 255))
    assert manifest.input.std == pytest.approx((0.229 * 255, 0.224 * 255, 0.225 * 255))


def test_the_example_taxonomy_is_one() -> None:
    taxonomy = Taxonomy.parse(BLOCKS[1].encode(), "docs/models.md")
    assert taxonomy.labels_of("c17") == {"red", "warm red"}


@pytest.mark.parametrize("kind", [Manifest, InputSpec, OutputSpec, EmbeddingSpec, TextSpec])
def test_every_key_is_described(kind: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(kind):
        assert re.search(rf"`\[?{field.encode_name}\]?`", PAGE), field.encode_name
