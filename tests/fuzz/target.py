"""What a fuzz target is: one function that gives bytes to a parser, and the only errors that it may answer with."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Broken(AssertionError):
    """What was parsed does not say again what was read: a format has one form, or a reader and a writer disagree."""


@dataclass(frozen=True)
class Target:
    """One parser under test.

    `refusals` are the errors by which it may say no: its package's own, and nothing else. `covers` are the modules of
    the product that it reads with; `longest` is how many bytes an input has at most, where that is not 4 KiB. `values`
    is where MessagePack, JSON or TOML begins in an input, whose values can then be damaged; None in other formats.
    """

    name: str
    read: Callable[[bytes], None]
    refusals: tuple[type[BaseException], ...]
    covers: tuple[str, ...]
    longest: int
    values: int | None = None

    def __call__(self, data: bytes) -> bool:
        """Read `data`, and tell whether it was taken; anything but a refusal goes through to the caller."""
        try:
            self.read(data)
        except self.refusals:
            return False
        return True


TARGETS: dict[str, Target] = {}


def target(
    *refusals: type[BaseException], covers: tuple[str, ...], longest: int = 4096, values: int | None = None
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Register a function as the target of its own name."""

    def register(read: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[read.__name__] = Target(read.__name__, read, refusals, covers, longest, values)
        return read

    return register


def same(read: object, again: object, what: str) -> None:
    """Raise `Broken` unless two readings are the same."""
    if read != again:
        raise Broken(f"{what}: {read!r:.300} became {again!r:.300}")


def text_of(data: bytes) -> str:
    """Return text as a terminal or an argument may hold it: bytes that are no UTF-8 become lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


@cache
def scratch() -> Path:
    """Return a folder for the targets that read files; it goes when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="safelight-fuzz-")
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
