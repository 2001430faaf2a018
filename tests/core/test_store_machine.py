"""The store under any sequence of edits, reopenings, second openings and interruptions, compared with a plain model.

What an edit acknowledged is there for ever; what an interruption cut off is there as a whole or not at all, and which
of the two is decided by the log alone; every opening, and a rebuild from the log, shows the same.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core import edits, history, rebuild, verify
from core.errors import NothingToUndo
from core.library import Library
from crdt.operations import Put
from crdt.records import PhotoFacts
from tests.core.empty_library import empty_library

if TYPE_CHECKING:
    from collections.abc import Callable

    from crypto.keys import DeviceSecrets

PHOTOS = st.sets(st.integers(0, 4), min_size=1, max_size=3)
LABELS = st.sampled_from(["lake", "dog", "été"])
Facts = dict[bytes, dict[str, object]]
FACTS = PhotoFacts(width=4, height=3, size=2, mime="image/jpeg").pack()


class Interrupted(BaseException):
    """Stands for Ctrl-C or a crash: no code of the store expects it."""


def interrupt(*_: object) -> None:
    raise Interrupted


class Store(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.root = self.folder / "library"
        self.model: Facts = {}
        self.past: list[Facts] = []
        self.secrets: DeviceSecrets
        self.library: Library
        self.other: Library

    @initialize()
    def create(self) -> None:
        made = empty_library(b"p", "desk")
        made.write(self.root)
        self.secrets = made.secrets
        self.library = Library.open(self.root, self.secrets)
        self.other = Library.open(self.root, self.secrets)
        self.add(3, "2024-01")

    def teardown(self) -> None:
        if not hasattr(self, "library"):
            return
        rebuild.rebuild(self.library)
        assert self.shown(self.library) == self.model
        assert verify.verify(self.library, deep=True).problems == []
        self.library.close()
        self.other.close()
        with Library.open(self.root, self.secrets) as library:
            assert self.shown(library) == self.model
        shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 3), month=st.sampled_from(["2023-12", "2024-01"]))
    def add(self, count: int, month: str) -> None:
        made = [bytes([len(self.model) + number]) * 16 for number in range(count)]
        document = f"photos:{month}"
        self.keep()
        self.library.commit(
            {document: [Put("photo", pid.hex(), FACTS) for pid in made]}, action="import", summary="import"
        )
        for pid in made:
            self.model[pid] = {"labels": set(), "rating": 0, "trash": False, "document": document}

    @rule(photos=PHOTOS, rating=st.integers(0, 5), other=st.booleans())
    def rate(self, photos: set[int], rating: int, other: bool) -> None:
        pids = self.pids(photos)
        self.edit(
            lambda library: edits.set_rating(library, pids, rating).seq,
            lambda: [self.model[pid].update(rating=rating) for pid in pids],
            other=other,
        )

    @rule(photos=PHOTOS, name=LABELS, added=st.booleans(), other=st.booleans())
    def label(self, photos: set[int], name: str, added: bool, other: bool) -> None:
        pids = self.pids(photos)
        change = edits.add_label if added else edits.remove_label

        def apply() -> None:
            for pid in pids:
                labels = self.model[pid]["labels"]
                assert isinstance(labels, set)
                (labels.add if added else labels.discard)(name)

        self.edit(lambda library: change(library, pids, name).seq, apply, other=other)

    @rule(other=st.booleans())
    def undo(self, other: bool) -> None:
        library = self.other if other else self.library
        try:
            receipt = history.undo(library)
        except NothingToUndo:
            assert not self.past
            return
        before = self.past.pop()
        if receipt.action == "import":
            for pid, facts in self.model.items():
                facts["trash"] = bool(facts["trash"]) or pid not in before
        else:
            for pid, facts in before.items():
                self.model[pid] |= {"labels": facts["labels"], "rating": facts["rating"]}

    @rule(photos=PHOTOS, rating=st.integers(0, 5), where=st.sampled_from(["sealing", "storing", "showing"]))
    def interrupted(self, photos: set[int], rating: int, where: str) -> None:
        pids = self.pids(photos)
        if not pids:
            return
        seq = self.library.log.head(self.library.device_id)[0]
        with pytest.MonkeyPatch.context() as patched:
            if where == "sealing":
                patched.setattr(self.library.chain, "seal", interrupt)
            elif where == "storing":
                patched.setattr("core.log.LogTransaction.append", interrupt)
            else:
                patched.setattr(self.library.writer._machine, "advance", interrupt)
            try:
                edits.set_rating(self.library, pids, rating)
            except Interrupted:
                pass
            else:
                return  # nothing differed, so nothing was written
        durable = self.library.log.head(self.library.device_id)[0] > seq
        assert durable == (where == "showing")
        if durable:
            self.keep()
            for pid in pids:
                self.model[pid]["rating"] = rating

    @rule(save=st.booleans())
    def reopen(self, save: bool) -> None:
        if save:
            self.library.save_derived()
        abandoned = self.library
        self.library = Library.open(self.root, self.secrets)
        abandoned.log.close()

    @rule()
    def delete_derived(self) -> None:
        self.library.remove_derived()

    @invariant()
    def both_openings_show_the_model(self) -> None:
        if not hasattr(self, "library"):
            return
        for library in (self.library, self.other):
            library.refresh()
            assert library.alarms == []
            assert self.shown(library) == self.model

    def edit(self, change: Callable[[Library], int | None], apply: Callable[[], object], *, other: bool) -> None:
        before = copy.deepcopy(self.model)
        if change(self.other if other else self.library) is not None:
            self.past.append(before)
            apply()

    def keep(self) -> None:
        self.past.append(copy.deepcopy(self.model))

    def pids(self, photos: set[int]) -> list[bytes]:
        known = list(self.model)
        return [known[number] for number in sorted(photos) if number < len(known)]

    def shown(self, library: Library) -> Facts:
        found = library.catalog.search("is:trash OR -is:trash")
        return {
            photo.pid: {
                "labels": {label.name for label in photo.labels},
                "rating": photo.rating,
                "trash": photo.trashed_at is not None,
                "document": photo.document,
            }
            for photo in found
        }


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=10, stateful_step_count=40)
