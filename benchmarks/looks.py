"""How right the looks of photos are: blurry, dark, bright, black-and-white, screenshot, and near-duplicates.

    python -P -m benchmarks.looks [--data DIR] [--every N]

Real photos stand for what is not so; the same ones blurred, shaken, darkened, brightened and drained of colour, and
drawn screens that show some of them, for what is. What is really blurred among the photos counts as an error here.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from benchmarks.measurement import Report, median
from core.catalog.looks import looks_of, named
from core.importing.decode import decode
from core.importing.errors import FileRefused
from core.importing.limits import STANDARD
from core.importing.looks import look_at
from core.importing.renditions import thumbnail_of
from core.query.fields import LOOKS
from crdt.records import PhotoFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from core.importing.facts import Looks

FOLDERS = ("photos/varied", "photos/cameras", "photos/immich", "labelled/caltech101", "labelled/imagenet-sample")
LONGEST = 640
LEAST = 250
SCREENS = ((1170, 2532), (1080, 2400), (1440, 3200), (750, 1334), (1920, 1080), (1366, 768), (2732, 2048))
_WORDS = ("photo", "library", "train", "ticket", "notes", "today", "meeting", "lunch", "harbour", "lamp", "of", "the")


class Example(NamedTuple):
    """A picture, what it certainly looks like, and what its file would be."""

    picture: Image.Image
    looks: frozenset[str]
    mime: str = "image/jpeg"
    camera: str | None = "Canon"


def photos(data: Path, every: int = 1) -> Iterator[Image.Image]:
    """Yield the real photos in `data`, each `every`th of them, decoded and at most `LONGEST` pixels long."""
    paths = [path for folder in FOLDERS for path in sorted((data / folder).rglob("*")) if path.is_file()]
    for path in paths[::every]:
        try:
            picture = decode(path.read_bytes(), path.name, STANDARD).image
        except FileRefused:
            continue
        if max(picture.size) >= LEAST:
            yield _fitted(picture, LONGEST)


def variants(picture: Image.Image) -> Iterator[Example]:
    """Yield the photo itself and what is made of it, each with the looks that it has for that."""
    grey = picture.convert("L")
    longest = max(picture.size)
    yield Example(picture, frozenset())
    yield Example(picture.filter(ImageFilter.GaussianBlur(0.005 * longest)), frozenset({"blurry"}))
    yield Example(_shaken(picture, max(3, round(0.02 * longest))), frozenset({"blurry"}))
    yield Example(picture.point([round(value * 0.25) for value in range(256)] * 3), frozenset({"dark"}))
    yield Example(picture.point([round(255 - (255 - value) * 0.3) for value in range(256)] * 3), frozenset({"bright"}))
    yield Example(_encoded(grey.convert("RGB"), 85), frozenset({"black-and-white"}))


def screens(pictures: list[Image.Image], count: int, seed: int = 4) -> Iterator[Example]:
    """Draw screens with text, messages and photos; as PNG, and as the JPEG that a messenger makes of one."""
    rng = random.Random(seed)
    for number in range(count):
        drawn = _screen(rng, SCREENS[number % len(SCREENS)], pictures)
        lossy = number % 2 == 1
        picture = _encoded(drawn, rng.choice((75, 90))) if lossy else drawn
        yield Example(picture, frozenset({"screenshot"}), "image/jpeg" if lossy else "image/png", None)


def found_looks(example: Example) -> set[str]:
    """Return how an example looks to the program."""
    return set(named(looks_of(_facts(example, measured(example.picture)))))


def measured(picture: Image.Image) -> Looks:
    """Measure a picture as an import does."""
    return look_at(thumbnail_of(picture, None), picture)


class Score:
    """How often a look was found where it is and where it is not."""

    def __init__(self) -> None:
        self.right: defaultdict[str, int] = defaultdict(int)
        self.wrong: defaultdict[str, int] = defaultdict(int)
        self.missed: defaultdict[str, int] = defaultdict(int)

    def count(self, example: Example) -> None:
        """Compare what is found with what is so. Only plain photos can be wrong: a blurred night may well be dark."""
        found = found_looks(example)
        for look in example.looks:
            (self.right if look in found else self.missed)[look] += 1
        if not example.looks:
            for look in found:
                self.wrong[look] += 1

    def precision(self, look: str) -> float:
        """Return what part of those found are right, where there are as many of them as plain photos."""
        return self.right[look] / max(1, self.right[look] + self.wrong[look])

    def recall(self, look: str) -> float:
        """Return what part of those that are so are found."""
        return self.right[look] / max(1, self.right[look] + self.missed[look])


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "a third of the size": lambda picture: picture.resize((picture.width // 3, picture.height // 3)),
    "JPEG of quality 30": lambda picture: _encoded(picture, 30),
    "without colours": lambda picture: picture.convert("L").convert("RGB"),
    "brighter by a quarter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.25),
    "more contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(1.3),
    "2 % cut off each side": lambda picture: _cut(picture, 0.02),
    "5 % cut off each side": lambda picture: _cut(picture, 0.05),
}
"""What makes near-duplicates."""


def differing_bits(one: Looks, other: Looks) -> int:
    """Return how many bits of the perceptual hashes differ; 64 where one has none."""
    if one.perceptual_hash is None or other.perceptual_hash is None:
        return 64
    return (int.from_bytes(one.perceptual_hash) ^ int.from_bytes(other.perceptual_hash)).bit_count()


def _facts(example: Example, looks: Looks) -> PhotoFacts:
    width, height = example.picture.size
    return PhotoFacts(
        width=width,
        height=height,
        size=1,
        mime=example.mime,
        make=example.camera,
        brightness=looks.brightness,
        sharpness=looks.sharpness,
        colourfulness=looks.colourfulness,
        flatness=looks.flatness,
        perceptual_hash=looks.perceptual_hash,
    )


def _fitted(picture: Image.Image, longest: int) -> Image.Image:
    picture = picture.copy()
    picture.thumbnail((longest, longest), Image.Resampling.BICUBIC)
    return picture


def _encoded(picture: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


def _cut(picture: Image.Image, share: float) -> Image.Image:
    across, down = round(picture.width * share), round(picture.height * share)
    return picture.crop((across, down, picture.width - across, picture.height - down))


def _shaken(picture: Image.Image, pixels: int) -> Image.Image:
    padded = np.pad(np.asarray(picture, dtype=np.float32), ((0, 0), (pixels, 0), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=1)
    return Image.fromarray(np.clip((sums[:, pixels:] - sums[:, :-pixels]) / pixels, 0, 255).astype(np.uint8))


def _screen(rng: random.Random, size: tuple[int, int], pictures: list[Image.Image]) -> Image.Image:
    dark = rng.random() < 0.4
    ground = (18, 18, 20) if dark else rng.choice([(255, 255, 255), (245, 245, 247), (236, 229, 221)])
    ink = (230, 230, 230) if dark else (20, 20, 20)
    screen = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(screen)
    width, height = size
    line = max(10, min(size) // 32)
    font, small = ImageFont.load_default(line), ImageFont.load_default(line * 2 // 3)
    draw.text((line, line // 2), "12:47", fill=ink, font=small)
    top = line * 3
    while top < height - line * 3:
        kind = rng.random()
        if kind < 0.35:
            left = rng.choice((line, width // 3))
            draw.rounded_rectangle((left, top, left + width * 0.6, top + line * 2), line // 2, fill=(0, 122, 255))
            draw.text((left + line, top + line // 2), " ".join(rng.choices(_WORDS, k=5)), fill="white", font=small)
            top += line * 3
        elif kind < 0.45 and pictures:
            shown = rng.choice(pictures).copy()
            shown.thumbnail((width * 4 // 5, height // 3))
            screen.paste(shown, (line, top))
            top += shown.height + line
        elif kind < 0.6:
            draw.ellipse((line, top, line * 3, top + line * 2), fill=tuple(rng.randrange(256) for _ in range(3)))
            draw.text((line * 4, top), rng.choice(_WORDS).title(), fill=ink, font=font)
            top += line * 3
        else:
            for _ in range(rng.randrange(1, 5)):
                words = " ".join(rng.choices(_WORDS, k=60))
                draw.text((line, top), words[: int((width - 2 * line) / (line * 0.36))], fill=ink, font=small)
                top += line
            top += line
    return screen


def score(pictures: Iterable[Image.Image], drawn: int) -> Score:
    """Count over the photos, what is made of them, and `drawn` screens."""
    total, seen = Score(), []
    for picture in pictures:
        seen.append(picture)
        for example in variants(picture):
            total.count(example)
    for example in screens(seen[:30], drawn):
        total.count(example)
    return total


def main() -> list[str]:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SAFELIGHT_TEST_DATA", "../shared/data")))
    parser.add_argument("--every", type=int, default=4, help="use each Nth photo")
    options = parser.parse_args()
    pictures = list(photos(options.data, options.every))
    if not pictures:
        print(f"no photos at {options.data}: nothing measured")
        return []
    report = Report(f"Looks of {len(pictures)} photos and what is made of them")
    times = []
    for picture in pictures:
        thumbnail = thumbnail_of(picture, None)
        begin = time.process_time()
        look_at(thumbnail, picture)
        times.append(time.process_time() - begin)
    report.line(
        "measuring a picture, median", f"{median(times) * 1000:.1f} ms", aim="< 5 ms", met=median(times) < 0.005
    )
    total = score(pictures, max(14, len(pictures) // 2))
    for look in LOOKS:
        figures = f"{total.precision(look):.3f} / {total.recall(look):.3f}"
        report.line(f"{look}: precision / recall", figures, aim=f"{total.wrong[look]} of the plain photos")
    _near_duplicates(pictures, report)
    return report.missed


def _near_duplicates(pictures: list[Image.Image], report: Report) -> None:
    from core.duplicates import DEFAULT_DISTANCE

    known = [measured(picture) for picture in pictures]
    for name, copied in COPIES.items():
        bits = [differing_bits(looks, measured(copied(one))) for looks, one in zip(known, pictures, strict=True)]
        found = sum(each <= DEFAULT_DISTANCE for each in bits) / len(bits)
        report.line(f"near-duplicates found: {name}", f"{found:.3f}")
    pairs = [differing_bits(one, other) for number, one in enumerate(known) for other in known[:number]]
    for distance in (DEFAULT_DISTANCE, 8, 10, 12):
        count = sum(bits <= distance for bits in pairs)
        report.line(f"pairs of different files within {distance} bits", f"{count} of {len(pairs):,}")


if __name__ == "__main__":
    sys.exit(bool(main()))
