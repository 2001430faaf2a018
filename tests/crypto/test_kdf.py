from __future__ import annotations

import dataclasses

import pytest

from crypto.errors import KdfParametersRefused
from crypto.kdf import (
    CEILING,
    DEFAULT_MEMLIMIT,
    DEFAULT_OPSLIMIT,
    FLOOR,
    MEBIBYTE,
    KdfParameters,
    derive_passphrase_key,
    new_parameters,
)

SALT = bytes(16)


def test_one_passphrase_gives_one_key_and_anything_else_another() -> None:
    parameters = new_parameters(*FLOOR)
    key = derive_passphrase_key(b"correct horse", parameters)
    assert len(key) == 32
    assert derive_passphrase_key(b"correct horse", parameters) == key
    assert derive_passphrase_key(b"correct horsf", parameters) != key
    assert derive_passphrase_key(b"correct horse", new_parameters(*FLOOR)) != key  # another salt
    harder = dataclasses.replace(parameters, opslimit=parameters.opslimit + 1)
    assert derive_passphrase_key(b"correct horse", harder) != key


def test_the_default_is_as_hard_as_designed() -> None:
    parameters = new_parameters()
    assert (parameters.opslimit, parameters.memlimit) == (DEFAULT_OPSLIMIT, DEFAULT_MEMLIMIT)
    assert parameters.memlimit == 256 * MEBIBYTE
    assert len(parameters.salt) == 16
    assert new_parameters().salt != parameters.salt


@pytest.mark.parametrize(
    ("opslimit", "memlimit", "salt"),
    [
        (FLOOR.opslimit - 1, FLOOR.memlimit, SALT),
        (FLOOR.opslimit, FLOOR.memlimit - 1, SALT),
        (CEILING.opslimit + 1, FLOOR.memlimit, SALT),
        (FLOOR.opslimit, CEILING.memlimit + 1, SALT),
        (0, FLOOR.memlimit, SALT),
        (-1, FLOOR.memlimit, SALT),
        (1 << 70, FLOOR.memlimit, SALT),
        (FLOOR.opslimit, 1 << 70, SALT),
        (FLOOR.opslimit, FLOOR.memlimit, b""),
        (FLOOR.opslimit, FLOOR.memlimit, bytes(15)),
        (FLOOR.opslimit, FLOOR.memlimit, bytes(17)),
        (float(FLOOR.opslimit), FLOOR.memlimit, SALT),
        ("2", FLOOR.memlimit, SALT),
        (True, FLOOR.memlimit, SALT),
    ],
)
def test_parameters_outside_the_bounds_are_refused_before_anything_is_computed(
    opslimit: int, memlimit: int, salt: bytes
) -> None:
    with pytest.raises(KdfParametersRefused) as caught:
        KdfParameters(opslimit, memlimit, salt)
    assert caught.value.hint


def test_the_bounds_themselves_are_allowed() -> None:
    KdfParameters(*FLOOR, SALT)
    KdfParameters(*CEILING, SALT)
    assert CEILING.memlimit == 1024 * MEBIBYTE
