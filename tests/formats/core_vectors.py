"""Cases of the formats of `core`: what is in envelopes, derived files, the machine's memory, vectors, taught labels."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Any

import msgspec
import numpy as np

from crypto.keys import DeviceSecrets
from crypto.sealed import _seal_with as seal_with
from tests.formats.vector_cases import ABSENT, Case, case, file_of, fixed, flipped

DEVICE, OTHER = (DeviceSecrets(fixed(f"{name} seed"), fixed(f"{name} exchange")) for name in ("device", "other"))
PLACE: list[Any] = [OTHER.device_id, 7, fixed("an envelope")]
FIELDS = [
    *("kind", "at", "frontier", "payload", "group", "action", "summary", "part", "inverse", "undoes", "added"),
    *("covers", "snapshots", "confirms"),
]
pack = msgspec.msgpack.encode


def envelope_bodies() -> str:
    shard, pid, group = "photos:2024-05", fixed("photo", 16), fixed("group", 16)
    change = b"\x85\x6f\x4a\x83" + fixed("change", 60)
    edit: list[Any] = [1, 1_700_000_000, [PLACE], [[shard, [change]]], group, "label.add", "label dog (1 photo)"]
    inverse = [[shard, "label", f"{pid.hex()}/dog", None, True], [shard, "rating", pid.hex(), 3, 4]]
    added = [[shard, pid + fixed("another photo", 16)]]
    snapshot = [shard, fixed("blob"), fixed("blob key"), 1234]
    own = [DEVICE.device_id, 40, fixed("own envelope")]
    good: dict[str, list[Any]] = {
        "changes": [*edit, 2, inverse, fixed("undone", 16), added],
        "as the first fields say, and no more": edit,
        "a checkpoint": [2, 1_700_000_001, [], [], group, "checkpoint", "", 1, [], None, [], [own, PLACE], [snapshot]],
        "a confirmation": [3, 1_700_000_002, [], [], group, "confirm", "", 1, [], None, [], [], [], PLACE],
        "an acknowledgement": [4, 1_700_000_003, [PLACE], [], bytes(16), "acknowledge", ""],
        "a field of the future": [*edit, 1, [], None, [], [], [], None, {"more": 1}],
        "a kind of the future": [9, *edit[1:]],
        "a clock before 1970": [1, -5, *edit[2:]],
        "a clock after the year 9999": [1, 1 << 40, *edit[2:]],
    }
    defaults: list[Any] = [1, [], None, [], [], [], None]
    cases = []
    for name, body in good.items():
        shown: Case = dict(zip(FIELDS, [*body, *defaults[len(body) - 7 :]], strict=False))
        shown["at"] = min(max(shown["at"], 0), 253_402_300_799)
        cases.append(case(name, "ok", {"body": pack(body)}, shown))
    bad: dict[str, Any] = {
        "a map instead of an array": dict(zip(FIELDS, edit, strict=False)),
        "a field too few": edit[:6],
        "a kind that is text": ["1", *edit[1:]],
        "a device id of 31 bytes": [*edit[:2], [[PLACE[0][:31], 7, PLACE[2]]], *edit[3:]],
        "a hash of 33 bytes": [*edit[:2], [[PLACE[0], 7, PLACE[2] + b"\0"]], *edit[3:]],
        "number 0": [*edit[:2], [[PLACE[0], 0, PLACE[2]]], *edit[3:]],
        "a number of 64 bits": [*edit[:2], [[PLACE[0], 1 << 63, PLACE[2]]], *edit[3:]],
        "a device twice in the frontier": [*edit[:2], [PLACE, [PLACE[0], 8, PLACE[2]]], *edit[3:]],
        "a device twice in what is covered": [2, *edit[1:], 1, [], None, [], [own, own]],
        "a change that is text": [*edit[:3], [[shard, ["change"]]], *edit[4:]],
        "a payload without a document": [*edit[:3], [[[change]]], *edit[4:]],
        "an inverse that is no scalar": [*edit, 1, [[shard, "label", "key", None, [1]]]],
        "a snapshot's id of 31 bytes": [2, *edit[1:], 1, [], None, [], [own], [[shard, bytes(31), bytes(32), 1]]],
        "a snapshot of negative size": [2, *edit[1:], 1, [], None, [], [own], [[shard, bytes(32), bytes(32), -1]]],
        "a confirmation of two": [3, *edit[1:], 1, [], None, [], [], [], [*PLACE, *PLACE][:2]],
    }
    cases += [case(name, "EnvelopeDamaged", {"body": pack(body)}) for name, body in bad.items()]
    raw = pack(edit)
    torn = {"empty": b"", "a byte short": raw[:-1], "a byte long": raw + b"\0", "no MessagePack": b"\xc1" + raw[1:]}
    torn["text that is no UTF-8"] = raw.replace(b"label.add", b"label\xffadd")
    cases += [case(name, "EnvelopeDamaged", {"body": data}) for name, data in torn.items()]
    return file_of("Bodies of envelopes: MessagePack to their fields, those with a default included.", cases)


def derived(
    name: str = "catalog", derivation: str = "catalog 9", content: bytes = b"content", device: DeviceSecrets = DEVICE
) -> tuple[bytes, bytes, bytes]:
    """Return start, sealed head and sealed content of a derived file."""
    head = pack([name, derivation, [[*PLACE]]])
    key = device.storage_key("derived file")
    sealed_head = seal_with(fixed(f"head {name} {derivation}"), head, key, "derived head", b"")
    bound = hashlib.blake2b(sealed_head, digest_size=32).digest()
    sealed = seal_with(fixed("content" + content.decode()), content, key, "derived content", bound)
    return b"SLDF\x01" + struct.pack(">I", len(sealed_head)), sealed_head, sealed


def derived_files() -> str:
    asked = {"secrets": DEVICE.to_bytes(), "name": "catalog", "derivation": "catalog 9"}
    start, head, content = derived()
    name = hashlib.blake2b(b"catalog", digest_size=16, key=DEVICE.storage_key("derived name")).hexdigest()
    output = {"file_name": name, "vector": [PLACE], "content": b"content"}
    _, other_head, _ = derived(derivation="catalog 8")
    bare = seal_with(fixed("content"), b"content", DEVICE.storage_key("derived file"), "derived content", b"")
    files = {
        "another magic": flipped(start, 0) + head + content,
        "a later version": start[:4] + b"\x02" + start[5:] + head + content,
        "another length of the head": start[:8] + bytes([start[8] ^ 1]) + head + content,
        "a length over the end": start[:5] + b"\xff\xff\xff\xff" + head + content,
        "changed head": start + flipped(head, 100) + content,
        "changed content": start + head + flipped(content, -1),
        "content under another head": start + other_head + content,
        "content bound to no head": start + head + bare,
        "head and content exchanged": start + content + head,
        "of another derivation": b"".join(derived(derivation="catalog 8")),
        "of another name": b"".join(derived(name="library")),
        "of another device": b"".join(derived(device=OTHER)),
        "cut in its start": start[:7],
        "cut after the head": start + head,
        "a byte short": start + head + content[:-1],
        "a byte long": start + head + content + b"\0",
        "empty": b"",
    }
    cases = [case("good", "ok", {**asked, "file": start + head + content}, output)]
    cases += [case(fault, ABSENT, {**asked, "file": data}) for fault, data in files.items()]
    about = "Derived files: what a device finds in one that it asks for by name and derivation; else it is made again."
    return file_of(about, cases)


def slot(seq: int, *, magic: bytes = b"SLMS\x01") -> bytes:
    body = struct.pack(">5sQ32s16s", magic, seq, fixed(f"head {seq}") if seq else bytes(32), fixed("token", 16))
    return (body + hashlib.blake2b(body, digest_size=16).digest()).ljust(128, b"\0")


def machine_states() -> str:
    ids = {"library_id": fixed("library"), "device_id": DEVICE.device_id}
    digest = hashlib.blake2b(ids["library_id"] + ids["device_id"], digest_size=16, person=b"safelight state")

    def shown(seq: int) -> Case:
        hashed = fixed(f"head {seq}") if seq else bytes(32)
        return {"name": f"{digest.hexdigest()}.head", "seq": seq, "hash": hashed, "token": fixed("token", 16)}

    good = {
        "before the first envelope": (slot(0) + bytes(128), 0),
        "one slot": (slot(9) + bytes(128), 9),
        "the second slot is newer": (slot(9) + slot(10), 10),
        "the first slot is newer": (slot(11) + slot(10), 11),
        "the newer slot is torn": (slot(9) + slot(10)[:40] + bytes(88), 9),
        "the newer slot is altered": (flipped(slot(11), 13) + slot(10), 10),
        "cut after the first slot": (slot(9), 9),
    }
    bad = {
        "empty": b"",
        "both slots altered": flipped(slot(9), 20) + flipped(slot(10), 50),
        "another magic": slot(9, magic=b"SLMT\x01") + bytes(128),
        "a later version": slot(9, magic=b"SLMS\x02") + bytes(128),
        "another check": flipped(slot(9), 61) + bytes(128),
        "cut in the first slot": slot(9)[:70],
        "zeros": bytes(256),
    }
    cases = [case(name, "ok", {**ids, "file": data}, shown(seq)) for name, (data, seq) in good.items()]
    cases += [case(name, ABSENT, {**ids, "file": data}) for name, data in bad.items()]
    return file_of("The machine's memory of its newest envelope: the file's name and the slot that counts.", cases)


MODEL = "mine@1.0.0"
PIDS = [fixed(f"photo {number}", 16) for number in range(3)]
STEPS = np.array([[127, -64, 0, 3], [1, 127, -127, 90], [-127, 0, 0, 0]], dtype=np.int8)
SCALES = (1 / np.sqrt((STEPS.astype(np.float64) ** 2).sum(axis=1))).astype("<f4")


def vectors_content(**changed: Any) -> bytes:
    parts = [["photos:2024-05", fixed("bundle 1"), 2, True], ["undated:c", fixed("bundle 2"), 1, False]]
    head = pack([changed.get("model", MODEL), changed.get("dimensions", 4), changed.get("parts", parts)])
    return b"".join((struct.pack("<I", len(head)), head, *PIDS, SCALES.tobytes(), STEPS.tobytes()))


def vectors_files() -> str:
    good = vectors_content()
    rows = [[float(number) for number in row] for row in STEPS.astype(np.float32) * SCALES[:, None]]
    output: Case = {"dimensions": 4, "pids": PIDS, "vectors": rows, "bundles": [fixed("bundle 1"), fixed("bundle 2")]}
    bad = {
        "of another model": vectors_content(model="yours@1.0.0"),
        "another number of dimensions": vectors_content(dimensions=5),
        "a part that counts one more": vectors_content(parts=[["undated:c", fixed("bundle 2"), 4, True]]),
        "a part that counts fewer than none": vectors_content(parts=[["undated:c", fixed("bundle 2"), -3, True]]),
        "a byte short": good[:-1],
        "a byte long": good + b"\0",
        "a head over the end": b"\xff\xff\xff\x7f" + good[4:],
        "a length with the bytes the other way round": good[3::-1] + good[4:],
        "a head that is no MessagePack": good[:4] + b"\xc1" + good[5:],
        "cut in the length": good[:3],
        "empty": b"",
    }
    cases = [case("three vectors", "ok", {"model": MODEL, "content": good}, output)]
    cases += [case(name, ABSENT, {"model": MODEL, "content": data}) for name, data in bad.items()]
    about = "Content of the derived file `vectors:<model>`. Vectors hold within 0.000001; numbers are little-endian."
    return file_of(about, cases)


def taught_files() -> str:
    weights, centre = np.array([0.5, -1.0, 0.25], "<f4"), np.array([0.125, 0.0, -0.5], "<f4")
    query = [0.6, 0.0, 0.8]  # of the length 1, as all vectors are
    bias, slope, threshold = 0.1, 2.0, 0.3
    apart = [one - float(middle) for one, middle in zip(query, centre, strict=True)]
    product = math.fsum(one * float(weight) for one, weight in zip(apart, weights, strict=True))
    value = round(product / math.hypot(*apart) + bias, 9)
    score = round(1 / (1 + math.exp(-slope * (value - threshold))), 9)
    ids, scores = b"".join(PIDS[:2]), np.array([0.875, 0.5], "<f4")
    learnt: list[Any] = [MODEL, "examples", "sources", centre.tobytes(), weights.tobytes(), bias, slope, threshold]
    learnt += [PIDS[2], np.array([-1.5], "<f4").tobytes(), ids, scores.tobytes()]
    given = {"vector": query}
    output = {"decision": value, "score": score, "labelled": {PIDS[0]: 0.875, PIDS[1]: 0.5}}
    bad = {
        "a field too few": pack(learnt[:-1]),
        "a map": pack({"model": MODEL}),
        "a bias that is text": pack([*learnt[:5], "0.1", *learnt[6:]]),
        "weights that are text": pack([*learnt[:4], "weights", *learnt[5:]]),
        "a byte short": pack(learnt)[:-1],
        "no MessagePack": b"\xc1",
        "empty": b"",
    }
    cases = [case("good", "ok", {**given, "content": pack(learnt)}, output)]
    cases += [case(name, ABSENT, {**given, "content": data}) for name, data in bad.items()]
    about = "Content of a derived file `taught:…`; `decision` and `score` are of `vector`, and hold within 0.000001."
    return file_of(about, cases)


def bundles() -> str:
    parts = [b"a thumbnail", b"", b"another"]
    entries = [[PIDS[0], 0, 11], [PIDS[1], 11, 0], [PIDS[2], 11, 7]]
    joined = b"".join(parts)
    numbers = [[0.5, -0.25, 65_504.0], [1.0, 0.0, -6.103515625e-05]]
    halves = np.array(numbers, "<f2").tobytes()
    bad = {
        "a part over the end": [[PIDS[0], 0, 19]],
        "an offset over the end": [[PIDS[0], 19, 1]],
        "an offset before the beginning": [[PIDS[0], -1, 1]],
    }
    cases = [
        case("thumbnails", "ok", {"bundle": joined, "entries": entries}, {"parts": parts}),
        case("vectors", "ok", {"bundle": halves, "dimensions": 3}, {"vectors": numbers}),
        case("half a vector", "ValueError", {"bundle": halves[:-2], "dimensions": 3}),
        case("half a number", "ValueError", {"bundle": halves[:-1], "dimensions": 3}),
        case("no dimensions", "ValueError", {"bundle": halves, "dimensions": 0}),
    ]
    cases += [case(name, "ValueError", {"bundle": joined, "entries": given}) for name, given in bad.items()]
    about = (
        "Plaintexts of bundles: `entries` are [pid, offset, length] as a BundleRecord has them; vectors are float16."
    )
    return file_of(about, cases)


def settings() -> str:
    device = OTHER.device_id.hex()
    good: dict[str, tuple[str, str, Case]] = {
        "a pack": ("pack", f"mine@1.0.0 {fixed('manifest').hex()}", {"model": "mine@1.0.0"}),
        "a pack without its hash": ("pack", "mine@1.0.0", {"model": "mine@1.0.0"}),
        "an image-text pack": ("text-pack", f"clip@1 {fixed('manifest').hex()}", {"model": "clip@1"}),
        "a place": ("place/Home", "60.1699,24.9384", {"name": "Home", "degrees": [60.1699, 24.9384]}),
        "a place in the south-west": ("place/Sea", "-12.5,-77.0", {"name": "Sea", "degrees": [-12.5, -77.0]}),
        "a place with a slash": ("place/a/b", "0,0", {"name": "a/b", "degrees": [0.0, 0.0]}),
        "a label by words": ("words:sunset", "a sunset\na red sky", {"texts": ["a sunset", "a red sky"]}),
        "sixteen texts": ("words:many", "\n".join("abcdefghijklmnop"), {"texts": list("abcdefghijklmnop")}),
        "keeps originals": (f"originals/{device}", "all", {"keeps": True}),
        "holds": (
            f"holds/{device}",
            f"{device}:9 {DEVICE.device_id.hex()}:2",
            {"held": {device: 9, DEVICE.device_id: 2}},
        ),
    }
    own = DEVICE.device_id.hex()
    good["holds"] = (f"holds/{device}", f"{device}:9 {own}:2", {"held": {device: 9, own: 2}})
    bad = {
        "a place beyond the pole": ("place/pole", "90.5,0"),
        "a place beyond the date line": ("place/line", "0,180.5"),
        "a place without a longitude": ("place/half", "60.1"),
        "a place that is no number": ("place/nan", "nan,0"),
        "a place in words": ("place/words", "north,east"),
        "words of a label in capitals": ("words:Sunset", "a sunset"),
        "words of a label with blanks around it": ("words: sunset", "a sunset"),
        "words of no label": ("words:", "a sunset"),
        "no words": ("words:none", ""),
        "an empty line of words": ("words:gap", "a sunset\n\na red sky"),
        "words that move the cursor": ("words:escape", "a \x1b[2Jsunset"),
        "seventeen texts": ("words:more", "\n".join("abcdefghijklmnopq")),
        "a text of 201 characters": ("words:long", "a" * 201),
        "keeps some originals": (f"originals/{fixed('third').hex()}", "some"),
        "holds what is no place": (f"holds/{fixed('third').hex()}", f"{device[:-1]}:9"),
    }
    cases = [case(name, "ok", {"name": key, "value": value}, output) for name, (key, value, output) in good.items()]
    cases += [case(name, ABSENT, {"name": key, "value": value}) for name, (key, value) in bad.items()]
    return file_of("Settings of a library (docs/schema.md), and what a device takes from each.", cases)


def keyring_entries() -> str:
    secrets = base64.b64encode(DEVICE.to_bytes()).decode()
    expiry = 4_102_444_800  # the year 2100
    good = f'{{"expires_at":{expiry},"secrets":"{secrets}"}}'
    bad = {
        "expired": good.replace(str(expiry), "1700000000"),
        "no JSON": good[:-1],
        "empty": "",
        "no expiry": f'{{"secrets":"{secrets}"}}',
        "no secrets": f'{{"expires_at":{expiry}}}',
        "an expiry that is text": good.replace(str(expiry), f'"{expiry}"'),
        "a sign that base64 has not": good.replace(secrets, "*" + secrets[1:]),
        "a letter beyond ASCII": good.replace(secrets, "\u00e9" + secrets[1:]),
    }
    output = {"expires_at": expiry, "secrets": DEVICE.to_bytes()}
    cases = [case("good", "ok", {"text": good}, output)]
    cases.append(case("a field of the future", "ok", {"text": good[:-1] + ',"more":1}'}, output))
    cases += [case(name, ABSENT, {"text": text}) for name, text in bad.items()]
    return file_of("What a keyring keeps of an unlocked library; good ones are so until the year 2100.", cases)


FILES = {
    "core-keyring-entry": keyring_entries,
    "core-settings": settings,
    "core-envelope-body": envelope_bodies,
    "core-derived-file": derived_files,
    "core-machine-state": machine_states,
    "core-vectors-file": vectors_files,
    "core-taught-file": taught_files,
    "core-bundle": bundles,
}
