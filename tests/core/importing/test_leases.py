"""Devices that label the same library anew share the months, and hold nobody up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from core import history
from core.importing.leases import LEASE_S, PREFIX, Leases, is_shared
from core.importing.pipeline import import_paths
from core.importing.tagging import retag
from crdt.documents import LIBRARY
from crdt.operations import Put
from ml.builtin import builtin_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.library import Library
    from tests.core.conftest import Bench

OTHER = "ab" * 32
MODEL = "some@1"
GROUP = bytes(16)


def lease_of_another(library: Library, value: str, device: str = OTHER) -> None:
    library.commit({LIBRARY: [Put("setting", PREFIX + device, value)]}, action="retag", summary="by another")


def test_months_that_another_device_has_are_left_to_it(bench: Bench) -> None:
    """Its months come last, and are taken when it gives them back meanwhile; leases are told and given back."""
    with bench.open() as library, bench.open() as elsewhere:
        assert not is_shared(library)
        library.commit({LIBRARY: [Put("device", OTHER, "laptop")]}, action="device", summary="another")
        assert is_shared(library)
        months = {
            f"photos:2024-{month:02}": bench.add_photos(library, 3, month=f"2024-{month:02}") for month in (1, 2, 3)
        }
        soon = int(time.time()) + 600
        lease_of_another(library, f"{soon} {MODEL} photos:2024-01 photos:2024-02")
        leases = Leases(library, MODEL, GROUP)
        turns = leases.turns(months)
        first = next(turns)
        assert first in months["photos:2024-03"]
        elsewhere.refresh()
        told = elsewhere.setting(PREFIX + library.device_id.hex())
        assert told is not None
        assert told.split(" ")[1:] == [MODEL, "photos:2024-03"]
        assert int(told.split(" ")[0]) <= time.time() + LEASE_S
        lease_of_another(elsewhere, f"{soon} {MODEL} photos:2024-01")
        done = {first, *turns}
        assert done == {*months["photos:2024-03"], *months["photos:2024-02"]}
        assert leases.left == 3
        leases.release()
        elsewhere.refresh()
        assert elsewhere.setting(PREFIX + library.device_id.hex()) is None
        assert next(history.entries(library)).action == "retag"


def test_leases_that_mean_nothing_hold_nobody_up(bench: Bench) -> None:
    """Run out, of another model, for too long, or not to be read: all photos are labelled here."""
    with bench.open() as library:
        pids = bench.add_photos(library, 3)
        now = int(time.time())
        for number, value in enumerate(
            (
                f"{now - 1} {MODEL} photos:2024-05",
                f"{now + 600} other@1 photos:2024-05",
                f"{now + 40 * LEASE_S} {MODEL} photos:2024-05",
                f"{'9' * 4000} {MODEL} photos:2024-05",
                f"-5 {MODEL} photos:2024-05",
                f"{now + 600}",
                "",
                "\u0663 x y",
            )
        ):
            lease_of_another(library, value, f"{number:02}" * 32)
        leases = Leases(library, MODEL, GROUP)
        assert sorted(leases.turns({"photos:2024-05": pids})) == sorted(pids)
        assert leases.left == 0
        leases.release()
        leases.release()


def test_labelling_leaves_months_to_another_device_unless_asked(bench: Bench, make_photo: Callable[..., Path]) -> None:
    """A run over the whole library shares; a run over named photos does what was asked."""
    with bench.open() as library:
        photo = make_photo("one.jpg")
        import_paths(library, [photo], label=False, workers=1)
        library.commit({LIBRARY: [Put("device", OTHER, "laptop")]}, action="device", summary="another")
        (document,) = library.catalog.documents_of(library.catalog.pids()).values()
        lease_of_another(library, f"{int(time.time()) + 600} {builtin_model()}+None {document}")
        summary = retag(library, workers=1)
        assert (summary.added, summary.left) == (0, 1)
        summary = retag(library, query="type:jpeg", workers=1)
        assert (summary.added, summary.left) == (1, 0)
        assert library.setting(PREFIX + library.device_id.hex()) is None
