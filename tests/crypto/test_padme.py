from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.padme import MINIMUM_BYTES, padded_length

lengths = st.integers(0, 1 << 50)


@given(lengths)
def test_padding_never_shortens_and_costs_at_most_an_eighth(length: int) -> None:
    padded = padded_length(length)
    assert padded >= length
    assert padded == MINIMUM_BYTES or padded - length <= length * 0.125


@given(lengths)
def test_a_padded_length_is_padded_to_itself(length: int) -> None:
    assert padded_length(padded_length(length)) == padded_length(length)


@given(lengths, lengths)
def test_more_data_is_never_padded_to_less(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert padded_length(low) <= padded_length(high)


def test_lengths_up_to_a_gigabyte_fall_into_a_few_hundred_classes() -> None:
    classes = 0
    length = 0
    while length <= 1 << 30:
        classes += 1
        length = padded_length(length) + 1
    assert classes < 600


def test_small_edits_all_look_the_same() -> None:
    assert {padded_length(length) for length in range(MINIMUM_BYTES + 1)} == {MINIMUM_BYTES}


def test_a_negative_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="negative"):
        padded_length(-1)
