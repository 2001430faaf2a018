"""Sync through a real relay on SQLite and a folder, over plain http on loopback: an edit, photos, and a new device.

    python -P -m benchmarks.sync [edit] [photos] [big] [newcomer] [--photos N] [--rounds N] [--library-photos N]
        [--keep DIR]

`edit`: what one label edit costs on the wire, header fields and WebSocket included, and how soon another device under
`safelight sync --watch` shows it. `photos`: as many photos of real size through the whole engine, beside the same bytes
through the bare HTTP stack (`relay_processes`), in turns and as many at a time; the best round of each counts. `big`:
one file of 2 GB, for its memory. `newcomer`: a device that was just added to a library of 100,000 photos, made anew or
kept in DIR/spread, where `large_library` keeps its own. Without a name, all but `big`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import psutil

from benchmarks.measurement import Report, median, percentile, seconds_of
from benchmarks.relay_processes import (
    PIECE,
    Peak,
    Processor,
    bare_get,
    bare_process,
    bare_put,
    each,
    new_invite,
    relay_process,
)
from benchmarks.synthetic_library import PASSPHRASE, build, photo
from benchmarks.wire_counter import WireCounter
from core import edits
from core.library import Library
from core.sync.engine import SyncEngine
from core.sync.transfers import AT_ONCE, Transfers
from crdt.operations import Operation, Put
from crdt.records import CopyRecord
from crdt.schema import copy_key
from crypto import kdf
from crypto.blob import BlobReader
from crypto.keys import DeviceSecrets
from crypto.membership_change import countersign, draft_add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from core.sync.report import SyncProgress, SyncReport

PARTS = ("edit", "photos", "newcomer")
PHOTOS = 1_000
LIBRARY_PHOTOS = 100_000
EDITS = 30
FIRST_SCREEN = 60
BIG = 2_000_000_000
AIM_OF_STACK = 0.6
AIM_MEMORY = 64 << 20
AIM_EDIT_BYTES = 1_536
AIM_EDIT_S = 0.3
COSTS = kdf.new_parameters(*kdf.FLOOR)


def main() -> list[str]:
    """Measure and print; return the aims that were missed."""
    options = _options()
    parts = options.parts or PARTS
    missed = []
    with tempfile.TemporaryDirectory(prefix="safelight-sync-") as folder:
        root = Path(folder)
        os.environ["SAFELIGHT_STATE_DIR"] = str((options.keep or root) / "state")
        if "edit" in parts:
            missed += _edit(root / "edit")
        if "photos" in parts:
            missed += _photos(root / "photos", options.photos, options.rounds)
        if "big" in parts:
            missed += _big(root / "big")
        if "newcomer" in parts:
            missed += _newcomer(root / "newcomer", options.library_photos, options.keep)
    return missed


# One edit


def _edit(folder: Path) -> list[str]:
    folder.mkdir()
    report = Report(f"One label edit, {EDITS} times, from one device to another under `sync --watch`")
    first = build(folder / "first", 500, with_thumbnails=False)
    with (
        contextlib.closing(first),
        WireCounter() as wire,
        relay_process(folder / "relay", "--origin", wire.url) as (url, relay),
    ):
        wire.connect(url)
        sync(first, wire.url, new_invite(folder / "relay"))
        with contextlib.closing(newcomer(first, folder / "second", wire.url)) as second:
            sync(first)
            sync(second)
            with _watching(folder / "first") as here, _watching(folder / "second") as there:
                ends = {"editing device": here, "relay": relay, "other device": there}
                spent = {end: Processor(process) for end, process in ends.items()}
                with contextlib.ExitStack() as stack:
                    for one in spent.values():
                        stack.enter_context(one)
                    times, bytes_of = _edits(first, second, wire, here, there)
    report.line("from commit to another device's catalog, median", f"{median(times) * 1000:.0f} ms")
    worst = percentile(times, 0.95)
    report.line(
        "from commit to another device's catalog, p95", f"{worst * 1000:.0f} ms", aim="< 300 ms", met=worst < 0.3
    )
    for end, one in spent.items():
        report.line(f"  processor time an edit, {end}, looking out included", f"{one.seconds / EDITS * 1000:.0f} ms")
    for what, sizes in bytes_of.items():
        size = median(sizes)
        report.line(what, f"{size:.0f} bytes", aim="<= 1.5 KB", met=size <= AIM_EDIT_BYTES)
        report.line("  the most of all edits", f"{max(sizes)} bytes")
    return report.missed


def _edits(
    first: Library, second: Library, wire: WireCounter, here: psutil.Process, there: psutil.Process
) -> tuple[list[float], dict[str, list[int]]]:
    """Edit on the first device until the second shows it, again and again; return the seconds, and bytes by way."""
    pids = random.Random(1).sample(first.catalog.pids("", sort="taken"), EDITS + 2)
    times: list[float] = []
    names = (
        "editing device to relay",
        "relay to editing device",
        "other device to relay",
        "relay to other device",
    )
    bytes_of: dict[str, list[int]] = {name: [] for name in names}
    for number, pid in enumerate(pids):
        label = f"seen {number} {os.urandom(4).hex()}"
        _until_quiet(wire)
        wire.take(here.pid)
        wire.take(there.pid)
        edits.add_label(first, [pid], label)
        begin = time.perf_counter()
        while label not in _labels(second, pid):
            if time.perf_counter() - begin > 60:
                raise RuntimeError("the edit does not come to the other device")
            time.sleep(0.002)
        taken = time.perf_counter() - begin
        _until_quiet(wire)
        counts = (*wire.take(here.pid), *wire.take(there.pid))
        if number >= 2:
            times.append(taken)
            for name, count in zip(names, counts, strict=True):
                bytes_of[name].append(count)
    return times, bytes_of


def _labels(library: Library, pid: bytes) -> set[str]:
    library.refresh()
    found = library.catalog.photo(pid)
    return set() if found is None else {label.name for label in found.labels}


def _until_quiet(wire: WireCounter, seconds: float = 0.5) -> None:
    """Wait until nothing has crossed the wire for a while."""
    while time.monotonic() - wire.moved_at < seconds:
        time.sleep(seconds / 10)


@contextlib.contextmanager
def _watching(root: Path) -> Iterator[psutil.Process]:
    """Run `safelight sync --watch` on a library until the block ends."""
    passphrase = root.parent / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_bytes(PASSPHRASE)
    command = [sys.executable, "-P", "-m", "tui.cli", "--library", str(root), "sync", "--watch", "--json"]
    environment = {**os.environ, "SAFELIGHT_PASSPHRASE_FILE": str(passphrase)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("`sync --watch` ended")
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=60)


# Photos


def _photos(folder: Path, count: int, rounds: int) -> list[str]:
    folder.mkdir()
    with contextlib.closing(_library_of_photos(folder / "first", count)) as first:
        blobs = [first.blobs.path(blob_id) for blob_id in first.blobs.iter_ids()]
        total = sum(path.stat().st_size for path in blobs)
        report = Report(f"{count:,} photos, {total / 1e6:,.0f} MB, {AT_ONCE} at a time")
        best: dict[str, _Pass] = {}
        for turn in range(rounds):
            _bare_turn(folder / f"bare-{turn}", blobs, best)
            _engine_turn(folder / f"turn-{turn}", first, best)
        for what, stack in (("push", "bare push"), ("pull", "bare pull")):
            ours, bare = best[what], best[stack]
            ratio, by_processor = bare.seconds / ours.seconds, bare.processor / ours.processor
            report.line(f"{what} by the engine", f"{total / ours.seconds / 1e6:.0f} MB/s")
            report.line(f"{what} by the bare HTTP stack", f"{total / bare.seconds / 1e6:.0f} MB/s")
            aim = f">= {AIM_OF_STACK} of the stack"
            report.line(f"{what}: engine to bare stack", f"{ratio:.2f}", aim=aim, met=ratio >= AIM_OF_STACK)
            report.line("  the same by processor time of both ends", f"{by_processor:.2f}")
            for end, spent in ours.spent.items():
                report.line(
                    f"  processor time a MB, {end}",
                    f"{spent / total * 1e9:.1f} ms",
                    aim=f"bare {bare.spent[end] / total * 1e9:.1f}",
                )
            for end, more in ours.memory.items():
                report.line(f"  memory more than before, {end}", f"{more / 1e6:.0f} MB")
    return report.missed


class _Pass:
    """One way of all bytes: seconds, and processor time and memory of both ends."""

    def __init__(self, action: Callable[[], object], server: psutil.Process) -> None:
        ends = {"this device": psutil.Process(), "relay": server}
        peaks = {end: Peak(process) for end, process in ends.items()}
        spent = {end: Processor(process) for end, process in ends.items()}
        with contextlib.ExitStack() as stack:
            for end in ends:
                stack.enter_context(peaks[end])
                stack.enter_context(spent[end])
            self.seconds = seconds_of(action)[0]
        self.spent = {end: one.seconds for end, one in spent.items()}
        self.processor = sum(self.spent.values())
        self.memory = {end: peak.more for end, peak in peaks.items()}


def _keep_best(best: dict[str, _Pass], what: str, taken: _Pass) -> None:
    if what not in best or taken.seconds < best[what].seconds:
        best[what] = taken


def _bare_turn(folder: Path, blobs: list[Path], best: dict[str, _Pass]) -> None:
    back = folder.parent / f"{folder.name}-back"
    back.mkdir()
    with bare_process(folder) as (url, process), httpx2.Client(base_url=url, trust_env=False, timeout=60) as http:
        push = _Pass(lambda: each(AT_ONCE, blobs, lambda path: bare_put(http, path)), process)
        pull = _Pass(lambda: each(AT_ONCE, blobs, lambda path: bare_get(http, path, back)), process)
    _keep_best(best, "bare push", push)
    _keep_best(best, "bare pull", pull)
    _remove(folder, back)


def _engine_turn(folder: Path, first: Library, best: dict[str, _Pass]) -> None:
    folder.mkdir()
    with relay_process(folder / "relay") as (url, process), contextlib.closing(SyncEngine(first)) as engine:
        engine.relays.use(url, new_invite(folder / "relay"))
        push = _Pass(lambda: done(engine.run()), process)
        with contextlib.closing(newcomer(first, folder / "second", url)) as second:
            done(engine.run())
            with contextlib.closing(SyncEngine(second)) as theirs:
                pull = _Pass(lambda: done(theirs.run(originals=True)), process)
        engine.relays.remove(url)
    _keep_best(best, "push", push)
    _keep_best(best, "pull", pull)
    _remove(folder)


def _library_of_photos(root: Path, count: int, sizes: tuple[int, int] = (1_500_000, 6_000_000)) -> Library:
    """Make a library whose originals are here: random bytes, as long as photos of 12 megapixels are."""
    library, _ = Library.create(root, PASSPHRASE, device_name="first", kdf=COSTS)
    rng = random.Random(count)
    for start in range(0, count, 64):
        changes: dict[str, list[Operation]] = {}
        with library.blobs.batch() as batch:
            for number in range(start, min(count, start + 64)):
                pid, document, operations = photo(number, timedelta(hours=6), rng, "model@1")
                ref = batch.put_bytes(os.urandom(rng.randint(*sizes)))
                record = CopyRecord(role="original", key=ref.key, size=ref.size, file_name=f"IMG_{number:04}.jpg")
                facts = [one for one in operations if one.map != "copy"]
                changes.setdefault(document, []).extend([*facts, Put("copy", copy_key(pid, ref.id), record.pack())])
        library.commit(changes, action="import", summary=f"up to {start + 64} photos imported")
    return library


def _big(folder: Path) -> list[str]:
    folder.mkdir()
    report = Report(f"One file of {BIG / 1e9:.1f} GB")
    library, _ = Library.create(folder / "first", PASSPHRASE, device_name="first", kdf=COSTS)
    source = folder / "source"
    piece = random.Random(1).randbytes(PIECE)
    with source.open("wb") as file:
        for at in range(0, BIG, PIECE):
            file.write(piece[: min(PIECE, BIG - at)])
    with contextlib.closing(library):
        key = os.urandom(32)
        pid, document, operations = photo(0, timedelta(hours=1), random.Random(0), "model@1")
        from crypto.blob import blob_key_hasher

        hasher = blob_key_hasher(library.epoch)
        with source.open("rb") as file:
            while read := file.read(PIECE):
                hasher.update(read)
            key = hasher.digest()
            file.seek(0)
            ref = library.blobs.put_file(file, BIG, key)
        record = CopyRecord(role="original", key=ref.key, size=ref.size, file_name="big.tif")
        facts = [one for one in operations if one.map != "copy"]
        library.commit(
            {document: [*facts, Put("copy", copy_key(pid, ref.id), record.pack())]}, action="import", summary="one file"
        )
        best: dict[str, _Pass] = {}
        _engine_turn(folder / "turn", library, best)
    for what, taken in best.items():
        report.line(f"{what}", f"{BIG / taken.seconds / 1e6:.0f} MB/s")
        for end, more in taken.memory.items():
            report.line(
                f"{what}: memory more than before, {end}",
                f"{more / 1e6:.0f} MB",
                aim=f"<= {AIM_MEMORY / 1e6:.0f} MB",
                met=more <= AIM_MEMORY,
            )
    return report.missed


# A new device


def _newcomer(folder: Path, count: int, keep: Path | None) -> list[str]:
    folder.mkdir()
    root = (keep or folder) / "spread"
    if root.exists():
        first = Library.open(root, Library.unlock(root, PASSPHRASE))
    else:
        begin = time.perf_counter()
        first = build(root, count)
        print(f"library of {count:,} photos: made in {time.perf_counter() - begin:.0f} s", flush=True)
    with contextlib.closing(first), relay_process(folder / "relay") as (url, _):
        photos = first.catalog.count("")
        report = Report(f"A new device of a library of {photos:,} photos")
        with contextlib.closing(SyncEngine(first)) as engine:
            for one in engine.relays.urls():  # a run that was interrupted left the relay that ended with it
                engine.relays.remove(one)
            engine.relays.use(url, new_invite(folder / "relay"))
            begin = time.perf_counter()
            done(engine.run())
            report.line("everything given to the relay", f"{time.perf_counter() - begin:.1f} s")
            with contextlib.closing(newcomer(first, folder / "second", url)) as second:
                done(engine.run())
                _Arrival(second, photos).measure(report)
            for one in engine.relays.urls():
                engine.relays.remove(one)
    return report.missed


class _Arrival:
    """The first sync of a new device, and what it can show meanwhile."""

    def __init__(self, library: Library, photos: int) -> None:
        self._library = library
        self._photos = photos
        self._engine = SyncEngine(library, progress=self._look)
        self._begin = self._spent = 0.0
        self._shown: tuple[float, float, float, int] | None = None
        self._whole: tuple[float, float] | None = None

    def measure(self, report: Report) -> None:
        with contextlib.closing(self._engine), Peak(psutil.Process()) as peak:
            self._begin, self._spent = time.perf_counter(), time.process_time()
            done(self._engine.run())
            everything = time.perf_counter() - self._begin
        if self._shown is None or self._whole is None:
            raise RuntimeError("the library did not come by way of a checkpoint: it is too small to have one")
        catalog, screen, screen_spent, moved = self._shown
        whole, whole_spent = self._whole
        report.line("newest month in the catalog", f"{catalog:.2f} s")
        what = f"thumbnails of its newest {FIRST_SCREEN} photos, too"
        report.line(what, f"{screen:.2f} s", aim="< 3 s", met=screen < 3)
        report.line("  processor time of this device", f"{screen_spent:.2f} s")
        report.line("bytes of bodies before it", f"{moved / 1e6:.2f} MB", aim="< 2 MB", met=moved < 2e6)
        report.line("whole catalog", f"{whole:.1f} s", aim="< 60 s", met=whole < 60)
        report.line("  processor time of this device", f"{whole_spent:.1f} s")
        report.line("all thumbnails", f"{everything:.1f} s")
        report.line("memory more than before", f"{peak.more / 1e6:.0f} MB")

    def _look(self, step: SyncProgress) -> None:
        """Show the first screen as soon as there is one: while the sync waits, the user looks."""
        now = time.perf_counter() - self._begin
        if step.stage != "checkpoint":
            return
        if self._shown is None and len(pids := self._library.catalog.pids("", limit=FIRST_SCREEN)) == FIRST_SCREEN:
            link = self._engine.link(step.url)
            if link is None:
                raise RuntimeError("not connected")
            self._read_thumbnails(pids, Transfers(self._library, [link.client]))
            traffic = link.client.traffic
            shown = time.perf_counter() - self._begin
            self._shown = now, shown, time.process_time() - self._spent, traffic.sent + traffic.received
        if self._whole is None and self._library.catalog.count("") == self._photos:
            self._whole = now, time.process_time() - self._spent

    def _read_thumbnails(self, pids: Sequence[bytes], transfers: Transfers) -> None:
        refs = self._library.catalog.thumbnails(pids)
        readers: dict[bytes, BlobReader] = {}
        for pid in pids:
            ref = refs[pid]
            if ref.blob_id not in readers:
                readers[ref.blob_id] = BlobReader(transfers.range_reader(ref.blob_id), ref.key)
            if len(readers[ref.blob_id].read(ref.offset, ref.length)) != ref.length:
                raise RuntimeError("a thumbnail is cut off")


# Devices


def newcomer(inviter: Library, root: Path, url: str) -> Library:
    """Return a device that was just paired: it knows the membership entries and the relay, and has synced nothing."""
    secrets = DeviceSecrets.generate()
    members = inviter.members
    draft = draft_add(members.membership, members.secrets, members.keyring, secrets.device_id, secrets.exchange_public)
    inviter.add_entries([countersign(draft, inviter.library_id, secrets)])
    entries = inviter.log.membership_entries()
    genesis = entries.pop(inviter.library_id)
    library = Library.create_from(root, PASSPHRASE, secrets, genesis, list(entries.values()), kdf=COSTS)
    with contextlib.closing(SyncEngine(library)) as engine:
        engine.relays.remember([url])
    return library


def sync(library: Library, url: str | None = None, invite: str | None = None) -> None:
    """Sync a library once; with `url`, begin to use that relay."""
    with contextlib.closing(SyncEngine(library)) as engine:
        if url is not None:
            engine.relays.use(url, invite)
        done(engine.run())


def done(report: SyncReport) -> None:
    """Raise what a sync met."""
    if report.worst_error is not None:
        raise report.worst_error


def _remove(*folders: Path) -> None:
    import shutil

    for folder in folders:
        shutil.rmtree(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "big"], metavar="PART")
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--library-photos", type=int, default=LIBRARY_PHOTOS)
    parser.add_argument("--keep", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(bool(main()))
