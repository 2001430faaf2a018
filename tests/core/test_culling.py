"""A round of culling becomes one edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import history
from core.culling import CullDecisions, carry_out
from core.errors import InvalidEdit

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.conftest import Bench


def test_decisions_are_one_edit_and_one_undo(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 5)
    receipt = carry_out(
        library, CullDecisions(pids[:2], favourites={pids[2]: True, pids[0]: False}, ratings={pids[3]: 4, pids[2]: 2})
    )
    assert receipt.seq is not None
    assert set(library.catalog.pids("is:trash")) == set(pids[:2])
    assert library.catalog.pids("is:favourite") == [pids[2]]
    assert library.catalog.pids("rating:4") == [pids[3]]
    newest = next(history.entries(library))
    assert (newest.action, newest.summary) == ("cull", "culling (4 photos)")
    history.undo(library)
    assert library.catalog.count("is:trash") == library.catalog.count("is:favourite") == 0
    assert library.catalog.count("rating:>=1") == 0
    assert carry_out(library, CullDecisions()).seq is None


def test_a_photo_that_is_gone_costs_nothing_and_a_wrong_rating_everything(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2)
    with pytest.raises(InvalidEdit):
        carry_out(library, CullDecisions(pids, ratings={pids[0]: 6}))
    assert library.catalog.count("is:trash") == 0
    carry_out(library, CullDecisions([pids[0], b"\0" * 16]))
    assert library.catalog.pids("is:trash") == [pids[0]]
