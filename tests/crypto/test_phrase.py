from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mnemonic import Mnemonic

from crypto.errors import InvalidPhrase
from crypto.phrase import PHRASE_WORDS, new_phrase, phrase_secrets

WORDS = Mnemonic("english").wordlist
PHRASE = Mnemonic("english").to_mnemonic(bytes(range(32)))


def test_a_new_phrase_is_24_words_and_never_the_same() -> None:
    phrases = {new_phrase() for _ in range(20)}
    assert len(phrases) == 20
    for phrase in phrases:
        assert len(phrase.split(" ")) == PHRASE_WORDS
        assert Mnemonic("english").check(phrase)


def test_a_phrase_always_stands_for_the_same_member() -> None:
    assert phrase_secrets(PHRASE) == phrase_secrets(PHRASE)
    assert phrase_secrets(PHRASE) != phrase_secrets(new_phrase())
    member = phrase_secrets(PHRASE)
    assert member.signing_seed != member.exchange_secret


@pytest.mark.parametrize(
    "typed",
    [
        PHRASE.upper(),
        "  " + PHRASE.replace(" ", "\n") + "\n",
        PHRASE.replace(" ", ", "),
        PHRASE.replace(" ", "\u3000"),
        " ".join(f"{number}. {word}" for number, word in enumerate(PHRASE.split(), start=1)),
        "\n".join(f"{number:2}) {word}" for number, word in enumerate(PHRASE.split(), start=1)),
    ],
)
def test_a_phrase_may_be_typed_as_people_write_it_down(typed: str) -> None:
    assert phrase_secrets(typed) == phrase_secrets(PHRASE)


@pytest.mark.parametrize("position", [1, 7, 24])
def test_an_unknown_word_is_pointed_at_and_never_repeated(position: int) -> None:
    words = PHRASE.split()
    meant = words[position - 1]
    words[position - 1] = meant + "q"
    with pytest.raises(InvalidPhrase, match=f"word {position} ") as caught:
        phrase_secrets(" ".join(words))
    assert caught.value.position == position
    assert meant in caught.value.suggestions
    assert meant not in str(caught.value)
    assert meant not in (caught.value.hint or "")


@pytest.mark.parametrize("count", [0, 1, 12, 23, 25, 48])
def test_another_number_of_words_is_refused(count: int) -> None:
    with pytest.raises(InvalidPhrase, match=f"are {count}") as caught:
        phrase_secrets(" ".join((PHRASE.split() * 2)[:count]))
    assert caught.value.position is None


def test_a_valid_phrase_of_twelve_words_is_refused_too() -> None:
    with pytest.raises(InvalidPhrase, match="12"):
        phrase_secrets(Mnemonic("english").to_mnemonic(bytes(16)))


@settings(max_examples=50)
@given(st.integers(0, PHRASE_WORDS - 1), st.sampled_from(WORDS))
def test_a_wrong_word_never_opens_the_same_member(place: int, word: str) -> None:
    words = PHRASE.split()
    if words[place] == word:
        return
    words[place] = word
    # The checksum has 8 bits: it finds all but one wrong phrase in 256; the others stand for another member.
    if Mnemonic("english").check(" ".join(words)):
        assert phrase_secrets(" ".join(words)) != phrase_secrets(PHRASE)
    else:
        with pytest.raises(InvalidPhrase, match="together"):
            phrase_secrets(" ".join(words))


def test_exchanged_words_are_noticed() -> None:
    words = PHRASE.split()
    words[0], words[1] = words[1], words[0]
    with pytest.raises(InvalidPhrase, match="together"):
        phrase_secrets(" ".join(words))
