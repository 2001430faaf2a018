"""What an edit consists of: values put at, and deleted from, the keys of a document's maps."""

from dataclasses import dataclass

Scalar = str | bytes | int | float | bool
"""What a key can hold. ``bool`` is distinct from ``int``: maps that hold one refuse the other."""


@dataclass(frozen=True, slots=True)
class Put:
    """Set ``key`` of ``map`` to ``value``; the value is checked against the schema when the edit is made."""

    map: str
    key: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove ``key`` from ``map``; no effect where there is none."""

    map: str
    key: str


Operation = Put | Delete
