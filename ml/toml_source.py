"""TOML files that people write by hand: typed reading, and errors that point at a line.

tomllib gives the line of a syntax error only. For everything else the line is found here by asking from which line on
a prefix of the file contains the key; that needs no second TOML parser and is right for dotted keys, inline tables and
arrays of tables alike. It is slow and therefore done only once there is an error to report.
"""

from __future__ import annotations

import bisect
import difflib
import re
import tomllib
from typing import TYPE_CHECKING, TypeVar, get_args

import msgspec

if TYPE_CHECKING:
    from ml.errors import CalibrationInvalid, ManifestInvalid, TaxonomyInvalid

Struct = TypeVar("Struct", bound=msgspec.Struct)
KeyPath = tuple[str | int, ...]

MAX_BYTES = 4 << 20
"""Largest file read; the built-in taxonomy is about a twentieth of it."""

_MOST_PARSED = 2 << 20
"""Characters parsed again to find a line, half a megabyte beside; beyond that the error has none."""
# Nobody nests keys so deeply, and reading one takes the square of its parts.
_LONG_KEY = re.compile(r"(?:(?:(?<![\w-])[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}")

_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`")
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`")
_AT = re.compile(r" - at `(?:key in )?\$(?P<path>.*)`$")
_STEP = re.compile(r"\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\[(?P<index>\d+|\.\.\.)\]")


class _TooMuchWork(Exception):
    """The line of an error is not worth this."""


class TomlSource:
    """One TOML file's text and name, parsed."""

    def __init__(
        self, data: bytes, name: str, error: type[CalibrationInvalid | ManifestInvalid | TaxonomyInvalid]
    ) -> None:
        """Parse ``data``; ``name`` is how errors call the file, ``error`` their class."""
        self.name = name
        self._error = error
        if len(data) > MAX_BYTES:
            raise error(f"larger than {MAX_BYTES >> 20} MiB", source=name, line=None)
        try:
            self.text = data.decode("utf-8")
        except UnicodeDecodeError as cause:
            line = data.count(b"\n", 0, cause.start) + 1
            raise error("not UTF-8 text", source=name, line=line, hint="Save the file as UTF-8.") from cause
        if long := _LONG_KEY.search(self.text):
            line = self.text.count("\n", 0, long.start()) + 1
            raise error("a key of too many parts", source=name, line=line)
        try:
            self.values: dict[str, object] = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as cause:
            raise self._syntax_error(cause) from cause
        except ValueError as cause:  # Python reads no decimal number of thousands of digits
            raise error("a number of too many digits", source=name, line=None) from cause
        except RecursionError as cause:
            raise error("nested too deeply", source=name, line=None) from cause

    def _syntax_error(self, cause: tomllib.TOMLDecodeError) -> CalibrationInvalid | ManifestInvalid | TaxonomyInvalid:
        message = str(cause)
        found = re.search(r"\(at line (\d+), column (\d+)\)$", message)
        line = int(found[1]) if found else self.text.rstrip().count("\n") + 1
        reason = re.sub(r"\s*\(at [^()]*\)$", "", message)
        return self._error(f"not valid TOML: {reason[:1].lower()}{reason[1:]}", source=self.name, line=line)

    def invalid(
        self, message: str, key: KeyPath = (), *, hint: str | None = None
    ) -> CalibrationInvalid | ManifestInvalid | TaxonomyInvalid:
        """Return an error at the line where ``key`` stands, or where the nearest table around it begins."""
        while key and not _contains(self.values, key):
            key = key[:-1]
        return self._error(message, source=self.name, line=self.line_of(key) if key else None, hint=hint)

    def line_of(self, key: KeyPath) -> int | None:
        """Return the line, from 1, on which the statement that sets ``key`` begins; None if finding it takes long."""
        lines = self.text.splitlines(keepends=True)
        left = (1 << 19) + min(8 * len(self.text), _MOST_PARSED)

        def present(count: int) -> bool:
            nonlocal left
            # A cut inside a value of several lines does not parse: take the rest of the value along.
            for end in range(count, len(lines) + 1):
                text = "".join(lines[:end])
                left -= len(text)
                if left < 0:
                    raise _TooMuchWork
                try:
                    return _contains(tomllib.loads(text), key)
                except tomllib.TOMLDecodeError:
                    continue
            return True

        try:
            return bisect.bisect_left(range(len(lines) + 1), True, key=present)
        except _TooMuchWork:
            return None

    def convert(self, kind: type[Struct]) -> Struct:
        """Return the values as ``kind``; a wrong type, a missing or an unknown key is an error at its line."""
        try:
            return msgspec.convert(self.values, kind)
        except msgspec.ValidationError as cause:
            raise self._conversion_error(str(cause), kind) from cause

    def _conversion_error(
        self, message: str, kind: type[msgspec.Struct]
    ) -> CalibrationInvalid | ManifestInvalid | TaxonomyInvalid:
        place = _AT.search(message)
        key: KeyPath = _steps(place["path"], self.values) if place else ()
        reason = _AT.sub("", message)
        if unknown := _UNKNOWN.match(reason):
            known = _fields(kind, key)
            near = difflib.get_close_matches(unknown["name"], known, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f"Known here: {', '.join(known)}."
            return self.invalid(f'unknown key "{unknown["name"]}"{_inside(key)}', (*key, unknown["name"]), hint=hint)
        if missing := _MISSING.match(reason):
            return self.invalid(f'"{missing["name"]}" is missing{_inside(key)}', key)
        # An element of a list goes by the name of the list.
        name = next((f'"{step}": ' for step in reversed(key) if isinstance(step, str)), "")
        return self.invalid(name + reason[:1].lower() + reason[1:].replace("`", ""), key)


def _inside(key: KeyPath) -> str:
    tables = [str(step) for step in key if isinstance(step, str)]
    return f" in [{'.'.join(tables)}]" if tables else ""


def _contains(values: object, key: KeyPath) -> bool:
    for step in key:
        if isinstance(step, int):
            if not isinstance(values, list) or step >= len(values):
                return False
            values = values[step]
        else:
            if not isinstance(values, dict) or step not in values:
                return False
            values = values[step]
    return True


def _steps(path: str, values: object) -> KeyPath:
    """Turn msgspec's ``.input.mean[2]`` into a key path; ``[...]``, some key of a plain dict, ends it."""
    steps: list[str | int] = []
    for step in _STEP.finditer(path):
        if step["index"] == "...":
            break
        steps.append(step["name"] if step["index"] is None else int(step["index"]))
    # Elements of plain arrays have no line of their own; the array's is the one wanted.
    while steps and not _contains(values, tuple(steps)):
        steps.pop()
    return tuple(steps)


def _fields(kind: type[msgspec.Struct], key: KeyPath) -> list[str]:
    """Names of the keys allowed at ``key`` below ``kind``."""
    for step in key:
        if isinstance(step, str):
            annotation = next(f.type for f in msgspec.structs.fields(kind) if f.encode_name == step)
            candidates = [annotation, *get_args(annotation)]
            kind = next(c for c in candidates if isinstance(c, type) and issubclass(c, msgspec.Struct))
    return [field.encode_name for field in msgspec.structs.fields(kind)]
