"""What a killed process leaves beside the files that it was about to replace goes with `verify --gc`, a day later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from core import edits
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
    """Ends the process when a file that was written is to get its name: the first, or the `nth`, in folder `where`."""

    def __init__(self, where: str = "", nth: int = 1) -> None:
        self._where = where
        self._left = nth

    def meet(self, number: int, step: Step, disk: Disk) -> None:
        if step.kind == "rename" and step.target is not None and step.path.parent.name.endswith(self._where):
            self._left -= 1
            if not self._left:
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


@pytest.mark.parametrize("nth", [1, 2])
def test_what_is_derived_goes_on_with_a_copy_that_was_killed_as_it_became_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    root = tmp_path / "library"
    library, _ = Library.create(root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
    secrets = library.members.secrets
    with library:
        add_photos(library, ["one.jpg"], "2024-05")
        library.save_derived()
        library.derived.save("what takes longer to make", "", {}, b"content")
        assert verify(library).derived == 2
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine" / "state"))

    def edit(session: Session) -> None:
        with Library.open(root, secrets) as copy:
            edits.set_rating(copy, copy.catalog.pids(), 4)

    assert fork(edit, [root], KillBeforeRename("derived", nth)).killed
    with Library.open(root, secrets) as copy:
        assert copy.device_id != secrets.device_id
        report = verify(copy, deep=True)
        assert report.problems == []
        assert report.derived == 2
