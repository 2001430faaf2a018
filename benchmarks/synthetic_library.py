"""Build a library of N synthetic photos through the public API: facts, labels' raw classes, thumbnails in bundles.

    python benchmarks/synthetic_library.py DIR --photos 100000

Photos are spread over ten years, in the order of their capture times, so that a batch of an import touches one or two
shards, as it does for a camera's folder. Originals are not made (their blobs are named, but not there); thumbnails
are real JPEGs of noise on colour, 320 x 240 pixels, a few dozen of them used over and over with a few bytes of their
own. The passphrase is `synthetic`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import time
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image, ImageFilter

from core import bundles
from core.library import Library
from crdt.documents import shard_name
from crdt.operations import Operation, Put
from crdt.records import AutoRecord, BundleRecord, CopyRecord, PhotoFacts
from crdt.schema import auto_key, copy_key, label_key, pid_key
from crypto import kdf

PASSPHRASE = b"synthetic"
BATCH = 256
FIRST = datetime(2015, 1, 1)  # noqa: DTZ001  wall clocks have no zone
YEARS = 10.0
CAMERAS = [("Google", "Pixel 8"), ("Apple", "iPhone 13"), ("Canon", "EOS R6"), ("SONY", "ILCE-7M4"), (None, None)]
WORDS = ["lake", "family", "holiday", "garden", "birthday", "print", "school", "mountain"]


def thumbnails(count: int, rng: random.Random) -> list[bytes]:
    """Make JPEGs of the size a real thumbnail has (8 to 20 KB)."""
    made = []
    for _ in range(count):
        noise = Image.effect_noise((320, 240), rng.uniform(20, 60)).filter(
            ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5))
        )
        colour = Image.new("RGB", (320, 240), (rng.randrange(256), rng.randrange(256), rng.randrange(256)))
        out = io.BytesIO()
        Image.blend(noise.convert("RGB"), colour, 0.4).save(out, "JPEG", quality=80)
        made.append(out.getvalue())
    return made


def build(
    root: Path, count: int, *, with_thumbnails: bool = True, model: str = "mobilenet-v2@1.0.0", years: float = YEARS
) -> Library:
    """Make the library in `root` and return it open; its photos were taken evenly over `years`."""
    rng = random.Random(count)
    library, _ = Library.create(root, PASSPHRASE, device_name="synthetic", kdf=kdf.new_parameters(*kdf.FLOOR))
    pictures = thumbnails(48, rng) if with_thumbnails else []
    group = rng.randbytes(16)
    step = timedelta(days=365 * years) / max(1, count)
    for start in range(0, count, BATCH):
        changes: dict[str, list[Operation]] = {}
        parts: list[tuple[bytes, bytes]] = []
        homes: dict[bytes, str] = {}
        for number in range(start, min(count, start + BATCH)):
            pid, document, operations = photo(number, step, rng, model)
            changes.setdefault(document, []).extend(operations)
            homes[pid] = document
            if pictures:
                parts.append((pid, pictures[number % len(pictures)] + number.to_bytes(4, "big")))
        if parts:
            add_bundle(library, parts, homes, changes)
        library.commit(changes, action="import", summary=f"{len(homes)} photos imported", group=group)
    library.save_derived()
    return library


def photo(number: int, step: timedelta, rng: random.Random, model: str) -> tuple[bytes, str, list[Operation]]:
    """Make what an import says of one photo."""
    pid = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest()
    taken = FIRST + step * number
    clock = None if number % 50 == 0 else taken.isoformat(timespec="seconds")
    make, camera = CAMERAS[number // 700 % len(CAMERAS)]
    located = number % 3 == 0
    facts = PhotoFacts(
        width=4000,
        height=3000,
        size=rng.randrange(1_500_000, 6_000_000),
        mime="image/jpeg",
        wall_clock=clock,
        offset_minutes=120 if number % 2 else None,
        date_source=None if clock is None else "exif.DateTimeOriginal",
        latitude=rng.uniform(-60, 70) if located else None,
        longitude=rng.uniform(-180, 180) if located else None,
        make=make,
        model=camera,
        lens=None if make is None else f"{make} 24-70",
        iso=rng.choice((50, 100, 200, 400, 1600)),
        f_number=rng.choice((1.8, 2.8, 4.0, 8.0)),
        exposure_s=1 / rng.choice((30, 125, 500)),
        focal_mm=rng.choice((4.4, 24.0, 50.0)),
        thumbhash=rng.randbytes(24),
        imported_at=int(time.time()),
        brightness=rng.randrange(1000),
        sharpness=rng.randrange(600, 5000),
        colourfulness=rng.randrange(1000),
        flatness=rng.randrange(700),
        perceptual_hash=rng.randbytes(8),
    )
    original = CopyRecord(role="original", key=rng.randbytes(32), size=facts.size, file_name=f"IMG_{number:06}.jpg")
    preview = CopyRecord(role="preview", key=rng.randbytes(32), size=300_000, width=2048, height=1536)
    classes = [(rng.randrange(1000), share) for share in (0.6, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)]
    key = pid_key(pid)
    operations: list[Operation] = [
        Put("photo", key, facts.pack()),
        Put("copy", copy_key(pid, rng.randbytes(32)), original.pack()),
        Put("copy", copy_key(pid, rng.randbytes(32)), preview.pack()),
        Put("auto", auto_key(pid, model), AutoRecord.of(classes).pack()),
    ]
    if number % 5 == 0:
        operations.append(Put("label", label_key(pid, WORDS[number // 5 % len(WORDS)]), value=True))
    if number % 11 == 0:
        operations.append(Put("rating", key, number // 11 % 5 + 1))
    if number % 40 == 0:
        operations.append(Put("caption", key, f"{WORDS[number % 8]} with {WORDS[number // 40 % 8]}, number {number}"))
    return pid, shard_name(clock, pid), operations


def add_bundle(
    library: Library, parts: list[tuple[bytes, bytes]], homes: dict[bytes, str], changes: dict[str, list[Operation]]
) -> None:
    """Store the thumbnails of a batch and name them in each photo's shard."""
    data, entries = bundles.build(parts)
    ref = library.blobs.put_bytes(data)
    for document in set(homes.values()):
        own = [entry for entry in entries if homes[entry.pid] == document]
        record = BundleRecord(kind="thumb", key=ref.key, entries=own, size=ref.size)
        changes[document].append(Put("bundle", ref.id.hex(), record.pack()))


def main() -> None:
    """Build, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--no-thumbnails", action="store_true")
    arguments = parser.parse_args()
    started = time.perf_counter()
    library = build(arguments.folder, arguments.photos, with_thumbnails=not arguments.no_thumbnails)
    seconds = time.perf_counter() - started
    library.close()
    print(f"{arguments.photos} photos in {seconds:.1f} s, {arguments.photos / seconds:.0f} a second")


if __name__ == "__main__":
    main()
