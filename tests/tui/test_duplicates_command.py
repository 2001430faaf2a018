"""`safelight duplicates`: what it lists, and what it puts into the trash."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image

from core.duplicates import DEFAULT_DISTANCE, MAX_DISTANCE
from tui.cli import exit_codes
from tui.cli.commands import duplicates

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tui.conftest import CommandLine


def picture(seed: int) -> Image.Image:
    """Waves that no other seed has."""
    pixels = [
        round(128 + 60 * math.sin(x * (seed + 1) / 40) + 60 * math.cos((y * (seed + 2) + x) / 50))
        for y in range(120)
        for x in range(160)
    ]
    image = Image.new("L", (160, 120))
    image.putdata(pixels)
    return image.resize((640, 480), Image.Resampling.BICUBIC).convert("RGB")


def test_copies_are_listed_best_first_and_the_others_go_to_the_trash_and_come_back(
    cli: CommandLine, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in ((1, "one"), (4, "two"), (9, "three")):
        picture(seed).save(folder / f"{name}.jpg", quality=92)
    picture(1).resize((320, 240)).save(folder / "sent.jpg", quality=60)
    picture(1).save(folder / "one.webp", quality=50)
    cli("import", "--no-labels", folder)
    assert (duplicates._USUAL, duplicates._MOST) == (DEFAULT_DISTANCE, MAX_DISTANCE)

    (group,) = cli.json("duplicates")
    assert [photo["filename"] for photo in group["photos"]] == ["one.jpg", "one.webp", "sent.jpg"]
    rows = cli("duplicates", "name:jpg")
    assert [(row.split("\t")[0], row.split("\t")[3]) for row in rows] == [("1", "one.jpg"), ("1", "sent.jpg")]
    assert cli("duplicates", "name:two OR name:three") == []

    cli("duplicates", "--trash-others", code=exit_codes.USAGE)
    assert "2 photos" in cli.err
    assert len(cli.ids()) == 5
    cli("favourite", "--query", "name:sent")
    cli("duplicates", "--trash-others", code=exit_codes.USAGE)
    assert "1 that you have marked" in cli.err
    for _ in range(2):
        cli("duplicates", "--trash-others", "--yes")
        assert len(cli.ids()) == 4
    cli("undo")
    cli("undo")
    cli("duplicates", "--trash-others", "--yes")
    assert len(cli.ids()) == 3
    assert cli.json("duplicates") == []
    cli("undo")
    assert len(cli.ids()) == 5
    cli("duplicates", "--distance", "12", code=exit_codes.USAGE)

    (shown,) = cli.json("show", "--query", "name:two")
    assert "black-and-white" in shown["looks"]
    assert 0.4 < shown["brightness"] < 0.6
    (line,) = [line for line in cli("show", shown["id"]) if line.startswith("looks")]
    assert line.endswith(f"brightness {shown['brightness']:.0%}")
    assert len(cli.ids("is:bw brightness:40..60%")) == 5
