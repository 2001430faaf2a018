"""The seeds of the corpus, made of our own vectors and of small things made here: never of anybody's photos."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core import replica_messages, text_messages
from core.envelope_body import (
    KIND_CHECKPOINT,
    KIND_CONFIRMATION,
    Accepted,
    AddedPhotos,
    DocumentChanges,
    EnvelopeBody,
    Inverse,
    Snapshot,
    acknowledgement,
    encode_body,
)
from core.importing import protocol
from core.importing.dates import CaptureTime
from core.importing.facts import FileFacts, Looks
from core.machine_state import MachineHead, _slot
from crdt.change import chunk_hash
from crdt.errors import ChangeInvalid
from crdt.records import AutoRecord, Record, TaughtRecord
from crypto import signing
from crypto.compression import deflate
from crypto.envelope import EnvelopeHeader
from crypto.keys import wrap_secrets
from crypto.membership_entry import (
    CHECK_BYTES,
    COUNTS,
    EPOCH_BOX_BYTES,
    MEMBER,
    MEMBER_BOX_BYTES,
    REVOKED,
    START,
    WRAP_BYTES,
    EntryKind,
)
from crypto.pairing import _KEYS, _OFFER
from crypto.phrase import _wordlist
from crypto.preamble import PREAMBLE_BYTES, Kind, preamble
from crypto.purposes import Signed
from crypto.sealed import _seal_with
from ml.classes import ClassEntry, ClassTable
from sync_relay import errors, wire
from sync_relay.statements import Place, make_delete, make_prune
from tests.fuzz import catalog_targets, crdt_targets, import_targets, photo_seeds, relay_targets
from tests.fuzz.kept_inputs import keep_seeds
from tests.fuzz.library_targets import derived_file_path
from tests.fuzz.targets import TARGETS
from tests.fuzz.world import EPOCH, FOUNDER, GENESIS, KEY, LIBRARY, NEWCOMER, PHRASE
from tests.ml.onnx_writer import integer, ints, model_file, nested_graph, node, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sync_relay.wire import Struct

_TESTS = Path(__file__).resolve().parent.parent
_LARGEST = 3000
"""Bytes from which a vector is no seed: small inputs are tried more often."""
_DIGEST = bytes(range(32))
_PLACE = Accepted(_DIGEST, 3, bytes(32))


def _vectors(name: str) -> Any:
    return json.loads((_TESTS / "vectors" / f"{name}.json").read_text("utf-8"))


def _bytes_in(found: object) -> Iterable[bytes]:
    """Yield everything in hexadecimal in a vector's case that is of the size of a format."""
    if isinstance(found, dict):
        for value in found.values():
            yield from _bytes_in(value)
    elif isinstance(found, list):
        for value in found:
            yield from _bytes_in(value)
    elif isinstance(found, str) and len(found) > 32 and set(found) <= set("0123456789abcdef") and len(found) % 2 == 0:
        yield bytes.fromhex(found)


def _of_kind(kind: Kind, *vectors: str) -> list[bytes]:
    begins = preamble(kind)[:6]
    found = {data for name in vectors for data in _bytes_in(_vectors(name)["cases"]) if data.startswith(begins)}
    return sorted((data for data in found if len(data) <= _LARGEST), key=len)


def _spread(found: list[bytes], most: int) -> list[bytes]:
    """Return `most` of many inputs, of all lengths."""
    step = max(1, len(found) // most)
    return found[::step][:most]


def _envelope_contents() -> list[bytes]:
    texts = [b"", b"hello", bytes(300), encode_body(acknowledgement(0))]
    packed = [struct.pack(">II", len(text), len(deflate(text))) + deflate(text) for text in texts]
    return [*packed, struct.pack(">II", 1 << 24, 20) + zlib.compress(bytes(10_000)), struct.pack(">II", 0xFFFFFFFF, 0)]


def _entry_bodies() -> list[bytes]:
    def body(kind: EntryKind, content: bytes) -> bytes:
        return START.pack(kind, 0, LIBRARY, FOUNDER.device_id, 1) + LIBRARY + content

    said = MEMBER.pack(NEWCOMER.device_id, NEWCOMER.exchange_public, LIBRARY, 0) + bytes(MEMBER_BOX_BYTES)
    members = sorted([FOUNDER.device_id, PHRASE.device_id])
    rotation = COUNTS.pack(1, 2) + LIBRARY + b"".join(members) + bytes(CHECK_BYTES + WRAP_BYTES + 2 * EPOCH_BOX_BYTES)
    return [
        body(EntryKind.ADD, said),
        body(EntryKind.REVOKE, REVOKED.pack(FOUNDER.device_id, 0, bytes(32))),
        body(EntryKind.REVOKE, REVOKED.pack(PHRASE.device_id, 7, _DIGEST)),
        body(EntryKind.ROTATE, rotation),
        body(EntryKind.REPLACE, said),
    ]


def _entries() -> list[bytes]:
    signed = []
    for body in _entry_bodies():
        data = preamble(Kind.MEMBERSHIP) + body
        data += signing.sign(FOUNDER.signing_seed, Signed.MEMBERSHIP, data)
        signed += [data, data + signing.sign(NEWCOMER.signing_seed, Signed.COUNTERSIGNATURE, data)]
    return [*signed, *_spread(_of_kind(Kind.MEMBERSHIP, "crypto-membership-entry"), 12)]


def _pairing() -> list[bytes]:
    offer = _OFFER.pack(LIBRARY, FOUNDER.device_id, FOUNDER.exchange_public, 1) + LIBRARY
    introduction = _KEYS.pack(NEWCOMER.device_id, NEWCOMER.exchange_public, 8) + b"a laptop"
    draft = preamble(Kind.MEMBERSHIP) + _entry_bodies()[0]
    draft += signing.sign(FOUNDER.signing_seed, Signed.MEMBERSHIP, draft)
    raw = _of_kind(Kind.PAIRING, "crypto-pairing")
    turn = {1: 0, 2: 3, 3: 1, 4: 4, 5: 2, 6: 5}
    return [
        b"\x85" + offer, b"\x88" + introduction, b"\x86" + draft, b"\x89" + bytes(64), b"\x88" + introduction[:-1],
        *(bytes([turn.get(data[PREAMBLE_BYTES], 0)]) + data for data in _spread(raw, 14)),
    ]  # fmt: skip


def _columns() -> list[bytes]:
    texts = b"\x7e\x03abc\x05\xc3\xa9def"
    return [
        b"\0\x02\x05", b"\0\x7e\1\2\0\3", b"\0\x80\x02\1", b"\x60\x03\x02hi", b"\x60" + texts, b"\xc0\x7d\1\x7f\2",
        b"\xc0\xff\xff\x03\x05", b"\0\0\x02\x02\x07",
    ]  # fmt: skip


def _changes(most: int) -> list[bytes]:
    made = _vectors("crdt-changes")
    good = [*made["history"], *(case["change"] for case in made["good"])]
    bad = [bytes.fromhex(case["change"]) for case in made["bad"]]
    short = sorted((change for change in bad if 40 < len(change) <= _LARGEST), key=len)
    return [*(bytes.fromhex(change) for change in good), *_spread(short, most - len(good))]


def _whole_changes() -> list[bytes]:
    found = []
    for change in _changes(100):
        try:
            chunk_hash(change)
        except ChangeInvalid:
            continue
        found.append(crdt_targets.chunk_body(change))
    return found


def _snapshots() -> list[bytes]:
    cases = _vectors("core-snapshot")["cases"]
    return [bytes.fromhex(case["snapshot"]) for case in cases if len(case["snapshot"]) < 2 * _LARGEST]


def _snapshot_contents() -> list[bytes]:
    good = next(case for case in _vectors("core-snapshot")["cases"] if case["expected"] == "ok")
    changes = [bytes.fromhex(change) for change in good["changes"]]
    cut = [struct.pack(">I", len(change)) + change for change in changes]
    return [bytes([count]) + b"".join(cut[:count]) for count in (0, 1, 2, len(cut))]


def _snapshot_changes() -> list[bytes]:
    good = next(case for case in _vectors("core-snapshot")["cases"] if case["expected"] == "ok")
    bodies = [crdt_targets.chunk_body(bytes.fromhex(change)) for change in good["changes"]]
    put = [len(body).to_bytes(2, "big") + body for body in bodies]
    return [b"".join(put[:count]) for count in (0, 1, 2, len(put))]


def _records() -> list[bytes]:
    names = [kind.__name__ for kind in crdt_targets.RECORDS]
    made = _vectors("crdt-records")
    found = [
        [bytes([names.index(case["record"])]) + bytes.fromhex(case["packed"]) for case in made[which]]
        for which in ("good", "bad")
    ]
    short = sorted((data for data in found[1] if len(data) <= _LARGEST), key=len)
    return [*found[0], *_spread(short, 26)]


def _catalog_values() -> list[bytes]:
    maps = catalog_targets.PHOTO_MAPS_AND_PARTS
    records = {"photo": 0, "copy": 1, "auto": 3}
    found = [
        bytes([maps.index(name), 0, 1]) + data[1:]
        for name, number in records.items()
        for data in _records()
        if data[0] == number
    ]
    for name, text in (
        ("taken", "2024-05-12T13:45:01+02:00"), ("taken", "2024-05-12"), ("caption", "hello"), ("label", "dog"),
    ):  # fmt: skip
        found.append(bytes([maps.index(name), 1, 0]) + text.encode())
    found += [bytes([maps.index(name), 2, 1, 3]) for name in ("rating", "rotation", "trash", "album")]
    found += [
        bytes([maps.index(name), 3, number]) + b"dog" for name in ("label", "purged", "favourite") for number in (0, 2)
    ]
    return found


def _months() -> list[bytes]:
    one, other, blob = catalog_targets.PID, catalog_targets.OTHER_PID, catalog_targets.BLOB
    copy = _fields(catalog_targets.COPY)
    full, few = map(_fields, catalog_targets.FACTS)
    every: dict[tuple[str, str], object] = {
        ("photo", one): full, ("copy", f"{one}/{blob}"): copy, ("caption", one): "a dog", ("rating", one): 4,
        ("favourite", one): True, ("rotation", one): 90, ("taken", one): "2024-05-12T13:45:01+02:00",
        ("auto", f"{one}/a@1"): _fields(AutoRecord.of([(3, 0.9), (5, 0.05)], at=5)), ("label", f"{one}/dog"): True,
        ("album", f"{one}/lisbon"): 0.5, ("bundle", blob): _fields(catalog_targets.BUNDLE),
    }  # fmt: skip
    also = {("photo", other): few, ("trash", other): 5, ("purged", other): True, ("label", f"{other}/dog"): False}
    found = (every, every | also, {("photo", one): few}, {("photo", one): full, ("trash", one): 5})
    return [_document(catalog_targets.SHARD_MAPS, one) for one in found]


def _fields(record: Record) -> object:
    return msgspec.msgpack.decode(record.pack())


def _document(maps: Sequence[str], values: Mapping[tuple[str, str], object]) -> bytes:
    return msgspec.msgpack.encode([[maps.index(name), key, value] for (name, key), value in values.items()])


def _shared() -> list[bytes]:
    taught = TaughtRecord.of([bytes(16)], [b"\1" * 16], at=5)
    classes = base64.b85encode(_class_tables()[0][1:]).decode()
    found: tuple[dict[tuple[str, str], object], ...] = (
        {("album", "lisbon"): "Lisbon", ("device", "12" * 32): "a laptop", ("relay", "https://relay.example"): ""},
        {("setting", "place/home"): "38.7,-9.1", ("setting", "words:sunset"): "a sunset\na beach"},
        {("setting", "pack"): "a@1 " + "ab" * 32, ("setting", "classes:a@1"): classes},
        {("taught", "dog"): _fields(taught), ("vocabulary", "dog"): "Dog"},
        {("search", "dogs"): "label:dog", ("search", "odd"): "date:2024.. rating:>"},
    )
    return [_document(catalog_targets.LIBRARY_MAPS, one) for one in found]


def _bodies() -> list[bytes]:
    blank = acknowledgement(1_700_000_000)
    replace = msgspec.structs.replace
    edit = EnvelopeBody(
        1, 1_700_000_000, [_PLACE], [DocumentChanges(crdt_targets.MONTH, [b"\x85\x6f\x4a\x83"])], bytes(16),
        "label.add", "dog", undoes=bytes(16), added=[AddedPhotos(crdt_targets.MONTH, bytes(32))],
        inverse=[Inverse("library", "search", "ab", None, True), Inverse("library", "setting", "k", b"x", 1.5)],
    )  # fmt: skip
    checkpoint = replace(
        blank, kind=KIND_CHECKPOINT, covers=[_PLACE], snapshots=[Snapshot("photos:2024-05", _DIGEST, KEY, 100)]
    )
    confirmation = replace(blank, kind=KIND_CONFIRMATION, confirms=_PLACE)
    return [encode_body(body) for body in (blank, edit, checkpoint, confirmation, replace(blank, at=1 << 60))]


def _library_files() -> list[bytes]:
    return [case["file"].encode() for case in _vectors("core-library-file")["cases"]][::2]


def _worker_answers() -> list[bytes]:
    taken = CaptureTime("2024-05-12T13:45:01", 120, "exif.DateTimeOriginal")
    facts = FileFacts(64, 48, 1, "image/jpeg", taken, (38.7, -9.1), make="a", model="b")
    done = protocol.Done(
        facts, (64, 48), b"thumb", b"hash!", Looks(1, 2, 3, 4, bytes(8)), protocol.Labels([(3, 0.5)], bytes(4))
    )
    answers = (protocol.Ready(), protocol.Heavy(), done, protocol.Refused("no"), protocol.Labelled(None, b"ab"))
    return [msgspec.msgpack.encode(answer) for answer in answers]


def _replica_answers() -> list[msgspec.Struct]:
    return [
        replica_messages.Trying(3, _DIGEST),
        replica_messages.Wanted([_DIGEST]),
        replica_messages.Survived(),
        replica_messages.Broken("memory ran out"),
    ]


def _framed(answer: bytes) -> bytes:
    return struct.pack(">II", len(answer), 2) + answer + b"\xff\xd8"


def _queries() -> list[bytes]:
    return [
        text.encode()
        for text in (
            'label:dog -label:cat is:favourite rating:>=3 date:2024-05..2024-08 camera:"Pixel 8"',
            'album:Lisbon near:38.72,-9.14,10km colour:red type:raw "free words" (a OR b) ~"dog on a beach"',
            "imported:@1700000000 date:today date:last-week date:30d date:2024-may-3t10:30 size:>2MB",
            "NOT (a | b) && c", 'name:IMG_* id:3fa9 f:<=2.8 focal:24..70mm iso:>=1600 brightness:<20% "a\\"b"*',
            "has:gps -is:trash width:>=4000 height:..1000 caption:caf\u00e9", "((((a))))", "--a", '"', "label:",
            "date:9999-12-31T23:59:59.999..", "date:0001..", "imported:0001-01-01", "near:90,180,99999999km",
        )
    ]  # fmt: skip


def _manifests() -> list[bytes]:
    paths = [path for path in (_TESTS / "ml" / "manifests").rglob("*") if path.is_file()]
    return [path.read_bytes() for path in sorted(paths) if path.suffix == ".toml"]


_TAXONOMY = b"""format = 1
[[label]]
name = "animal"
[[label]]
name = "dog"
parents = ["animal"]
wnids = ["n02085620", "n02085782"]
threshold = 0.5
[class_names]
n02085620 = "Chihuahua"
"""
_CALIBRATION = b"""format = 1
model = "squeezenet@1.1"
precision = 0.9
photos = 100
likelihood = 0.9
temperature = 1.5
threshold = 0.6
class_threshold = 0.8
[labels]
dog = 0.5
[classes]
"Chihuahua" = 0.7
"""


def _class_tables() -> list[bytes]:
    entries = (ClassEntry(None, ""), ClassEntry("n02085620", "Chihuahua"), ClassEntry("n02085782", "spaniel"))
    plain = ClassTable("a@1", entries, 0, 0.6, None, None, 0.8, {"dog": 0.5}, {"Chihuahua": 0.7})
    own = msgspec.structs.replace(plain, taxonomy_text=_TAXONOMY.decode())
    built_in = ClassTable("a@1", (), -1, 0.6, "imagenet")
    return [b"\0" + plain.pack(), *(b"\xff" + msgspec.msgpack.encode(table) for table in (plain, own, built_in))]


def _onnx() -> list[bytes]:
    inner = put(1, node("Add", ["a", "b"], "c"))
    tensor = put(1, 1) + put(2, 1) + put(13, put(1, "location") + put(2, "weights.bin")) + put(14, 1)
    attributes = nested_graph("then_branch", inner) + ints("axes", [1, 2]) + integer("k", 1)
    graph = put(1, node("If", ["x"], "y", attributes)) + put(5, tensor) + put(15, put(1, tensor))
    return [model_file(graph), model_file(inner, ("", "com.example")), b"PK\3\4", b"version https://git-lfs"]


def _filled(kind: type[Struct]) -> Struct:
    """Return a body of this kind with something in every field."""
    made: dict[str, Any] = {}
    for one in msgspec.structs.fields(kind):
        made[one.name] = _value(one.name, str(one.type))
    return msgspec.convert(made, kind)


def _value(name: str, text: str) -> Any:  # noqa: PLR0911 - one answer a type
    if "ErrorDetails" in text:
        return errors.ErrorDetails()
    for struct_name in ("Item", "Covered", "Head", "BlobState"):
        if f"wire.{struct_name}]" in text and "list" in text:
            return [_filled(getattr(wire, struct_name))]
    if "list[int]" in text:
        return [1]
    if "list" in text:
        long = "min_length=32" in text
        return [_DIGEST if long else b"entry"]
    if "bool" in text:
        return True
    if "bytes" in text:
        return bytes(64) if "min_length=64" in text else _DIGEST
    return 1 if "int" in text else {"state": "stored"}.get(name, "abc")


def _requests() -> list[bytes]:
    found = []
    for number, kind in enumerate(relay_targets.BODIES):
        body = _filled(kind)
        found += [bytes([number, 0]) + msgspec.msgpack.encode(body), bytes([number, 1]) + msgspec.json.encode(body)]
    return found


def _answers() -> list[bytes]:
    found = []
    for number, kind in enumerate(relay_targets.ANSWERS):
        found.append(bytes([number, 0, 0]) + msgspec.msgpack.encode(_filled(kind)))
    header = EnvelopeHeader(LIBRARY, FOUNDER.device_id, 1, bytes(32), EPOCH.epoch_id, bytes(32)).to_bytes()
    item = bytes([relay_targets.ANSWERS.index(wire.Item), 0, 0])
    whole = wire.Item(position=1, kind=wire.KIND_ENVELOPE, body=header + bytes(160))
    pruned = wire.Item(position=1, kind=wire.KIND_ENVELOPE, device_id=FOUNDER.device_id, seq=1, hash=_DIGEST)
    found += [item + msgspec.msgpack.encode(one) for one in (whole, pruned)]
    kept = (errors.SequenceConflict, errors.QuotaFull, errors.TooManyRequests, errors.RelayError)
    statuses = relay_targets.STATUSES
    for error in kept:
        body = wire.ErrorBody(
            error=error.name,
            message="no",
            hint="try",
            details=errors.ErrorDetails(retry_after=5, seq=1, device_id=_DIGEST),
        )
        place = 0x80 + (statuses.index(error.status) - 0x80) % len(statuses)
        found += [bytes([0, place, 0]) + msgspec.msgpack.encode(body), bytes([0, place, 1]) + msgspec.json.encode(body)]
    return found


def _statements() -> list[bytes]:
    place = Place(_DIGEST, 3, bytes(32))
    delete = make_delete(FOUNDER, LIBRARY, [_DIGEST, bytes(32)], time=1_700_000_000)
    prune = make_prune(FOUNDER, LIBRARY, checkpoint=place, confirmation=place, covered=[place], time=1_700_000_000)
    return [how + (data if how == b"\0" else data[:-64]) for data in (delete, prune) for how in (b"\0", b"\xff")]


def _tokens() -> list[bytes]:
    return [b"\0a b\nab c</w>\n", b"\0#version: 0.2\nh e\nhe l\n", b'\xff{"a":0,"b":1}', b"\0a photo of a dog"]


SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {
    "envelope": lambda: _spread(_of_kind(Kind.ENVELOPE, "crypto-envelope"), 16),
    "envelope_content": _envelope_contents,
    "blob": lambda: [b"\0" + data for data in _spread(_of_kind(Kind.BLOB, "crypto-blob"), 8)]
    + [how + (5).to_bytes(8, "big") + b"hello" for how in (b"\x50", b"\x80", b"\xff")],
    "sealed_file": lambda: [b"\0" + data for data in _spread(_of_kind(Kind.SEALED, "crypto-sealed"), 8)] + [
        b"\xff" + bytes(272), b"\0" + _seal_with(bytes(32), b"hello", KEY, "fuzz", b""),
    ],
    "device_secrets": lambda: [*_of_kind(Kind.SECRETS, "crypto-secrets")[::3], wrap_secrets(FOUNDER, KEY, b"")],
    "genesis": lambda: [b"\0" + data for data in _of_kind(Kind.MEMBERSHIP, "crypto-genesis")[::4]]
    + [b"\0" + GENESIS.entry, b"\xff" + GENESIS.entry],
    "membership_entry": _entries,
    "membership_entry_signed": _entry_bodies,
    "membership_history": lambda: [
        bytes([0, 0, 2, 0, 0, 2, 3, 0, 1, 0, 2, 0, 2, 0, 0, 0]),
        bytes([0, 0, 2, 0, 0, 1, 3, 1, 1, 2, 3, 1, 1, 3, 2, 4, 4, 1, 5, 0, 3, 0, 2, 200]),
    ],
    "pairing_message": _pairing,
    "pairing_code": lambda: [b"7-velvet-harbour", b"123456 Velvet Harbour", "7\u2013velvet\u2013harbor".encode()],
    "recovery_phrase": lambda: [_wordlist().to_mnemonic(bytes(range(32))).encode(), b"1. abandon 2. abandon"],
    "leb128": lambda: [b"\0", b"\x7f", b"\x80\1", b"\xff" * 9 + b"\1", b"\xff" * 9 + b"\x7f", b"\x80\0"],
    "column": _columns,
    "change": lambda: _changes(24),
    "change_content": _whole_changes,
    "saved_document": lambda: [crdt_targets.saved_replica(), crdt_targets.saved_replica() + _changes(24)[4]],
    "snapshot": lambda: _spread(_snapshots(), 12),
    "snapshot_content": _snapshot_contents,
    "snapshot_changes": _snapshot_changes,
    "record": _records,
    "catalog_value": _catalog_values,
    "shown_month": _months,
    "shown_library": _shared,
    "query_run": lambda: [*_queries(), b"", b"dog", b"label:dog camera:pixel*", b"is:favourite OR near:38.7,-9.1,10km"],
    "export_name": lambda: [
        b"../../.bashrc\n..", b"IMG_1.jpg\nLisbon", b"con.txt\naux", "a\u0301".encode() * 150 + b".jpg\n/", b"\n",
        b"a.b" * 99,
    ],
    "thumbhash": lambda: [bytes.fromhex("3fe80d0a02985577867808778070888708"), bytes(range(24)), b"\x93J\x062\x9a"],
    "vectors": lambda: [b"\2" + bytes(8), b"\1\0\x7c"],
    "envelope_body": _bodies,
    "library_toml": _library_files,
    "derived_file": lambda: [derived_file_path().read_bytes()],
    "machine_state": lambda: [_slot(MachineHead(3, _DIGEST, bytes(16))) + _slot(MachineHead(4, _DIGEST, bytes(16)))],
    "query": _queries,
    "label": lambda: ["caf\u00e9 Noir".encode(), ("ab" * 16 + "/dog").encode(), ("ab" * 16 + "/" + "cd" * 32).encode()],
    "worker_answer": lambda: [_framed(answer) for answer in _worker_answers()],
    "worker_answer_framed": _worker_answers,
    "relay_request_fields": lambda: [
        b"bytes=3-12", b"bytes=-5", b"bytes=3-", b"17", base64.urlsafe_b64encode(_DIGEST).rstrip(b"="),
    ],
    "blob_answer": lambda: [
        b"10\nbytes 3-12/100\n0123456789", b"2\nbytes 3-4/5\n01", b"10\nbytes 3-12/100\n012", b"9\n\n",
    ],
    "terminal_answer": lambda: [
        b"\x1b_Gi=31;OK\x1b\\\x1bP>|foot(1.16)\x1b\\\x1b[6;20;10t\x1b[?62;4;22c", b"\x1b[?1;2c",
    ],
    "text_encoder_answer": lambda: [
        msgspec.msgpack.encode(text_messages.Encoded(1, bytes(8))),
        msgspec.msgpack.encode(text_messages.Failed("ModelUnusable", "no", None)),
    ],
    "replica_message": lambda: [b"\0" + msgspec.msgpack.encode(answer) for answer in _replica_answers()],
    "pack_manifest": _manifests,
    "taxonomy": lambda: [_TAXONOMY],
    "calibration": lambda: [_CALIBRATION],
    "aliases": lambda: [b'format = 1\n[aliases]\nhound = ["dog"]\n', b"format = 1\n[aliases]\n"],
    "class_table": _class_tables,
    "tokens": _tokens,
    "onnx_file": _onnx,
    "xmp_packet": photo_seeds.sidecars,
    "xmp_sidecar": photo_seeds.sidecars,
    "exif": photo_seeds.exifs,
    "iptc": photo_seeds.iptc,
    "takeout": photo_seeds.takeout,
    "file_name": photo_seeds.names,
    "motion": photo_seeds.motion,
    "sniffed": photo_seeds.heads,
    "jpeg_metadata": photo_seeds.segments,
    "picture_file": photo_seeds.files,
    "decoder_said": import_targets.answers,
    "words_beside": lambda: [
        *(b"\0" + record for record in photo_seeds.takeout()), *(b"\xff" + one for one in photo_seeds.sidecars()[:3]),
    ],
    "shown_picture": lambda: [how + data for data in photo_seeds.pictures() for how in (b"\0", b"\xff")],
    "relay_request": _requests,
    "relay_answer": _answers,
    "relay_news": lambda: [b"\0" + b'{"position":12}', b"\xff" + b'{"position":9223372036854775807}'],
    "statement": _statements,
    "relay_address": lambda: [
        b"https://relay.example", b"HTTP://127.0.0.1:7465/", b"[::1]:7465/a/b", "https://b\u00fccher.example:443".encode(),
        b"relay.example.", b"localhost", b"https://xn--bcher-kva.example/~a",
    ],
}  # fmt: skip
"""The seeds of every target."""


def make_seeds(names: Iterable[str] = tuple(TARGETS)) -> None:
    """Write the seeds of these targets into the corpus anew."""
    for name in names:
        keep_seeds(name, SEEDS[name]())
