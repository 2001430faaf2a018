"""The packed records kept as values: MessagePack maps with integer keys, checked whenever they are read.

What a record's bytes say was written by some device of the library, perhaps a hostile or a newer one: reading bounds
every field, and keeps the numbers it does not know, so that a record changed by an older version loses nothing.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from msgspec import Meta

from crdt.documents import PID_BYTES
from crdt.errors import RecordInvalid

MAX_RECORD_BYTES = 65_536
MAX_UNKNOWN_FIELDS = 64
STRONGEST_CLASSES = 32
MAX_EXAMPLES = 2_000
"""Photos that show what was taught, and as many that do not: with them the record fits its map."""
PROBABILITY_UNIT = 65_535
"""Probabilities are stored as integers of this part: a resolution of 1.5e-5 in a third of the bytes of a float."""

_ROUNDING = 1e-6
_HINT = "the device that wrote it runs a damaged or hostile program; what else is known of the photo stays readable"

_Text = Annotated[str, Meta(max_length=256)]
_Positive = Annotated[int, Meta(ge=1, le=2**31)]
_Size = Annotated[int, Meta(ge=0, le=2**48)]
_Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]
_Clock = Annotated[
    str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?\Z", max_length=26)
]
_Measure = Annotated[float, Meta(ge=0, le=1e9)]
_Share = Annotated[int, Meta(ge=0, le=1000)]
_Ratio = Annotated[int, Meta(ge=0, le=10_000)]
_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Pid = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Examples = Annotated[bytes, Meta(max_length=PID_BYTES * MAX_EXAMPLES)]
_ModelName = Annotated[str, Meta(min_length=1, max_length=200)]


class Record(msgspec.Struct, kw_only=True):
    """Base of the packed records: a declared number for each field, and the fields of newer versions kept aside.

    Attributes:
        unknown: fields whose numbers this version does not know, as read; written back unchanged.
    """

    numbers: ClassVar[Mapping[int, str]] = {}

    unknown: dict[int, Any] = msgspec.field(default_factory=dict)

    def pack(self) -> bytes:
        """Write the record as bytes; fields that are ``None`` are left out.

        Raises:
            RecordInvalid: if a field is out of its bounds, so that nothing is written that could not be read.
        """
        fields = dict(self.unknown)
        for number, name in self.numbers.items():
            value = getattr(self, name)
            if value is not None:
                fields[number] = value
        try:
            packed = msgspec.msgpack.encode(fields)
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            raise RecordInvalid(f"a {type(self).__name__} cannot be packed: {error}") from error
        self.unpack(packed)
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Read a record, checking every field.

        Raises:
            RecordInvalid: if the bytes are no such record, a field is out of its bounds, or there is too much.
        """
        if len(packed) > MAX_RECORD_BYTES:
            raise RecordInvalid(f"a {cls.__name__} of {len(packed)} bytes is over {MAX_RECORD_BYTES}", hint=_HINT)
        try:
            fields = _DECODER.decode(packed)
            known = {cls.numbers[number]: fields.pop(number) for number in cls.numbers.keys() & fields.keys()}
            if len(fields) > MAX_UNKNOWN_FIELDS:
                raise RecordInvalid(f"a {cls.__name__} has {len(fields)} unknown fields", hint=_HINT)
            record = msgspec.convert(known, type=cls)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise RecordInvalid(f"a {cls.__name__} does not decode: {error}", hint=_HINT) from error
        record.unknown = fields
        return record


class PhotoFacts(Record, kw_only=True):
    """What the file's own bytes say of a photo; written once, when it is imported.

    Attributes:
        width: pixels, after the orientation is applied.
        height: pixels, after the orientation is applied.
        orientation: EXIF orientation of the stored pixels, 1 to 8.
        size: of the file, in bytes.
        mime: media type of the file.
        wall_clock: capture time as in the file, ``YYYY-MM-DDTHH:MM:SS`` with up to six decimals; ``None`` if absent.
        offset_minutes: of that time from UTC, -1080 to 1080; ``None`` if unknown.
        date_source: where the time stood, e.g. ``exif.DateTimeOriginal``.
        latitude: degrees, -90 to 90.
        longitude: degrees, -180 to 180.
        altitude_m: metres above sea level.
        make: of the camera.
        model: of the camera.
        lens: its name.
        iso: film speed.
        f_number: aperture.
        exposure_s: exposure time in seconds.
        focal_mm: focal length in millimetres.
        thumbhash: a blurred placeholder of at most 32 bytes.
        motion_s: seconds of video inside the file, where it has a motion part.
        imported_at: UTC seconds.
        fallback_clock: a time from elsewhere (name, sidecar, file time); never decides the shard.
        fallback_source: where that time comes from.
        brightness: mean luma of the picture, in thousandths of white's.
        sharpness: energy of fine detail over that of all edges where the picture is sharpest, in thousandths; ``None``
            without edges.
        colourfulness: of Hasler and Süsstrunk (2003), in tenths; 0 for grey.
        flatness: how many thousandths of the pixels equal their neighbour.
        perceptual_hash: 64 bits of which like pictures share most; ``None`` for a picture of hardly any contrast.
        screenshot: whether the file says of itself that it shows a screen.
    """

    numbers: ClassVar[Mapping[int, str]] = {
        1: "width",
        2: "height",
        3: "orientation",
        4: "size",
        5: "mime",
        6: "wall_clock",
        7: "offset_minutes",
        8: "date_source",
        9: "latitude",
        10: "longitude",
        11: "altitude_m",
        12: "make",
        13: "model",
        14: "lens",
        15: "iso",
        16: "f_number",
        17: "exposure_s",
        18: "focal_mm",
        19: "thumbhash",
        20: "motion_s",
        21: "imported_at",
        22: "fallback_clock",
        23: "fallback_source",
        24: "brightness",
        25: "sharpness",
        26: "colourfulness",
        27: "flatness",
        28: "perceptual_hash",
        29: "screenshot",
    }

    width: _Positive
    height: _Positive
    size: _Size
    mime: _Text
    orientation: Annotated[int, Meta(ge=1, le=8)] = 1
    wall_clock: _Clock | None = None
    offset_minutes: Annotated[int, Meta(ge=-1080, le=1080)] | None = None
    date_source: _Text | None = None
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    altitude_m: Annotated[float, Meta(ge=-1e6, le=1e9)] | None = None
    make: _Text | None = None
    model: _Text | None = None
    lens: _Text | None = None
    iso: Annotated[int, Meta(ge=0, le=2**31)] | None = None
    f_number: _Measure | None = None
    exposure_s: _Measure | None = None
    focal_mm: _Measure | None = None
    thumbhash: Annotated[bytes, Meta(max_length=32)] | None = None
    motion_s: _Measure | None = None
    imported_at: _Seconds | None = None
    fallback_clock: _Clock | None = None
    fallback_source: _Text | None = None
    brightness: _Share | None = None
    sharpness: _Ratio | None = None
    colourfulness: _Ratio | None = None
    flatness: _Share | None = None
    perceptual_hash: Annotated[bytes, Meta(min_length=8, max_length=8)] | None = None
    screenshot: bool | None = None


class CopyRecord(Record, kw_only=True):
    """One blob that holds a photo.

    Attributes:
        role: the file as imported, or a smaller rendering of it.
        key: the blob's key, 32 bytes.
        size: of the plaintext, in bytes.
        file_name: of the imported file, without its folders; ``None`` for a preview.
        mime: media type of the plaintext.
        width: pixels, for a preview.
        height: pixels, for a preview.
    """

    numbers: ClassVar[Mapping[int, str]] = {
        1: "role",
        2: "key",
        3: "size",
        4: "file_name",
        5: "mime",
        6: "width",
        7: "height",
    }

    role: Literal["original", "preview"]
    key: _Key
    size: _Size
    file_name: Annotated[str, Meta(max_length=400)] | None = None
    mime: _Text | None = None
    width: _Positive | None = None
    height: _Positive | None = None


class BundleEntry(msgspec.Struct, array_like=True, frozen=True):
    """Where one photo's part of a bundle lies: ``length`` bytes from ``offset`` in the plaintext."""

    pid: _Pid
    offset: _Size
    length: _Size


class BundleRecord(Record, kw_only=True):
    """One blob that holds the thumbnails or vectors of many photos.

    Attributes:
        kind: what it holds.
        key: the blob's key, 32 bytes.
        entries: at most 2048, one a photo.
        size: of the plaintext, in bytes.
        model: for vectors: the model that made them, ``name@version``.
        dimensions: for vectors: how many float numbers each has.
    """

    numbers: ClassVar[Mapping[int, str]] = {
        1: "kind",
        2: "key",
        3: "entries",
        4: "size",
        5: "model",
        6: "dimensions",
    }

    kind: Literal["thumb", "vector"]
    key: _Key
    entries: Annotated[list[BundleEntry], Meta(max_length=2048)]
    size: _Size | None = None
    model: _ModelName | None = None
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None


class AutoRecord(Record, kw_only=True):
    """What one model said of a photo.

    Attributes:
        flat: class index and probability in parts of 65,535, in turn, strongest first; at most 32 pairs. Use
            :meth:`of` and :meth:`classes`.
        at: when, in UTC seconds.
    """

    numbers: ClassVar[Mapping[int, str]] = {1: "flat", 2: "at"}

    flat: Annotated[list[Annotated[int, Meta(ge=0, le=2**31)]], Meta(max_length=2 * STRONGEST_CLASSES)]
    at: _Seconds | None = None

    def __post_init__(self) -> None:
        if len(self.flat) % 2 or any(part > PROBABILITY_UNIT for part in self.flat[1::2]):
            raise ValueError("class indexes and probabilities do not pair")

    @classmethod
    def of(cls, classes: list[tuple[int, float]], *, at: int | None = None) -> Self:
        """Keep the 32 strongest of ``classes`` (class index, probability from 0 to 1) that do not round to zero."""
        if any(not math.isfinite(probability) or not 0 <= probability <= 1 + _ROUNDING for _, probability in classes):
            raise RecordInvalid("a probability is not between 0 and 1")
        strongest = sorted(classes, key=lambda pair: (-pair[1], pair[0]))[:STRONGEST_CLASSES]
        flat: list[int] = []
        for index, probability in strongest:
            part = min(PROBABILITY_UNIT, round(probability * PROBABILITY_UNIT))
            if part:
                flat += (index, part)
        return cls(flat=flat, at=at)

    def classes(self) -> list[tuple[int, float]]:
        """List class index and probability, strongest first."""
        return [(index, part / PROBABILITY_UNIT) for index, part in zip(self.flat[::2], self.flat[1::2], strict=True)]


class TaughtRecord(Record, kw_only=True):
    """The photos by which a label was taught; what is learnt from them is worked out on each device.

    Attributes:
        positive: photos that show it: their ids, one after another, at most 2000.
        negative: photos that do not, likewise. Use :meth:`of` and :func:`listed_pids`.
        at: when they were last changed, in UTC seconds.
    """

    numbers: ClassVar[Mapping[int, str]] = {1: "positive", 2: "negative", 3: "at"}

    positive: _Examples = b""
    negative: _Examples = b""
    at: _Seconds | None = None

    def __post_init__(self) -> None:
        if len(self.positive) % PID_BYTES or len(self.negative) % PID_BYTES:
            raise ValueError("the examples are no whole ids")
        positive, negative = listed_pids(self.positive), listed_pids(self.negative)
        if len({*positive, *negative}) != len(positive) + len(negative):
            raise ValueError("a photo is an example twice")

    @classmethod
    def of(cls, positive: Iterable[bytes], negative: Iterable[bytes], *, at: int | None = None) -> Self:
        """Return the record of these examples, sorted."""
        return cls(positive=b"".join(sorted(positive)), negative=b"".join(sorted(negative)), at=at)


def listed_pids(joined: bytes) -> list[bytes]:
    """Return the ids that stand one after another."""
    return [joined[at : at + PID_BYTES] for at in range(0, len(joined), PID_BYTES)]


_DECODER = msgspec.msgpack.Decoder(dict[int, Any])
