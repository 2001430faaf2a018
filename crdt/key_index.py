"""Sorted keys of a document's maps, so that the few keys of one photo are found without reading all of them.

The binding lists a map's keys whole or not at all. A map's index is made when it is first asked for, and then follows
the writes.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator

_REBUILD_SHARE = 16
"""Past one write for this many keys, reading the keys again is cheaper than inserting each."""


class KeyIndex:
    """The keys of some maps, each map's read by ``read_keys(map)`` when first needed."""

    def __init__(self, read_keys: Callable[[str], list[str]]) -> None:
        self._read_keys = read_keys
        self._keys: dict[str, list[str]] = {}

    def starting_with(self, map_name: str, prefix: str) -> Iterator[str]:
        """Yield the keys of a map that start with ``prefix``, in order."""
        keys = self._keys.get(map_name)
        if keys is None:
            keys = self._keys[map_name] = sorted(self._read_keys(map_name))
        for i in range(bisect_left(keys, prefix), len(keys)):
            if not keys[i].startswith(prefix):
                return
            yield keys[i]

    def note(self, written: Collection[tuple[str, str]], is_there: Callable[[str, str], bool]) -> None:
        """Follow writes to (map, key) pairs; ``is_there`` tells whether a key now has a value."""
        if not self._keys:
            return
        followed = [pair for pair in written if pair[0] in self._keys]
        for map_name in {pair[0] for pair in followed}:
            if len(followed) * _REBUILD_SHARE > len(self._keys[map_name]) + _REBUILD_SHARE:
                del self._keys[map_name]
        for map_name, key in followed:
            keys = self._keys.get(map_name)
            if keys is None:
                continue
            place = bisect_left(keys, key)
            listed = place < len(keys) and keys[place] == key
            if is_there(map_name, key):
                if not listed:
                    insort(keys, key)
            elif listed:
                del keys[place]
