"""Other words for labels: the built-in ones are sound, and mistakes in such a file are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.aliases import labels_meant, read_aliases
from ml.errors import TaxonomyInvalid
from ml.taxonomy import BUILTIN, Taxonomy

ALIASES = Path(__file__).resolve().parents[2] / "ml" / "taxonomy" / "aliases" / "imagenet.toml"


def test_the_built_in_aliases_are_sound_and_say_what_people_mean() -> None:
    found = read_aliases(ALIASES.read_bytes(), str(ALIASES), Taxonomy.load(BUILTIN))
    assert len(found) > 150
    assert list(found) == sorted(found)
    for word, label in (("kitty", "cat"), ("automobile", "car"), ("soccer", "soccer ball"), ("bike", "bicycle")):
        assert label in labels_meant(word)
    assert labels_meant("cat") == labels_meant("no such word") == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"kitty" = ["unicorn"]', "no label"),
        ('"dog" = ["dog"]', "itself a label"),
        ('"Kitty" = ["cat"]', "lower case"),
        ('"kitty" = []', "means nothing"),
        ('" kitty" = ["cat"]', "spaces"),
        ('"kitty" = "cat"', "array"),
    ],
)
def test_mistakes_are_named(line: str, said: str) -> None:
    with pytest.raises(TaxonomyInvalid, match=said) as caught:
        read_aliases(f"format = 1\n[aliases]\n{line}\n".encode(), "mine.toml", Taxonomy.load(BUILTIN))
    assert str(caught.value).startswith("mine.toml:")
