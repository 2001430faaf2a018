"""Bundles hold vectors of one length: what a decoder that was taken over says of one photo costs no other's."""

from __future__ import annotations

from core import bundles


def test_what_is_no_vector_of_the_usual_length_is_left_out() -> None:
    pids = [bytes([at]) * 16 for at in range(6)]
    said = [b"\0", bytes(4), b"", bytes(4), bytes(6), bytes(2 * bundles.MAX_DIMENSIONS + 2)]
    kept = bundles.alike(list(zip(pids, said, strict=True)))
    assert kept == [(pids[1], bytes(4)), (pids[3], bytes(4))]
    assert bundles.alike([(pids[0], b"\0")]) == []
