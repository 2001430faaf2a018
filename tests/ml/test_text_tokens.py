"""Texts become the ids that the models were trained with; files that are no vocabulary are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import TokensInvalid
from ml.text_tokens import END, MAX_FILE_BYTES, START, Tokenizer, split_words
from tests.ml.image_text_packs import MERGES, VOCABULARY

if TYPE_CHECKING:
    from pathlib import Path

# Without start and end, as the library `tokenizers` 0.23 gives them for these files.
KNOWN = {
    "a photo of a cat": [320, 1125, 539, 320, 2368],
    "A  Photo\tof a CAT": [320, 1125, 539, 320, 2368],
    "Don't STOP, it's 2024!!": [847, 713, 1691, 267, 585, 568, 273, 271, 273, 275, 748],
    "ÀÉ café naïve": [36149, 4166, 15304, 1097, 35689, 563],
    "日本語 の 写真": [39121, 44353, 34002, 508, 4813, 362, 44653, 33440, 509],
    "😀😀👨\u200d👩\u200d👧 family": [12832, 12832, 25023, 26304, 964, 356, 1315],
    "a_b-c d.e": [320, 318, 321, 268, 322, 323, 269, 324],
    "½ ²": [33613, 41175],
    "": [],
}


def tiny(vocabulary: bytes = VOCABULARY, merges: bytes = MERGES) -> Tokenizer:
    return Tokenizer(vocabulary, merges, vocabulary_name="vocab.json", merges_name="merges.txt")


def changed(**entries: object) -> bytes:
    return json.dumps(json.loads(VOCABULARY) | entries).encode()


@pytest.fixture(scope="module")
def clip(shared_data: Path) -> Tokenizer:
    folder = shared_data / "models" / "image-text-standin"
    return tiny((folder / "vocab.json").read_bytes(), (folder / "merges.txt").read_bytes())


@pytest.mark.parametrize("text", KNOWN)
def test_clips_own_ids(clip: Tokenizer, text: str) -> None:
    ids, own = clip.encode(text, 77)
    assert ids == [49406, *KNOWN[text], 49407] + [0] * (75 - len(KNOWN[text]))
    assert own == len(KNOWN[text]) + 2


def test_a_long_text_is_cut_and_still_ends(clip: Tokenizer) -> None:
    ids, own = clip.encode("dog " * 5000, 77, padding=49407)
    assert ids == [49406, *[1929] * 75, 49407]
    assert own == 77
    assert clip.encode("dog", 6, padding=49407) == ([49406, 1929, 49407, 49407, 49407, 49407], 3)


def test_what_looks_like_a_mark_is_text() -> None:
    """Nobody types a start or an end into a sentence."""
    tokenizer = tiny()
    ids, own = tokenizer.encode(f"{END}{START}", 60)
    assert own > 4
    assert ids[1 : own - 1].count(tokenizer.start) == ids[1 : own - 1].count(tokenizer.end) == 0


@given(st.text(max_size=60), st.integers(3, 40))
@settings(max_examples=200, deadline=None)
def test_any_text_fills_the_context(text: str, context: int) -> None:
    tokenizer = TINY
    ids, own = tokenizer.encode(text, context, padding=7)
    assert len(ids) == context
    assert ids[0] == tokenizer.start
    assert ids[own - 1] == tokenizer.end
    assert all(number == 7 for number in ids[own:])
    assert "".join(split_words(text)) == "".join(" ".join(split_words(text)).split())


TINY = tiny()


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        (b"[]", MERGES, "not a list of tokens"),
        (b'{"a": "b"}', MERGES, "not a list of tokens"),
        (b"[" * 100_000, MERGES, "not a list of tokens"),
        (b'{"a": 1, "\xff": 2}', MERGES, "not a list of tokens"),
        (b"{}", MERGES, "has no token"),
        (changed(a=-1), MERGES, "numbers beyond"),
        (changed(a=10**9), MERGES, "numbers beyond"),
        (changed(a=json.loads(VOCABULARY)["b"]), MERGES, "same number"),
        (b" " * (MAX_FILE_BYTES + 1), MERGES, "larger than"),
        (VOCABULARY, b"\xff", "not UTF-8"),
        (VOCABULARY, b"#version: 0.2\nr e\nred\n", "merges.txt:3: not two parts"),
        (VOCABULARY, b"r e d\n", "merges.txt:1: not two parts"),
        (VOCABULARY, b"r  e\n", "merges.txt:1: not two parts"),
        (VOCABULARY, b"x y\n", "does not have"),
        (VOCABULARY, b"\n" * (MAX_FILE_BYTES + 1), "larger than"),
    ],
)
def test_files_that_are_no_tokenizer(vocabulary: bytes, merges: bytes, message: str) -> None:
    with pytest.raises(TokensInvalid, match=message):
        tiny(vocabulary, merges)
