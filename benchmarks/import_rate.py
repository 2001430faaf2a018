"""How fast an import is, as a part of what its bare parts cost on the same cores, and what it takes of memory and disk.

    python benchmarks/import_rate.py [--photos N | --folder DIR] [--workers N] [--pack DIR --manifest FILE] [--rounds N]

Makes 12-megapixel JPEGs of about 3 MB from real photos with noise (from the test data; from scikit-image's pictures
where that is missing), in a temporary folder. The bare parts are read, hash, decode, resize, encode, infer, encrypt and
write, in a straight line without a library, a log or an fsync, by as many processes as the pipeline has workers, each
on its share of the photos. Bare parts and pipeline take turns in one run; the best round of each counts. On a machine
with other work, look at the ratio of processor time: waiting for others does not count in it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from PIL import Image

from core.importing.worker_pool import default_workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

REPOSITORY = Path(__file__).resolve().parent.parent
SIZE = (4000, 3000)
CHUNK = 65_536


def main() -> bool:
    """Measure and print; tell whether every aim was reached."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="safelight-import-rate-") as folder:
        root = Path(folder)
        os.environ["SAFELIGHT_STATE_DIR"] = str(root / "state")
        photos = sorted(options.folder.iterdir()) if options.folder else _make_photos(root / "photos", options.photos)
        total = sum(path.stat().st_size for path in photos)
        print(f"{len(photos)} photos of 12 MP, {total / 1e6:.0f} MB; {options.workers} workers; {_pack_name(options)}")
        bare, pipeline = _Best(), _Best()
        memory, disk = 0.0, 0
        for turn in range(options.rounds):
            rate, seconds = _bare_rate(photos, root / f"bare-{turn}", options)
            bare.add(rate, seconds)
            whole, spent, peak, disk = _pipeline_rate(photos, root / f"library-{turn}", options)
            pipeline.add(whole, spent)
            memory = max(memory, peak)
            print(f"  round {turn + 1}: bare parts {rate:.1f}/s, pipeline {whole:.1f}/s, ratio {whole / rate:.2f}")
        count = len(photos)
        print(f"bare parts       {bare.rate:6.2f} photos/s, {bare.seconds / count * 1e3:.0f} ms of processor a photo")
        print(
            f"pipeline         {pipeline.rate:6.2f} photos/s, {pipeline.seconds / count * 1e3:.0f} ms, starts included"
        )
        print(f"ratio            {pipeline.rate / bare.rate:6.2f}   (at least 0.75)")
        print(f"  of processor   {bare.seconds / pipeline.seconds:6.2f}")
        print(f"peak memory      {memory / 1e6:6.0f} MB  (under 700 on 2 cores; resident pages of all processes)")
        print(f"disk / originals {disk / total:6.3f}   (at most 1.25)")
        return pipeline.rate / bare.rate >= 0.75 and memory < 700e6 and disk / total <= 1.25


class _Best:
    """The highest rate and the least processor time of some rounds."""

    def __init__(self) -> None:
        self.rate, self.seconds = 0.0, float("inf")

    def add(self, rate: float, seconds: float) -> None:
        """Take note of one round."""
        self.rate, self.seconds = max(self.rate, rate), min(self.seconds, seconds)


def _options() -> argparse.Namespace:
    data = Path(os.environ.get("SAFELIGHT_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    model = data / "models" / "mobilenet-v2"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--folder", type=Path, help="photos to import instead of made ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--pack", type=Path, default=model if model.is_dir() else None, help="pack to label with")
    parser.add_argument(
        "--manifest", type=Path, default=REPOSITORY / "tests" / "ml" / "manifests" / "mobilenet-v2.toml"
    )
    return parser.parse_args()


def _make_photos(folder: Path, count: int) -> list[Path]:
    """Make noisy 12-megapixel photos with EXIF dates in some months."""
    folder.mkdir()
    sources = _sources()
    rng = np.random.default_rng(12)
    random.seed(12)
    paths = []
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as source:
            picture = source.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
        noise = rng.normal(0, 5, (SIZE[1], SIZE[0], 1)).astype(np.float32)
        pixels = np.clip(np.asarray(picture, dtype=np.float32) + noise, 0, 255).astype(np.uint8)
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2024:{number % 6 + 1:02}:{number % 28 + 1:02} 12:00:{number % 60:02}"
        path = folder / f"IMG_{number:04}.jpg"
        _save_about(Image.fromarray(pixels), path, exif)
        paths.append(path)
    return paths


def _save_about(image: Image.Image, path: Path, exif: Image.Exif) -> None:
    """Save at the quality that gives about 3 MB, as a phone does."""
    for quality in (90, 85, 80, 75, 68):
        image.save(path, quality=quality, exif=exif)
        if path.stat().st_size < 3_600_000:
            return


def _sources() -> Sequence[Path]:
    data = Path(os.environ.get("SAFELIGHT_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    found = sorted((data / "labelled" / "imagenet-sample").glob("*.JPEG"))
    if found:
        return found
    import skimage.data

    return [Path(skimage.data.data_dir) / name for name in ("astronaut.png", "coffee.png", "rocket.jpg", "chelsea.png")]


def _pack_name(options: argparse.Namespace) -> str:
    return "no model" if options.pack is None else f"labelled by {options.pack.name}"


def _bare_rate(photos: Sequence[Path], folder: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Return photos per second of the bare parts, in `workers` processes, and the processor time of all of them."""
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(options.workers + 1)
    spent: multiprocessing.SimpleQueue[float] = context.SimpleQueue()
    shares = [list(photos[start :: options.workers]) for start in range(options.workers)]
    processes = [context.Process(target=_bare_parts, args=(share, folder, options, barrier, spent)) for share in shares]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - started
    assert all(process.exitcode == 0 for process in processes)
    return len(photos) / seconds, sum(spent.get() for _ in processes)


def _bare_parts(
    photos: list[Path],
    folder: Path,
    options: argparse.Namespace,
    barrier: threading.Barrier,
    spent: multiprocessing.SimpleQueue[float],
) -> None:
    """Do to each photo what an import does to it, and nothing else."""
    from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt

    classifier = None
    if options.pack is not None:
        from ml.pack import Pack
        from ml.session import Classifier

        classifier = Classifier(Pack.open(options.pack, options.manifest), threads=1)
        classifier.classify([Image.new("RGB", (256, 256))])
    key = bytes(32)
    barrier.wait()
    started = time.process_time()
    for path in photos:
        data = path.read_bytes()
        hashlib.blake2b(data, key=key, digest_size=16).digest()
        hashlib.blake2b(data, key=key, digest_size=32).digest()
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (image.width // 2, image.height // 2))
        image.load()
        thumbnail = image.resize((320, 240), Image.Resampling.BICUBIC, reducing_gap=2.0)
        small, large = io.BytesIO(), io.BytesIO()
        thumbnail.save(small, "JPEG", quality=75)
        image.save(large, "JPEG", quality=80)
        if classifier is not None:
            classifier.classify([image])
        for name, part in (("original", data), ("preview", large.getvalue())):
            identity = hashlib.blake2b(digest_size=32)
            with (folder / f"{path.stem}.{name}").open("wb") as file:
                for number, start in enumerate(range(0, len(part), CHUNK)):
                    sealed = crypto_aead_chacha20poly1305_ietf_encrypt(
                        part[start : start + CHUNK], b"", number.to_bytes(12, "little"), key
                    )
                    identity.update(sealed)
                    file.write(sealed)
    spent.put(time.process_time() - started)


def _pipeline_rate(photos: Sequence[Path], root: Path, options: argparse.Namespace) -> tuple[float, float, float, int]:
    """Return photos per second of the whole import, its processor time, peak memory in bytes, the library's bytes."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_import, args=(photos[0].parent, root, options, sending))
    process.start()
    sending.close()
    watch = _MemoryWatch(process.pid or 0)
    watch.start()
    rate, spent = receiving.recv()
    process.join()
    watch.stop()
    assert process.exitcode == 0
    disk = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
    return rate, spent, watch.peak, disk


def _import(folder: Path, root: Path, options: argparse.Namespace, sending: Connection) -> None:
    from core.importing.pipeline import import_paths
    from core.library import Library
    from crypto import kdf
    from ml.pack import Pack

    pack = None if options.pack is None else Pack.open(options.pack, options.manifest)
    library, _ = Library.create(root, b"benchmark", device_name="bench", kdf=kdf.new_parameters(*kdf.FLOOR))
    with library:
        started, before = time.perf_counter(), _processor_seconds()
        summary = import_paths(library, [folder], pack=pack, label=pack is not None, workers=options.workers)
        seconds, spent = time.perf_counter() - started, _processor_seconds() - before
    assert summary.failed == 0
    sending.send((summary.added / seconds, spent))


def _processor_seconds() -> float:
    """Return the processor time of this process and of its children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class _MemoryWatch(threading.Thread):
    """Samples the memory of a process and its children; shared pages count once where the system can tell."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self.peak = 0.0

    def run(self) -> None:
        while not self._over.wait(0.05):
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self.peak = max(self.peak, sum(_memory(process) for process in family))
            except psutil.Error:
                continue

    def stop(self) -> None:
        self._over.set()
        self.join()


def _memory(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss)
    except psutil.Error:
        return 0.0


if __name__ == "__main__":
    sys.exit(not main())
