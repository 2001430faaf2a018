"""Reading XMP, which may come from anyone: entity declarations refused, sizes bounded, nothing fetched.

Expat is told to stop at the first document type or entity declaration, so neither an entity bomb nor an external entity
is ever expanded. What is read is flat: the properties of the top-level descriptions and the items of their lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from xml.parsers import expat

from core.importing.errors import XmpRefused

MAX_PACKET_BYTES = 4 << 20
_MAX_DEPTH = 64
_MAX_VALUES = 4096
_MAX_VALUE_CHARACTERS = 65_536

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "http://purl.org/dc/elements/1.1/": "dc",
        "http://ns.adobe.com/xap/1.0/": "xmp",
        "http://ns.adobe.com/exif/1.0/": "exif",
        "http://ns.adobe.com/tiff/1.0/": "tiff",
        "http://ns.adobe.com/photoshop/1.0/": "photoshop",
        "http://ns.adobe.com/lightroom/1.0/": "lr",
        "http://www.digikam.org/ns/1.0/": "digiKam",
        "urn:safelight:xmp:1.0:": "safelight",
    }
)
_CONTAINERS = frozenset({f"{_RDF} Bag", f"{_RDF} Seq", f"{_RDF} Alt"})
_OPENING = re.compile(rb"<(?:\w+:)?xmpmeta\b")
_CLOSING = re.compile(rb"</(?:\w+:)?xmpmeta\s*>")
# Beside expat's own: encodings that Python does not know, or that take several bytes for a character.
_UNREADABLE = (expat.ExpatError, LookupError, ValueError)

Properties = Mapping[str, list[str]]
"""`{"dc:subject": ["sea", "boat"], …}`, by the prefixes above whatever the packet calls them."""

NO_PROPERTIES: Properties = MappingProxyType({})


def read_packet(data: bytes) -> Properties:
    """Return the properties in an XMP packet or sidecar.

    Raises:
        XmpRefused: see there.
    """
    if len(data) > MAX_PACKET_BYTES:
        raise XmpRefused(f"its XMP has {len(data):,} bytes, over the limit of {MAX_PACKET_BYTES:,}")
    data = data.rstrip(b"\0 \r\n\t") if not data.startswith((b"\xff\xfe", b"\xfe\xff")) else data
    try:
        return _Reader().read(data)
    except _UNREADABLE as error:
        # Some writers leave rubbish around the packet, or Latin-1 in it: try its core before giving up.
        core = _core(data)
        for attempt in [core, _as_utf8(core)] if core else []:
            try:
                return _Reader().read(attempt)
            except _UNREADABLE:
                continue
        reason = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else "unknown encoding"
        raise XmpRefused(f"its XMP is not readable: {reason}") from error


def _core(data: bytes) -> bytes:
    """Return the first `xmpmeta` element; empty where there is none. One pass, whatever is opened and never closed."""
    opening = _OPENING.search(data)
    closing = None if opening is None else _CLOSING.search(data, opening.end())
    return b"" if opening is None or closing is None else data[opening.start() : closing.end()]


def _as_utf8(data: bytes) -> bytes:
    return data.decode("latin-1").encode()


class _Reader:
    """One pass of expat over one packet."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}
        self._values = 0
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._length = 0
        self._items = 0

    def read(self, data: bytes) -> Properties:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.Parse(data, True)
        return self._found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= _MAX_DEPTH:
            raise XmpRefused(f"its XMP is nested more than {_MAX_DEPTH} levels deep")
        self._path.append(name)
        place = self._place()
        if place == "description":
            for attribute, value in attributes.items():
                self._add(attribute, value)
        elif place in {"property", "item"}:
            self._text, self._length = [], 0
            if place == "property":
                self._items = 0

    def _end(self, name: str) -> None:
        place = self._place()
        if place in {"property", "item"} and self._text is not None:
            text = "".join(self._text).strip()
            property_name = self._path[self._description() + 1]
            if place == "item":
                self._items += 1
                self._add(property_name, text)
            elif not self._items and text:
                self._add(name, text)
            self._text = None
        self._path.pop()

    def _characters(self, text: str) -> None:
        if self._text is not None and self._length < _MAX_VALUE_CHARACTERS:
            self._text.append(text[: _MAX_VALUE_CHARACTERS - self._length])
            self._length += len(text)

    def _description(self) -> int:
        """Return how deep the top-level description is, or -1 outside of one."""
        try:
            depth = self._path.index(f"{_RDF} Description")
        except ValueError:
            return -1
        return depth if depth and self._path[depth - 1] == f"{_RDF} RDF" else -1

    def _place(self) -> str:
        depth = self._description()
        below = len(self._path) - 1 - depth
        if depth < 0:
            return "outside"
        if below == 0:
            return "description"
        if below == 1:
            return "property"
        is_item = below == 3 and self._path[-1] == f"{_RDF} li" and self._path[-2] in _CONTAINERS  # noqa: PLR2004
        return "item" if is_item else "deeper"

    def _add(self, name: str, value: str) -> None:
        uri, _, local = name.rpartition(" ")
        prefix = _PREFIXES.get(uri)
        if prefix is None or self._values >= _MAX_VALUES:
            return
        self._values += 1
        self._found.setdefault(f"{prefix}:{local}", []).append(value[:_MAX_VALUE_CHARACTERS])


def _refuse(*_: object) -> None:
    raise XmpRefused("its XMP declares a document type or entities, which no real one does")
