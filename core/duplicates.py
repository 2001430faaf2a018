"""Near-duplicates: groups of photos that show the same picture, by the bits of their perceptual hashes.

A group is what lies near its best photo: so everything in it is a near-duplicate of the one photo that is kept, and no
chain of small differences joins what is not alike. To find what lies near without comparing all with all, the 64 bits
are dealt into four bands: two hashes that differ in few bits differ in even fewer of some band (Norouzi, Punjani and
Fleet, "Fast exact search in Hamming space with multi-index hashing", 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from core.query.fields import MEDIA_TYPES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from core.catalog.listing import HashedPhoto
    from core.catalog.records import PhotoRecord
    from core.library import Library

    _Numbers = NDArray[np.int64]

DEFAULT_DISTANCE: Final = 6
"""Of 505,515 pairs of different photos 12 differ in so few bits; all but one of them show the same thing."""
MAX_DISTANCE: Final = 11
"""Beyond, most pairs show different things, and looking them up takes as long as comparing all with all."""

_BANDS, _BAND_BITS = 4, 16
_BAND_VALUES: Final = 1 << _BAND_BITS
_SHAPE_TOLERANCE: Final = 0.06
"""Of the logarithm of width over height: what scaling rounds off, and a little cropping."""
_LIGHT_TOLERANCE: Final = 250
"""Thousandths of the mean brightness; the hash itself sees no light."""
_FIRST_HEADS: Final = 256
_MOST_HEADS: Final = 16_384
_MOST_CANDIDATES: Final = 4_000_000
"""Pairs looked at together: some 200 MB."""


@dataclass(frozen=True)
class DuplicateGroup:
    """Photos that are near-duplicates of the first, the best of them; two or more."""

    photos: tuple[bytes, ...]


def find_duplicates(
    library: Library, *, distance: int = DEFAULT_DISTANCE, among: Collection[bytes] | None = None
) -> list[DuplicateGroup]:
    """Return all groups outside the trash, the largest first.

    Args:
        library: whose photos.
        distance: how many bits of 64 may differ, 0 to `MAX_DISTANCE`.
        among: ids; only these photos are looked at. By default all.

    Raises:
        ValueError: for another distance.
    """
    _check(distance)
    photos = library.catalog.hashed_photos()
    if among is not None:
        wanted = frozenset(among)
        photos = [one for one in photos if one.pid in wanted]
    columns = _Columns(photos)
    groups = [
        DuplicateGroup(tuple(columns.pids[place] for place in group))
        for group in near_groups(columns.hashes, columns.shapes, columns.light, distance)
    ]
    return sorted(groups, key=lambda group: (-len(group.photos), group.photos[0]))


def duplicates_of(library: Library, pid: bytes, *, distance: int = DEFAULT_DISTANCE) -> DuplicateGroup | None:
    """Return a photo with all its near-duplicates outside the trash, best first; ``None`` if it has none, or no hash.

    Raises `ValueError` for a distance that is not 0 to `MAX_DISTANCE`.
    """
    _check(distance)
    columns = _Columns(library.catalog.hashed_photos())
    if pid not in columns.pids:
        return None
    own = columns.pids.index(pid)
    others = np.arange(len(columns.pids))
    near = _alike(columns.hashes, columns.shapes, columns.light, np.full_like(others, own), others, distance)
    return DuplicateGroup(tuple(columns.pids[place] for place in others[near])) if near.sum() > 1 else None


def disposable(photos: Sequence[PhotoRecord]) -> list[bytes]:
    """Return which photos of a group, the best one first, may go to the trash without asking about each.

    Never one that the user said something of (favourite, rating, caption, album), nor one of another sort than the
    best: a raw beside the picture that a camera made of it is no copy of it.
    """
    return [
        photo.pid
        for photo in photos[1:]
        if not (photo.favourite or photo.rating or photo.caption or photo.albums)
        and _is_raw(photo) == _is_raw(photos[0])
    ]


def _is_raw(photo: PhotoRecord) -> bool:
    return photo.mime.removeprefix("image/") in MEDIA_TYPES["raw"]


def near_groups(
    hashes: NDArray[np.uint64], shapes: NDArray[np.float32], light: NDArray[np.int16], distance: int
) -> list[list[int]]:
    """Group pictures around the best of each group.

    Args:
        hashes: [N], best picture first.
        shapes: [N], logarithms of width over height.
        light: [N], brightness in thousandths.
        distance: how many bits may differ.

    Returns:
        Places in the arrays, ascending, each in one group at most; groups of two or more, by their first place.
    """
    total = len(hashes)
    taken = np.zeros(total, dtype=bool)
    groups: list[list[int]] = []
    index = _Index(hashes, np.arange(total), distance)
    start, wanted = 0, _FIRST_HEADS
    while start < total:
        waiting = start + np.flatnonzero(~taken[start : start + wanted])
        heads = waiting[: index.affordable(waiting)]
        end = start + wanted if len(heads) == len(waiting) else int(waiting[len(heads)])
        first, second = index.candidates(heads)
        fits = (second > first) & ~taken[second]
        first, second = first[fits], second[fits]
        fits = _alike(hashes, shapes, light, first, second, distance)
        # Sorted, each once; NumPy's own `unique` would take ten times as long.
        pairs = np.sort(first[fits] * total + second[fits])
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        _take(pairs // total, pairs % total, taken, groups)
        # Whoever was asked for its near ones is in a group or in none: it can join no later one.
        taken[start:end] = True
        start, wanted = end, min(_MOST_HEADS, 2 * wanted)
        if 2 * np.count_nonzero(~taken) < index.size:
            index = _Index(hashes, np.flatnonzero(~taken), distance)
    return groups


def _take(first: _Numbers, second: _Numbers, taken: NDArray[np.bool_], groups: list[list[int]]) -> None:
    """Make groups of pairs that are sorted by their first, the better one; mark who is in one."""
    heads, starts = np.unique(first, return_index=True)
    for head, members in zip(heads.tolist(), np.split(second, starts[1:]), strict=True) if len(heads) else ():
        if taken[head]:
            continue
        free = members[~taken[members]]
        if len(free):
            groups.append([head, *free.tolist()])
            taken[free] = True
            taken[head] = True


def _alike(
    hashes: NDArray[np.uint64],
    shapes: NDArray[np.float32],
    light: NDArray[np.int16],
    first: _Numbers,
    second: _Numbers,
    distance: int,
) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.bitwise_count(hashes[first] ^ hashes[second]) <= distance
    near &= np.abs(shapes[first] - shapes[second]) <= _SHAPE_TOLERANCE
    near &= np.abs(light[first] - light[second]) <= _LIGHT_TOLERANCE
    return near


class _Index:
    """Which pictures have which sixteen bits in each band."""

    def __init__(self, hashes: NDArray[np.uint64], places: _Numbers, distance: int) -> None:
        """Index the pictures at `places`; look up all values that differ in few enough bits of a band."""
        self.size = len(places)
        self._hashes = hashes
        self._flips = _flips(distance // _BANDS)
        self._bands: list[tuple[_Numbers, _Numbers, _Numbers]] = []
        for band in range(_BANDS):
            values = _band(hashes[places], band)
            counts = np.bincount(values, minlength=_BAND_VALUES)
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            self._bands.append((places[np.argsort(values, kind="stable")], starts, counts))

    def affordable(self, heads: _Numbers) -> int:
        """Return how many of these pictures may be looked up at once; one at least."""
        amounts = np.zeros(len(heads), dtype=np.int64)
        for band, (_, _, counts) in enumerate(self._bands):
            amounts += counts[self._values(heads, band)].sum(axis=1)
        return max(1, int(np.searchsorted(np.cumsum(amounts), _MOST_CANDIDATES, side="right")))

    def candidates(self, heads: _Numbers) -> tuple[_Numbers, _Numbers]:
        """Return pairs of each of `heads` with all pictures that can be near it, and with others; some pairs twice."""
        first, second = [], []
        for band, (order, starts, counts) in enumerate(self._bands):
            values = self._values(heads, band)
            amounts = counts[values].ravel()
            ends = np.cumsum(amounts)
            total = int(ends[-1]) if len(ends) else 0
            inside = np.arange(total) - np.repeat(ends - amounts, amounts)
            first.append(np.repeat(np.repeat(heads, values.shape[1]), amounts))
            second.append(order[np.repeat(starts[values].ravel(), amounts) + inside])
        return np.concatenate(first), np.concatenate(second)

    def _values(self, heads: _Numbers, band: int) -> _Numbers:
        return _band(self._hashes[heads], band)[:, None] ^ self._flips[None]


def _band(hashes: NDArray[np.uint64], band: int) -> _Numbers:
    """Every fourth bit: each band has some of the coarse terms, in which pictures are most alike, and some fine."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)[:, band::_BANDS]
    return np.packbits(bits, axis=1).view(">u2").ravel().astype(np.int64)


def _flips(radius: int) -> _Numbers:
    """Return all values of a band with at most `radius` bits."""
    bits = [1 << number for number in range(_BAND_BITS)]
    return np.array([sum(some) for count in range(radius + 1) for some in combinations(bits, count)], dtype=np.int64)


class _Columns:
    """Photos, the best first, as arrays."""

    def __init__(self, photos: Sequence[HashedPhoto]) -> None:
        self.pids = [one.pid for one in photos]
        self.hashes = np.array([one.perceptual_hash for one in photos], dtype=np.int64).view(np.uint64)
        sizes = np.array([(one.width, one.height) for one in photos], dtype=np.float32).reshape(-1, 2)
        self.shapes = np.log(sizes[:, 0] / sizes[:, 1])
        # A hash without a brightness was written by no program that we know: it is compared with its like.
        self.light = np.array([-1000 if one.brightness is None else one.brightness for one in photos], dtype=np.int16)


def _check(distance: int) -> None:
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(f"a distance is 0 to {MAX_DISTANCE}, not {distance}")
