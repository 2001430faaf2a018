from __future__ import annotations

import dataclasses
import secrets
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import signing
from crypto.aead import committed_key, encrypt
from crypto.envelope import (
    HEADER_BYTES,
    MAX_ENVELOPE_BYTES,
    MAX_PLAINTEXT_BYTES,
    MIN_ENVELOPE_BYTES,
    NO_PREVIOUS,
    EnvelopeHeader,
    envelope_hash,
    open_envelope,
    read_header,
    seal_envelope,
    verify_envelope,
)
from crypto.errors import (
    CommitmentMismatch,
    CryptoError,
    DecryptionFailed,
    FormatError,
    SignatureInvalid,
    TooLarge,
    Truncated,
    UnknownVersion,
    WrongDevice,
    WrongEpoch,
    WrongLibrary,
)
from crypto.keys import DeviceSecrets, EpochKeys
from crypto.padme import padded_length
from crypto.purposes import Person, Signed


def opened(envelope: bytes, header: EnvelopeHeader, epoch: EpochKeys) -> bytes:
    return open_envelope(envelope, epoch, library_id=header.library_id, device_id=header.device_id)[1]


def resigned(envelope: bytes, device: DeviceSecrets, purpose: Signed = Signed.ENVELOPE) -> bytes:
    """Sign changed bytes again, as a hostile member can."""
    return envelope[:-64] + signing.sign(device.signing_seed, purpose, envelope[:-64])


def with_content(content: bytes, header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys) -> bytes:
    """Seal and sign raw content, as a hostile member can: lengths ‖ compressed ‖ padding, whatever it says."""
    start = header.to_bytes() + secrets.token_bytes(32)
    key, commitment = committed_key(epoch.epoch_key, Person.ENVELOPE, start)
    return resigned(start + commitment + encrypt(key, content) + bytes(64), device)


@given(st.binary(max_size=3000))
def test_what_was_sealed_is_opened(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys, plaintext: bytes
) -> None:
    envelope = seal_envelope(header, plaintext, device, epoch)
    assert MIN_ENVELOPE_BYTES <= len(envelope) <= MAX_ENVELOPE_BYTES
    assert read_header(envelope) == header
    ids = {"library_id": header.library_id, "device_id": header.device_id}
    assert verify_envelope(envelope, **ids) == header
    assert open_envelope(envelope, epoch, **ids) == (header, plaintext)


@pytest.mark.parametrize("incompressible", [False, True])
def test_the_largest_envelope_opens_and_a_larger_one_is_refused(
    incompressible: bool, header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    plaintext = secrets.token_bytes(MAX_PLAINTEXT_BYTES) if incompressible else bytes(MAX_PLAINTEXT_BYTES)
    envelope = seal_envelope(header, plaintext, device, epoch)
    assert len(envelope) <= MAX_ENVELOPE_BYTES
    assert opened(envelope, header, epoch) == plaintext
    with pytest.raises(TooLarge) as caught:
        seal_envelope(header, plaintext + b"\0", device, epoch)
    assert caught.value.hint


def test_small_edits_cannot_be_told_apart_by_size(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    sizes = {len(seal_envelope(header, secrets.token_bytes(length), device, epoch)) for length in range(0, 230, 7)}
    assert sizes == {MIN_ENVELOPE_BYTES} == {576}


def test_the_same_edit_sealed_twice_shares_nothing_secret(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    one, other = (seal_envelope(header, b"rating 5", device, epoch) for _ in range(2))
    assert one[:HEADER_BYTES] == other[:HEADER_BYTES]
    for begin, end in ((HEADER_BYTES, HEADER_BYTES + 32), (HEADER_BYTES + 32, HEADER_BYTES + 64)):
        assert one[begin:end] != other[begin:end]
    assert one[HEADER_BYTES + 64 : -64] != other[HEADER_BYTES + 64 : -64]
    assert envelope_hash(one) != envelope_hash(other)


@pytest.mark.scenario(1, "in an envelope")
@given(st.data())
def test_any_changed_bit_is_a_named_error(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys, data: st.DataObject
) -> None:
    envelope = bytearray(seal_envelope(header, b"caption", device, epoch))
    bit = data.draw(st.integers(0, len(envelope) * 8 - 1))
    envelope[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CryptoError):
        opened(bytes(envelope), header, epoch)


@given(st.data())
def test_any_bit_changed_by_the_author_itself_is_a_named_error(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys, data: st.DataObject
) -> None:
    """The signature is made anew, so what is left to notice the change is inside: header binding, commitment, AEAD."""
    envelope = bytearray(seal_envelope(header, b"caption", device, epoch))
    bit = data.draw(st.integers(0, (len(envelope) - 64) * 8 - 1))
    envelope[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CryptoError):
        opened(resigned(bytes(envelope), device), header, epoch)


@pytest.mark.parametrize(
    "case",
    [
        (0, FormatError, FormatError),  # magic
        (4, FormatError, FormatError),  # format
        (7, UnknownVersion, UnknownVersion),
        (8, WrongLibrary, WrongLibrary),
        (40, WrongDevice, WrongDevice),
        (78, SignatureInvalid, CommitmentMismatch),  # seq
        (80, SignatureInvalid, CommitmentMismatch),  # previous
        (112, SignatureInvalid, WrongEpoch),
        (144, SignatureInvalid, CommitmentMismatch),  # membership
        (176, SignatureInvalid, CommitmentMismatch),  # random
        (208, SignatureInvalid, CommitmentMismatch),  # commitment
        (240, SignatureInvalid, DecryptionFailed),  # ciphertext
        (511, SignatureInvalid, DecryptionFailed),  # tag
        (512, SignatureInvalid, None),
    ],
)
def test_each_field_has_its_error(
    case: tuple[int, type[CryptoError], type[CryptoError] | None],
    header: EnvelopeHeader,
    device: DeviceSecrets,
    epoch: EpochKeys,
) -> None:
    place, error, error_if_signed_anew = case
    second = dataclasses.replace(header, seq=2, previous=b"p" * 32)
    envelope = bytearray(seal_envelope(second, b"caption", device, epoch))
    envelope[place] ^= 1
    with pytest.raises(error):
        opened(bytes(envelope), second, epoch)
    if error_if_signed_anew is not None:
        with pytest.raises(error_if_signed_anew):
            opened(resigned(bytes(envelope), device), second, epoch)


@pytest.mark.scenario(1, "in an envelope")
@given(st.integers(1, 400))
def test_a_shorter_or_longer_envelope_is_a_named_error(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys, change: int
) -> None:
    envelope = seal_envelope(header, b"caption", device, epoch)
    with pytest.raises((Truncated, FormatError)):
        opened(envelope[:-change], header, epoch)
    with pytest.raises(CryptoError):
        opened(envelope + bytes(change), header, epoch)
    with pytest.raises(CryptoError):
        opened(resigned(envelope + bytes(change), device), header, epoch)


def test_an_endless_envelope_is_refused_before_anything_is_computed(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    envelope = seal_envelope(header, b"caption", device, epoch)
    with pytest.raises(TooLarge):
        read_header(envelope + bytes(MAX_ENVELOPE_BYTES))


@pytest.mark.scenario(2, "as another kind of thing")
@pytest.mark.parametrize("purpose", [purpose for purpose in Signed if purpose is not Signed.ENVELOPE])
def test_a_signature_for_another_purpose_does_not_hold(
    purpose: Signed, header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    envelope = seal_envelope(header, b"caption", device, epoch)
    with pytest.raises(SignatureInvalid):
        opened(resigned(envelope, device, purpose), header, epoch)


@pytest.mark.scenario(2, "from another library", "as another device's", "under another epoch")
def test_replays_elsewhere_are_named(header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys) -> None:
    envelope = seal_envelope(header, b"caption", device, epoch)
    other = bytes(31) + b"\x01"
    with pytest.raises(WrongLibrary, match="envelope 1 of device"):
        verify_envelope(envelope, library_id=other, device_id=header.device_id)
    with pytest.raises(WrongDevice, match="envelope 1 of device"):
        verify_envelope(envelope, library_id=header.library_id, device_id=other)
    with pytest.raises(WrongEpoch):
        opened(envelope, header, EpochKeys(other, epoch.epoch_key, epoch.pid_key))
    with pytest.raises(CommitmentMismatch):
        opened(envelope, header, EpochKeys(epoch.epoch_id, other, epoch.pid_key))


def test_a_device_cannot_sign_for_another(header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys) -> None:
    impostor = DeviceSecrets.generate()
    with pytest.raises(WrongDevice):
        seal_envelope(header, b"", impostor, epoch)
    with pytest.raises(WrongEpoch):
        seal_envelope(dataclasses.replace(header, epoch_id=bytes(32)), b"", device, epoch)
    forged = resigned(seal_envelope(header, b"", device, epoch), impostor)
    with pytest.raises(SignatureInvalid):
        opened(forged, header, epoch)


@pytest.mark.parametrize(
    ("seq", "previous"),
    [(0, NO_PREVIOUS), (-1, NO_PREVIOUS), (1 << 63, b"p" * 32), (1, b"p" * 32), (2, NO_PREVIOUS)],
)
def test_an_impossible_place_in_the_chain_is_refused(seq: int, previous: bytes, header: EnvelopeHeader) -> None:
    with pytest.raises(FormatError):
        dataclasses.replace(header, seq=seq, previous=previous)


def test_an_id_of_another_length_is_a_mistake(header: EnvelopeHeader) -> None:
    for name in ("library_id", "device_id", "previous", "epoch_id", "membership"):
        with pytest.raises(ValueError, match=name):
            dataclasses.replace(header, **{name: b"short"})  # type: ignore[arg-type]


@pytest.mark.scenario(11, "it sends bombs")
def test_a_compression_bomb_is_refused_without_inflating_it(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    bomb = zlib.compress(bytes(200 << 20), 9)
    for claimed in (200 << 20, MAX_PLAINTEXT_BYTES + 1, MAX_PLAINTEXT_BYTES, 10, 0):
        content = struct.pack(">II", claimed, len(bomb)) + bomb
        content = content.ljust(padded_length(len(content)), b"\0")
        with pytest.raises(TooLarge):
            opened(with_content(content, header, device, epoch), header, epoch)


@pytest.mark.parametrize(
    "case",
    [
        ((5, 13), zlib.compress(b"hello"), b"x"),  # something behind the padding's beginning
        ((5, 5000), zlib.compress(b"hello"), b""),  # longer than what is there
        ((5, 0), zlib.compress(b"hello"), b""),
        ((5, 0xFFFFFFFF), zlib.compress(b"hello"), b""),
        ((6, 13), zlib.compress(b"hello"), b""),
        ((5, 14), zlib.compress(b"hello") + b"x", b""),
        ((5, 13), b"not a zlib st", b""),
    ],
)
def test_impossible_content_of_a_hostile_member_is_a_named_error(
    case: tuple[tuple[int, int], bytes, bytes],
    header: EnvelopeHeader,
    device: DeviceSecrets,
    epoch: EpochKeys,
) -> None:
    assert len(zlib.compress(b"hello")) == 13
    lengths, compressed, padding = case
    content = (struct.pack(">II", *lengths) + compressed + padding).ljust(256, b"\0")
    with pytest.raises(FormatError, match="envelope 1 of device"):
        opened(with_content(content, header, device, epoch), header, epoch)


def test_content_padded_to_more_than_it_needs_is_refused(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    content = (struct.pack(">II", 5, 13) + zlib.compress(b"hello")).ljust(padded_length(300), b"\0")
    with pytest.raises(FormatError):
        opened(with_content(content, header, device, epoch), header, epoch)


def test_a_relay_refuses_a_length_that_nothing_is_padded_to(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    """A program that pads less would tell its user's relay the sizes of edits: it is told so by the first relay."""
    envelope = with_content(bytes(300), header, device, epoch)
    with pytest.raises(FormatError, match="padded"):
        verify_envelope(envelope, library_id=header.library_id, device_id=header.device_id)


def test_an_envelope_sealed_so_that_two_keys_open_it_is_refused(
    header: EnvelopeHeader, device: DeviceSecrets, epoch: EpochKeys
) -> None:
    """The commitment stands for one key, whatever the ciphertext decrypts to under another."""
    other = EpochKeys(epoch.epoch_id, b"k" * 32, epoch.pid_key)
    envelope = seal_envelope(header, b"what the others see", device, other)
    with pytest.raises(CommitmentMismatch):
        opened(envelope, header, epoch)
