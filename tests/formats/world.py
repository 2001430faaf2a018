"""A library with a past, made by the program itself: two photos, two devices, two epochs, a checkpoint, a relay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from core import edits
from core.importing.pipeline import import_paths
from core.sync.checkpoints import make_checkpoint
from core.sync.seen_checkpoints import look

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.sync.conftest import Home
    from tests.sync_relay.running_relay import Relay


def make_pictures(folder: Path) -> list[Path]:
    """Make two small pictures, the first with a date in it."""
    folder.mkdir(parents=True)
    made = []
    for number, colour in enumerate([(200, 60, 40), (30, 90, 180)]):
        slope = np.linspace(0.4, 1.0, 96)[None, :, None] * np.linspace(0.5, 1.0, 64)[:, None, None]
        image = Image.fromarray((slope * np.array(colour)).astype(np.uint8))
        exif = Image.Exif()
        if number == 0:
            exif[0x0132] = "2024:05:17 10:20:30"
        made.append(folder / f"picture {number}.jpg")
        image.save(made[-1], quality=80, exif=exif)
    return made


def live(home: Home, relay: Relay, pictures: list[Path]) -> None:
    """Found a library in `home` and let it live: when this returns, its first device is the only one left."""
    first = home.found()
    first.engine.relays.use(relay.url, relay.invite())
    assert import_paths(first.library, pictures, label=False, workers=1, album="Lisbon").added == len(pictures)
    (dated,), (undated,) = (first.library.catalog.pids(query) for query in ("date:2024-05", "-date:2024-05"))
    edits.set_caption(first.library, [dated], "Läutwerk, 駅")
    edits.add_label(first.library, [dated, undated], "Dog")
    first.sync()
    second = home.add()
    first.sync()
    second.sync()
    edits.set_rating(second.library, [undated], 4)
    second.sync()
    first.sync()
    home.revoke(second)
    edits.set_favourite(first.library, [undated], True)
    assert make_checkpoint(first.library, look(first.library))
    first.sync()
