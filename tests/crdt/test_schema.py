"""Names of documents, keys, and the packed records."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.documents import LIBRARY, DocumentKind, document_kind, is_document_name, shard_name
from crdt.errors import CrdtError, DocumentNameInvalid, RecordInvalid, ValueRefused
from crdt.records import (
    MAX_EXAMPLES,
    AutoRecord,
    BundleEntry,
    BundleRecord,
    CopyRecord,
    PhotoFacts,
    Record,
    TaughtRecord,
    listed_pids,
)
from crdt.schema import (
    album_key,
    auto_key,
    copy_key,
    key_pid,
    label_key,
    label_name,
    photo_prefix,
    pid_key,
    split_copy_key,
    split_key,
)

PID = bytes.fromhex("a0123456789abcdef0123456789abcde")
VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "crdt-records.json"
KINDS: dict[str, type[Record]] = {
    kind.__name__: kind for kind in (PhotoFacts, CopyRecord, BundleRecord, AutoRecord, TaughtRecord)
}
pids = st.binary(min_size=16, max_size=16)


@pytest.mark.parametrize(
    ("wall_clock", "name"),
    [
        ("2024-05-31T23:59:59", "photos:2024-05"),
        ("2024-05", "photos:2024-05"),
        ("0001-12-01T00:00:00.5", "photos:0001-12"),
        (None, "undated:a"),
        ("", "undated:a"),
        ("0000-00-00T00:00:00", "undated:a"),
        ("2024-13-01T00:00:00", "undated:a"),
        ("2024-051", "undated:a"),
        ("\uff12024-05-01T00:00:00", "undated:a"),
        (" 2024-05-01T00:00:00", "undated:a"),
    ],
)
def test_the_shard_is_told_by_the_date_in_the_file_alone(wall_clock: str | None, name: str) -> None:
    assert shard_name(wall_clock, PID) == name
    assert is_document_name(name)
    assert document_kind(name) is DocumentKind.SHARD


@given(st.text(max_size=20), pids)
def test_every_shard_name_is_a_document_name(wall_clock: str, pid: bytes) -> None:
    assert is_document_name(shard_name(wall_clock, pid))


def test_names_of_documents() -> None:
    assert document_kind(LIBRARY) is DocumentKind.LIBRARY
    for wrong in ("", "photos", "photos:2024-5", "photos:2024-05 ", "undated:A", "undated:10", "library\n", "../x"):
        assert not is_document_name(wrong)
        with pytest.raises(DocumentNameInvalid):
            document_kind(wrong)
    with pytest.raises(DocumentNameInvalid):
        shard_name(None, b"short")


@pytest.mark.parametrize(
    ("one", "two"),
    [("Dog", "dog"), ("STRASSE", "straße"), ("Cafe\u0301", "CAFÉ"), (" spaced ", "Spaced"), ("Σας", "ΣΑΣ")],
)
def test_spellings_of_one_label_share_a_key(one: str, two: str) -> None:
    assert label_key(PID, one) == label_key(PID, two)


@given(st.text(max_size=300))
def test_label_names_are_bounded_normal_and_stable(name: str) -> None:
    try:
        folded = label_name(name)
    except ValueRefused:
        return
    assert 0 < len(folded.encode()) <= 200
    assert unicodedata.is_normalized("NFC", folded)
    assert not any(unicodedata.category(c) == "Cc" for c in folded)
    assert label_name(folded) == folded
    assert split_key(label_key(PID, name)) == (PID, folded)


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "\x1b[31m", "x" * 201, "\ud800", "ﬃ" * 70])
def test_labels_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueRefused) as raised:
        label_name(name)
    assert raised.value.hint


@given(pids, st.text(min_size=1, max_size=50), st.binary(min_size=32, max_size=32))
def test_keys_split_as_they_were_built(pid: bytes, rest: str, blob_id: bytes) -> None:
    assert split_key(auto_key(pid, rest)) == (pid, rest)
    assert split_key(album_key(pid, rest)) == (pid, rest)
    assert split_copy_key(copy_key(pid, blob_id)) == (pid, blob_id)
    assert key_pid(pid_key(pid)) == key_pid(copy_key(pid, blob_id)) == pid
    assert auto_key(pid, rest).startswith(photo_prefix(pid))


def test_the_first_slash_splits() -> None:
    assert split_key(label_key(PID, "animals/dogs/poodle")) == (PID, "animals/dogs/poodle")


@pytest.mark.parametrize(
    "key", ["", "/", "x/dog", PID.hex() + "/", PID.hex().upper() + "/dog", PID.hex()[:-1] + "/dog", "é" * 32 + "/dog"]
)
def test_keys_of_another_shape_are_no_error(key: str) -> None:
    assert split_key(key) is None
    assert split_copy_key(key) is None


def test_ids_of_the_wrong_length_make_no_key() -> None:
    with pytest.raises(ValueRefused):
        pid_key(b"x")
    with pytest.raises(ValueRefused):
        copy_key(PID, b"x")
    with pytest.raises(ValueRefused):
        label_key(b"", "dog")


FACTS = PhotoFacts(width=4000, height=3000, size=3_000_000, mime="image/jpeg")
COPY = CopyRecord(role="original", key=b"k" * 32, size=5, file_name="IMG 1.jpg")
BUNDLE = BundleRecord(kind="thumb", key=b"k" * 32, entries=[BundleEntry(PID, 0, 1000), BundleEntry(PID, 1000, 5)])
AUTO = AutoRecord.of([(7, 0.5), (3, 0.25)])
TAUGHT = TaughtRecord.of([PID, b"\x01" * 16], [b"\x02" * 16], at=1_700_000_000)
FULL = PhotoFacts(
    width=1,
    height=2,
    size=3,
    mime="image/heic",
    orientation=6,
    wall_clock="2024-05-01T10:11:12.25",
    offset_minutes=-120,
    date_source="exif.DateTimeOriginal",
    latitude=38.72,
    longitude=-9.14,
    altitude_m=-3.5,
    make="Canon",
    model="EOS R",
    lens="50 mm",
    iso=100,
    f_number=1.8,
    exposure_s=0.001,
    focal_mm=50.0,
    thumbhash=b"h" * 25,
    motion_s=2.5,
    imported_at=1_700_000_000,
    fallback_clock="2024-05-01T00:00:00",
    fallback_source="name",
    brightness=437,
    sharpness=2981,
    colourfulness=412,
    flatness=61,
    perceptual_hash=b"\x5a" * 8,
    screenshot=True,
)


@pytest.mark.parametrize("record", [FACTS, FULL, COPY, BUNDLE, AUTO, TAUGHT], ids=lambda r: type(r).__name__)
def test_records_come_back_as_packed(record: Record) -> None:
    packed = record.pack()
    assert type(record).unpack(packed) == record
    assert all(isinstance(number, int) for number in msgspec.msgpack.decode(packed, type=dict[int, Any]))


def test_the_numbers_of_fields_never_change() -> None:
    assert FULL.pack().hex() == (
        "de001d" + "0101" "0202" "0306" "0403" "05aa696d6167652f68656963"
        "06b6323032342d30352d30315431303a31313a31322e3235"
        "07d088" "08b5657869662e4461746554696d654f726967696e616c" "09cb40435c28f5c28f5c" "0acbc02247ae147ae148"
        "0bcbc00c000000000000" "0ca543616e6f6e" "0da5454f532052" "0ea53530206d6d" "0f64" "10cb3ffccccccccccccd"
        "11cb3f50624dd2f1a9fc" "12cb4049000000000000" "13c419" + b"h".hex() * 25 + "14cb4004000000000000" "15ce6553f100"
        "16b3323032342d30352d30315430303a30303a3030" "17a46e616d65"
        "18cd01b5" "19cd0ba5" "1acd019c" "1b3d" "1cc408" + "5a" * 8 + "1dc3"
    )  # fmt: skip
    assert COPY.pack().hex() == "8401a86f726967696e616c02c420" + "6b" * 32 + "030504a9494d4720312e6a7067"
    assert AUTO.pack().hex() == "8101940" + "7cd8000" + "03cd4000"


def test_fields_of_a_later_version_survive_a_rewrite() -> None:
    later = msgspec.msgpack.encode({**msgspec.msgpack.decode(FACTS.pack()), 200: {"new": [1, b"x"]}, 201: None})
    facts = PhotoFacts.unpack(later)
    facts.width = 5
    again = msgspec.msgpack.decode(facts.pack(), strict=False)
    assert (again[200], again[201], again[1]) == ({"new": [1, b"x"]}, None, 5)


HOSTILE: list[tuple[type[Record], Any]] = [
    (PhotoFacts, {1: 4000, 2: 3000, 4: 1}),
    (PhotoFacts, {1: 0, 2: 3000, 4: 1, 5: "image/jpeg"}),
    (PhotoFacts, {1: "4000", 2: 3000, 4: 1, 5: "image/jpeg"}),
    (PhotoFacts, {1: 1, 2: 1, 4: -1, 5: "image/jpeg"}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "x" * 257}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 6: "2024-05-01"}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 6: "2024-05-01T10:00:00\n"}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 9: float("nan")}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 9: 91.0}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 16: float("inf")}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 19: b"h" * 33}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 24: 1001}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 25: -1}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 26: 2**63}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 27: 0.5}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 28: b"p" * 9}),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", 29: "yes"}),
    (PhotoFacts, {"width": 1}),
    (PhotoFacts, [1, 2, 3]),
    (PhotoFacts, {1: 1, 2: 1, 4: 1, 5: "image/jpeg", **dict.fromkeys(range(100, 200), 0)}),
    (CopyRecord, {1: "thumb", 2: b"k" * 32, 3: 5}),
    (CopyRecord, {1: "original", 2: b"k" * 31, 3: 5}),
    (CopyRecord, {1: "original", 2: "k" * 32, 3: 5}),
    (CopyRecord, {1: "original", 2: b"k" * 32, 3: 2**60}),
    (BundleRecord, {1: "thumb", 2: b"k" * 32, 3: [[PID, 0]]}),
    (BundleRecord, {1: "thumb", 2: b"k" * 32, 3: [[PID, -1, 5]]}),
    (BundleRecord, {1: "thumb", 2: b"k" * 32, 3: [[b"short", 0, 5]]}),
    (BundleRecord, {1: "thumb", 2: b"k" * 32, 3: [[PID, 0, 5]] * 2049}),
    (AutoRecord, {1: [1]}),
    (AutoRecord, {1: [1, 65_536]}),
    (AutoRecord, {1: [-1, 5]}),
    (AutoRecord, {1: [1, 5] * 33}),
    (AutoRecord, {}),
    (TaughtRecord, {1: b"x" * 17}),
    (TaughtRecord, {1: bytes(16) * 2}),
    (TaughtRecord, {1: bytes(16), 2: bytes(16)}),
    (TaughtRecord, {2: bytes(16 * 2001)}),
    (TaughtRecord, {1: "text"}),
    (TaughtRecord, {3: -1}),
]


def _vectors() -> dict[str, Any]:
    return dict(json.loads(VECTORS.read_text()))


def test_the_record_vectors_are_those_made_here() -> None:
    made = {
        "comment": (
            "Packed records. `good` ones decode to these fields, by number (bytes as 0x and hex), and pack to the same "
            "bytes again; `bad` ones are refused with RecordInvalid."
        ),
        "good": [
            {"record": type(record).__name__, "packed": record.pack().hex(), "fields": _fields(record)}
            for record in (FACTS, FULL, COPY, BUNDLE, AUTO, TAUGHT)
        ],
        "bad": [{"record": kind.__name__, "packed": msgspec.msgpack.encode(fields).hex()} for kind, fields in HOSTILE],
    }
    if os.environ.get("SAFELIGHT_WRITE_VECTORS"):
        VECTORS.write_text(json.dumps(made, indent=1) + "\n")
    assert _vectors() == made


def _fields(record: Record) -> dict[str, Any]:
    def shown(value: Any) -> Any:
        if isinstance(value, bytes):
            return "0x" + value.hex()
        return [shown(each) for each in value] if isinstance(value, list) else value

    fields = msgspec.msgpack.decode(record.pack(), type=dict[int, Any])
    return {str(number): shown(value) for number, value in sorted(fields.items())}


@pytest.mark.parametrize("case", range(6))
def test_good_records_are_read(case: int) -> None:
    vector = _vectors()["good"][case]
    record = KINDS[vector["record"]].unpack(bytes.fromhex(vector["packed"]))
    assert record.pack().hex() == vector["packed"]
    assert _fields(record) == vector["fields"]


@pytest.mark.parametrize("case", range(len(HOSTILE)))
def test_records_out_of_bounds_are_refused_on_reading(case: int) -> None:
    vector = _vectors()["bad"][case]
    with pytest.raises(RecordInvalid) as raised:
        KINDS[vector["record"]].unpack(bytes.fromhex(vector["packed"]))
    assert raised.value.hint


@pytest.mark.parametrize("kind", list(KINDS.values()))
def test_bytes_that_are_no_record_are_refused(kind: type[Record]) -> None:
    for data in (
        b"",
        b"\xc1",
        b"\x81",
        b"\x91" * 60_000,
        b"\x81\x01" * 30_000,
        bytes(70_000),
        b"\x81\x01\xd9\x02\xff\xff",
    ):
        with pytest.raises(RecordInvalid):
            kind.unpack(data)


@given(st.binary(max_size=200))
def test_no_bytes_cause_another_error(data: bytes) -> None:
    for kind in KINDS.values():
        try:
            kind.unpack(data)
        except CrdtError:
            continue


def test_nothing_is_packed_that_could_not_be_read() -> None:
    for wrong in (
        PhotoFacts(width=0, height=1, size=1, mime="image/jpeg"),
        PhotoFacts(width=1, height=1, size=1, mime="image/jpeg", latitude=float("nan")),
        PhotoFacts(width=1, height=1, size=1, mime="image/jpeg", make="\ud800"),
        PhotoFacts(width=1, height=1, size=2**70, mime="image/jpeg"),
        CopyRecord(role="original", key=b"", size=1),
    ):
        with pytest.raises(RecordInvalid):
            wrong.pack()


def test_automatic_classes_keep_the_strongest() -> None:
    record = AutoRecord.of([(index, (index + 1) / 100) for index in range(60)] + [(99, 0.0), (98, 1e-9)])
    classes = AutoRecord.unpack(record.pack()).classes()
    assert [index for index, _ in classes] == list(range(59, 27, -1))
    assert all(abs(probability - (index + 1) / 100) < 1e-5 for index, probability in classes)
    assert AutoRecord.of([(1, 1.0000001)]).classes() == [(1, 1.0)]
    assert AutoRecord.of([]).classes() == []
    for wrong in (1.1, -0.1, float("nan"), float("inf")):
        with pytest.raises(RecordInvalid):
            AutoRecord.of([(1, wrong)])


def test_the_largest_records_fit_their_maps() -> None:
    entries = [BundleEntry(os.urandom(16), 2**22, 2**20)] * 2048
    assert len(BundleRecord(kind="vector", key=b"k" * 32, entries=entries, model="m" * 200).pack()) <= 65_536
    taught = TaughtRecord.of(
        [os.urandom(16) for _ in range(MAX_EXAMPLES)], [os.urandom(16) for _ in range(MAX_EXAMPLES)]
    )
    assert len(taught.pack()) <= 65_536
    assert len(listed_pids(taught.positive)) == MAX_EXAMPLES
    assert len(AutoRecord.of([(2**31, 1.0)] * 40, at=2**33).pack()) <= 2048
    assert len(CopyRecord(role="original", key=b"k" * 32, size=2**40, file_name="é" * 400).pack()) <= 2048
