"""Mend what `core.verify` finds: from relays what they hold, from the log what is derived, from its history records.

Whatever comes from a relay is checked as if it were new before it takes a place, and what stood there goes only once
the good one is in place and was read back. The only copy of anything is never deleted: what has to move is set aside in
the folder `set-aside`. Each step is whole by itself, so being stopped, or killed, loses nothing; repeating it goes on.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from core.copy_records import repair as put_record_right
from core.errors import (
    BlobDamaged,
    BlobMissing,
    ChainBroken,
    CoreError,
    EnvelopeDamaged,
    LogDamaged,
    LogRolledBack,
    NoSuchRelay,
    NotAMember,
    StorageFailed,
)
from core.layout import Layout
from core.library import Library
from core.log_repair import LogRepair, repair_log, unused_name
from core.private_files import make_private_folder
from core.rebuild import rebuild
from core.verify import DERIVED_DAMAGED, RECORD_INVALID, Problem, VerifyReport, verify
from crdt.errors import RecordInvalid
from crdt.records import CopyRecord
from crdt.schema import split_copy_key
from crypto.blob import encrypted_size
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from core.sync.named_blobs import NamedBlob
    from core.sync.report import SyncProgress
    from core.sync.transfers import Transfers
    from core.verify import VerifyProgress
    from crypto.keys import DeviceSecrets

    Connect = Callable[[str], RelayClient]

_OF_LOG: Final = frozenset({LogDamaged.name, EnvelopeDamaged.name, ChainBroken.name})
_OF_BLOBS: Final = frozenset({BlobDamaged.name, BlobMissing.name, StorageFailed.name})
_AT_ONCE: Final = 32
_NAMELESS: Final = (
    "No relay was asked, as the log that is left names none. Type `safelight verify --repair --relay URL` with the "
    "address of one; else put log.db back from a backup, or join the library anew into another folder. Until then all "
    "that is left can be searched and exported."
)
_ELSEWHERE: Final = (
    "No relay that answered has it whole. Sync the device that has it and repeat this, or put the file back from a "
    "backup of the `blobs` folder; where you still have the photo itself, import it again."
)
_NO_RELAY: Final = (
    "This library uses no relay that could have it. Put the file back from a backup of the `blobs` folder; where you "
    "still have the photo itself, import it again."
)
_HOLE: Final = (
    "No relay that answered has what is missing. Put log.db back from a backup, or sync the device that has it and "
    "repeat this; else join the library anew into another folder. Until then all that is left can be searched and "
    "exported."
)


@dataclass
class RepairReport:
    """What was mended, and in `after` what was not: its problems say what to do now.

    `before` is None where the library could not be opened. `blobs` and `blob_bytes` were fetched from relays and put in
    place; `derived` files were removed to be made again; `records` of files were put right from history. `unreachable`
    are relays that could not be asked, `refused` what others gave out that does not hold.
    """

    before: VerifyReport | None
    after: VerifyReport
    log: LogRepair | None = None
    blobs: int = 0
    blob_bytes: int = 0
    derived: int = 0
    records: int = 0
    unreachable: list[CoreError] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    stopped: bool = False

    @property
    def set_aside(self) -> Path | None:
        """The copy of the old log, where another one took its place."""
        return None if self.log is None else self.log.set_aside


def repair(
    root: Path,
    secrets: DeviceSecrets,
    *,
    deep: bool = False,
    relays: Sequence[str] = (),
    connect: Connect = RelayClient,
    progress: VerifyProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RepairReport:
    """Verify the library in `root`, mend what can be mended, and verify again; `secrets` are what the passphrase opens.

    `relays` are asked beside those that the library uses: a log that is lost says of none. `progress(what, done, all)`
    counts envelopes, blobs, what is read of a damaged log ("log") and files fetched ("fetched"). `should_stop` is asked
    between any two steps. Raises what `Library.open` does where the library cannot be opened after all, and
    `LibraryBusy` where the log is damaged while another process has it open.
    """
    should_stop = should_stop or (lambda: False)
    before, urls = _look(root, secrets, deep=deep, progress=progress, should_stop=should_stop)
    report = RepairReport(before, before or VerifyReport(deep=deep))
    urls += [url for url in relays if url not in urls]
    # A log that ends too early may lack no more than its last envelopes.
    if before is None or _names(before) & {*_OF_LOG, LogRolledBack.name}:
        report.log = repair_log(root, secrets, urls=urls, connect=connect, progress=progress, should_stop=should_stop)
        report.unreachable += report.log.unreachable
        report.refused += report.log.refused
    if should_stop():
        report.stopped = report.after.stopped = True
        return report
    if before is None or report.set_aside is not None:
        _take_up(root, secrets, report, urls, connect, progress, should_stop)
    with Library.open(root, secrets) as library:
        found = report.before
        if report.log is not None or found is None:
            found = verify(library, deep=deep, progress=progress, should_stop=should_stop)
        report.records = _put_records_right(library, found.problems)
        _mend_derived(library, report, found)
        _fetch_blobs(library, report, found, connect, progress, should_stop)
        report.stopped = should_stop()
        report.after = verify(library, deep=deep, progress=progress, should_stop=should_stop)
        hint = _ELSEWHERE if _relays(library) else _NO_RELAY
        of_log = _HOLE if report.log is None or report.log.asked else _NAMELESS
        report.after.problems = [_with_hint(problem, of_log, hint) for problem in report.after.problems]
    report.unreachable = list({str(error): error for error in report.unreachable}.values())
    return report


def _look(
    root: Path,
    secrets: DeviceSecrets,
    *,
    deep: bool,
    progress: VerifyProgress | None,
    should_stop: Callable[[], bool],
) -> tuple[VerifyReport | None, list[str]]:
    """Verify, and say which relays the library uses; None where its log does not let it be opened."""
    try:
        with Library.open(root, secrets) as library:
            report = verify(library, deep=deep, progress=progress, should_stop=should_stop)
            return report, _relays(library)
    except (LogDamaged, NotAMember):
        return None, []


def _relays(library: Library) -> list[str]:
    from core.sync.relays import Relays

    try:
        return Relays(library).urls()
    except CoreError:
        return []


def _take_up(
    root: Path,
    secrets: DeviceSecrets,
    report: RepairReport,
    urls: Sequence[str],
    connect: Connect,
    progress: VerifyProgress | None,
    should_stop: Callable[[], bool],
) -> None:
    """Let a log that was put together again be shown, and fetch the ends of chains that relays hold."""
    with Library.open(root, secrets) as library:
        if report.log is not None and report.log.needs_sync:
            _sync(library, report, urls, connect, progress, should_stop)
    # Opened anew: what an alarm was raised about may be here now. As long as anything is still to come, what was
    # derived before may be the only place that shows it.
    with Library.open(root, secrets) as library, contextlib.suppress(LogDamaged):
        if not library.doubts and not library.log.held_sizes():
            rebuild(library)


def _sync(
    library: Library,
    report: RepairReport,
    urls: Sequence[str],
    connect: Connect,
    progress: VerifyProgress | None,
    should_stop: Callable[[], bool],
) -> None:
    from core.sync.engine import SyncEngine

    def tell(step: SyncProgress) -> None:
        if progress is not None:
            progress("log", step.done, step.total or 0)
        if should_stop():
            engine.stop.set()

    with contextlib.closing(SyncEngine(library, connect=connect, progress=tell)) as engine:
        if not engine.relays.urls():
            engine.relays.remember(urls)
        synced = engine.run()
    report.unreachable += [relay.error for relay in synced.relays if relay.error is not None]
    report.refused += [str(alarm) for alarm in synced.alarms]


def _put_records_right(library: Library, problems: Sequence[Problem]) -> int:
    """Put back records of files that are none, of photos that a verification named; return how many."""
    count = 0
    for photo in {problem.photo for problem in problems if problem.name == RECORD_INVALID and problem.photo}:
        pid = bytes.fromhex(photo)
        for document in library.catalog.documents_of([pid]).values():
            for key, value in library.replica_items(document, "copy", f"{photo}/"):
                parts = split_copy_key(key)
                with contextlib.suppress(CoreError):
                    count += (
                        parts is not None
                        and not _is_record(value)
                        and put_record_right(library, pid, parts[1], [document]) is not None
                    )
    return count


def _is_record(value: object) -> bool:
    try:
        CopyRecord.unpack(value)  # type: ignore[arg-type]
    except (RecordInvalid, TypeError):
        return False
    return True


def _mend_derived(library: Library, report: RepairReport, found: VerifyReport) -> None:
    if DERIVED_DAMAGED in _names(found):
        report.derived = len(library.derived.remove_damaged())
        library.save_derived()


def _fetch_blobs(
    library: Library,
    report: RepairReport,
    found: VerifyReport,
    connect: Connect,
    progress: VerifyProgress | None,
    should_stop: Callable[[], bool],
) -> None:
    """Fetch the blobs that are missing or are not what their ids say."""
    from core.originals import transfers
    from core.sync.named_blobs import NamedBlob

    wanted = [blob for problem in found.problems for blob in _wanted(library, problem)]
    wanted += [NamedBlob(needed.snapshot.blob, "snapshot") for needed in library.base.missing()]
    if not wanted:
        return
    try:
        with transfers(library, connect, failures=report.unreachable) as moving:
            for start in range(0, len(wanted), _AT_ONCE):
                if should_stop():
                    return
                _fetch_some(library, report, moving, wanted[start : start + _AT_ONCE])
                if progress is not None:
                    progress("fetched", report.blobs, len(wanted))
            report.refused += [str(alarm) for alarm in moving.damaged]
    except NoSuchRelay:
        return
    except CoreError as error:
        report.unreachable.append(error)


def _fetch_some(library: Library, report: RepairReport, moving: Transfers, wanted: list[NamedBlob]) -> None:
    """Fetch some blobs anew; what is here of them stays beside them until they have been read back."""
    store, root = library.blobs, Layout(library.root).set_aside
    aside = {blob.id: unused_name(root / blob.id.hex()) for blob in wanted if store.exists(blob.id)}
    if aside:
        make_private_folder(root)
    for blob_id, path in aside.items():
        # A second name of the same file, where the file system has such; in any case the new one replaces it whole.
        with contextlib.suppress(OSError):
            os.link(store.path(blob_id), path)
    try:
        moving.fetch_all(wanted, anew=True)
    finally:
        for blob in wanted:
            with contextlib.suppress(BlobMissing, BlobDamaged, StorageFailed):
                store.check(blob.id)
                report.blobs += 1
                report.blob_bytes += store.size_on_disk(blob.id)
                _forget(aside.pop(blob.id, None))
        for blob_id, path in aside.items():
            # Nothing better came: the file is where it was, and needs no second name.
            if path.exists() and store.exists(blob_id) and path.samefile(store.path(blob_id)):
                _forget(path)
        with contextlib.suppress(OSError):
            root.rmdir()


def _forget(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def _wanted(library: Library, problem: Problem) -> Iterator[NamedBlob]:
    """Yield the blob that a problem is about, if another copy of it would mend it."""
    from core.sync.named_blobs import NamedBlob

    kind, _, digits = problem.thing.partition(" ")
    if problem.name not in _OF_BLOBS or kind != "blob":
        return
    blob_id = bytes.fromhex(digits)
    try:
        library.blobs.check(blob_id)
    except CoreError:
        copies = library.catalog.copies(bytes.fromhex(problem.photo)) if problem.photo else []
        sizes = [encrypted_size(copy.size) for copy in copies if copy.blob_id == blob_id]
        yield NamedBlob(blob_id, "original", max(sizes, default=None))


def _with_hint(problem: Problem, of_log: str, of_blobs: str) -> Problem:
    """Say of what could not be mended what is left to do."""
    if problem.name in _OF_LOG:
        return replace(problem, hint=of_log)
    return replace(problem, hint=of_blobs) if problem.name in _OF_BLOBS else problem


def _names(report: VerifyReport) -> set[str]:
    return {problem.name for problem in report.problems}
