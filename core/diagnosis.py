"""What state a library is in, in plain words: of its folder without any key, of what it holds, and of its relays.

Nothing is changed and nothing secret is in what is returned. Whatever is damaged is a finding, not an error: who asks
has a library that does not do what it should.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from core.errors import CoreError
from core.finding import Finding
from core.layout import Layout
from core.library_file import LibraryFile
from core.log_schema import SCHEMA_VERSION
from core.relay_errors import relay_errors
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from core.library import Library
    from core.log import RelayState

    Connect = Callable[[str], RelayClient]

_FREE_BYTES_WANTED: Final = 1_000_000_000
_MOST_SKEW_S: Final = 300
_LONG_UNSEEN_S: Final = 90 * 86_400
_RELAY_PATIENCE_S: Final = 10.0
_AT_ONCE: Final = 8
_REPAIR: Final = "`safelight verify --repair` puts back what relays hold; else restore log.db from a backup."
_MEANINGS: Final = {
    "withheld": "edits that another device has seen do not come: a relay holds them back, or was put back",
    "rolled-back": "a relay lacks what it had confirmed, and gets it again",
    "forked": "two different edits stand under one number of a device: a copy of it wrote, or its keys are elsewhere",
    "forged": "something was altered, or written over, by a relay, the network or a device; none of it counts",
    "not-a-member": "somebody who is no device of yours wrote something; none of it counts",
    "contradiction": "a device changed the list of devices in two ways at once",
    "deleted-in-use": "a device asked a relay to remove files that photos still use; they were given to it again",
    "blob-damaged": "a file came in as something else than it is; none of it was kept",
    "blob-missing": "no relay has a file that an edit names",
}


class _LogFigures(NamedTuple):
    envelopes: int
    devices: int
    held: int
    alarms: int


def storage_version() -> str:
    """Return which SQLite, and which form of `log.db`, this program works with."""
    return f"SQLite {sqlite3.sqlite_version}, log.db of schema {SCHEMA_VERSION}"


def of_folder(root: Path) -> Iterator[Finding]:
    """Yield what can be said of a library's folder without its keys: locked, damaged or on a read-only disk."""
    layout = Layout(root)
    try:
        file = LibraryFile.read(layout.library_file)
    except CoreError as error:
        yield Finding("library", False, str(error), error.hint)
    else:
        yield Finding("library", True, f"{root}, id {file.library_id.hex()}")
        yield _lock(file.library_id, root)
    yield from _permissions(layout)
    yield _log(layout)
    yield Finding("files", True, _sizes(layout))
    yield _room(root)
    if layout.set_aside.is_dir():
        yield Finding(
            "set-aside", True, f"{_size(_bytes_in(layout.set_aside))} in {layout.set_aside}: what a repair replaced"
        )


def of_library(library: Library) -> Iterator[Finding]:
    """Yield what can be said of a library that is open."""
    for look in (_writing, _devices, _waiting, _originals, _labels, _alarms):
        try:
            yield from look(library)
        except CoreError as error:
            yield Finding(look.__name__.removeprefix("_"), False, str(error), error.hint)


def of_relays(library: Library, *, ask: bool = True, connect: Connect | None = None) -> Iterator[Finding]:
    """Yield how things stand with each relay: what is remembered, and with `ask`, what it says now."""
    from core.sync.relays import Relays

    relays = Relays(library)
    urls = relays.urls()
    if not urls:
        yield Finding("relays", True, "none in use: what is here may be nowhere else (docs/sync.md)")
    for url in urls:
        yield _remembered(library, url)
    if ask and urls:
        reach = connect or (lambda url: RelayClient(url, timeout_s=_RELAY_PATIENCE_S))
        states = {url: relays.state(url)[0] for url in urls}
        with ThreadPoolExecutor(min(_AT_ONCE, len(urls))) as pool:
            for found in pool.map(lambda url: list(_asked(library, url, states[url], reach)), urls):
                yield from found


def _lock(library_id: bytes, root: Path) -> Finding:
    from core.agent import agent_status

    try:
        status = agent_status(library_id, root)
    except CoreError as error:
        return Finding("lock", False, str(error), error.hint)
    if status is None:
        return Finding("lock", True, "locked: no agent runs, each command asks for the passphrase")
    until = time.strftime("%H:%M", time.localtime(status.expires_at))
    return Finding(
        "lock", True, f"unlocked: an agent keeps this device's keys until {until} (`safelight lock` ends it)"
    )


def _permissions(layout: Layout) -> Iterator[Finding]:
    if not layout.root.is_dir():
        return
    writable = os.access(layout.root, os.W_OK)
    yield Finding(
        "writable",
        writable,
        "files can be written" if writable else "read only: it can be neither changed nor synced",
        "Look at the folder's owner, and whether its disk is mounted read only.",
    )
    if os.name != "posix":
        return
    mode = stat.S_IMODE(layout.root.stat().st_mode)
    yield Finding(
        "folder", not mode & 0o077, f"mode {mode:o}", f"Nobody else needs to enter it: chmod 700 '{layout.root}'."
    )
    strange, open_ = [], []
    for path in [layout.root, *sorted(layout.root.iterdir()), *_inside(layout.derived)]:
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid != os.geteuid():
                strange.append(path.name)
            if stat.S_IMODE(status.st_mode) & 0o077 and path != layout.root and not path.is_symlink():
                open_.append(path.name)
    if strange:
        yield Finding("owner", False, f"{_few(strange)} belong to another user", "Give them to yourself: chown -R.")
    yield Finding(
        "permissions",
        not open_,
        f"others may read {_few(open_)}" if open_ else "only their owner reads the files",
        f"What is in them is encrypted, library.toml apart; all the same: chmod -R go= '{layout.root}'.",
    )


def _log(layout: Layout) -> Finding:
    if not layout.log.is_file():
        return Finding("log", False, "log.db is missing", _REPAIR)
    size = _size(layout.log.stat().st_size)
    try:
        figures = _figures(layout.log)
    except sqlite3.Error as error:
        return Finding("log", False, f"log.db, {size}, is damaged: {error}", _REPAIR)
    held = f"; {figures.held:,} held until what they build on comes" if figures.held else ""
    return Finding(
        "log",
        True,
        f"log.db, {size}: {_count(figures.envelopes, 'envelope')} of {_count(figures.devices, 'device')}{held}; "
        f"{_count(figures.alarms, 'alarm')} kept (`safelight verify` checks what is in it)",
    )


def _figures(path: Path) -> _LogFigures:
    """Count what `log.db` holds without a key and without writing, also where nothing beside it can be written."""
    last: sqlite3.Error | None = None
    for more in ("mode=ro", "mode=ro&immutable=1"):
        try:
            with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?{more}", uri=True)) as log:
                version = int(log.execute("PRAGMA user_version").fetchone()[0])
                if version > SCHEMA_VERSION:
                    raise sqlite3.DatabaseError(f"a newer version of Safelight wrote it (schema {version})")
                tables = ("envelope", "chain_head", "held", "alarm")
                there = {name for (name,) in log.execute("SELECT name FROM sqlite_schema")}
                if not {"envelope", "chain_head", "fact", "membership"} <= there:
                    raise sqlite3.DatabaseError("it is not the log of a library")
                counts = [
                    int(log.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) if name in there else 0  # noqa: S608
                    for name in tables
                ]
                return _LogFigures(*counts)
        except sqlite3.Error as error:
            last = last or error
    raise last or sqlite3.DatabaseError("it cannot be read")


def _sizes(layout: Layout) -> str:
    count = size = 0
    with contextlib.suppress(OSError):
        for folder in os.scandir(layout.blobs):
            if folder.is_dir(follow_symlinks=False) and folder.name != "incoming":
                for blob in os.scandir(folder.path):
                    count, size = count + 1, size + blob.stat(follow_symlinks=False).st_size
    return f"{count:,} encrypted files ({_size(size)}) in {layout.blobs}, {_size(_bytes_in(layout.derived))} derived"


def _room(root: Path) -> Finding:
    try:
        free = shutil.disk_usage(root).free
    except OSError as error:
        return Finding("disk", False, str(error.strerror), "Look at the disk that the library is on.")
    return Finding("disk", free >= _FREE_BYTES_WANTED, f"{_size(free)} free", "Free some space before an import.")


def _writing(library: Library) -> Iterator[Finding]:
    for alarm in library.alarms:
        yield Finding(alarm.name, False, str(alarm), alarm.hint)
    copied = [doubt for doubt in library.doubts if doubt not in library.alarms]
    if copied:
        detail = f"with its next edit this folder becomes a device of its own: {copied[0]}"
        yield Finding("edits", True, detail, copied[0].hint)
    elif not library.alarms:
        yield Finding("edits", True, "can be made")
    if library.base.missing():
        yield Finding(
            "arriving",
            True,
            f"{len(library.base.missing()):,} parts of the library are still to be fetched: `safelight sync` does that",
        )


def _devices(library: Library) -> Iterator[Finding]:
    from core.devices import devices

    records = devices(library)
    present = [record for record in records if not record.revoked]
    revoked = len(records) - len(present)
    names = ", ".join(f"{record.name or 'unnamed'}{' (this one)' if record.this else ''}" for record in present)
    detail = f"{_count(len(present), 'device')}: {names}" + (f"; {revoked} revoked" if revoked else "")
    is_in = any(record.this for record in present)
    yield Finding(
        "devices",
        is_in,
        detail if is_in else f"this device was revoked; {detail}",
        "Everything here can still be searched and exported; join the library anew into another folder.",
    )
    for record in present:
        if record.this:
            continue
        name = record.name or record.device_id.hex()[:12]
        if record.last_seen is None:
            unheard = f"{name}: nothing of it has arrived here since it was added on {_day(record.added_at)}"
            out = "if it never finished joining, `safelight device revoke` takes it out"
            yield Finding("device", True, f"{unheard}; {out}")
            continue
        long_ago = time.time() - record.last_seen > _LONG_UNSEEN_S
        more = "; if it is lost, `safelight device revoke` takes it out" if long_ago else ""
        yield Finding("device", True, f"{name}: its newest edit that is here is of {_day(record.last_seen)}{more}")


def _waiting(library: Library) -> Iterator[Finding]:
    from core.log import BLOB_PURGED

    held = library.log.held_sizes()
    count = sum(number for number, _ in held.values())
    if count:
        yield Finding(
            "held",
            True,
            f"{_count(count, 'edit')} of {_count(len(held), 'device')} wait here for earlier ones, or for a key that "
            "other devices give when they sync, or were written after a device was revoked: `safelight sync` brings "
            "what is missing, if any relay has it",
        )
    purged = len(library.log.blobs_in_state(BLOB_PURGED))
    if purged:
        yield Finding("purged", True, f"{_count(purged, 'file')} purged for good; relays are told with each sync")


def _originals(library: Library) -> Iterator[Finding]:
    from core.originals import keeps_every_original

    here = elsewhere = 0
    for pid in (*library.catalog.pids(), *library.catalog.pids("is:trash")):
        copies = [copy.blob_id for copy in library.catalog.copies(pid) if copy.role == "original"]
        if any(map(library.blobs.exists, copies)):
            here += 1
        else:
            elsewhere += 1
    kept = "this device keeps every original" if keeps_every_original(library) else "others are fetched when asked for"
    yield Finding("originals", True, f"{here:,} here, {elsewhere:,} elsewhere; {kept}")


def _labels(library: Library) -> Iterator[Finding]:
    from core.active_model import active_model

    model = active_model(library.setting)
    if model is None:
        yield Finding("labels", True, "no model is chosen and none is built in: photos get no labels by themselves")
        return
    lacking = library.catalog.count("is:unlabelled")
    more = f"; {_count(lacking, 'photo')} without any label (`safelight retag` labels what no model has seen)"
    yield Finding("labels", True, f"by {model}{more if lacking else ', every photo has one'}")


def _alarms(library: Library) -> Iterator[Finding]:
    from core.sync.alarms import SyncAlarms

    kept = SyncAlarms(library).list()
    names = sorted({alarm.name for alarm in kept})
    detail = f"{_count(len(kept), 'alarm')} of past syncs: {', '.join(names)}" if kept else "no sync has raised any"
    yield Finding("alarms", not kept, detail, "`safelight relay status` says what happened and what to do.")
    for name in names:
        newest = max(alarm.at for alarm in kept if alarm.name == name)
        meaning = _MEANINGS.get(name, "a newer version of Safelight, or a damaged entry, says so")
        yield Finding("alarm", False, f"{name}, last on {_day(newest)}: {meaning}")


def _remembered(library: Library, url: str) -> Finding:
    from core.sync.relays import Relays
    from core.sync.standing import unsent

    _, facts = Relays(library).state(url)
    if not facts.at:
        return Finding("relay", False, f"{url}: never up to date with this device", "Run `safelight sync`.")
    left = unsent(library, url)
    if left.edits or left.files:
        told = f"{_count(left.edits, 'edit')} and {_count(left.files, 'file')} to send"
    else:
        told = "it has everything that is here"
    lacking = len(facts.lacking)
    return Finding(
        "relay",
        not lacking,
        f"{url}: up to date {time.strftime('%Y-%m-%d %H:%M', time.localtime(facts.at))}, {told}",
        f"{_count(lacking, 'file')} could not be sent: they are not on this device. Sync the device that has them.",
    )


def _asked(library: Library, url: str, state: RelayState, connect: Connect) -> Iterator[Finding]:
    try:
        with relay_errors(url), contextlib.closing(connect(url)) as client:
            clock = client.about().time
            now = time.time()
            session = client.sign_in(library.members.secrets, library.library_id, int(now))
            usage = client.usage()
    except CoreError as error:
        yield Finding("relay now", False, str(error), error.hint)
        return
    position = state.cursor if session.generation == state.generation else 0
    behind = max(0, session.position - position)
    news = f"{behind:,} entries of its log not read here yet" if behind else "nothing new there"
    yield Finding("relay now", True, f"{url}: answers; {news}")
    full = usage.bytes >= usage.quota_bytes or usage.objects >= usage.quota_objects
    yield Finding(
        "quota",
        not full,
        f"{url}: {_size(usage.bytes)} of {_size(usage.quota_bytes)}, {usage.objects:,} of {usage.quota_objects:,} "
        "objects",
        "Ask its owner for more room; what is purged leaves it after 30 days.",
    )
    skew = clock - now
    if abs(skew) > _MOST_SKEW_S:
        sooner = "ahead of" if skew > 0 else "behind"
        yield Finding(
            "clock",
            True,
            f"the clock of {url} is {abs(skew) / 60:,.0f} minutes {sooner} this device's: nothing rests on clocks, but "
            "times that are shown are off on one of the two",
        )


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _bytes_in(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(folder))
    return 0


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004  as above


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _day(at: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _size(size: int) -> str:
    """Return a size in bytes as people say it: powers of 1000, as disks and quotas are sold."""
    amount, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004
            break
        amount, unit = amount / 1000, larger
    return f"{size:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"
