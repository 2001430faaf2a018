"""Narrow classes add up to the labels people search for, and mistakes in a taxonomy are found at their line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import TaxonomyInvalid
from ml.taxonomy import Taxonomy

ANIMALS = """
format = 1

[class_names]
c1 = "collie"
c2 = "husky"
c3 = "tabby"
c4 = "lion"

[[label]]
name = "animal"

[[label]]
name = "pet"
parents = ["animal"]

[[label]]
name = "mammal"
parents = ["animal"]

[[label]]
name = "dog"
parents = ["pet", "mammal"]
wnids = ["c1", "c2"]

[[label]]
name = "cat"
parents = ["mammal"]
wnids = ["c3", "c4"]

[[label]]
name = "lap warmer"
parents = ["pet"]
wnids = ["c3"]
"""


def taxonomy(text: str = ANIMALS) -> Taxonomy:
    return Taxonomy.parse(text.encode(), "t.toml")


def test_thirty_breeds_at_three_hundredths_each_are_a_confident_dog() -> None:
    ids = [f"b{number}" for number in range(30)]
    listed = ", ".join(f'"{name}"' for name in ids)
    animal, dog = '[[label]]\nname = "animal"', f'[[label]]\nname = "dog"\nparents = ["animal"]\nwnids = [{listed}]'
    one = taxonomy(f"format = 1\n{animal}\n{dog}\n")
    sums = one.roll_up((name, 0.03) for name in ids)
    assert sums == {"dog": pytest.approx(0.9), "animal": pytest.approx(0.9)}


def test_a_class_counts_once_for_a_label_however_many_ways_lead_there() -> None:
    sums = taxonomy().roll_up([("c1", 0.5), ("c3", 0.25), ("unknown", 0.25)])
    assert sums == {"dog": 0.5, "cat": 0.25, "lap warmer": 0.25, "pet": 0.75, "mammal": 0.75, "animal": 0.75}


def test_ancestors_come_nearest_first() -> None:
    assert taxonomy().ancestors("dog") == ("pet", "mammal", "animal")
    assert taxonomy().ancestors("animal") == ()
    assert taxonomy().classes_of("pet") == {"c1", "c2", "c3"}
    assert taxonomy().labels_of("c3") == {"cat", "lap warmer", "pet", "mammal", "animal"}


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ('name = "cat"', 'name = "Dog"', 'name = "Dog"', "two labels"),
        ('parents = ["pet", "mammal"]', 'parents = ["pet", "mamal"]', "mamal", 'the parent "mamal"'),
        ('name = "animal"', 'name = "animal"\nparents = ["dog"]', 'parents = ["dog"]', "circle"),
        ('name = "cat"', 'name = " cat"', '" cat"', "spaces around"),
        ('name = "cat"', 'name = "c\\u0007"', "c\\u0007", "cannot be shown"),
        ('name = "cat"', 'name = "e\\u0301"', "e\\u0301", "NFC"),
        ('name = "cat"', f'name = "{"c" * 201}"', "ccc", "200 bytes"),
        ('name = "cat"', 'nmae = "cat"', "nmae", "unknown key"),
        ('c4 = "lion"', 'c4 = ""', "c4", "empty"),
        ('c4 = "lion"', "c4 = 4", "[class_names]", "expected str"),
        ("format = 1", 'format = 1\nimagenet_1k = ["n1"]', "imagenet_1k", "1,000"),
        ("format = 1", "format = 3", "format", "3"),
    ],
)
def test_a_mistake_is_found_at_its_line(old: str, new: str, at: str, message: str) -> None:
    assert old in ANIMALS
    text = ANIMALS.replace(old, new)
    with pytest.raises(TaxonomyInvalid, match=r"^t\.toml:\d+: ") as caught:
        taxonomy(text)
    assert message in str(caught.value)
    wanted = next(number for number, line in enumerate(text.splitlines(), start=1) if at in line)
    assert caught.value.line == wanted


def test_the_built_in_taxonomy_names_the_thousand_classes_in_order() -> None:
    builtin = Taxonomy.load("imagenet")
    assert len(builtin.imagenet_1k) == 1000
    assert list(builtin.imagenet_1k) == sorted(builtin.class_names)
    assert "animal" in builtin.ancestors("dog")


@pytest.mark.parametrize("name", ["no_such", "../taxonomy/imagenet", "imagenet.toml", ""])
def test_an_unknown_built_in_taxonomy_is_an_error(name: str) -> None:
    with pytest.raises(TaxonomyInvalid):
        Taxonomy.load(name)


@given(
    st.integers(2, 12).flatmap(
        lambda count: st.tuples(
            st.lists(st.lists(st.integers(0, count - 1), max_size=3), min_size=count, max_size=count),
            st.lists(st.tuples(st.integers(0, count - 1), st.floats(0, 0.1)), max_size=20),
        )
    )
)
def test_no_label_exceeds_one_above_it(drawn: tuple[list[list[int]], list[tuple[int, float]]]) -> None:
    above, classes = drawn
    lines = ["format = 1"]
    for number, parents in enumerate(above):
        names = ", ".join(f'"l{parent}"' for parent in sorted({p for p in parents if p < number}))
        lines += ["[[label]]", f'name = "l{number}"', f"parents = [{names}]", f'wnids = ["c{number}"]']
    graph = taxonomy("\n".join(lines))
    sums = graph.roll_up((f"c{number}", probability) for number, probability in classes)
    assert all(value <= sum(p for _, p in classes) + 1e-9 for value in sums.values())
    for label, value in sums.items():
        assert all(sums[parent] >= value - 1e-9 for parent in graph.ancestors(label))
