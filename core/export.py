"""Export: originals, byte for byte, and XMP sidecars with what is known about them, into a folder of the user's.

Promises: a file is compared with the photo's id while it is written, and stands under its name only when it is whole;
a file that is there already is never replaced by another one (a sidecar that this program wrote is brought up to
date); the same export again writes nothing twice, so an interrupted one is continued by repeating it. What is exported
is in the clear; the files are readable by their owner only until the owner says otherwise.

Originals that are not on this device are fetched from a relay, some ahead of their turn, and go again once they are
written, unless they are to be kept: an export must not fill the disk with a second, encrypted copy of everything.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.catalog.records import DateSource
from core.errors import CoreError, DiskFull, ExportRefused, IntegrityAlarm, NoSuchPhoto, RelayRefused, RelayUnreachable
from core.export_names import Layout, Target, Wish, candidates, plan, safe_name, viewable_name
from core.originals import Originals
from core.private_files import open_private, replace_file, storage_error
from core.xmp import Sidecar, SidecarLabel, encode_sidecar, is_own_sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from core.catalog.records import Copy, PhotoRecord
    from core.library import Library
    from core.originals import Connect

SIDECAR_SUFFIX = ".xmp"
_PART_PREFIX = ".safelight-"
_PART_SUFFIX = ".part"
_STALE_SECONDS = 24 * 3600
_READ_BYTES = 1 << 20
_LARGEST_SIDECAR = 4 << 20
_RECORDS_AT_ONCE = 1000
_FETCHED_AT_ONCE = 32
_FETCHED_BYTES_AT_ONCE = 256 << 20


@dataclass(frozen=True)
class ExportEvent:
    """What became of one file. `path` is relative to the destination; `reason` says why it failed."""

    event: Literal["exported", "present", "failed"]
    photo: bytes
    path: str
    reason: str | None = None


@dataclass
class ExportSummary:
    """How many files were written, were there already, failed.

    `damaged` of the failed ones are integrity alarms; `unreachable` and `refused` are those of which the original could
    not be had from a relay. `fetched` counts originals that were.
    """

    exported: int = 0
    present: int = 0
    failed: int = 0
    damaged: int = 0
    unreachable: int = 0
    refused: int = 0
    sidecars: int = 0
    fetched: int = 0
    seconds: float = 0.0
    stopped: bool = False


def export(
    library: Library,
    query: str,
    destination: Path,
    *,
    layout: Layout = Layout.FLAT,
    sidecars: bool = True,
    keep: bool = False,
    connect: Connect | None = None,
    progress: Callable[[ExportEvent, int, int], None] = lambda _event, _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ExportSummary:
    """Write the photos that `query` finds into `destination`, which is made if it is not there.

    A photo that fails is reported and does not stop the others; a full disk does. `progress` gets each event, how many
    files are done, and how many there are. `should_stop` is asked between files. With `keep`, originals that were
    fetched for this stay in the library.

    Raises:
        QueryError: the query cannot be understood.
        ExportRefused: the destination is no folder one can write to, or lies in the library.
        DiskFull: nothing half-written is left.
    """
    started = time.monotonic()
    pids = library.catalog.pids(query)
    _prepare(library, destination)
    targets = plan(_wishes(library, pids), layout)
    summary = ExportSummary()
    done = 0
    with Originals(library, connect=connect) as originals:
        for batch in _batches(library, targets):
            originals.fetch_ahead([each.pid for each in batch if not _may_be_there(library, each, destination)])
            for target in batch:
                if should_stop():
                    summary.stopped = True
                    break
                event = _export(library, originals, target, destination, summary, sidecars=sidecars)
                done += 1
                progress(event, done, len(targets))
            summary.fetched += originals.forget_fetched(keep=keep)
            if summary.stopped:
                break
    summary.seconds = time.monotonic() - started
    return summary


def write_original(library: Library, pid: bytes, folder: Path, originals: Originals | None = None) -> Path:
    """Write the original of one photo into `folder`, verified, for another program to show; returns its path.

    Its name is the one it was imported with, with the ending of a picture. It is fetched, by `originals`, if it is not
    here, and stays then.

    Raises:
        NoSuchPhoto, BlobMissing, BlobDamaged, ExportRefused, StorageFailed: nothing is left in the folder.
        RelayUnreachable, RelayRefused, NoSuchRelay: it is not here, and cannot be fetched.
    """
    record = _record(library, pid)
    name = viewable_name(safe_name(_wish(record).file_name), record.mime or "")
    target = Target(pid, (), candidates(pid, name))
    with Originals(library) if originals is None else contextlib.nullcontext(originals) as fetching:
        path, _ = _write(library, fetching, target, folder)
    return path


def _batches(library: Library, targets: Sequence[Target]) -> Iterator[list[Target]]:
    """Yield the targets so many at a time that their originals may be here all at once."""
    batch: list[Target] = []
    size = 0
    for target in targets:
        batch.append(target)
        size += max((copy.size for copy in library.catalog.copies(target.pid) if copy.role == "original"), default=0)
        if len(batch) >= _FETCHED_AT_ONCE or size >= _FETCHED_BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _may_be_there(library: Library, target: Target, destination: Path) -> bool:
    """Tell whether a file of the photo's name and size is in its place already; what it holds is compared later."""
    sizes = {copy.size for copy in library.catalog.copies(target.pid) if copy.role == "original"}
    for name in target.names:
        with contextlib.suppress(OSError):
            if destination.joinpath(*target.folder, name).stat().st_size in sizes:
                return True
    return False


def _export(
    library: Library,
    originals: Originals,
    target: Target,
    destination: Path,
    summary: ExportSummary,
    *,
    sidecars: bool,
) -> ExportEvent:
    """Write one photo, and its sidecar if `sidecars`; an error becomes an event."""
    planned = "/".join((*target.folder, target.names[0]))
    try:
        path, was_there = _write(library, originals, target, destination)
        summary.present += was_there
        summary.exported += not was_there
        if sidecars:
            summary.sidecars += _write_sidecar(_sidecar(_record(library, target.pid)), path)
    except DiskFull:
        raise
    except CoreError as error:
        summary.failed += 1
        summary.damaged += isinstance(error, IntegrityAlarm)
        summary.unreachable += isinstance(error, RelayUnreachable)
        summary.refused += isinstance(error, RelayRefused)
        return ExportEvent("failed", target.pid, planned, str(error))
    return ExportEvent("present" if was_there else "exported", target.pid, path.relative_to(destination).as_posix())


def _sidecar(record: PhotoRecord) -> Sidecar:
    here = None if record.latitude is None or record.longitude is None else (record.latitude, record.longitude)
    return Sidecar(
        labels=tuple(SidecarLabel(label.name, by_model=label.source != "user") for label in record.labels),
        rejected=record.rejected,
        caption=record.caption or None,
        rating=record.rating,
        favourite=record.favourite,
        rotation=record.rotation,
        # The file's own date is in the file, and a guess would come back as the user's word; what it was guessed from,
        # the name and the time of the file, is exported as well.
        taken=record.taken_at if record.date_source is DateSource.USER else None,
        location=here,
        albums=record.albums,
    )


def _prepare(library: Library, destination: Path) -> None:
    place = Path(os.path.realpath(destination))
    if place.is_relative_to(os.path.realpath(library.root)):
        raise ExportRefused(
            "the destination lies in the library's own folder",
            hint="The library holds nothing in the clear: choose another.",
        )
    try:
        destination.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_leftovers(destination)
    except OSError as error:
        raise ExportRefused(
            f"cannot export to {destination}: {error.strerror}", hint="Name a folder that you can write to."
        ) from error


def _remove_leftovers(folder: Path) -> None:
    """Remove what an export that was killed had begun. A day old: another one may be running."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PART_PREFIX) and entry.name.endswith(_PART_SUFFIX):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS:
                        Path(entry.path).unlink()


def _record(library: Library, pid: bytes) -> PhotoRecord:
    record = library.catalog.photo(pid)
    if record is None:
        raise NoSuchPhoto(f"there is no photo {pid.hex()}", hint="It may have been purged meanwhile.")
    return record


def _wishes(library: Library, pids: Sequence[bytes]) -> Iterator[Wish]:
    for start in range(0, len(pids), _RECORDS_AT_ONCE):
        yield from map(_wish, library.catalog.photos(pids[start : start + _RECORDS_AT_ONCE]))


def _wish(record: PhotoRecord) -> Wish:
    return Wish(record.pid, record.filename or record.pid.hex(), record.taken_at, record.albums, record.mime or "")


def _original(library: Library, pid: bytes) -> Copy:
    originals = [copy for copy in library.catalog.copies(pid) if copy.role == "original"]
    if not originals:
        raise ExportRefused(f"photo {pid.hex()} has no original", hint="It may have been purged meanwhile.")
    return next((copy for copy in originals if library.blobs.exists(copy.blob_id)), originals[0])


def _write(library: Library, originals: Originals, target: Target, destination: Path) -> tuple[Path, bool]:
    """Write one original; returns its path, and whether it was there already."""
    folder = destination.joinpath(*target.folder)
    original = _original(library, target.pid)
    taken = _seconds(_record(library, target.pid).taken_at)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in target.names:
            if _is_photo(library, target.pid, original.size, folder / name):
                return folder / name, True
        part = _write_part(library, target.pid, originals.ensure(target.pid), folder, taken)
        try:
            for name in target.names:
                if _put(part, folder / name):
                    return folder / name, False
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, "an exported file") from error
    raise ExportRefused(
        f"other files have all the names that photo {target.pid.hex()} could get",
        hint="Export to an empty folder; nothing is replaced.",
    )


def _is_photo(library: Library, pid: bytes, size: int, path: Path) -> bool:
    """Whether the file at `path` is the photo, byte for byte: its id is a keyed hash of them."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return False
        hasher = library.epoch.photo_hasher()
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                hasher.update(piece)
    except OSError:
        return False
    return hasher.digest() == pid


def _write_part(library: Library, pid: bytes, original: Copy, folder: Path, taken: float | None) -> Path:
    path = folder / f"{_PART_PREFIX}{secrets.token_hex(8)}{_PART_SUFFIX}"
    hasher = library.epoch.photo_hasher()
    try:
        with (
            library.blobs.open(original.blob_id, original.key) as reader,
            os.fdopen(open_private(path), "wb") as file,
        ):
            for piece in reader.iter_chunks():
                hasher.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        _require(hasher.digest(), pid)
        if taken is not None:
            with contextlib.suppress(OSError, OverflowError, ValueError):  # a date before the file system's time
                os.utime(path, (taken, taken))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _require(digest: bytes, pid: bytes) -> None:
    if digest != pid:
        raise IntegrityAlarm(
            f"the original of photo {pid.hex()} is not the file that was imported",
            hint="`safelight verify --deep` says what else is damaged; import the file again from where it came.",
        )


def _put(part: Path, path: Path) -> bool:
    """Give the finished file its name, unless something has it; returns whether it worked."""
    try:
        os.link(part, path, follow_symlinks=False)
    except FileExistsError:
        return False
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EACCES, errno.ENOENT}:
            raise
        # No hard links here (FAT, some network shares): look, then rename; only another program could come between.
        if os.path.lexists(path):
            return False
        part.rename(path)
    return True


def _write_sidecar(sidecar: Sidecar, photo: Path) -> bool:
    """Write the sidecar beside `photo`; returns whether there was anything new to write."""
    path = photo.with_name(photo.name + SIDECAR_SUFFIX)
    data = encode_sidecar(sidecar)
    try:
        if os.path.lexists(path):
            there = _small_file(path)
            if there == data:
                return False
            if there is None or not is_own_sidecar(there):
                raise ExportRefused(
                    f"a sidecar of another program is there: {path.name}",
                    hint="Move it away, or export to another folder.",
                )
        replace_file(path, data)
    except OSError as error:
        raise storage_error(error, "a sidecar") from error
    return True


def _small_file(path: Path) -> bytes | None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST_SIDECAR:
        return None
    return path.read_bytes()


def _seconds(taken: str | None) -> float | None:
    """The date taken in UTC seconds; without an offset, as a clock on this machine's wall would have shown it."""
    if taken is None:
        return None
    try:
        return datetime.fromisoformat(taken).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
