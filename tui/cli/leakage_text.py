"""What `relay leakage` prints: tables of what a relay holds, and what follows, in sentences."""

from __future__ import annotations

import dataclasses
import textwrap
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tui.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.sync.leakage import Leakage

_WIDTH = 100
_MOST_BURSTS = 10
_SHORT = 12


def leakage_line(found: Leakage) -> dict[str, Any]:
    """All of it, as JSON shows it: everything that the relay holds, one by one, and the sentences."""
    from core.sync.leakage import HIDDEN, SEEN, STORED

    return {
        "event": "leakage",
        **dataclasses.asdict(found),
        "stored": dict(STORED),
        "seen": list(SEEN),
        "hidden": list(HIDDEN),
        "sentences": list(found.sentences()),
    }


def leakage_text(found: Leakage) -> Iterator[str]:
    """Tables for a person, then sentences."""
    from core.sync.leakage import STORED

    yield output.plain(found.url)
    yield f"  knows this library as {found.library}"
    yield ""
    yield "  key           yours by the name of    state    edits       bytes"
    for device in found.devices:
        name = output.plain(device.name or "?")[:22]
        state = "active" if device.active else "revoked"
        yield f"  {device.id[:_SHORT]}  {name:22}  {state:7}  {device.edits:5,}  {device.bytes:10,}"
    yield ""
    kinds = Counter(item.kind for item in found.items)
    yield "  in its log: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    states = Counter(file.state for file in found.files)
    yield "  files: " + (", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none")
    yield "  edits by hour (UTC), 0 to 23: " + " ".join(str(count) for count in found.hours)
    largest = sorted(found.bursts, key=lambda burst: -burst.files)[:_MOST_BURSTS]
    if largest:
        yield ""
        yield "  files that came together           by            files       bytes"
        for burst in sorted(largest, key=lambda burst: burst.at):
            at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(burst.at))
            yield f"  {at:33}  {burst.device[:_SHORT]}  {burst.files:5,}  {burst.bytes:10,}"
    yield ""
    for sentence in found.sentences():
        yield from textwrap.wrap(output.plain(sentence), _WIDTH, initial_indent="  - ", subsequent_indent="    ")
    yield ""
    yield "  Everything that its database has a place for:"
    for column, meaning in STORED.items():
        yield from textwrap.wrap(
            meaning, _WIDTH, initial_indent=f"  {column:22}  ", subsequent_indent=" " * 26, break_on_hyphens=False
        )
