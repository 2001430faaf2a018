"""Near-duplicates among 100,000 photos, against comparing all with all.

    python -P -m benchmarks.duplicates [--photos 100000]

A tenth of the photos are copies of others; then a fifth are one burst of one moment, and at last all are alike. What
the catalog takes to hand out the hashes is measured on 20,000 of them.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import Report, median, seconds_of
from core.catalog import Catalog
from core.catalog.labels import NoLabeller
from core.duplicates import DEFAULT_DISTANCE, _Columns, near_groups
from crdt.operations import Put
from crdt.records import PhotoFacts
from crdt.replica import Replica, new_actor

PHOTOS = 100_000
FLOOR_ROWS = 200
_Hashes = NDArray[np.uint64]


def random_hashes(count: int, rng: np.random.Generator) -> _Hashes:
    """Return hashes of pictures that have nothing to do with each other: 32 of 63 bits set or so."""
    return rng.integers(0, 1 << 63, count, dtype=np.uint64)


def near(hashes: _Hashes, rng: np.random.Generator) -> _Hashes:
    """Return hashes of near-duplicates: up to three bits differ."""
    flipped = hashes.copy()
    for _ in range(3):
        flipped ^= np.uint64(1) << rng.integers(0, 63, len(hashes), dtype=np.uint64)
    return flipped


def libraries(count: int, rng: np.random.Generator) -> dict[str, _Hashes]:
    """Return what is looked through: a title and the hashes, best photo first."""
    usual = random_hashes(count, rng)
    copies = rng.permutation(count)[: count // 10]
    usual[copies] = near(usual[rng.integers(0, count, len(copies))], rng)
    burst = random_hashes(count, rng)
    shots = rng.permutation(count)[: count // 5]
    burst[shots] = near(np.full(len(shots), burst[0]), rng)
    return {
        "a tenth are copies": usual,
        "a fifth are one burst": burst,
        "all are alike": near(usual[:1].repeat(count), rng),
    }


def all_with_all(hashes: _Hashes) -> float:
    """Return about how many seconds comparing each with each later one would take: some rows of it, scaled up."""
    rows = hashes[: min(FLOOR_ROWS, len(hashes))]

    def compare() -> None:
        for one in rows:
            np.flatnonzero(np.bitwise_count(hashes ^ one) <= DEFAULT_DISTANCE)

    return median(seconds_of(compare, 3, 1)) * len(hashes) / len(rows) / 2


def catalog_of(hashes: _Hashes) -> Catalog:
    """Return a catalog of photos with these hashes."""
    document = "photos:2024-05"
    replica = Replica.create(document, new_actor(bytes(32)))
    operations = [
        Put("photo", number.to_bytes(16, "big").hex(), _facts(int(one))) for number, one in enumerate(hashes.tolist())
    ]
    for start in range(0, len(operations), 5_000):
        replica.edit(operations[start : start + 5_000])
    catalog = Catalog.empty(NoLabeller())
    catalog.load_document(document, replica)
    return catalog


def _facts(one: int) -> bytes:
    packed = one.to_bytes(8, "big")
    return PhotoFacts(width=4000, height=3000, size=1, mime="image/jpeg", brightness=400, perceptual_hash=packed).pack()


def main() -> list[str]:
    """Measure and print; return the aims that were missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    count = parser.parse_args().photos
    rng = np.random.default_rng(1)
    report = Report(f"Near-duplicates among {count:,} photos")
    shapes, light = np.zeros(count, np.float32), np.full(count, 400, np.int16)
    usual = None
    for title, hashes in libraries(count, rng).items():
        usual = hashes if usual is None else usual
        found = near_groups(hashes, shapes, light, DEFAULT_DISTANCE)
        taken = median(seconds_of(partial(near_groups, hashes, shapes, light, DEFAULT_DISTANCE), 3))
        report.line(f"{title}: {len(found):,} groups", f"{taken:.2f} s", aim="< 3 s", met=taken < 3)
    if usual is None:
        return report.missed
    floor = all_with_all(usual)
    report.line("  floor: all with all, one instruction a pair", f"{floor:.0f} s", aim="estimated from some rows")
    catalog = catalog_of(usual[: min(count, 20_000)])
    read = median(seconds_of(lambda: _Columns(catalog.hashed_photos()), 3))
    report.line(f"reading, the best first, {min(count, 20_000):,} of them", f"{read * 1000:.0f} ms")
    return report.missed


if __name__ == "__main__":
    sys.exit(bool(main()))
