"""What a killed process leaves beside the files that it was about to replace goes with `verify --gc`, a day later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from core.library import Library
from core.verify import verify
from crypto import kdf
from tests.crash.disk import end_process
from tests.crash.forked import Session, fork
from tests.crash.household import add_photos, expect_no_remains

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.disk import Disk, Step

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


class KillBeforeRename:
    """Ends the process when a file that was written is to get its name."""

    def meet(self, number: int, step: Step, disk: Disk) -> None:
        if step.kind == "rename" and step.target is not None:
            end_process()


def test_files_that_never_got_their_names_are_removed_a_day_later(tmp_path: Path) -> None:
    root = tmp_path / "library"
    costs = kdf.new_parameters(*kdf.FLOOR)
    library, _ = Library.create(root, b"p", device_name="desk", kdf=costs)
    secrets = library.members.secrets
    library.close()

    def save(session: Session) -> None:
        with Library.open(root, secrets) as library:
            library.save_derived()

    def change_passphrase(session: Session) -> None:
        Library.change_passphrase(root, b"p", b"another", kdf=costs)

    def add(session: Session) -> None:
        with Library.open(root, secrets) as library:
            add_photos(library, ["one.jpg"], "2024-05")

    def left() -> set[Path]:
        return {path for path in root.rglob("*") if path.suffix == ".new" or path.parent.name == "incoming"}

    for work in (save, change_passphrase, add):
        assert fork(work, [root], KillBeforeRename()).killed
    assert {path.parent.name for path in left()} == {"derived", "library", "incoming"}
    with Library.open(root, Library.unlock(root, b"p")) as library:
        before = left()
        verify(library, gc=True)
        assert left() == before  # another process may be writing them just now
        expect_no_remains(library, root)
    assert left() == set()
