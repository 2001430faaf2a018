"""One library with a past, for all tests of the formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from core.library import Library
from sync_relay.server.settings import Settings
from tests.core.sync.conftest import PASSPHRASE, Home
from tests.formats.world import live, make_pictures
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Lived:
    """What a library left: its folder, its relay's folder, and the pictures that were imported."""

    root: Path
    relay: Path
    pictures: list[Path]
    passphrase: str = PASSPHRASE.decode()

    def open(self) -> Library:
        return Library.open(self.root, Library.unlock(self.root, PASSPHRASE))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """Give a library and a relay that nobody uses any more."""
    folder = tmp_path_factory.mktemp("lived")
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
        home, relay = Home(folder), Relay(Settings(data=folder / "relay"), Clock())
        pictures = make_pictures(folder / "pictures")
        try:
            live(home, relay, pictures)
        finally:
            home.close()
            relay.stop()
        yield Lived(home.devices[0].root, folder / "relay", pictures)
