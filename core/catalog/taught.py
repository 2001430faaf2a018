"""The labels that were taught: which photos they are of, beside what the documents say.

No document names these photos: they are worked out on each device (`core.teaching`). They stand in a table of their
own, by photo id, and in the rows of labels, so that searches and counts take them like any other label; when a photo's
rows are written again, its taught labels are joined to them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, insert, literal, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from core.catalog.entry import TAUGHT, USER, LabelEntry, accepted
from core.catalog.library_document import TAUGHT_MAP, WORDS_PREFIX
from core.catalog.query_sql import listed
from core.catalog.tables import SCORE_UNIT, label_photo, library_value, photo, rejected, taught

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from core.catalog.entry import PhotoEntry
    from core.catalog.labels import Labeller
    from core.catalog.terms import Terms

_STATE = "taught state"
"""Stands for a map in `library_value`: as of which state of its making a label's photos are known."""
_CHUNK = 500


def taught_labels(connection: Connection, terms: Terms, pids: Collection[bytes]) -> dict[bytes, list[LabelEntry]]:
    """Return the taught labels of photos, at most as many as one statement takes."""
    found: defaultdict[bytes, list[LabelEntry]] = defaultdict(list)
    for pid, number, score in connection.execute(select(taught).where(taught.c.pid.in_(list(pids)))):
        found[pid].append(LabelEntry(terms.label_name(number), TAUGHT, score))
    return found


def with_taught(entry: PhotoEntry, labels: Sequence[LabelEntry], labeller: Labeller) -> PhotoEntry:
    """Return what is known of a photo with its taught labels; those that the user took away stay away."""
    if not labels:
        return entry
    return msgspec.structs.replace(entry, labels=accepted([*entry.labels, *labels], entry.rejected, labeller))


class TaughtWriter:
    """Writes taught labels. The caller commits."""

    def __init__(self, connection: Connection, terms: Terms) -> None:
        """Write through this connection, naming labels by these terms."""
        self._connection = connection
        self._terms = terms

    def put(self, name: str, scores: Mapping[bytes, float], state: str | None, labeller: Labeller) -> None:
        """Label exactly these photos; without a ``state`` the label is known no longer."""
        number, model = self._terms.label(name), self._terms.require("model", TAUGHT)
        own = (label_photo.c.label == number, label_photo.c.model == model)
        before = set(self._connection.execute(select(label_photo.c.photo).where(*own)).scalars())
        self._connection.execute(delete(label_photo).where(*own))
        self._connection.execute(delete(taught).where(taught.c.label == number))
        rows = [
            {"pid": pid, "label": number, "score": min(SCORE_UNIT, max(0, round(score * SCORE_UNIT)))}
            for pid, score in scores.items()
        ]
        if rows:
            self._connection.execute(insert(taught), rows)
        denying = [self._terms.labels[other] for other in (name, *labeller.above(name)) if other in self._terms.labels]
        denied = select(rejected.c.photo).where(rejected.c.photo == photo.c.id, rejected.c.label.in_(denying))
        shown = (
            select(taught.c.label, photo.c.id, literal(model), taught.c.score)
            .join(photo, photo.c.pid == taught.c.pid)
            .where(taught.c.label == number, ~denied.exists())
        )
        self._connection.execute(insert(label_photo).from_select(["label", "photo", "model", "score"], shown))
        after = set(self._connection.execute(select(label_photo.c.photo).where(*own)).scalars())
        self._name_models(sorted(before ^ after))
        value = {"map": _STATE, "key": name, "value": state or ""}
        statement = sqlite_insert(library_value)
        replaced = {"value": statement.excluded.value}
        self._connection.execute(statement.on_conflict_do_update(index_elements=["map", "key"], set_=replaced), value)

    def state(self, name: str) -> str | None:
        """Return the state that was put with a label."""
        return self._states().get(name)

    def forget_others(self, labeller: Labeller) -> None:
        """Take away the labels that the library names no longer."""
        named = set(
            self._connection.execute(select(library_value.c.key).where(library_value.c.map == TAUGHT_MAP)).scalars()
        )
        words = select(library_value.c.key).where(
            library_value.c.map == "setting", library_value.c.key.startswith(WORDS_PREFIX, autoescape=True)
        )
        named.update(key.removeprefix(WORDS_PREFIX) for key in self._connection.execute(words).scalars())
        # States go where the whole document is read anew; what they were of does not.
        numbers = self._connection.execute(select(taught.c.label).distinct()).scalars()
        known = {*self._states(), *(self._terms.label_name(number) for number in numbers)}
        for name in known - named:
            self.put(name, {}, None, labeller)

    def decisions(self, name: str) -> tuple[list[bytes], list[bytes]]:
        """Return the photos to which the user gave the label, and those of which he took it away."""
        number = self._terms.labels.get(name)
        user = self._terms.known("model", USER)
        given = (
            select(photo.c.pid)
            .join(label_photo, label_photo.c.photo == photo.c.id)
            .where(label_photo.c.label == number, label_photo.c.model == user)
            .order_by(photo.c.pid)
        )
        refused = (
            select(photo.c.pid)
            .join(rejected, rejected.c.photo == photo.c.id)
            .where(rejected.c.label == number)
            .order_by(photo.c.pid)
        )
        return list(self._connection.execute(given).scalars()), list(self._connection.execute(refused).scalars())

    def _states(self) -> dict[str, str]:
        rows = self._connection.execute(
            select(library_value.c.key, library_value.c.value).where(library_value.c.map == _STATE)
        )
        return {row.key: row.value for row in rows if row.value}

    def _name_models(self, numbers: Sequence[int]) -> None:
        """Write anew who gives these photos labels."""
        for start in range(0, len(numbers), _CHUNK):
            chunk = numbers[start : start + _CHUNK]
            wanted = {"numbers": msgspec.json.encode(chunk).decode()}
            said: dict[int, set[str]] = {number: set() for number in chunk}
            rows = select(label_photo.c.photo, label_photo.c.model).where(listed(label_photo.c.photo))
            for number, model in self._connection.execute(rows, wanted):
                said[number].add(self._terms.text(model) or "")
            alike: defaultdict[str, list[int]] = defaultdict(list)
            for number, names in said.items():
                alike[" ".join(sorted(names))].append(number)
            for models, photos in alike.items():
                self._connection.execute(
                    update(photo).where(listed(photo.c.id)).values(models=self._terms.number("models", models or None)),
                    {"numbers": msgspec.json.encode(photos).decode()},
                )
