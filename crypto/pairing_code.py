"""One-time codes for pairing, such as `7-velvet-harbour`: the mailbox at the relay, and two words that are the secret.

The words are two of 256, so a code holds 16 bits. That is enough because nobody can try codes: SPAKE2 allows one
guess in each conversation, and the first wrong one ends the code (`crypto.pairing`). Magic Wormhole does the same
(https://magic-wormhole.readthedocs.io/en/latest/attacks.html).

The list is ours. Words are common English nouns and adjectives of four to eight letters; any two differ in their
first four letters, and in three letters at least, so that one is hardly
taken for another on the telephone. Insults, slang, body parts, religions and nationalities were left out. Like every
format it is never changed: another list would be another version.
"""

from __future__ import annotations

import difflib
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from crypto.errors import PairingCodeInvalid

CODE_WORDS: Final = 2
MAX_MAILBOX: Final = 999_999
_LIST: Final = """
abacus acorn almond alpine amber anchor apple artist atlas august autumn avenue bagel bakery balcony bamboo banjo
barley basket beacon bicycle biscuit blossom bonfire bottle bramble branch bridge bronze bubble butter cabin cactus
camera candle canyon captain caramel carpet cartoon cashew cedar cello chimney cinema cinnamon circus clarinet clover
cobalt coffee comet compass copper cosmos cottage cricket crystal cucumber cushion cypress december delta denim desert
diamond dolphin doorway dragon drummer eagle eclipse elephant emerald engine evening fabric feather fern flamingo
flute forest fossil fountain foxglove friday galaxy gallery garden garlic giraffe glacier granite gravel guitar
hammock harbour harvest hazelnut hedgehog hexagon hickory honey horizon iceberg iguana indigo island ivory jaguar
jasmine jigsaw journal jungle juniper kangaroo kimono kitchen koala ladder lagoon lantern lavender lemon leopard
lettuce library lilac linen lizard locket lotus lyric magnet mammoth marble marigold meadow melody mermaid meteor
midnight mirror mitten monsoon mosaic museum mustard napkin nectar needle nickel november nutmeg oasis oatmeal ocean
october olive onion opera orbit orchard origami ostrich oxygen oyster panda panther parade parcel peacock peanut
pelican pencil penguin piano picnic pigeon pillow polar poppy potato prairie pretzel prism puffin pumpkin puppet
purple pyramid quilt rabbit radish rainbow raisin reindeer ribbon riddle rosemary ruby sailor salad sapphire satchel
saturn school seagull sesame shelter silver skate sketch skylark slipper soccer sparkle spiral spruce squirrel stable
stadium starfish station sugar summit sunset syrup tapestry teapot thistle thunder tiger topaz torch tortoise tractor
trumpet tulip tundra twilight umbrella unicorn vanilla velvet village vinegar violin volcano waffle walnut weaver
window winter zebra zigzag
"""
WORDS: Final = tuple(_LIST.split())
_KNOWN: Final = frozenset(WORDS)
_HINT: Final = "Type it as the other device shows it, for example 7-velvet-harbour."


@dataclass(frozen=True)
class PairingCode:
    """A code: `mailbox` is public, `words` are secret and never in a `repr`."""

    mailbox: int
    words: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        """Return the code as people read it aloud and type it."""
        return "-".join((str(self.mailbox), *self.words))


def new_code(mailbox: int) -> PairingCode:
    """Return a fresh code for a mailbox (1 to 999,999), with words from the system's random generator."""
    if not 1 <= mailbox <= MAX_MAILBOX:
        raise ValueError(f"{mailbox} is not a mailbox number from 1 to {MAX_MAILBOX}")
    return PairingCode(mailbox, tuple(secrets.choice(WORDS) for _ in range(CODE_WORDS)))


def parse_code(text: str) -> PairingCode:
    """Return the code that somebody typed: case does not matter, and blanks or any dashes may separate its parts.

    Raises `PairingCodeInvalid`, with the words perhaps meant. A word that no code holds costs nothing: it is found
    here, before the one guess is made.
    """
    parts = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text[:200]).lower())
    if len(parts) != 1 + CODE_WORDS:
        raise PairingCodeInvalid(f"a pairing code is a number and {CODE_WORDS} words", hint=_HINT)
    number, *words = parts
    if not re.fullmatch(r"[0-9]{1,6}", number) or not int(number):
        raise PairingCodeInvalid("a pairing code begins with a number", hint=_HINT)
    for position, word in enumerate(words, start=1):
        if word not in _KNOWN:
            raise PairingCodeInvalid(
                f"word {position} of the pairing code is none of the words such codes are made of",
                suggestions=tuple(difflib.get_close_matches(word, WORDS, n=3)),
                hint=_HINT,
            )
    return PairingCode(int(number), tuple(words))
