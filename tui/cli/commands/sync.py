"""`safelight sync`: bring this device and its relays up to date."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import click

from tui.cli import exit_codes, output
from tui.cli.interrupts import first_interrupt_stops
from tui.cli.options import json_option, library_options
from tui.cli.progress import sync_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library
    from core.sync.report import RelayReport, SyncProgress, SyncReport
    from tui.cli.session import Session


@click.command("sync")
@click.option("--watch", is_flag=True, help="Go on until ^C: send and fetch whatever is new at once.")
@click.option(
    "--originals/--no-originals",
    default=None,
    help="Keep every original on this device from now on; or fetch them when they are asked for (default).",
)
@json_option
@library_options
def command(session: Session, watch: bool, originals: bool | None, as_json: bool) -> int:
    """Send what is new here to the relays, and fetch what is new there.

    An interrupted sync is continued by repeating it. Thumbnails come along; an original is fetched when it is opened or
    exported, unless this device keeps all of them.

    Exit code 4: there are alarms, which `safelight relay status` shows; 5: no relay was reached; 6: a relay refused
    (its quota is full, or this device was revoked); 7: some relays were reached, others were not.
    """
    from core.originals import keep_every_original
    from core.sync.standing import relays_in_use

    with session.open_library() as library:
        relays_in_use(library)
        if originals is not None:
            keep_every_original(library, wanted=originals)
        teller = _Teller(as_json=as_json)
        run = _watch if watch else _once
        return run(library, teller)


def _once(library: Library, teller: _Teller) -> int:
    from core.sync.engine import SyncEngine

    with (
        sync_bar(shown=not teller.as_json) as advance,
        contextlib.closing(SyncEngine(library, progress=teller.progress(advance))) as engine,
    ):
        report = engine.run()
    return teller.finish(library, report)


def _watch(library: Library, teller: _Teller) -> int:
    from core.sync.engine import SyncEngine

    output.say("Watching; ^C ends it.")
    with first_interrupt_stops() as stopped:
        SyncEngine(library, progress=teller.progress(None)).watch(stopped, lambda report: teller.round(library, report))
    return teller.end(library)


class _Teller:
    """Tells what a sync does: lines for a person, or events."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._started = time.monotonic()
        self._sums = {"pulled": 0, "pushed": 0, "blobs_up": 0, "blobs_down": 0, "bytes_up": 0, "bytes_down": 0}
        self._missing = 0
        self._troubles: dict[str, str | None] = {}

    def progress(self, advance: Callable[[SyncProgress], None] | None) -> Callable[[SyncProgress], None]:
        """What the engine is to call while it works."""

        def tell(step: SyncProgress) -> None:
            if self.as_json:
                output.json_event(
                    {
                        "event": "progress",
                        "url": step.url,
                        "stage": step.stage,
                        "done": step.done,
                        "total": step.total,
                        "bytes": step.bytes,
                    }
                )
            elif advance is not None:
                advance(step)

        return tell

    def finish(self, library: Library, report: SyncReport) -> int:
        """Tell how a single sync ended, and return its exit code."""
        from core.sync.alarms import SyncAlarms
        from tui.cli.commands.relay import outcome

        self._tell_relays(report, always=True)
        alarms = self._tell_alarms(library, report)
        if self.as_json:
            self._done(alarms, report.missing)
        else:
            for line in _summary(report):
                output.line(line)
        if SyncAlarms(library).list():
            return exit_codes.INTEGRITY_ALARM
        return outcome([relay.error for relay in report.relays])

    def round(self, library: Library, report: SyncReport) -> None:
        """Tell what one round of watching moved, where it moved anything or something changed."""
        self._missing = report.missing
        self._tell_relays(report, always=False)
        self._tell_alarms(library, report)
        if report.moved and not self.as_json:
            for line in _summary(report):
                output.line(line)

    def end(self, library: Library) -> int:
        """Tell that watching is over, and return its exit code: relays that were out of reach now and then are none."""
        from core.sync.alarms import SyncAlarms

        alarms = len(SyncAlarms(library).list())
        if self.as_json:
            self._done(alarms, self._missing)
        return exit_codes.INTEGRITY_ALARM if alarms else exit_codes.DONE

    def _tell_relays(self, report: SyncReport, *, always: bool) -> None:
        for relay in report.relays:
            for name in self._sums:
                self._sums[name] += getattr(relay, name)
            # A relay that stays out of reach for a night is one line, not one a minute.
            trouble = None if relay.error is None else str(relay.error)
            changed = self._troubles.get(relay.url) != trouble
            self._troubles[relay.url] = trouble
            if self.as_json:
                if always or changed or relay.moved:
                    output.json_event(_relay_line(relay))
            elif relay.error is not None and (always or changed):
                named = "" if relay.url in str(relay.error) else f"{output.plain(relay.url)}: "
                output.error(f"{named}{output.plain(str(relay.error))}", relay.error.hint)
            elif changed and not always:
                output.say(f"{output.plain(relay.url)} answers again.")

    def _tell_alarms(self, library: Library, report: SyncReport) -> int:
        """Tell the alarms that are new, and that there are older ones; return how many there are."""
        from core.sync.alarms import SyncAlarms
        from tui.cli.commands.relay import alarm_line, show_alarm

        kept = SyncAlarms(library).list()
        fresh = {str(alarm) for alarm in report.alarms}
        for alarm in kept:
            if alarm.message in fresh:
                if self.as_json:
                    output.json_event(alarm_line(alarm))
                else:
                    show_alarm(alarm)
        older = sum(alarm.message not in fresh for alarm in kept)
        if older and not self.as_json:
            output.warn(
                f"{output.count(older, 'alarm')} of earlier syncs {'is' if older == 1 else 'are'} not cleared",
                "`safelight relay status` shows what to do; with --clear it forgets them.",
            )
        return len(kept)

    def _done(self, alarms: int, missing: int) -> None:
        reached = sum(trouble is None for trouble in self._troubles.values())
        output.json_event(
            {
                "event": "done",
                "relays": len(self._troubles),
                "reached": reached,
                **self._sums,
                "missing": missing,
                "alarms": alarms,
                "seconds": round(time.monotonic() - self._started, 3),
            }
        )


def _relay_line(relay: RelayReport) -> dict[str, Any]:
    error = relay.error
    return {
        "event": "relay",
        "url": relay.url,
        "pulled": relay.pulled,
        "pushed": relay.pushed,
        "blobs_up": relay.blobs_up,
        "blobs_down": relay.blobs_down,
        "bytes_up": relay.bytes_up,
        "bytes_down": relay.bytes_down,
        "error": None if error is None else error.name,
        "message": None if error is None else str(error),
        "hint": None if error is None else error.hint,
    }


def _summary(report: SyncReport) -> list[str]:
    lines = []
    for relay in report.relays:
        if relay.error is not None:
            continue
        up, down = output.file_size(relay.bytes_up), output.file_size(relay.bytes_down)
        moved = (
            f"sent {output.count(relay.pushed, 'edit')} and {output.count(relay.blobs_up, 'file')} ({up}), "
            f"fetched {output.count(relay.pulled, 'edit')} and {output.count(relay.blobs_down, 'file')} ({down})"
        )
        lines.append(f"{output.plain(relay.url)}: {moved if relay.moved else 'up to date'}")
    if report.missing:
        missing = output.count(report.missing, "file")
        lines.append(f"{missing} that other devices have not sent yet; they come with a later sync.")
    return lines
