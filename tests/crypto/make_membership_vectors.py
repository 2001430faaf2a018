"""Write the test vectors of membership entries, of what sets of them amount to, and of pairing.

    python -m tests.crypto.make_membership_vectors

As in make_vectors.py: run it only to add cases; all randomness is fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crypto import signing
from crypto.epochs import open_epochs
from crypto.keys import DeviceSecrets
from crypto.membership import Membership, evaluate
from crypto.membership_change import _admit_with as admit_with
from crypto.membership_change import _rotate_with as rotate_with
from crypto.membership_change import countersign, revoke
from crypto.membership_entry import NO_ENVELOPE, Cut, Entry, EntryKind, verify_entry
from crypto.purposes import Signed
from crypto.signing import SIGNATURE_BYTES
from tests.crypto.make_vectors import DEVICE, GENESIS, LIBRARY, OTHER, PHRASE, Case, case, flip, random, write
from tests.crypto.test_vectors import converse

if TYPE_CHECKING:
    from collections.abc import Iterable

PHONE = DeviceSecrets(random("phone seed"), random("phone exchange"))
TABLET = DeviceSecrets(random("tablet seed"), random("tablet exchange"))
NEW_PHRASE = DeviceSecrets(random("new phrase seed"), random("new phrase exchange"))
AT = 1_700_000_100
START = evaluate(LIBRARY, [])


def add(
    state: Membership,
    author: DeviceSecrets,
    newcomer: DeviceSecrets,
    kind: EntryKind = EntryKind.ADD,
    *,
    continues: bool = False,
) -> Entry:
    drawn = random(f"ephemeral of {author.device_id.hex()} for {newcomer.device_id.hex()} beside {state.heads}")
    keys = (newcomer.device_id, newcomer.exchange_public, continues)
    draft = admit_with(drawn, kind, state, author, open_epochs(state, author), keys, AT)
    return countersign(draft, LIBRARY.library_id, newcomer)


def rotate(state: Membership, author: DeviceSecrets) -> Entry:
    drawn = (random(f"rotation {number} of {author.device_id.hex()} beside {state.heads}") for number in range(99))
    return rotate_with(drawn, state, author, open_epochs(state, author), AT)


ADD = add(START, DEVICE, PHONE)
ADDED = START.with_entries([ADD])
CUT = Cut(5, random("the fifth envelope"))
REVOKE = revoke(ADDED, DEVICE, PHONE.device_id, CUT, created_at=AT)
REVOKED = ADDED.with_entries([REVOKE])
ROTATE = rotate(REVOKED, DEVICE)
ROTATED = REVOKED.with_entries([ROTATE])
REPLACE = add(ROTATED, PHRASE, NEW_PHRASE, EntryKind.REPLACE)
CONTINUES = add(START, DEVICE, OTHER, continues=True)


def signed_anew(body: bytes, author: DeviceSecrets, newcomer: DeviceSecrets | None = None) -> bytes:
    body += signing.sign(author.signing_seed, Signed.MEMBERSHIP, body)
    if newcomer is not None:
        body += signing.sign(newcomer.signing_seed, Signed.COUNTERSIGNATURE, body)
    return body


def entries() -> None:
    given = {"library_id": LIBRARY.library_id}
    good = {"add": ADD, "add of a copy": CONTINUES, "revoke": REVOKE, "rotate": ROTATE, "replace": REPLACE}
    cases = [
        case(
            name,
            "ok",
            {**given, "entry": entry.data},
            {"hash": entry.hash, "kind": int(entry.kind), "author": entry.author, "created_at": AT},
        )
        for name, entry in good.items()
    ]
    made, body = ADD.data, ADD.data[: -2 * SIGNATURE_BYTES]
    of_revoke, of_rotation = REVOKE.data[:-SIGNATURE_BYTES], ROTATE.data[:-SIGNATURE_BYTES]
    two = of_revoke[:81] + b"\2" + bytes(range(32)) + of_revoke[82:]
    twice = of_revoke[:81] + b"\2" + of_revoke[82:114] + of_revoke[82:]
    swapped = of_rotation[:149] + of_rotation[181:213] + of_rotation[149:181] + of_rotation[213:]
    unsigned = made[:-SIGNATURE_BYTES]
    by_relay = body[:114] + OTHER.device_id + OTHER.exchange_public + body[178:]
    faults: list[tuple[str, str, bytes]] = [
        ("another magic", "FormatError", flip(made, 0)),
        ("another format", "FormatError", made[:4] + b"EN" + made[6:]),
        ("a later version", "UnknownVersion", flip(made, 7, 3)),
        ("a second genesis", "MembershipInvalid", GENESIS),
        ("an unknown kind", "UnknownVersion", made[:8] + b"\6" + made[9:]),
        ("made in the year 10000", "FormatError", flip(made, 9, 0x80)),
        ("another time", "SignatureInvalid", flip(made, 16)),
        ("another library", "WrongLibrary", flip(made, 17)),
        ("an author of low order", "KeyRefused", made[:49] + b"\1" + bytes(31) + made[81:]),
        ("another author", "SignatureInvalid", made[:49] + OTHER.device_id + made[81:]),
        ("no heads", "FormatError", made[:81] + b"\0" + made[82:]),
        ("65 heads", "FormatError", made[:81] + b"\x41" + made[82:]),
        ("another head", "SignatureInvalid", flip(made, 82)),
        ("a new member of low order", "KeyRefused", made[:114] + b"\1" + bytes(31) + made[146:]),
        ("a zero exchange key", "KeyRefused", made[:146] + bytes(32) + made[178:]),
        ("adds itself", "MembershipInvalid", made[:114] + DEVICE.device_id + made[146:]),
        ("an unknown flag", "FormatError", made[:210] + b"\2" + made[211:]),
        ("says it continues", "SignatureInvalid", flip(made, 210)),
        ("changed box", "SignatureInvalid", flip(made, 300)),
        ("changed signature", "SignatureInvalid", flip(made, 355)),
        ("changed countersignature", "SignatureInvalid", flip(made, -1)),
        ("a byte short", "Truncated", made[:-1]),
        ("a byte long", "FormatError", made + b"\0"),
        ("not countersigned", "Truncated", unsigned),
        (
            "countersigned by its author",
            "SignatureInvalid",
            unsigned + signing.sign(DEVICE.signing_seed, Signed.COUNTERSIGNATURE, unsigned),
        ),
        (
            "the relay's keys, countersigned by the relay",
            "SignatureInvalid",
            by_relay
            + made[355:419]
            + signing.sign(OTHER.signing_seed, Signed.COUNTERSIGNATURE, by_relay + made[355:419]),
        ),
        (
            "signed anew: heads out of order",
            "FormatError",
            signed_anew(of_revoke[:81] + b"\2" + b"\xff" * 32 + of_revoke[82:], DEVICE),
        ),
        ("signed anew: a head twice", "FormatError", signed_anew(twice, DEVICE)),
        ("signed anew: a cut without a hash", "FormatError", signed_anew(of_revoke[:154] + bytes(32), DEVICE)),
        (
            "signed anew: a hash without a cut",
            "FormatError",
            signed_anew(of_revoke[:146] + bytes(8) + of_revoke[154:], DEVICE),
        ),
        ("signed anew: a cut of 64 bits", "FormatError", signed_anew(flip(of_revoke, 146, 0x80), DEVICE)),
        ("signed anew: wraps nothing", "FormatError", signed_anew(flip(of_rotation, 114), DEVICE)),
        (
            "signed anew: sealed to nobody",
            "FormatError",
            signed_anew(of_rotation[:115] + bytes(2) + of_rotation[117:], DEVICE),
        ),
        ("signed anew: recipients out of order", "FormatError", signed_anew(swapped, DEVICE)),
        (
            "signed anew: continues as a phrase",
            "FormatError",
            signed_anew(flip(REPLACE.data[: -2 * SIGNATURE_BYTES], 210), PHRASE, NEW_PHRASE),
        ),
    ]
    cases.append(
        case("signed anew: two heads", "ok", {**given, "entry": signed_anew(two, DEVICE)}, {"author": DEVICE.device_id})
    )
    cases += [case(name, error, {**given, "entry": data}) for name, error, data in faults]
    write("membership-entry", "Membership entries after genesis: form and signatures, for `library_id`.", cases)


def amounts(name: str, given: Iterable[Entry], reader: DeviceSecrets | None = None, expected: str = "ok") -> Case:
    from tests.crypto.test_vectors import run_membership

    inputs: dict[str, Any] = {"genesis": GENESIS, "entries": [entry.data.hex() for entry in given]}
    if reader is not None:
        inputs["open_with"] = reader.to_bytes()
    made = case(name, expected, inputs)
    if expected == "ok":
        made["output"] = run_membership(made["input"])
    return made


def memberships() -> None:
    second = add(ADDED, PHONE, TABLET)
    by_phone_meanwhile = rotate(ADDED, PHONE)
    void = ADDED.with_entries([by_phone_meanwhile])
    add_meanwhile = add(void, PHONE, TABLET)
    revoked_back = revoke(ADDED, PHONE, DEVICE.device_id, NO_ENVELOPE, created_at=AT)
    one, other = rotate(ADDED, DEVICE), rotate(ADDED, PHONE)
    merged = ADDED.with_entries([one, other])
    third = rotate(merged, PHONE)
    apart = revoke(ADDED, PHRASE, PHONE.device_id, Cut(3, random("the third envelope")), created_at=AT)
    at_odds = revoke(START, DEVICE, DEVICE.device_id, NO_ENVELOPE, created_at=AT)
    stranger = bytearray(signed_anew(REVOKE.data[:49] + OTHER.device_id + REVOKE.data[81:-64], OTHER))
    foreign = verify_entry(bytes(stranger), LIBRARY.library_id)
    after = verify_entry(
        signed_anew(REVOKE.data[:82] + foreign.hash + REVOKE.data[114:-64], DEVICE), LIBRARY.library_id
    )
    cases = [
        amounts("genesis alone", [], DEVICE),
        amounts("a device added", [ADD], PHONE),
        amounts("two devices, in the wrong order", [second, ADD], TABLET),
        amounts("revoked: a rotation is due", [ADD, REVOKE], PHONE),
        amounts("revoked and rotated, opened by a member", [ADD, REVOKE, ROTATE], DEVICE),
        amounts("revoked and rotated, opened by the revoked device", [ADD, REVOKE, ROTATE], PHONE),
        amounts("the phrase replaced, opened by the new one", [ADD, REVOKE, ROTATE, REPLACE], NEW_PHRASE),
        amounts("revoked each other", [ADD, REVOKE, revoked_back], PHRASE),
        amounts("rotated and added while being revoked", [ADD, by_phone_meanwhile, add_meanwhile, REVOKE], DEVICE),
        amounts("rotated at the same time", [ADD, one, other], PHONE),
        amounts("rotated at the same time, and once more", [ADD, one, other, third], PHRASE),
        amounts("revoked twice at the same time: both cuts", [ADD, REVOKE, apart], DEVICE),
        amounts("an orphan", [REVOKE, ROTATE], DEVICE),
        amounts("by a stranger, and what builds on it", [ADD, foreign, after], DEVICE),
        amounts("an author that contradicts itself", [ADD, at_odds], PHONE),
        amounts("a copy of the author", [ADD, CONTINUES], OTHER),
        amounts("opened by a stranger", [ADD], OTHER, "NotAMember"),
    ]
    write(
        "membership",
        "What sets of membership entries amount to (ids and hashes sorted), and the epoch keys `open_with` opens.",
        cases,
    )


def pairing() -> None:
    given: dict[str, Any] = {
        "code": "7-velvet-harbour",
        "inviter": DEVICE.to_bytes(),
        "inviter_entropy": random("inviter's scalar", 64),
        "newcomer": PHONE.to_bytes(),
        "newcomer_entropy": random("newcomer's scalar", 64),
        "name": "Anna's laptop",
        "library_id": LIBRARY.library_id,
        "draft": ADD.data[:-SIGNATURE_BYTES],
    }
    plain = case("", "ok", given)["input"]
    plain["heads"] = [LIBRARY.library_id.hex()]
    good = converse(plain)
    messages = {name: bytes.fromhex(good[name]) for name in ("hello", "answer", "offer", "introduction", "grant")}
    messages["acceptance"] = bytes.fromhex(good["acceptance"])
    hello, answer = messages["hello"], messages["answer"]
    faults: list[tuple[str, str, str, bytes]] = [
        ("another magic", "FormatError", "hello", flip(hello, 0)),
        ("a later version", "UnknownVersion", "hello", flip(hello, 7, 3)),
        ("another message", "FormatError", "hello", flip(hello, 8, 3)),
        ("the identity as element", "KeyRefused", "hello", hello[:9] + b"\1" + bytes(31)),
        ("an element in a second spelling", "KeyRefused", "hello", hello[:9] + b"\xee" + b"\xff" * 30 + b"\x7f"),
        ("another element", "PairingFailed", "hello", hello[:9] + answer[9:41]),
        ("a hello cut short", "Truncated", "hello", hello[:-1]),
        ("a hello too long", "FormatError", "hello", hello + b"\0"),
        ("the hello reflected", "PairingFailed", "answer", hello[:8] + b"\2" + hello[9:] + answer[41:]),
        ("an answer with another confirmation", "PairingFailed", "answer", flip(answer, -1)),
        ("an answer cut short", "Truncated", "answer", answer[:-1]),
        ("an offer with another confirmation", "PairingFailed", "offer", flip(messages["offer"], 9)),
        (
            "an offer with the newcomer's confirmation",
            "PairingFailed",
            "offer",
            messages["offer"][:9] + answer[41:] + messages["offer"][41:],
        ),
        ("an offer with a changed commitment", "CommitmentMismatch", "offer", flip(messages["offer"], 41)),
        ("an offer with changed content", "DecryptionFailed", "offer", flip(messages["offer"], 73)),
        ("an offer cut short", "Truncated", "offer", messages["offer"][:80]),
        (
            "an introduction with a changed commitment",
            "CommitmentMismatch",
            "introduction",
            flip(messages["introduction"], 9),
        ),
        (
            "an introduction with changed content",
            "DecryptionFailed",
            "introduction",
            flip(messages["introduction"], -1),
        ),
        (
            "the introduction as a grant",
            "CommitmentMismatch",
            "grant",
            messages["introduction"][:8] + b"\5" + messages["introduction"][9:],
        ),
        ("a grant with changed content", "DecryptionFailed", "grant", flip(messages["grant"], -1)),
        ("an acceptance with changed content", "DecryptionFailed", "acceptance", flip(messages["acceptance"], -1)),
    ]
    cases = [{"name": "good", "expected": "ok", "input": plain, "output": good}]
    cases += [
        {"name": name, "expected": error, "input": {**plain, "instead": {step: data.hex()}}}
        for name, error, step, data in faults
    ]
    cases += [
        {"name": name, "expected": error, "input": {**plain, **changed}}
        for name, error, changed in [
            ("another word typed", "PairingFailed", {"typed": "7-velvet-velvet"}),
            ("another mailbox typed", "PairingFailed", {"typed": "8-velvet-harbour"}),
            ("a word that is none typed", "PairingCodeInvalid", {"typed": "7-velvet-harbor"}),
            (
                "a grant that adds another device",
                "NotAMember",
                {"draft": add(START, DEVICE, TABLET).data[:-SIGNATURE_BYTES].hex()},
            ),
            (
                "a grant of a copy",
                "NotAMember",
                {"draft": add(START, DEVICE, PHONE, continues=True).data[:-SIGNATURE_BYTES].hex()},
            ),
            (
                "a grant by another device",
                "NotAMember",
                {"draft": add(START, PHRASE, PHONE).data[:-SIGNATURE_BYTES].hex()},
            ),
            ("a grant for another library", "WrongLibrary", {"draft": flip(ADD.data[:-SIGNATURE_BYTES], 17).hex()}),
            (
                "a grant with a changed signature",
                "SignatureInvalid",
                {"draft": flip(ADD.data[:-SIGNATURE_BYTES], -1).hex()},
            ),
        ]
    ]
    write("pairing", "Pairing: every message of a conversation; `instead` replaces one on its way.", cases)


if __name__ == "__main__":
    for make in (entries, memberships, pairing):
        make()
