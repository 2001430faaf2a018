"""What was taught on one device labels photos on the others, by vectors that nobody computes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import edits, teaching
from core.vectors import open_vectors
from tests.core.test_teaching import BOAT, harbour

if TYPE_CHECKING:
    from tests.core.sync.conftest import Device


def test_examples_and_vectors_come_by_sync(pair: tuple[Device, Device]) -> None:
    """The second device learns the same label, and its corrections teach the first one."""
    first, second = pair
    boats, others = harbour(first.bench, first.library)
    teaching.teach(first.library, BOAT, boats[:5])
    now = set(first.library.catalog.pids(f'label:"{BOAT}"'))
    first.sync()
    second.sync()
    library = second.library
    assert set(open_vectors(library).pids) == {*boats, *others}
    assert teaching.refresh(library) == 1
    assert set(library.catalog.pids(f'label:"{BOAT}"')) == now
    gone = min(now - set(boats[:5]))
    edits.remove_label(library, [gone], BOAT)
    second.sync()
    first.sync()
    assert gone not in first.library.catalog.pids(f'label:"{BOAT}"')
    assert teaching.refresh(first.library) == 1
    assert teaching.taught_labels(first.library)[0].negative == 1
