"""Running an import in tests, and what it said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from core.importing.pipeline import import_paths

if TYPE_CHECKING:
    from pathlib import Path

    from core.importing.events import ImportEvent, ImportSummary
    from core.library import Library


class Heard:
    """A listener that keeps everything."""

    def __init__(self) -> None:
        self.events: list[ImportEvent] = []

    def __call__(self, event: ImportEvent) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[ImportEvent]:
        return [event for event in self.events if event.kind == kind]

    def reasons(self, kind: str) -> dict[str, str]:
        return {os.path.basename(event.path or ""): event.reason or "" for event in self.of(kind)}  # noqa: PTH119


def run(library: Library, *paths: Path, **options: object) -> tuple[ImportSummary, Heard]:
    heard = Heard()
    summary = import_paths(library, paths, label=False, workers=1, progress=heard, **options)  # type: ignore[arg-type]
    return summary, heard
