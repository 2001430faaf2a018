"""Damaging the values inside MessagePack, JSON and TOML: what comes out is read as such, as damaged bytes seldom are.

What decodes the first two is no Python, so that coverage cannot show the way through it; and of none it shows which
values are odd.
"""

from __future__ import annotations

import json
import math
import tomllib
from typing import TYPE_CHECKING, Any, AnyStr

import msgspec

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

_MOST_PLACES = 2000
_ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 255, 1 << 31, 1 << 53, (1 << 63) - 1, (1 << 64) - 1, -(1 << 63), 253_402_300_800,
    0.0, -0.0, 0.5, 1e308, math.nan, math.inf, -math.inf, "", "\0", "a", "\u0130\u0301", "9999-12-31T23:59:59",
    "/" * 300, "\U0001f436", b"", b"\0", bytes(16), bytes(31), bytes(32), bytes(64), [], {}, [[]], {"": None},
)  # fmt: skip
_Place = tuple[Any, Any]
"""A list or a mapping, and an index or a key of it."""


def change_value(data: bytes, start: int, chance: random.Random, longest: int) -> bytes | None:
    """Return `data` with a value or two changed of what begins at `start`; None where that is no such form, or grows.

    The same `chance` makes the same change.
    """
    for decode, encode in _FORMS:
        try:
            root = [decode(data[start:])]
        except (msgspec.MsgspecError, RecursionError, ValueError):
            continue
        for _ in range(chance.randint(1, 2)):
            _change(root, chance)
        try:
            changed = data[:start] + encode(root[0] if root else None)
        except (msgspec.MsgspecError, RecursionError, ValueError, TypeError, OverflowError):
            return None
        return changed if len(changed) <= longest else None
    return None


def _write_toml(root: Any) -> bytes:
    """Return a mapping as TOML, its own mappings as tables; what TOML has no form for as a text."""
    if not isinstance(root, dict):
        return _toml_value(root).encode("utf-8", "replace")
    lines = [f"{_quoted(key)} = {_toml_value(value)}" for key, value in root.items() if not isinstance(value, dict)]
    for key, table in root.items():
        if isinstance(table, dict):
            lines.append(f"[{_quoted(key)}]")
            lines += [f"{_quoted(name)} = {_toml_value(value)}" for name, value in table.items()]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {_toml_value(inside)}" for key, inside in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else _quoted(value)


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


_FORMS: tuple[tuple[Callable[[bytes], Any], Callable[[Any], bytes]], ...] = (
    (msgspec.json.decode, msgspec.json.encode),
    (msgspec.msgpack.decode, msgspec.msgpack.encode),
    (lambda data: tomllib.loads(data.decode()), _write_toml),
)


def _places(root: Any) -> Iterator[_Place]:
    waiting = [root]
    count = 0
    while waiting and count < _MOST_PLACES:
        inside = waiting.pop()
        for at, value in list(inside.items() if isinstance(inside, dict) else enumerate(inside)):
            yield inside, at
            count += 1
            if isinstance(value, list | dict):
                waiting.append(value)


def _change(root: list[Any], chance: random.Random) -> None:
    places = list(_places(root))
    if not places:
        return
    inside, at = chance.choice(places)
    value = inside[at]
    match chance.randrange(8):
        case 0 | 1:
            inside[at] = chance.choice(_ODD)
        case 2 | 3:
            inside[at] = _near(value, chance)
        case 4:
            other, where = chance.choice(places)
            inside[at] = other[where]
        case 5 if inside is not root:
            del inside[at]
        case 6 if isinstance(inside, list):
            inside[at:at] = [value] * chance.choice((1, 1, 2, 70))
        case 7 if isinstance(inside, dict):
            inside[chance.choice((*range(40), "", "a", -1))] = inside.pop(at)
        case _:
            inside[at] = [value]


def _near(value: Any, chance: random.Random) -> Any:
    """Return something of the type of `value`, and not far from it."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice((value + 1, value - 1, value * 2, -value, value ^ (1 << chance.randrange(63))))
    if isinstance(value, float):
        return chance.choice((value + 1, -value, value * 1e9, value / 1e9))
    if isinstance(value, str) and value:
        return _damaged(value, chance.choice(("\0", "/", ":", "0", "\u00e9")), chance)
    if isinstance(value, bytes) and value:
        return _damaged(value, chance.randbytes(1), chance)
    return chance.choice(_ODD)


def _damaged(value: AnyStr, odd: AnyStr, chance: random.Random) -> AnyStr:
    at = chance.randrange(len(value))
    before, behind = value[:at], value[at:]
    return chance.choice((before + odd + behind[1:], before + odd + behind, before, value + value))
