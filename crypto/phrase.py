"""The recovery phrase: 24 BIP39 words, from which the keys of one more member are derived.

The words carry 256 random bits and an 8-bit checksum. 256 bits need no stretching (nobody searches them), so the
member's keys are two keyed hashes of those bits, each for its purpose; BIP39's own PBKDF2 "seed" is for wallets and
is not used.
"""

from __future__ import annotations

import difflib
import functools
import re
import secrets
import unicodedata
from typing import Final

from mnemonic import Mnemonic

from crypto.aead import derive
from crypto.errors import InvalidPhrase
from crypto.keys import DeviceSecrets
from crypto.purposes import Person

PHRASE_WORDS: Final = 24
_ENTROPY_BYTES: Final = 32


@functools.cache
def _wordlist() -> Mnemonic:
    return Mnemonic("english")


def new_phrase() -> str:
    """Return 24 words separated by single spaces, from the system's random generator."""
    return _wordlist().to_mnemonic(secrets.token_bytes(_ENTROPY_BYTES))


def phrase_secrets(phrase: str) -> DeviceSecrets:
    """Return the secrets of the member that `phrase` stands for.

    Case, line breaks, commas and numbering ("1. abandon") do not matter, as people copy phrases from paper. Raises
    `InvalidPhrase` with the position of the first word that is not in the list; the message never repeats what was
    typed.
    """
    entropy = _entropy(phrase)
    return DeviceSecrets(derive(entropy, Person.PHRASE_SIGNING, b""), derive(entropy, Person.PHRASE_EXCHANGE, b""))


def _entropy(phrase: str) -> bytes:
    words = [word for word in re.split(r"[\s\d.,;:)]+", unicodedata.normalize("NFKD", phrase).lower()) if word]
    known = _wordlist().wordlist
    for position, word in enumerate(words, start=1):
        if word not in known:
            raise InvalidPhrase(
                f"word {position} of the recovery phrase is not one of the words such phrases are made of",
                position=position,
                suggestions=tuple(difflib.get_close_matches(word, known, n=3)),
                hint=f"Check the spelling of word {position}.",
            )
    if len(words) != PHRASE_WORDS:
        raise InvalidPhrase(
            f"a recovery phrase has {PHRASE_WORDS} words; these are {len(words)}",
            hint="Type all words in the order they were shown.",
        )
    try:
        return bytes(_wordlist().to_entropy(words))
    except ValueError:
        raise InvalidPhrase(
            "all words are known, but together they are no recovery phrase: one is wrong, or two are exchanged",
            hint="Compare every word, and their order, with what you wrote down.",
        ) from None
