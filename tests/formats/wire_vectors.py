"""Cases of what crosses the network: bodies, signed statements, addresses, invites."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

import msgspec

from crypto import signing
from crypto.keys import DeviceSecrets
from crypto.purposes import Signed
from sync_relay import statements, wire
from sync_relay.errors import ErrorDetails
from sync_relay.statements import Place
from tests.formats.vector_cases import Case, case, file_of, fixed, flipped

DEVICE = DeviceSecrets(fixed("device seed"), fixed("device exchange"))
LIBRARY, BLOB, HASH, NONCE = (fixed(name) for name in ("library", "blob", "hash", "nonce"))
SIGNATURE, TOKEN = fixed("signature", 64), base64.urlsafe_b64encode(fixed("token")).rstrip(b"=").decode()
ENVELOPE = fixed("envelope", 40)

MESSAGES: list[wire.Struct] = [
    wire.ErrorBody(error="quota-full", message="full", hint="", details=ErrorDetails(quota="bytes", over=5, limit=9)),
    wire.ErrorBody(error="not-a-member", message="no"),
    wire.About(relay="safelight", protocols=[1], time=1_700_000_000),
    wire.ChallengeRequest(device_id=DEVICE.device_id),
    wire.ChallengeRequest(device_id=DEVICE.device_id, library_id=LIBRARY),
    wire.Challenge(nonce=NONCE, time=1_700_000_000, expires_in=120),
    wire.SignIn(device_id=DEVICE.device_id, nonce=NONCE, origin="https://relay.example", time=0, signature=SIGNATURE),
    wire.SignIn(
        device_id=DEVICE.device_id,
        nonce=NONCE,
        origin="https://relay.example",
        time=1,
        signature=SIGNATURE,
        library_id=LIBRARY,
        entries=[b"an entry"],
    ),
    wire.Session(token=TOKEN, expires_in=3_600, library_id=LIBRARY, position=7, generation=fixed("generation", 16)),
    wire.CreateLibrary(invite=TOKEN, genesis=b"genesis", entries=[b"an entry"]),
    wire.Usage(library_id=LIBRARY, bytes=1, objects=2, quota_bytes=3, quota_objects=4),
    wire.Append(envelopes=[ENVELOPE, b""]),
    wire.AppendEntries(entries=[b"an entry"]),
    wire.AppendStatements(statements=[b"a statement"]),
    wire.Appended(position=9, stored=1),
    wire.Item(position=1, kind=2, body=b"an entry"),
    wire.Item(position=2, kind=1, device_id=DEVICE.device_id, seq=3, hash=HASH),
    wire.LogPage(items=[wire.Item(position=1, kind=1, body=ENVELOPE)], position=1, more=True),
    wire.Covered(device_id=DEVICE.device_id, seq=5),
    wire.Past(after=3, limit=10, covered=[wire.Covered(device_id=DEVICE.device_id, seq=5)]),
    wire.Past(),
    wire.Head(device_id=DEVICE.device_id, seq=(1 << 63) - 1, hash=HASH),
    wire.Heads(heads=[wire.Head(device_id=DEVICE.device_id, seq=1, hash=HASH)], position=4),
    wire.Heads(heads=[], position=0, entries=wire.entries_digest([LIBRARY, HASH])),
    wire.BlobQuery(ids=[BLOB, HASH]),
    wire.BlobState(id=BLOB, state="partial", size=100, offset=40),
    wire.BlobState(id=BLOB, state="absent"),
    wire.BlobStates(blobs=[wire.BlobState(id=BLOB, state="leaving", size=100, gone_at=1_700_000_000)]),
    wire.Prove(nonce=NONCE),
    wire.Proof(proof=HASH),
    wire.MailboxSide(number=7, token=TOKEN, expires_in=600),
    wire.Letter(body=b"hello"),
    wire.Letters(letters=[b"hello"], claimed=False),
    wire.Health(status="ok"),
    wire.Pushed(position=12),
]


def messages() -> str:
    cases: list[Case] = []
    for message in MESSAGES:
        name = type(message).__name__
        as_json = msgspec.json.encode(message).decode()
        given = {"message": name, "msgpack": msgspec.msgpack.encode(message), "json": as_json}
        count = sum(made["input"]["message"] == name for made in cases)
        fields = msgspec.to_builtins(message, builtin_types=(bytes,))
        cases.append(case(f"{name}, another" if count else name, "ok", given, fields))
    more = {"position": 12, "of the future": [1]}
    given = {"message": "Pushed", "msgpack": msgspec.msgpack.encode(more), "json": msgspec.json.encode(more).decode()}
    cases.append(case("a field of the future", "ok", given, {"position": 12}))
    device = DEVICE.device_id
    sign_in = {
        "device_id": device,
        "nonce": NONCE,
        "origin": "https://relay.example",
        "time": 0,
        "signature": SIGNATURE,
    }
    bad: list[tuple[str, str, Any]] = [
        ("an array", "Pushed", [12]),
        ("a field missing", "Proof", {}),
        ("a negative position", "Pushed", {"position": -1}),
        ("a position of 64 bits", "Pushed", {"position": 1 << 63}),
        ("a position that is text", "Pushed", {"position": "12"}),
        ("an id of 31 bytes", "Proof", {"proof": HASH[:31]}),
        ("an id of 33 bytes", "Proof", {"proof": HASH + b"\0"}),
        ("number 0", "Covered", {"device_id": device, "seq": 0}),
        ("no device", "ChallengeRequest", {"library_id": LIBRARY}),
        ("a signature of 63 bytes", "SignIn", {**sign_in, "signature": SIGNATURE[:63]}),
        ("a nonce of 129 bytes", "SignIn", {**sign_in, "nonce": bytes(129)}),
        ("an origin of 256 characters", "SignIn", {**sign_in, "origin": "h" * 256}),
        ("257 entries", "SignIn", {**sign_in, "library_id": LIBRARY, "entries": [b""] * 257}),
        ("no invite", "CreateLibrary", {"invite": "", "genesis": b"genesis"}),
        ("an invite of 129 characters", "CreateLibrary", {"invite": "i" * 129, "genesis": b"genesis"}),
        ("1,001 envelopes", "Append", {"envelopes": [b""] * 1_001}),
        ("17 statements", "AppendStatements", {"statements": [b""] * 17}),
        ("a page of none", "Past", {"limit": 0}),
        ("a page of 1,001", "Past", {"limit": 1_001}),
        ("a nonce of 31 bytes", "Prove", {"nonce": NONCE[:31]}),
        ("an empty letter", "Letter", {"body": b""}),
        ("a letter of 4,097 bytes", "Letter", {"body": bytes(4_097)}),
        ("a token with a space", "MailboxSide", {"number": 7, "token": "a token", "expires_in": 600}),
    ]
    cases += [
        case(name, "Malformed", {"message": kind, "msgpack": msgspec.msgpack.encode(body)}) for name, kind, body in bad
    ]
    whole = msgspec.msgpack.encode({"position": 12})
    torn = {"empty": b"", "a byte short": whole[:-1], "a byte long": whole + b"\0", "no MessagePack": b"\xc1"}
    cases += [case(name, "Malformed", {"message": "Pushed", "msgpack": data}) for name, data in torn.items()]
    cases += [
        case("JSON: an id that is no base64", "Malformed", {"message": "Proof", "json": '{"proof": "?"}'}),
        case("JSON: cut off", "Malformed", {"message": "Pushed", "json": '{"position": 1'}),
        case("JSON: a number that is none", "Malformed", {"message": "Pushed", "json": '{"position": NaN}'}),
    ]
    about = "Bodies between a device and a relay, by their names in sync_relay/wire.py: MessagePack and JSON to fields."
    return file_of(about, cases)


def signed(body: bytes, seed: bytes = DEVICE.signing_seed, purpose: Signed = Signed.DELETE) -> bytes:
    return body + signing.sign(seed, purpose, body)


def signed_statements() -> str:
    time = 1_700_000_000
    blobs = sorted([BLOB, HASH, fixed("third")])
    place = struct.Struct(">32sQ32s")
    covered = sorted([Place(fixed("one"), 4, fixed("place one")), Place(DEVICE.device_id, 9, HASH)])
    checkpoint, confirmation = Place(DEVICE.device_id, 10, BLOB), Place(fixed("one"), 5, NONCE)
    delete = statements.make_delete(DEVICE, LIBRARY, blobs, time=time)
    prune = statements.make_prune(
        DEVICE, LIBRARY, checkpoint=checkpoint, confirmation=confirmation, covered=covered, time=time
    )
    said = {"library_id": LIBRARY, "device_id": DEVICE.device_id, "time": time}
    shown = {
        "checkpoint": [checkpoint.device_id, checkpoint.seq, checkpoint.hash],
        "confirmation": [confirmation.device_id, confirmation.seq, confirmation.hash],
        "covered": [[one.device_id, one.seq, one.hash] for one in covered],
    }
    given = {"library_id": LIBRARY}
    start, rest = delete[:80], b"".join(blobs)
    other_library = signed(delete[:8] + fixed("another library") + delete[40:-64])
    twice = prune[:224] + (2).to_bytes(4, "big") + place.pack(*_of(covered[0])) * 2
    backwards = prune[:224] + (2).to_bytes(4, "big") + b"".join(place.pack(*_of(one)) for one in covered[::-1])
    faults: list[tuple[str, str, bytes]] = [
        ("another magic", "FormatError", flipped(delete, 0)),
        ("another format", "FormatError", delete[:4] + b"EN" + delete[6:]),
        ("a later version", "UnknownVersion", flipped(delete, 7, 3)),
        ("another library", "WrongLibrary", other_library),
        ("another device", "SignatureInvalid", delete[:40] + fixed("one") + delete[72:]),
        ("another time", "SignatureInvalid", flipped(delete, 79)),
        ("another blob", "SignatureInvalid", flipped(delete, 84 + 95)),
        ("changed signature", "SignatureInvalid", flipped(delete, -64)),
        ("a delete as a prune entry", "Truncated", delete[:4] + b"PR" + delete[6:]),
        ("empty", "Truncated", b""),
        ("a byte short", "FormatError", delete[:-1]),
        ("a byte long", "FormatError", delete + b"\0"),
        ("a start alone", "Truncated", delete[:80]),
        ("signed anew: no blobs", "FormatError", signed(start + bytes(4))),
        ("signed anew: 4,001 blobs", "FormatError", signed(start + (4_001).to_bytes(4, "big") + rest)),
        ("signed anew: fewer than it says", "FormatError", signed(start + b"\0\0\0\4" + rest)),
        ("signed anew: out of order", "FormatError", signed(start + b"\0\0\0\3" + b"".join(blobs[::-1]))),
        ("signed anew: a blob twice", "FormatError", signed(start + b"\0\0\0\2" + blobs[0] * 2)),
        ("signed as an envelope", "SignatureInvalid", signed(delete[:-64], purpose=Signed.ENVELOPE)),
        ("signed by another device", "SignatureInvalid", signed(delete[:-64], fixed("other seed"))),
        ("prune: another checkpoint", "SignatureInvalid", flipped(prune, 80)),
        ("prune: signed anew: nothing covered", "FormatError", signed(prune[:224] + bytes(4))),
        ("prune: signed anew: number 0", "FormatError", signed(prune[:112] + bytes(8) + prune[120:-64])),
        ("prune: signed anew: a confirmation 64 bits on", "FormatError", signed(flipped(prune[:-64], 184, 0x80))),
        ("prune: signed anew: ends in its checkpoint", "Truncated", signed(prune[:144])),
        ("prune: signed anew: ends before its list", "Truncated", signed(prune[:224])),
        ("prune: signed anew: a device twice", "FormatError", signed(twice)),
        ("prune: signed anew: out of order", "FormatError", signed(backwards)),
    ]
    sign_in = {"origin": "https://relay.example:7465", "nonce": NONCE, "time": time, "device_id": DEVICE.device_id}
    cases = [case("delete", "ok", {**given, "statement": delete}, {**said, "blobs": blobs})]
    cases.append(case("prune entry", "ok", {**given, "statement": prune}, {**said, **shown}))
    for name, library in (("sign-in", LIBRARY), ("sign-in of a phrase, to whatever it is in", None)):
        made = statements.sign_in_statement(
            library, DEVICE.device_id, time=time, nonce=NONCE, origin="https://relay.example:7465"
        )
        signature = signing.sign(DEVICE.signing_seed, Signed.SIGN_IN, made)
        output = {"signed": made, "signature": signature}
        cases.append(case(name, "ok", {**sign_in, "library_id": library, "seed": DEVICE.signing_seed}, output))
    cases += [case(name, error, {**given, "statement": data}) for name, error, data in faults]
    return file_of("What devices sign towards relays: deletes, prune entries, and sign-ins.", cases)


def _of(place: Place) -> tuple[bytes, int, bytes]:
    return place.device_id, place.seq, place.hash


def addresses() -> str:
    typed = {
        "relay.example": ("https://relay.example", "https://relay.example"),
        "HTTPS://Relay.Example.:443/": ("https://relay.example", "https://relay.example"),
        "https://relay.example:7465/photos/": ("https://relay.example:7465/photos", "https://relay.example:7465"),
        "localhost:7465": ("http://localhost:7465", "http://localhost:7465"),
        "http://127.0.0.1:80": ("http://127.0.0.1", "http://127.0.0.1"),
        "https://[2001:DB8:0::1]:7465": ("https://[2001:db8::1]:7465", "https://[2001:db8::1]:7465"),
        "https://bücher.example": ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        "  https://relay.example  ": ("https://relay.example", "https://relay.example"),
    }
    refused = {
        "empty": "",
        "plain http elsewhere": "http://relay.example",
        "another scheme": "ftp://relay.example",
        "a user name": "https://me@relay.example",
        "a query": "https://relay.example/?a=b",
        "a fragment": "https://relay.example/#a",
        "a blank inside": "https://relay. example",
        "a backslash": "https://relay.example\\photos",
        "a control character": "https://relay.example/\x07",
        "port 0": "https://relay.example:0",
        "port 65536": "https://relay.example:65536",
        "a port that is none": "https://relay.example:http",
        "IPv6 without brackets": "https://2001:db8::1:7465",
        "an interface": "https://[fe80::1%25eth0]",
        "a number in place of an address": "https://0x7f000001",
        "a short address": "https://127.1",
        "an empty label": "https://relay..example",
        "a path that leads up": "https://relay.example/../x",
        "401 characters": "https://relay.example/" + "a" * 379,
    }
    cases: list[Case] = [
        case(text, "ok", {"typed": text}, {"url": url, "origin": origin}) for text, (url, origin) in typed.items()
    ]
    cases += [case(name, "InvalidUrl", {"typed": text}) for name, text in refused.items()]
    return file_of("Addresses of relays as they are typed, as they are stored, and what sign-ins name.", cases)


def invites() -> str:
    token = fixed("token")
    bad = {
        "empty": "",
        "a letter short": TOKEN[:-1],
        "a letter long": TOKEN + "A",
        "padded": TOKEN + "=",
        "a blank": TOKEN[:9] + " " + TOKEN[10:],
        "base64 that is not for URLs": base64.b64encode(b"\xfb\xff" * 16).decode().rstrip("="),
        "bits behind the end": TOKEN[:-1] + chr(ord(TOKEN[-1]) + 1),
        "31 bytes": base64.urlsafe_b64encode(token[:31]).rstrip(b"=").decode(),
    }
    kept = {"bytes": token, "stored": hashlib.blake2b(token, digest_size=32).digest()}
    cases = [case("good", "ok", {"text": TOKEN}, kept)]
    cases += [case(name, "refused", {"text": text}) for name, text in bad.items()]
    return file_of("Invites and tokens: their text, their bytes, and the hash that a relay keeps of them.", cases)


FILES = {
    "wire-messages": messages,
    "wire-statements": signed_statements,
    "wire-addresses": addresses,
    "wire-invites": invites,
}
