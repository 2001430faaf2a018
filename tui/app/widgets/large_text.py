"""Letters three rows high, to be read from across the room: small letters, digits and the hyphen."""

from __future__ import annotations

from typing import Final

_ROWS: Final = 5
# Five rows of three dots each; two rows make one of half blocks.
_DOTS: Final = {
    "a": "010101111101101", "b": "110101110101110", "c": "011100100100011", "d": "110101101101110",
    "e": "111100110100111", "f": "111100110100100", "g": "011100101101011", "h": "101101111101101",
    "i": "111010010010111", "j": "001001001101010", "k": "101101110101101", "l": "100100100100111",
    "m": "101111111101101", "n": "110101101101101", "o": "010101101101010", "p": "110101110100100",
    "q": "010101101111011", "r": "110101110101101", "s": "011100010001110", "t": "111010010010010",
    "u": "101101101101111", "v": "101101101101010", "w": "101101111111101", "x": "101101010101101",
    "y": "101101010010010", "z": "111001010100111", "-": "000000111000000", "0": "111101101101111",
    "1": "010110010010111", "2": "110001010100111", "3": "110001010001110", "4": "101101111001001",
    "5": "111100110001110", "6": "011100111101111", "7": "111001010010010", "8": "111101111101111",
    "9": "111101111001110",
}  # fmt: skip
_HALF: Final = {"00": " ", "10": "▀", "01": "▄", "11": "█"}


def large(text: str) -> list[str]:
    """Return `text` as three lines of half blocks; what has no letter here is left blank."""
    dots = [_DOTS.get(letter, "0" * 3 * _ROWS) + "000" for letter in text.lower()]
    return [
        " ".join(
            "".join(_HALF[one[6 * row + column] + one[6 * row + 3 + column]] for column in range(3)) for one in dots
        )
        for row in range((_ROWS + 1) // 2)
    ]
