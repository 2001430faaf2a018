"""Looking after a library: making room on this device, and checking what is stored."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tui.app.screens.ask import AskScreen, Choice, ConfirmScreen
from tui.app.screens.long_work import worked
from tui.app.workers.long_work import LongTask
from tui.cli.output import count, file_size, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library
    from tui.app.screens.listing import ListingScreen

_TWO, _ONE = "two others have to hold each original", "one relay alone is enough"
_LOOK, _READ, _REMOVE = "look whether everything is there", "read everything through", "also remove what nothing names"
_MOST_PROBLEMS = 20


async def free_room(screen: ListingScreen) -> None:
    """Ask the relays what is safe there, say what would be freed, and free it on a yes. Raises `NotOpen`."""
    how = await _one_of(
        screen,
        "Free up space",
        "Every relay in use has to show, now, that it holds each byte of an original.",
        _TWO,
        _ONE,
    )
    if how is None:
        return
    found: list[int] = []
    dry = partial(_free, single_copy=how == _ONE, dry_run=True, freed=found)
    lines = await worked(screen.app, LongTask("asking what is safe elsewhere", unit="originals"), dry)
    if not lines or not found or not found[0]:
        return
    question = (
        "\n".join(map(plain, lines)) + "\n\nThumbnails and previews stay; an original is fetched when it is opened."
    )
    if not await screen.app.push_screen_wait(ConfirmScreen("Free up space", question, yes="Free it")):
        return
    wet = partial(_free, single_copy=how == _ONE, dry_run=False, freed=found)
    done = await worked(screen.app, LongTask("freeing space", unit="originals"), wet)
    if done:
        screen.say(done[0])


async def verify_library(screen: ListingScreen) -> None:
    """Check the library, and show what was found. Raises `NotOpen`."""
    how = await _one_of(screen, "Verify", "Nothing is changed by looking and reading.", _LOOK, _READ, _REMOVE)
    if how is None:
        return
    check = partial(_verify, deep=how == _READ, gc=how == _REMOVE)
    lines = await worked(screen.app, LongTask("verifying", unit="pieces"), check)
    if lines:
        screen.say(lines[0], error=len(lines) > 1)


async def _one_of(screen: ListingScreen, title: str, hint: str, *answers: str) -> str | None:
    async def suggest(_typed: str) -> Sequence[Choice]:
        return [Choice(answer) for answer in answers]

    return await screen.app.push_screen_wait(AskScreen(title, hint=hint, suggest=suggest, only_listed=True))  # type: ignore[no-any-return]


def _free(library: Library, task: LongTask, *, single_copy: bool, dry_run: bool, freed: list[int]) -> list[str]:
    from core.sync.free import free

    def follow(_event: object, done: int, total: int) -> None:
        task.done, task.total = done, total

    report = free(library, single_copy=single_copy, dry_run=dry_run, progress=follow, should_stop=task.should_stop)
    freed[:] = [report.freed]
    verb = "would be freed" if dry_run else "freed"
    kept = sorted(report.reasons.items(), key=lambda item: (-item[1], item[0]))
    return [
        f"{count(report.freed, 'original')} {verb} ({file_size(report.bytes)})",
        *(f"{count(number, 'original')} kept: {reason}" for reason, number in kept),
    ]


def _verify(library: Library, task: LongTask, *, deep: bool, gc: bool) -> list[str]:
    from core.verify import verify

    report = verify(library, deep=deep, gc=gc, progress=lambda _what, done, total: task.advance(done, total))
    checked = (
        f"{count(report.envelopes, 'envelope')} and {count(report.blobs, 'blob')} ({file_size(report.blob_bytes)})"
    )
    verdict = count(len(report.problems), "problem") if report.problems else "everything is as it was written"
    lines = [f"verified {checked}: {verdict}"]
    for problem in report.problems[:_MOST_PROBLEMS]:
        of = f" ({problem.photo[:12]} {problem.file or ''})" if problem.photo else ""
        lines.append(f"{problem.name}: {problem.message}{of}")
        if problem.hint:
            lines.append(f"  → {problem.hint}")
    if len(report.problems) > _MOST_PROBLEMS:
        lines.append(f"… and {len(report.problems) - _MOST_PROBLEMS} more: `safelight verify` lists them all")
    if report.removed_blobs:
        lines[0] += f"; removed {count(report.removed_blobs, 'blob')} ({file_size(report.removed_bytes)})"
    return lines
