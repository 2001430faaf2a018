"""Sync: every relay is read to its end, then given what it lacks, then this device fetches what it wants.

All of it may be killed at any point and done again, by several processes at once. What one relay does, or does not do,
keeps no other from being brought up to date.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from typing import TYPE_CHECKING, Final

from core.arrival import has_arrived
from core.errors import BlobDamaged, BlobMissing, CoreError, IntegrityAlarm, LibraryCopied, LogRolledBack, SyncAlarm
from core.relay_errors import relay_errors
from core.sync.alarms import SyncAlarms
from core.sync.checkpoints import checkpoint_if_due, confirm_pending, replace_lost
from core.sync.fetch import Fetch, Fetched
from core.sync.greeting import Greeting
from core.sync.holdings import say_what_is_held
from core.sync.link import Link
from core.sync.membership import give_keys
from core.sync.patience import Patience, Stopped
from core.sync.pull import Pull
from core.sync.purged import finish_purges
from core.sync.push import Push
from core.sync.relays import Relays
from core.sync.report import RelayReport, SyncProgress, SyncReport
from core.sync.transfers import Transfers
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from core.library import Library
    from core.sync.relays import Connect

_log = logging.getLogger(__name__)

_MOST_FORKS: Final = 3


class SyncEngine:
    """Syncs one library, once (`run`) or for as long as wanted (`watch`). Used by one thread."""

    def __init__(
        self,
        library: Library,
        *,
        connect: Connect = RelayClient,
        progress: Callable[[SyncProgress], None] | None = None,
        patience: Callable[[], Patience] | None = None,
    ) -> None:
        """Sync `library`.

        `connect` makes the client of a URL, `progress` is told what is being done, and `patience` makes what decides,
        for one run and one relay, how often something is tried again.
        """
        self.library = library
        self.relays = Relays(library, connect=connect)
        self.alarms = SyncAlarms(library)
        self.stop = threading.Event()
        """Set it from any thread to end a run at the next pause, and `watch`."""
        self._connect = connect
        self._tell = progress or (lambda _: None)
        self._make_patience = patience or (lambda: Patience(self.stop))
        self._links: dict[str, Link] = {}
        self._fetched: Fetched | None = None
        self._nowhere: set[bytes] = set()
        self.given: object = None
        """The `standing` as of which relays were last given what they lack."""

    def close(self) -> None:
        """Close all connections."""
        for link in self._links.values():
            link.client.close()
        self._links.clear()

    def run(self, *, originals: bool | None = None, only: Sequence[str] | None = None) -> SyncReport:
        """Bring this device and its relays up to date with each other, once; the connections stay for the next run.

        `originals` decides for this run whether all originals are fetched; `only` names the relays to sync with.
        Relays that fail are in the report, with why. Raises what is wrong with the library itself.
        """
        self.library.refresh()
        self.relays.settle()
        report = SyncReport()
        done: set[str] = set()
        while urls := [url for url in self.relays.urls() if (only is None or url in only) and url not in done]:
            report.add(self.exchange(urls, pull=urls, full=True, originals=originals))
            done.update(urls)  # another device may have begun to use more, of which we have just heard
        if report.relays and report.worst_error is None:
            has_arrived(self.library)
        return report

    def exchange(
        self, urls: Sequence[str], *, pull: Collection[str], full: bool = False, originals: bool | None = None
    ) -> SyncReport:
        """Read the relays `pull`, then give all of `urls` what they lack, and fetch what this device wants.

        What is needed only now and then is left out unless `full`: looking again for what nobody had, checkpoints, and
        what others have seen and no relay gives out.
        """
        report = SyncReport()
        links = self._open_links(report, urls, full=full)
        transfers = Transfers(self.library, [], progress=self._blob_progress)
        step = functools.partial(self._take_and_give, report, transfers, pull=pull, full=full, originals=originals)
        try:
            with Greeting(links) as greeting:
                first = greeting.first()
                done = step(first, [])
                others = greeting.later(first)
                if others:
                    step(others, done)
        except Stopped:
            pass
        finally:
            for link in links:
                link.count_traffic()
                report.alarms += link.new_alarms
                link.new_alarms = []
            report.alarms += transfers.damaged
        return report

    def standing(self) -> object:
        """Return what differs once anybody wrote to the library."""
        return self.library.log.heads(), self.library.log.membership_count()

    def link(self, url: str) -> Link | None:
        """Return what is known of a relay by being connected to it, or None."""
        return self._links.get(url)

    def _take_and_give(
        self,
        report: SyncReport,
        transfers: Transfers,
        links: list[Link],
        done: list[Link],
        *,
        pull: Collection[str],
        full: bool,
        originals: bool | None,
    ) -> list[Link]:
        """Take from `links` and give to them; `done` have had their turn, and get what these brought.

        Returns those with which all went well.
        """
        transfers.clients = [link.client for link in (*done, *links)]
        live = [
            link
            for link in links
            if link.url not in pull or self._try(link, functools.partial(self._pull, link, transfers))
        ]
        live = self._still_used(report, [*done, *live])
        transfers.clients = [link.client for link in live]
        if pull:
            finish_purges(self.library)
        if full:
            self._now_and_then(report, everything=len(live) == len(report.relays))
        if self.given == self.standing():
            live = [link for link in live if link not in done]
        self.given = self.standing()
        self._nowhere.clear()
        live = [link for link in live if self._try(link, functools.partial(self._push, link, transfers, full=full))]
        transfers.clients = [link.client for link in dict.fromkeys((*live, *done))]
        self._fetch(report, live, transfers, originals=originals, retry=full)
        if full:
            self._confirm(live, transfers)
        for link in live:
            self._try(link, functools.partial(link.remember, done=link.report.error is None))
        return live

    def _open_links(self, report: SyncReport, urls: Sequence[str], *, full: bool) -> list[Link]:
        for url in set(self._links) - set(self.relays.urls()):
            self._links.pop(url).client.close()
        links = []
        for url in urls:
            relay = RelayReport(url)
            report.relays.append(relay)
            try:
                with relay_errors(url):
                    link = self._links.get(url) or Link(
                        self.library, self.relays, self._connect(url), self.alarms, self._make_patience()
                    )
            except CoreError as error:
                relay.error = error
                continue
            link.patience = self._make_patience()
            link.report = relay
            link.begin(full=full)
            self._links[url] = link
            links.append(link)
        return links

    def _still_used(self, report: SyncReport, links: list[Link]) -> list[Link]:
        """Leave out the relays that another device has left, as was just read."""
        used = set(self.relays.urls())
        report.relays = [relay for relay in report.relays if relay.url in used]
        return [link for link in links if link.url in used]

    def _try(self, link: Link, step: Callable[[], object]) -> bool:
        """Take one step with one relay; where it fails, remember why, and tell that this relay is done with."""
        try:
            with relay_errors(link.url):
                step()
        except (IntegrityAlarm, CoreError) as error:
            if isinstance(error, (SyncAlarm, BlobDamaged, BlobMissing)):
                link.raise_(error)
            elif isinstance(error, IntegrityAlarm):
                raise
            link.report.error = link.report.error or error
            link.reset()
            _log.info("sync_failed: %s", error.name)
            return False
        return True

    def _pull(self, link: Link, transfers: Transfers) -> None:
        if link.connect().position > link.state.cursor:
            self.library.expect_changes()  # it is ready by the time that what is new has crossed the network
        pull = Pull(self.library, link, transfers, functools.partial(self._progress, link))
        try:
            pull.run()
        finally:
            self.library.refresh()
            if pull.forked_self is not None:
                self._become_new()

    def _now_and_then(self, report: SyncReport, *, everything: bool) -> None:
        doubtful = [*self.library.take_distrust(), *self.relays.left_out()]
        report.alarms += [alarm for alarm in doubtful if self.alarms.raise_(alarm)]
        if everything and report.relays:
            for alarm in self.library.ingest.unaccounted():
                if self.alarms.raise_(alarm):
                    report.alarms.append(alarm)
        give_keys(self.library)
        with contextlib.suppress(LibraryCopied, LogRolledBack):
            checkpoint_if_due(self.library)

    def _push(self, link: Link, transfers: Transfers, *, full: bool = True) -> None:
        for _ in range(_MOST_FORKS):
            push = Push(self.library, link, transfers, functools.partial(self._progress, link))
            push.run(full=full)
            link.report.error = link.report.error or push.full
            self._nowhere |= push.nowhere
            if push.forked_self is None:
                return
            self._become_new()

    def _fetch(
        self, report: SyncReport, live: list[Link], transfers: Transfers, *, originals: bool | None, retry: bool
    ) -> None:
        if not live:
            return
        fetch = Fetch(self.library, transfers, originals=originals, known=self._fetched, retry=retry)
        self._try(live[0], fetch.run)
        self._fetched = fetch.known
        live[0].report.blobs_down += fetch.count
        report.alarms += [alarm for alarm in fetch.alarms if self.alarms.raise_(alarm)]
        if fetch.alarms:
            for link in live:
                self._try(link, functools.partial(self._push, link, transfers, full=False))
        report.missing = fetch.missing

    def _confirm(self, live: list[Link], transfers: Transfers) -> None:
        """Confirm a checkpoint, and give relays the word that lets them drop what it covers; say what is held here."""
        if not live:
            return
        before = self.library.log.last_position()
        prunes: list[bytes] = []
        self._try(live[0], lambda: prunes.extend(self._confirm_or_replace(transfers)))
        with contextlib.suppress(LibraryCopied, LogRolledBack):
            say_what_is_held(self.library)
        moved = self.library.log.last_position() != before
        for link in live:
            if moved and not self._try(link, functools.partial(self._push, link, transfers)):
                continue
            if prunes:
                self._try(link, functools.partial(Push(self.library, link, transfers).state, prunes))

    def _confirm_or_replace(self, transfers: Transfers) -> list[bytes]:
        """Return the prune statements to send; a checkpoint of which parts are nowhere any more is replaced first."""
        statements: list[bytes] = []
        missing: BlobMissing | None = None
        try:
            statements = confirm_pending(self.library, transfers.fetch)
        except BlobMissing as error:
            missing = error
        with contextlib.suppress(LibraryCopied, LogRolledBack):
            if self._nowhere and replace_lost(self.library, self._nowhere):
                return confirm_pending(self.library, transfers.fetch)
        if missing is not None:
            raise missing
        return statements

    def _become_new(self) -> None:
        """Somebody else writes as this device: from here on, this folder is a device of its own."""
        self.library.become_new_device()

    def watch(self, stop: threading.Event, on_report: Callable[[SyncReport], None]) -> None:
        """Keep everything up to date until `stop` is set; `on_report` is called after each run that did something."""
        from core.sync.watch import Watch

        self.stop = stop
        self.library.expect_changes()
        make_patience, self._make_patience = self._make_patience, lambda: Patience(stop, tries=2, budget_s=5)
        try:
            Watch(self, stop, on_report).run()
        finally:
            self._make_patience = make_patience
            self.close()

    def _progress(self, link: Link, stage: str, done: int, count: int | None) -> None:
        self._tell(SyncProgress(link.url, stage, done, count))

    def _blob_progress(self, url: str, stage: str, done: int, count: int, size: int) -> None:
        self._tell(SyncProgress(url, stage, done, count, size))
