"""Damaging good inputs, the same way for the same seed: what can be tried everywhere, without coverage to go by."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

from tests.fuzz.tree_mutation import change_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fuzz.target import Target

_MOST_CHANGES = 4
BY_VALUE = 0.5
"""How many of the inputs of a format that has values have one of those damaged, and not bytes."""
_ODD = (0, 1, 0x7F, 0x80, 0xFF)
_NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)


def mutations(target: Target, seeds: Sequence[bytes], seed: str, count: int) -> Iterator[bytes]:
    """Yield `count` inputs for `target`, each made of one or two of `seeds`."""
    chance = random.Random(seed)
    longest = target.longest
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        if target.values is not None and chance.random() < BY_VALUE:
            changed = change_value(bytes(data), target.values, chance, longest)
            if changed is not None:
                yield changed
                continue
        for _ in range(chance.randint(1, _MOST_CHANGES)):
            _change(data, seeds, chance)
        yield bytes(data[:longest])


def _change(data: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + chance.randint(1, 8))
    match chance.randrange(9):
        case 0 if at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        case 1 if at < len(data):
            data[at] = chance.choice(_ODD)
        case 2 if at < len(data):
            data[at] = chance.randrange(256)
        case 3:
            del data[at:end]
        case 4:
            data[at:at] = chance.randbytes(chance.randint(1, 8))
        case 5:
            data[at:at] = data[at:end] * chance.randint(1, 20)
        case 6:
            number = chance.choice(_NUMBERS)
            data[at : at + 4] = struct.pack(chance.choice(("<I", ">I")), number)
        case 7:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            data[at:] = other[start:]
        case _:
            del data[at:]
