"""How texts are cut into words and compared: one rule for the catalog's index, for queries and for the tests.

Texts are compared after NFC and case folding. A word is a run of letters, digits and marks; each symbol or emoji is a
word of its own, and so is each character of the scripts that put no spaces between words, so that any stretch of a
Chinese or Thai caption is found as words in a row.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Letters are what is left when these are taken away: asking for letters would lose combining marks, which belong to
# words in many scripts. The index tokenises with FTS5's `ascii`, which splits at nothing beyond ASCII: what stands
# here decides.
_SEPARATORS = (
    r"\x00-/:-@\[-`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7"  # ASCII and Latin-1 punctuation, ª µ º being letters
    r"\u02c2-\u02df\u2000-\u206f\u2e00-\u2e7f\u3000-\u303f\ufe00-\ufe0f\ufe30-\ufe6f"  # spaces, punctuation, selectors
    r"\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufeff\ufff0-\uffff"  # full-width punctuation, specials
    r"\ud800-\udfff"  # lone surrogates: no text
    r"\ue000"  # BREAK
)
BREAK = "\ue000"
"""Stands between two texts in one index: a word that no text has, so that no row of words runs across."""

_SINGLE = (
    r"\u2070-\u2bff\U0001f000-\U0001faff"  # symbols, emoji
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    r"\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)
_WORD = re.compile(f"[{_SINGLE}]|[^{_SEPARATORS}{_SINGLE}]+")


def fold(text: str) -> str:
    """Return the text as it is compared: NFC, case-folded, NFC again (folding can take a character apart)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def words(text: str) -> list[str]:
    """Return the words of a text, folded, in order."""
    return _WORD.findall(fold(text))


@lru_cache(maxsize=16_384)
def _words_of_name(text: str) -> list[str]:
    return words(text)


def contains(text: str, wanted: list[str], *, prefix: bool = False) -> bool:
    """Whether the wanted words stand in a row in ``text``; with ``prefix`` the last of them may go on.

    For names of labels, albums and cameras, of which there are few and which every query looks through: their words
    are remembered.
    """
    have = _words_of_name(text)
    length = len(wanted)
    for start in range(len(have) - length + 1):
        row = have[start : start + length]
        if row == wanted or (prefix and row[:-1] == wanted[:-1] and row[-1].startswith(wanted[-1])):
            return length > 0
    return False
