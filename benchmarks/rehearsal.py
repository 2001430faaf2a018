"""What it costs that what other devices changed is applied in a worker first: processor time here, and in the worker.

    python -P -m benchmarks.rehearsal [--photos N] [--edits N]

A device gets the whole log of another one (10 years; no checkpoint is in the way), then single edits of it to a month
of a ten-year library, and to a month that holds all of the photos; each time with the rehearsal, and without it, as if
it had been done before. And what an edit of one's own takes, beside a trip to the worker and back, which it would make
if replicas lived there. Processor time, so that a busy machine counts for little.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import psutil

from benchmarks.measurement import Report, median
from benchmarks.synthetic_library import PASSPHRASE, build
from core import edits
from core.library import Library
from core.replica_messages import Step
from crypto import kdf
from crypto.keys import DeviceSecrets
from crypto.membership_change import countersign, draft_add

if TYPE_CHECKING:
    from collections.abc import Callable

PHOTOS = 5_000
EDITS = 20
YEARS = 10.0
AIM_WHOLE = 2.0
"""Everything is read and applied twice."""
COSTS = kdf.new_parameters(*kdf.FLOOR)


@dataclass(frozen=True)
class Cost:
    """Milliseconds of processor time here and in the worker."""

    here: float
    worker: float

    def __str__(self) -> str:
        return f"{self.here:.1f} + {self.worker:.1f} ms"


def main() -> list[str]:
    """Measure and print; return the aims that were missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--edits", type=int, default=EDITS)
    options = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory(prefix="safelight-rehearsal-") as folder:
        os.environ["SAFELIGHT_STATE_DIR"] = str(Path(folder) / "state")
        for name, years in (("ten years", YEARS), ("one month", 25 / 365)):
            missed += _measured(Path(folder) / name.replace(" ", "-"), name, years, options.photos, options.edits)
    return missed


def _measured(folder: Path, name: str, years: float, photos: int, count: int) -> list[str]:
    report = Report(f"{photos} photos of {name}: processor time here + in the worker")
    folder.mkdir()
    with (
        contextlib.closing(build(folder / "first", photos, with_thumbnails=False, years=years)) as first,
        contextlib.closing(_second(first, folder / "second")) as second,
    ):
        second.ingest.envelopes([stored.data for stored in first.log.past_position(0, 1 << 20)])
        began = time.perf_counter()
        cost = _cost(second, second.refresh)
        report.line("The whole log", str(cost), aim=f"{time.perf_counter() - began:.1f} s to wait")
        again = _cost(second, second.rebuild_view)
        report.line("The same, rehearsed before", str(again))
        times = (cost.here + cost.worker) / again.here
        report.line("Times as much with the rehearsal", f"{times:.2f}", aim=f"aim {AIM_WHOLE:g}", met=times < AIM_WHOLE)
        pids = first.catalog.pids("", limit=count)
        for rehearsed in (False, True):
            costs = [_edited(first, second, pid, stars=1 + rehearsed, rehearsed=rehearsed) for pid in pids]
            # The system counts a worker's time in hundredths of a second: many edits together say what one takes.
            middle = Cost(fmean(cost.here for cost in costs), fmean(cost.worker for cost in costs))
            report.line("One edit of another device" + ", rehearsed before" * rehearsed, str(middle))
        own = fmean(_cost(second, functools.partial(edits.set_rating, second, [pid], 5)).here for pid in pids)
        report.line("One edit of its own", f"{own:.1f} ms")
        report.line("A trip to the worker and back", f"{_trip(second, pids[0]):.1f} ms to wait")
    return report.missed


def _edited(first: Library, second: Library, pid: bytes, *, stars: int, rehearsed: bool) -> Cost:
    """Make an edit on one device, and return what it costs the other one to show it."""
    edits.set_rating(first, [pid], stars)
    head = first.log.head(first.device_id)
    stored = first.log.envelope(first.device_id, head[0])
    if stored is None:
        raise RuntimeError("the envelope just written is not in the log")
    second.ingest.envelopes([stored.data])
    if rehearsed:
        second._view.rehearsal.passed(second.log.heads())  # noqa: SLF001 - as if it had been, by another process
    return _cost(second, second.refresh)


def _trip(library: Library, pid: bytes) -> float:
    """Return the milliseconds in which the worker, which has a document, takes an empty change to it."""
    document = library.catalog.documents_of([pid])[pid]
    replica = library.with_replica(document, lambda replica, _: replica)
    steps = [Step([library.device_id], [])]
    taken = []
    for _ in range(EDITS):
        began = time.perf_counter()
        library.replica_process.rehearse(replica, steps)
        taken.append(time.perf_counter() - began)
    return 1_000 * median(taken)


def _cost(library: Library, action: Callable[[], object]) -> Cost:
    before, here = _worker_s(library), time.process_time()
    action()
    return Cost(1_000 * (time.process_time() - here), 1_000 * (_worker_s(library) - before))


def _worker_s(library: Library) -> float:
    pid = library.replica_process.pid
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _second(first: Library, root: Path) -> Library:
    """Return a device that was just added, and has nothing yet."""
    secrets = DeviceSecrets.generate()
    members = first.members
    draft = draft_add(members.membership, members.secrets, members.keyring, secrets.device_id, secrets.exchange_public)
    first.add_entries([countersign(draft, first.library_id, secrets)])
    entries = first.log.membership_entries()
    genesis = entries.pop(first.library_id)
    return Library.create_from(root, PASSPHRASE, secrets, genesis, list(entries.values()), kdf=COSTS)


if __name__ == "__main__":
    sys.exit(bool(main()))
