"""XMP sidecars: what is known about a photo and is not in its file, for other programs and for our own import.

The properties, and who reads them (Adobe XMP specification part 2; digiKam's and Lightroom's documented names):

=====================================  =========================================================================
dc:subject                             every label, as a flat list
lr:hierarchicalSubject                 the labels that have levels: `places/lisbon` is written `places|lisbon`
dc:description                         the caption
xmp:Rating                             0 to 5, when rated
exif:DateTimeOriginal                  the date, only when the user corrected it (the file's own date is in the file)
exif:GPSLatitude, exif:GPSLongitude    the place, when known
safelight:ModelLabels                  which of the labels a model gave: an import leaves them to the model again
safelight:RejectedLabels               labels that a model gave and the user took away
safelight:Favourite                    True, when it is one
safelight:Rotation                     90, 180 or 270 degrees clockwise, on top of what the file says
safelight:Albums                       names of the albums
=====================================  =========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

SAFELIGHT_NAMESPACE = "urn:safelight:xmp:1.0:"
TOOLKIT = "Safelight"
"""Value of x:xmptk: a sidecar that carries it was written here and may be replaced by a newer one."""

_NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "safelight": SAFELIGHT_NAMESPACE,
}


@dataclass(frozen=True)
class SidecarLabel:
    """One label. `by_model` tells a model's label from one that the user added or confirmed."""

    name: str
    by_model: bool = False


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar says. `taken` is ISO 8601, with or without offset; degrees are WGS 84; `rating` is 0 to 5."""

    labels: tuple[SidecarLabel, ...] = ()
    rejected: tuple[str, ...] = ()
    caption: str | None = None
    rating: int = 0
    favourite: bool = False
    rotation: int = 0
    taken: str | None = None
    location: tuple[float, float] | None = None
    albums: tuple[str, ...] = ()


def encode_sidecar(sidecar: Sidecar) -> bytes:
    """The XMP packet of `sidecar`, UTF-8. The same facts always give the same bytes.

    Characters that XML 1.0 cannot hold (control characters, lone surrogates) are left out.
    """
    names = sorted({label.name for label in sidecar.labels})
    model_names = sorted({label.name for label in sidecar.labels if label.by_model})
    levels = [name.replace("/", "|") for name in names if "/" in name and "|" not in name]
    properties = [
        _list("dc:subject", "Bag", names),
        _list("lr:hierarchicalSubject", "Bag", levels),
        _alternative("dc:description", sidecar.caption),
        _text("xmp:Rating", str(sidecar.rating) if sidecar.rating else None),
        _text("exif:DateTimeOriginal", sidecar.taken),
    ]
    if sidecar.location is not None:
        latitude, longitude = sidecar.location
        properties.append(_text("exif:GPSLatitude", _coordinate(latitude, "N", "S")))
        properties.append(_text("exif:GPSLongitude", _coordinate(longitude, "E", "W")))
    properties += [
        _list("safelight:ModelLabels", "Bag", model_names),
        _list("safelight:RejectedLabels", "Bag", sorted(set(sidecar.rejected))),
        _text("safelight:Favourite", "True" if sidecar.favourite else None),
        _text("safelight:Rotation", str(sidecar.rotation) if sidecar.rotation else None),
        _list("safelight:Albums", "Bag", sorted(set(sidecar.albums))),
    ]
    declarations = "".join(f'\n    xmlns:{prefix}="{uri}"' for prefix, uri in _NAMESPACES.items())
    body = "".join(properties)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="{TOOLKIT}">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f'  <rdf:Description rdf:about=""{declarations}>\n{body}  </rdf:Description>\n'
        " </rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="w"?>\n'
    ).encode()


def is_own_sidecar(data: bytes) -> bool:
    """Whether `data` begins as a sidecar that this program wrote."""
    return f'x:xmptk="{TOOLKIT}"'.encode() in data[:512]


def _readable(text: str) -> str:
    """`text` without what XML 1.0 has no way to say (section 2.2, Char)."""
    return "".join(
        character
        for character in text
        if character in "\t\n\r"
        or "\x20" <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character >= "\U00010000"
    )


def _escaped(text: str) -> str:
    # A parser turns a bare carriage return into a line feed; as a reference it survives (XML 1.0, 2.11).
    return escape(_readable(text), {"\r": "&#13;"})


def _text(name: str, value: str | None) -> str:
    return "" if value is None else f"   <{name}>{_escaped(value)}</{name}>\n"


def _alternative(name: str, value: str | None) -> str:
    if value is None:
        return ""
    return f'   <{name}><rdf:Alt><rdf:li xml:lang="x-default">{_escaped(value)}</rdf:li></rdf:Alt></{name}>\n'


def _list(name: str, kind: str, values: Iterable[str]) -> str:
    items = "".join(f"<rdf:li>{_escaped(value)}</rdf:li>" for value in values)
    return f"   <{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>\n" if items else ""


def _coordinate(degrees: float, positive: str, negative: str) -> str:
    """XMP's GPSCoordinate, "DDD,MM.mmmmmmK": six digits of a minute are two millimetres."""
    whole, rest = divmod(round(abs(degrees) * 60_000_000), 60_000_000)
    return f"{whole},{rest / 1_000_000:.6f}{positive if degrees >= 0 else negative}"
