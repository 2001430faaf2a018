"""Text to token ids: byte-pair encoding as CLIP's text encoders expect it.

The method is that of Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016), over bytes
as in GPT-2, with CLIP's own splitting of words (Radford et al., "Learning Transferable Visual Models From Natural
Language Supervision", 2021). The two files are those that such models are published with: `vocab.json`, token to
number, and `merges.txt`, one pair a line, the strongest first.

The usual library brings a client of a model hub with it, which a program that fetches nothing by itself does without.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from ml.errors import TokensInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_FILE_BYTES = 16 << 20
MAX_ENTRIES = 1_000_000
MAX_TEXT = 10_000
"""Characters of a text that are looked at; a context holds a hundredth of them."""

_WORD_END = "</w>"
_SHOWN = 40
_MAX_WORD = 1000
"""Bytes of one word that are looked at: merging takes the square of them."""
_CONTRACTION = re.compile("'(?:s|t|re|ve|m|ll|d)")
_vocabulary = msgspec.json.Decoder(dict[str, int])


class Tokenizer:
    """A vocabulary and its merges. Immutable; safe to share between threads."""

    def __init__(self, vocabulary: bytes, merges: bytes, *, vocabulary_name: str, merges_name: str) -> None:
        """Read the two files' bytes; the names are how errors call them.

        Raises TokensInvalid for files that are no such lists, contradict each other or are unreasonably large.
        """
        self._ids = _read_vocabulary(vocabulary, vocabulary_name)
        self._ranks = _read_merges(merges, merges_name)
        letters = byte_letters()
        for piece in (START, END, *letters, *(letter + _WORD_END for letter in letters)):
            if piece not in self._ids:
                raise TokensInvalid(
                    f"{vocabulary_name}: has no token {piece!r}",
                    hint="Use the vocab.json that was published with the model; it must be one of CLIP's kind.",
                )
        for pair in self._ranks:
            if pair.replace(" ", "") not in self._ids:
                raise TokensInvalid(
                    f"{merges_name}: the pair {pair[:_SHOWN]!r} makes a token that {vocabulary_name} does not have",
                    hint="The two files must come from the same model.",
                )
        self._letters = letters
        self.start, self.end = self._ids[START], self._ids[END]
        self.size = max(self._ids.values()) + 1
        """One more than the greatest id."""
        self._pieces = lru_cache(maxsize=4096)(self._merge)

    def encode(self, text: str, context: int, padding: int = 0) -> tuple[list[int], int]:
        """Return ``context`` ids, and how many of them are the text's own, with start and end.

        The text is lower-cased, runs of white space count as one. What does not fit is cut off, and the end token
        stands at the end all the same; shorter texts are filled up with ``padding``.
        """
        own: list[int] = [self.start]
        for word in split_words(text):
            own.extend(self._pieces(word))
            if len(own) >= context:
                break
        own = [*own[: context - 1], self.end]
        return own + [padding] * (context - len(own)), len(own)

    def _merge(self, word: str) -> Sequence[int]:
        """Join the strongest pair of neighbours, again and again; return the ids of what is left."""
        parts = [self._letters[byte] for byte in word.encode("utf-8", "replace")[:_MAX_WORD]]
        parts[-1] += _WORD_END
        while len(parts) > 1:
            best = min((f"{one} {next_}" for one, next_ in pairwise(parts)), key=self._rank)
            if best not in self._ranks:
                break
            joined: list[str] = []
            for part in parts:
                # A part that was joined just now is longer than the pair's first half, so none is joined twice.
                if joined and f"{joined[-1]} {part}" == best:
                    joined[-1] += part
                else:
                    joined.append(part)
            parts = joined
        return [self._ids[part] for part in parts]

    def _rank(self, pair: str) -> int:
        return self._ranks.get(pair, MAX_ENTRIES)


def split_words(text: str) -> Iterator[str]:
    """Yield the words of a text as CLIP splits it: runs of letters, single digits, runs of anything else, and `'s`."""
    text = " ".join(unicodedata.normalize("NFC", text[:MAX_TEXT]).split()).lower()
    position = 0
    while position < len(text):
        contraction = _CONTRACTION.match(text, position)
        end = position + 1
        kind = _kind(text[position])
        if contraction is not None:
            end = contraction.end()
        elif kind != "N":
            while end < len(text) and _kind(text[end]) == kind:
                end += 1
        if kind != " ":
            yield text[position:end]
        position = end


def _kind(character: str) -> str:
    """Return L for a letter, N for a number, a space for white space and P for all else."""
    if character.isspace():
        return " "
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "P"


def byte_letters() -> list[str]:
    """Return a visible character for each byte: itself where it is one, else one from 256 on, in order (GPT-2's)."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in visible else next(spare)) for byte in range(256)]


def _read_vocabulary(data: bytes, name: str) -> dict[str, int]:
    _check_size(data, name)
    try:
        ids = _vocabulary.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise TokensInvalid(
            f"{name}: not a list of tokens and their numbers", hint="vocab.json, as published."
        ) from cause
    if len(ids) > MAX_ENTRIES or any(not 0 <= number < MAX_ENTRIES for number in ids.values()):
        raise TokensInvalid(f"{name}: has more than {MAX_ENTRIES:,} tokens, or numbers beyond that")
    if len(set(ids.values())) != len(ids):
        raise TokensInvalid(f"{name}: two tokens have the same number")
    return ids


def _read_merges(data: bytes, name: str) -> dict[str, int]:
    """Return the rank of each pair, as its line has it: parts and a space between them."""
    _check_size(data, name)
    try:
        rows = data.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as cause:
        raise TokensInvalid(f"{name}: not UTF-8 text", hint="Use merges.txt as it was published.") from cause
    if rows[0].startswith("#version"):
        rows[0] = ""
    ranks = {row: rank for rank, row in enumerate(rows) if row}
    if len(ranks) > MAX_ENTRIES:
        raise TokensInvalid(f"{name}: has more than {MAX_ENTRIES:,} pairs")
    for row, rank in ranks.items():
        if row.count(" ") != 1 or row[0] == " " or row[-1] == " ":
            raise TokensInvalid(f"{name}:{rank + 1}: not two parts of a token with a space between them")
    return ranks


def _check_size(data: bytes, name: str) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise TokensInvalid(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB")
