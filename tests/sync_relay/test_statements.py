from __future__ import annotations

import pytest

from crypto.errors import CryptoError, FormatError, SignatureInvalid, WrongLibrary
from crypto.keys import DeviceSecrets
from sync_relay.statements import (
    Delete,
    Place,
    Prune,
    make_delete,
    make_prune,
    read_statement,
    sign_in_statement,
)

LIBRARY = b"L" * 32
DEVICE = DeviceSecrets.generate()


def place(device: int, seq: int = 1) -> Place:
    return Place(bytes([device]) * 32, seq, bytes([device, seq]) * 16)


def prune_entry() -> bytes:
    return make_prune(
        DEVICE, LIBRARY, checkpoint=place(9, 7), confirmation=place(8, 3), covered=[place(2, 5), place(1, 4)], time=5
    )


def test_a_delete_says_what_was_signed() -> None:
    statement = make_delete(DEVICE, LIBRARY, [b"b" * 32, b"a" * 32, b"b" * 32], time=17)
    assert read_statement(statement, LIBRARY) == Delete(LIBRARY, DEVICE.device_id, 17, (b"a" * 32, b"b" * 32))


def test_a_prune_entry_says_what_was_signed() -> None:
    assert read_statement(prune_entry(), LIBRARY) == Prune(
        LIBRARY, DEVICE.device_id, 5, place(9, 7), place(8, 3), (place(1, 4), place(2, 5))
    )


@pytest.mark.parametrize("statement", [make_delete(DEVICE, LIBRARY, [b"a" * 32], time=1), prune_entry()])
def test_no_byte_can_be_changed_cut_or_added(statement: bytes) -> None:
    for at in range(len(statement)):
        with pytest.raises(CryptoError):
            read_statement(statement[:at] + bytes([statement[at] ^ 1]) + statement[at + 1 :], LIBRARY)
        with pytest.raises(CryptoError):
            read_statement(statement[:at], LIBRARY)
    with pytest.raises(FormatError):
        read_statement(statement + b"\0", LIBRARY)


@pytest.mark.scenario(2, "as another kind of thing")
def test_a_delete_does_not_pass_for_a_prune_entry() -> None:
    statement = prune_entry()
    with pytest.raises((FormatError, SignatureInvalid)):
        read_statement(statement[:4] + b"DL" + statement[6:], LIBRARY)


def test_another_library_is_named() -> None:
    with pytest.raises(WrongLibrary):
        read_statement(make_delete(DEVICE, b"M" * 32, [b"a" * 32], time=1), LIBRARY)


def test_sign_ins_for_other_origins_nonces_and_libraries_differ() -> None:
    def statement(library: bytes | None, nonce: bytes, origin: str) -> bytes:
        return sign_in_statement(library, DEVICE.device_id, time=1, nonce=nonce, origin=origin)

    seen = {
        statement(LIBRARY, b"n", "https://a"),
        statement(None, b"n", "https://a"),
        statement(LIBRARY, b"n", "https://b"),
        statement(LIBRARY, b"nh", "ttps://a"),
    }
    assert len(seen) == 4
