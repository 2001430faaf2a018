"""From a pack of two encoders to photos found by a description, and to labels by words, as a user types it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from tests.ml.image_text_packs import ImageTextPack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tui.conftest import CommandLine


def test_from_a_pack_to_a_label(cli: CommandLine, tmp_path: Path) -> None:
    for name, colour in {"red": (240, 5, 5), "brick": (200, 60, 60), "blue": (5, 5, 240)}.items():
        Image.new("RGB", (90, 60), colour).save(tmp_path / f"{name}.png")
    cli("search", "~red", code=2)
    assert "MobileCLIP-S2" in cli.err
    assert "^^^^" in cli.err
    cli("model", "add", ImageTextPack(tmp_path / "pack").write(), "--use")
    assert "pictures and texts" in cli.out
    assert "runs: pictures and texts, embedding of 3" in cli("model", "test", "colour-words")[0]
    assert next(line for line in cli.json("model", "list") if line["name"] == "colour-words")["active"] is True
    cli("import", tmp_path / "red.png", tmp_path / "brick.png", tmp_path / "blue.png")
    lines = cli.json("search", '~"a red thing"')
    assert [(line["filename"], line["sure"]) for line in lines] == [("red.png", True), ("brick.png", True)]
    assert all(line["score"] >= 0.5 for line in lines)
    assert cli("search", "~blue")[0].endswith("\tsure")
    assert cli("search", "--count", "~red name:brick") == ["1"]

    (warm,) = cli.json("vocabulary", "add", "Warm", "a red thing")
    assert warm == {"name": "warm", "texts": ["a red thing"], "photos": 2}
    assert {line["filename"] for line in cli.json("search", "label:warm")} == {"red.png", "brick.png"}
    assert cli("why", lines[0]["id"], "warm")[:2] == [
        "warm: by words of yours. 100%, needs 50%",
        "  fits 'a red thing' best, as colour-words@1.0.0 sees it",
    ]
    assert cli("vocabulary", "list") == ["warm\t2\ta red thing"]
    cli("vocabulary", "remove", "warm")
    assert cli.json("vocabulary", "list") == []
