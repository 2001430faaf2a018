from __future__ import annotations

import hashlib
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import (
    CryptoError,
    DecryptionFailed,
    FormatError,
    Truncated,
    UnknownVersion,
    WrongPassphrase,
)
from crypto.keys import WRAPPED_BYTES, DeviceSecrets, EpochKeys, unwrap_secrets, wrap_secrets

PASSPHRASE_KEY = bytes(range(32))


def secrets_visible(text: str, *secrets: bytes) -> bool:
    return any(secret.hex() in text or repr(secret) in text or str(secret) in text for secret in secrets)


def test_secrets_are_never_in_a_repr_or_a_message(device: DeviceSecrets, epoch: EpochKeys) -> None:
    for shown in (repr(device), str(device), f"{device}", repr([device]), repr(epoch), str(epoch), f"{epoch!r}"):
        assert not secrets_visible(shown, device.signing_seed, device.exchange_secret, epoch.epoch_key, epoch.pid_key)
    assert device.device_id.hex()[:16] in repr(device)


def test_secrets_are_not_in_a_traceback_either(device: DeviceSecrets) -> None:
    wrapped = wrap_secrets(device, PASSPHRASE_KEY, b"")
    try:
        unwrap_secrets(wrapped, bytes(32), b"")
    except WrongPassphrase as error:
        report = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
    assert not secrets_visible(report, device.to_bytes(), PASSPHRASE_KEY)
    assert "CommitmentMismatch" not in report  # the cause says nothing more


def test_a_device_is_the_same_after_a_trip_through_bytes(device: DeviceSecrets) -> None:
    again = DeviceSecrets.from_bytes(device.to_bytes())
    assert again == device
    assert hash(again) == hash(device)
    assert (again.device_id, again.exchange_public) == (device.device_id, device.exchange_public)
    assert again != DeviceSecrets.generate()
    assert again != "a device"


def test_keys_for_storage_differ_by_purpose_and_by_device(device: DeviceSecrets) -> None:
    purposes = ["catalog", "catalog ", "names", "", "ä"]
    keys = {device.storage_key(purpose) for purpose in purposes}
    keys |= {DeviceSecrets.generate().storage_key(purpose) for purpose in purposes}
    assert len(keys) == 2 * len(purposes)
    assert {len(key) for key in keys} == {32}
    assert device.storage_key("catalog") == device.storage_key("catalog")


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_secrets_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DeviceSecrets(bytes(length), bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        DeviceSecrets(bytes(32), bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        EpochKeys(bytes(32), bytes(length), bytes(32))
    with pytest.raises(TypeError):
        DeviceSecrets(bytearray(32), bytes(32))  # type: ignore[arg-type]


@given(st.binary(max_size=1000))
def test_a_photo_id_is_the_keyed_hash_of_the_file(data: bytes) -> None:
    epoch = EpochKeys(bytes(32), bytes(32), b"p" * 32)
    hasher = epoch.photo_hasher()
    hasher.update(data)
    expected = hashlib.blake2b(data, digest_size=16, key=b"p" * 32, person=b"sl1-photo-id")
    assert hasher.digest() == expected.digest()
    # The epoch's own key has no part in it: a photo keeps its id when the epoch changes.
    later = EpochKeys(b"e" * 32, b"k" * 32, b"p" * 32).photo_hasher()
    later.update(data)
    assert later.digest() == hasher.digest()


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_wrapped_secrets_come_back(key: bytes, associated: bytes) -> None:
    device = DeviceSecrets.generate()
    wrapped = wrap_secrets(device, key, associated)
    assert len(wrapped) == WRAPPED_BYTES == 152
    assert unwrap_secrets(wrapped, key, associated) == device


def test_wrapping_twice_gives_other_bytes(device: DeviceSecrets) -> None:
    assert wrap_secrets(device, PASSPHRASE_KEY, b"") != wrap_secrets(device, PASSPHRASE_KEY, b"")


def test_a_wrong_passphrase_has_its_own_error(device: DeviceSecrets) -> None:
    wrapped = wrap_secrets(device, PASSPHRASE_KEY, b"")
    with pytest.raises(WrongPassphrase) as caught:
        unwrap_secrets(wrapped, bytes(32), b"")
    assert caught.value.hint


def test_secrets_moved_beside_another_library_do_not_open(device: DeviceSecrets) -> None:
    wrapped = wrap_secrets(device, PASSPHRASE_KEY, b"library one")
    with pytest.raises(DecryptionFailed):
        unwrap_secrets(wrapped, PASSPHRASE_KEY, b"library two")


def test_every_changed_byte_of_wrapped_secrets_is_a_named_error(device: DeviceSecrets) -> None:
    wrapped = wrap_secrets(device, PASSPHRASE_KEY, b"")
    expected = {
        range(6): FormatError,
        range(6, 8): UnknownVersion,
        range(8, 72): WrongPassphrase,
        range(72, WRAPPED_BYTES): DecryptionFailed,
    }
    for places, error in expected.items():
        for place in places:
            changed = bytearray(wrapped)
            changed[place] ^= 0x10
            with pytest.raises(error):
                unwrap_secrets(bytes(changed), PASSPHRASE_KEY, b"")


def test_wrapped_secrets_of_another_length_are_named_errors(device: DeviceSecrets) -> None:
    wrapped = wrap_secrets(device, PASSPHRASE_KEY, b"")
    for length in range(WRAPPED_BYTES):
        with pytest.raises(Truncated):
            unwrap_secrets(wrapped[:length], PASSPHRASE_KEY, b"")
    with pytest.raises(FormatError):
        unwrap_secrets(wrapped + b"\0", PASSPHRASE_KEY, b"")


def test_every_error_has_a_hint_attribute() -> None:
    assert CryptoError("what happened").hint is None
    assert CryptoError("what happened", hint="what to do").hint == "what to do"
