from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.hashing import Blake2b, hash_stream
from crypto.purposes import PERSON_BYTES, Person, Signed


@given(st.lists(st.binary(max_size=300), max_size=8), st.binary(min_size=32, max_size=32), st.sampled_from(Person))
def test_it_is_the_same_hash_as_the_standard_librarys(parts: list[bytes], key: bytes, person: Person) -> None:
    ours = Blake2b(16, key, person)
    theirs = hashlib.blake2b(digest_size=16, key=key, person=person.value)
    for part in parts:
        ours.update(part)
        theirs.update(part)
        assert ours.digest() == theirs.digest()  # a digest in between changes nothing
    assert ours.hexdigest() == theirs.hexdigest()


def test_views_and_byte_arrays_hash_as_their_bytes() -> None:
    data = bytes(range(256)) * 3000  # several pieces
    expected = hashlib.blake2b(data, digest_size=32).digest()
    for form in (data, bytearray(data), memoryview(data), memoryview(data).cast("I")):
        hasher = Blake2b(32)
        hasher.update(form)
        assert hasher.digest() == expected
    assert hash_stream(io.BytesIO(data)) == expected


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_key_of_another_length_is_refused_and_never_ignored(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Blake2b(32, key, Person.PHOTO_ID)


def test_blake2b_does_not_mark_where_a_person_ends() -> None:
    # The hazard behind the rule: no purpose may hold a zero byte.
    assert hashlib.blake2b(person=b"a").digest() == hashlib.blake2b(person=b"a\0").digest()
    for person in Person:
        assert 0 < len(person.value) <= PERSON_BYTES
        assert b"\0" not in person.value


def test_no_purpose_is_used_twice_and_no_prefix_begins_another() -> None:
    assert len({person.value for person in Person}) == len(list(Person)) == len(Person.__members__)
    prefixes = [signed.value for signed in Signed]
    assert len(set(prefixes)) == len(Signed.__members__)
    for one in prefixes:
        assert one.endswith(b"\0")
        assert one.startswith(b"safelight/1/")
        assert sum(other.startswith(one) for other in prefixes) == 1
