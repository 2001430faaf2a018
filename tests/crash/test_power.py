"""What was acknowledged survives even the power cut that keeps nothing but what was synced."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from core import edits
from core.library import Library
from crypto import kdf
from crypto.keys import DeviceSecrets
from tests.crash.disk import Cut
from tests.crash.forked import Session, fork
from tests.crash.household import add_photos, examine, pids, shown
from tests.crash.rounds import can_cut

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.skipif(not can_cut(), reason="this Python hides the functions of its SQLite"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


class Worst(random.Random):
    """Chance that keeps nothing of what was not synced."""

    def randint(self, a: int, _b: int) -> int:
        return a

    def choice(self, seq: Any) -> Any:
        return seq[0]

    def random(self) -> float:
        return 1.0


def test_a_new_library_and_its_first_edits_outlive_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "a new machine" / "state"))
    root = tmp_path / "photos" / "library"

    def work(session: Session) -> None:
        library, _ = Library.create(root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
        add_photos(library, ["one.jpg", "two.jpg"], "2024-05")
        edits.set_rating(library, pids(library, ["one.jpg"]), 4)
        session.tell(library.members.secrets.to_bytes().hex())
        session.disk.cut_power(Worst())

    ended = fork(work, [tmp_path], Cut(1 << 30, seed=0))
    assert ended.killed
    with Library.open(root, DeviceSecrets.from_bytes(bytes.fromhex(ended.done[0]))) as library:
        assert library.doubts == []
        assert {name: facts.rating for name, facts in shown(library).items()} == {"one.jpg": 4, "two.jpg": 0}
        examine(library, tmp_path)


def test_a_copy_that_has_become_a_device_stays_this_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "library"
    library, _ = Library.create(root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
    secrets = library.members.secrets
    with library:
        add_photos(library, ["one.jpg"], "2024-05")
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine" / "state"))

    def work(session: Session) -> None:
        copy = Library.open(root, secrets)
        edits.set_rating(copy, copy.catalog.pids(), 4)
        session.tell(copy.device_id.hex())
        session.disk.cut_power(Worst())

    ended = fork(work, [tmp_path], Cut(1 << 30, seed=0))
    with Library.open(root, secrets) as copy:
        assert copy.doubts == []
        assert [copy.device_id.hex()] == ended.done != [secrets.device_id.hex()]
        assert shown(copy)["one.jpg"].rating == 4
        examine(copy, tmp_path)
