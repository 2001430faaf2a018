from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.compression import deflate, inflate
from crypto.errors import FormatError, TooLarge

BOUND = 1 << 20


@given(st.binary(max_size=5000))
def test_what_was_deflated_is_inflated(data: bytes) -> None:
    assert inflate(deflate(data), len(data), BOUND, "it") == data


def test_a_bomb_is_refused_by_what_it_says() -> None:
    with pytest.raises(TooLarge, match="envelope 7"):
        inflate(deflate(bytes(BOUND + 1)), BOUND + 1, BOUND, "envelope 7")


def test_a_bomb_that_lies_about_its_size_is_stopped_while_it_inflates() -> None:
    bomb = deflate(bytes(256 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, 1000, BOUND, "it")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BOUND


@given(st.binary(min_size=1, max_size=2000), st.data())
def test_a_wrong_length_is_an_error_both_ways(data: bytes, drawn: st.DataObject) -> None:
    with pytest.raises(FormatError):
        inflate(deflate(data), len(data) + drawn.draw(st.integers(1, 100)), BOUND, "it")
    with pytest.raises(TooLarge):
        inflate(deflate(data), drawn.draw(st.integers(0, len(data) - 1)), BOUND, "it")


@pytest.mark.parametrize("tail", [b"\0", b"second", zlib.compress(b"second")])
def test_nothing_may_hide_behind_the_end(tail: bytes) -> None:
    with pytest.raises(FormatError, match="behind"):
        inflate(deflate(b"first") + tail, 5, BOUND, "it")


@given(st.binary(max_size=300))
def test_bytes_that_are_no_zlib_stream_are_a_named_error(data: bytes) -> None:
    try:
        zlib.decompress(data)
    except zlib.error:
        with pytest.raises(FormatError):
            inflate(data, 10, BOUND, "it")


@pytest.mark.parametrize("cut", [1, 2, 4, 5])
def test_a_stream_without_its_end_is_an_error(cut: int) -> None:
    # Without the check on the end, missing checksum bytes would go unnoticed: the data itself is complete.
    with pytest.raises(FormatError, match="ends early"):
        inflate(deflate(b"complete")[:-cut], 8, BOUND, "it")
