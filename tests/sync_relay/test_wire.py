from __future__ import annotations

import msgspec
import pytest

from sync_relay import errors, wire


def test_names_of_errors_are_each_ones_own() -> None:
    def classes(base: type[errors.RelayError]) -> list[type[errors.RelayError]]:
        return [base, *(found for child in base.__subclasses__() for found in classes(child))]

    found = classes(errors.RelayError)
    assert len({error.name for error in found}) == len(found) == len(errors.BY_NAME)
    for error in found:
        assert error.name in (errors.__doc__ or "") or error is errors.RelayError
        assert 400 <= error.status < 600


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (wire.ChallengeRequest, {"device_id": b"short"}),
        (wire.SignIn, {"device_id": bytes(32), "nonce": b"", "origin": "x", "time": -1, "signature": bytes(64)}),
        (wire.BlobQuery, {"ids": [bytes(32)] * (wire.MAX_ITEMS + 1)}),
        (wire.Letter, {"body": bytes(wire.MAX_LETTER_BYTES + 1)}),
        (wire.Prove, {"nonce": bytes(31)}),
    ],
)
def test_bounds_are_part_of_the_shapes(shape: type[wire.Struct], value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=shape)


def test_unknown_fields_are_passed_over() -> None:
    value = {"number": 1, "token": "t", "expires_in": 2, "later": True}
    assert msgspec.json.decode(msgspec.json.encode(value), type=wire.MailboxSide).number == 1


def test_details_that_do_not_apply_do_not_cross() -> None:
    body = wire.ErrorBody(error="rate", message="m", details=errors.ErrorDetails(retry_after=3))
    assert msgspec.json.decode(msgspec.json.encode(body)) == {
        "error": "rate",
        "message": "m",
        "details": {"retry_after": 3},
    }
