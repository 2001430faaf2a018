"""Sync beside the app: a thread that keeps the library and its relays up to date while the app is used.

It works on the app's own `Library`, whose lock lets one thread in at a time and is never held while a relay is waited
for. `errand` is for everything else that talks to relays: each in a thread of its own, ended before the library closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar, cast

from core.errors import CoreError
from tui.app.error_lines import in_a_line
from tui.app.workers.library_thread import NotOpen
from tui.cli.output import count, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.library import Library
    from core.mailbox import Pace
    from core.sync.alarms import KeptAlarm
    from core.sync.report import SyncProgress, SyncReport
    from sync_relay.client import RelayClient
    from tui.app.workers.library_thread import LibraryThread

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_REQUEST_S: Final = 15.0
"""How long a request may take, and with it the end of the app."""
_TELL_EVERY_S: Final = 0.1
_STAGES: Final = {
    "pull": "fetching",
    "push": "sending",
    "upload": "sending files",
    "download": "fetching files",
    "checkpoint": "checkpoint",
}


@dataclass(frozen=True)
class SyncState:
    """How sync is. A new one takes its place whenever something changes.

    Attributes:
        relays: how many relays are in use; None until that is known.
        doing: what is being done now; empty between two rounds.
        synced_at: when all relays were last up to date with this device, in UTC seconds; None for not yet.
        troubles: why a relay could not be brought up to date, by its URL.
        news: what is to be said once: that a relay is out of reach, or answers again.
        alarms: the alarms that are kept, also those that were seen.
        unseen: how many of them nobody has looked at.
        changes: grows whenever the library may look different, also by what was written here.
        fetched: how many edits of others came in.
        error: why sync has ended altogether.
    """

    relays: int | None = None
    doing: str = ""
    synced_at: int | None = None
    troubles: tuple[tuple[str, str], ...] = ()
    news: str = ""
    alarms: int = 0
    unseen: int = 0
    changes: int = 0
    fetched: int = 0
    error: str | None = None

    @property
    def line(self) -> str:
        """A few words for the line at the bottom; none where the library uses no relay."""
        parts = [f"⚠ {count(self.unseen, 'alarm')}"] if self.unseen else []
        if self.error is not None:
            parts.append("sync stopped")
        elif self.relays:
            if self.doing:
                parts.append(self.doing)
            elif self.troubles and len(self.troubles) == self.relays:
                parts.append("offline")
            elif self.troubles:
                parts.append(f"{len(self.troubles)} of {self.relays} relays offline")
            elif self.synced_at is not None:
                parts.append("synced " + time.strftime("%H:%M", time.localtime(self.synced_at)))
        return " · ".join(parts)


class Syncing:
    """The sync of one library, from its opening to its end."""

    def __init__(self, library: LibraryThread) -> None:
        """Sync this library, once `start` is called."""
        self._library = library
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._errands: set[tuple[threading.Event, asyncio.Future[object]]] = set()
        self._on_change: Callable[[SyncState], None] | None = None
        self._tell: Callable[[], None] = lambda: None
        self._told_at = 0.0
        self._seen: frozenset[tuple[str, str, str | None]] = frozenset()
        self._kept: Sequence[KeptAlarm] = ()
        self._lock = threading.Lock()
        self.state = SyncState()
        self.pace: Pace | None = None
        """How patient a pairing is, where not as usual; for tests."""

    @property
    def is_running(self) -> bool:
        """Whether the thread is at work, or waits for news."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, on_change: Callable[[SyncState], None]) -> None:
        """Begin, where the library uses a relay; `on_change` is told of every new state, on the event loop."""
        self._on_change = on_change
        self._begin()

    async def again(self) -> None:
        """Sync with every relay now, also one that was just begun to be used; then go on."""
        await self._end()
        if self._on_change is not None:
            self._begin()

    def saw_alarms(self, alarms: Sequence[KeptAlarm]) -> None:
        """Note that these alarms were looked at: the line at the bottom is about others."""
        with self._lock:
            self._seen |= {_identity(alarm) for alarm in alarms}
            self._kept = alarms
        self._change()

    async def errand(self, work: Callable[[threading.Event], _Result]) -> _Result:
        """Return what `work` returns, which may take long; its argument is set when it is to end early."""
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()

        def deliver(result: object, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        def run() -> None:
            result: object = None
            failure: BaseException | None = None
            try:
                result = work(stop)
            except BaseException as error:  # noqa: BLE001 - it is raised where the errand was sent from
                failure = error
            with contextlib.suppress(RuntimeError):  # the app has ended
                loop.call_soon_threadsafe(deliver, result, failure)

        entry = (stop, answer)
        self._errands.add(entry)
        threading.Thread(target=run, name="errand", daemon=True).start()
        try:
            return cast("_Result", await asyncio.shield(answer))
        except asyncio.CancelledError:
            stop.set()
            answer.add_done_callback(_read)
            raise
        finally:
            if answer.done():
                self._errands.discard(entry)
            else:
                answer.add_done_callback(lambda _: self._errands.discard(entry))

    async def close(self) -> None:
        """End everything, and wait until it has."""
        self._on_change = None
        errands = list(self._errands)
        for stop, _ in errands:
            stop.set()
        await self._end()
        await asyncio.gather(*(answer for _, answer in errands), return_exceptions=True)

    def _begin(self) -> None:
        if self.is_running:
            return
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()  # a thread has none that knows the app

        def deliver() -> None:
            if self._on_change is not None:
                with self._lock:
                    state, self.state = self.state, replace(self.state, news="")
                self._on_change(state)

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the app has ended
                loop.call_soon_threadsafe(deliver, context=context)

        self._tell = tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name="sync", daemon=True)
        self._thread.start()

    async def _end(self) -> None:
        self._stop.set()
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def _run(self, stop: threading.Event) -> None:
        from core.sync.engine import SyncEngine
        from core.sync.relays import Relays

        try:
            library = self._library.library
            urls = Relays(library).urls()
            self._look_at_alarms(library)
            troubles = tuple((url, why) for url, why in self.state.troubles if url in urls)
            self._change(relays=len(urls), error=None, doing="syncing…" if urls else "", troubles=troubles)
            if not urls:
                return
            engine = SyncEngine(library, connect=_connect, progress=self._progress)
            before = engine.standing()

            def on_report(report: SyncReport) -> None:
                nonlocal before
                now = engine.standing()
                self._report(library, report, relays=len(engine.relays.urls()), changed=now != before)
                before = now

            engine.watch(stop, on_report)
        except NotOpen:
            if not stop.is_set():  # else it was locked before this began
                self._change(error="the library is not open", news="sync stopped: the library is not open")
        except CoreError as error:
            self._change(error=in_a_line(error), news=f"sync stopped: {error}")
        except Exception as error:  # noqa: BLE001 - said where sync is shown; the app goes on
            if not stop.is_set():
                _log.warning("sync_broke: %s", type(error).__name__)
                said = f"sync stopped: an error of the program itself ({type(error).__name__})"
                self._change(error=said, news=said)
        finally:
            self._change(doing="")

    def _progress(self, step: SyncProgress) -> None:
        now = time.monotonic()
        if now - self._told_at < _TELL_EVERY_S:
            return
        self._told_at = now
        of = f" of {step.total:,}" if step.total else ""
        self._change(doing=f"{_STAGES.get(step.stage, step.stage)} {step.done:,}{of}")

    def _report(self, library: Library, report: SyncReport, *, relays: int, changed: bool) -> None:
        before = dict(self.state.troubles)
        troubles, news = dict(before), []
        for relay in report.relays:
            if relay.error is None:
                if troubles.pop(relay.url, None) is not None:
                    news.append(f"{plain(relay.url)} answers again")
                continue
            troubles[relay.url] = str(relay.error)
            if relay.url not in before:  # said once, not at every try
                news.append(str(relay.error))
        self._look_at_alarms(library)
        well = bool(report.relays) and not troubles
        self._change(
            relays=relays,
            doing="",
            synced_at=int(time.time()) if well else self.state.synced_at,
            troubles=tuple(sorted(troubles.items())),
            news=" · ".join(news),
            changes=self.state.changes + changed,
            fetched=self.state.fetched + sum(relay.pulled for relay in report.relays),
        )

    def _look_at_alarms(self, library: Library) -> None:
        from core.sync.alarms import SyncAlarms

        kept = SyncAlarms(library).list()
        with self._lock:
            self._kept = kept

    def _change(self, **fields: object) -> None:
        with self._lock:
            if not fields.get("news"):
                fields.pop("news", None)  # what was not said yet is not forgotten
            unseen = sum(_identity(alarm) not in self._seen for alarm in self._kept)
            self.state = replace(self.state, alarms=len(self._kept), unseen=unseen, **fields)  # type: ignore[arg-type]
        self._tell()


def _connect(url: str) -> RelayClient:
    from sync_relay.client import RelayClient

    return RelayClient(url, timeout_s=_REQUEST_S)


def _identity(alarm: KeptAlarm) -> tuple[str, str, str | None]:
    return alarm.name, alarm.message, alarm.relay


def _read(answer: asyncio.Future[object]) -> None:
    """Take an error that nobody waits for any more, so that nobody complains of it."""
    if not answer.cancelled():
        answer.exception()
