"""What watches over targets: it tells faults from refusals, ends what does not end, and makes inputs small."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.fuzz import engine, soak
from tests.fuzz.dictionaries import dictionary
from tests.fuzz.mutation import mutations
from tests.fuzz.reach import worth_keeping
from tests.fuzz.target import Broken, Target, same
from tests.fuzz.targets import TARGETS
from tests.fuzz.watched import watch

if TYPE_CHECKING:
    from pathlib import Path


class Refused(Exception):
    """How the parser below says no."""


class Panic(BaseException):
    """What the CRDT engine raises is no `Exception` either."""


def parser(data: bytes) -> None:
    """A parser with one fault of each kind."""
    if b"no" in data:
        raise Refused
    if b"panic" in data:
        raise Panic("the engine panicked")
    if b"deep" in data:
        parser(data)
    if b"loop" in data:
        while True:
            pass
    if b"other" in data:
        same(data, b"another", "what was read")


FAULTY = Target("faulty", parser, (Refused,), (), 100)


@pytest.mark.parametrize("data", [b"", b"yes", b"no panic", b"not deep"])
def test_what_is_taken_or_refused_by_name_is_no_fault(data: bytes) -> None:
    assert watch(FAULTY, data) is None


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"panic", "Panic at "),
        (b"deep", "RecursionError at "),
        (b"loop", "TooSlow at "),
        (b"other", "Broken at "),
    ],
)
def test_anything_else_is_one(data: bytes, place: str) -> None:
    fault = watch(FAULTY, data, 0.2)
    assert fault is not None
    assert fault.place.startswith(place)


def test_an_input_is_made_as_small_as_its_fault() -> None:
    data = b"a long input that ends in panic, and goes on"
    fault = watch(FAULTY, data)
    assert fault is not None
    assert engine.smaller(FAULTY, data, fault) == b"panic"
    assert engine.fault_name(fault).startswith("fault-panic-at-tests-fuzz-test-watched-py-")


def test_the_same_seed_makes_the_same_damage() -> None:
    seeds = [b"hello", bytes(range(40))]
    target = replace(FAULTY, longest=50)
    once = list(mutations(target, seeds, "7", 200))
    assert once == list(mutations(target, seeds, "7", 200)) != list(mutations(target, seeds, "8", 200))
    assert max(map(len, once)) <= 50
    assert len(set(once)) > 100


def test_values_are_damaged_where_a_format_has_such() -> None:
    seed = b"?" + msgspec.msgpack.encode({"a": [1, b"xy"], "b": "c"})
    read = []
    for data in mutations(replace(FAULTY, values=1), [seed], "7", 200):
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            read.append(msgspec.msgpack.decode(data[1:]))
    assert len([value for value in read if isinstance(value, dict) and {"a", "b"} <= value.keys()]) > 50


def test_values_of_toml_are_damaged_too() -> None:
    seed = b'a = [1, "x"]\n[b]\n"c d" = 0.5\n'
    read = []
    for data in mutations(replace(FAULTY, values=0), [seed], "7", 200):
        with suppress(ValueError):
            read.append(tomllib.loads(data.decode()))
    assert len([value for value in read if value.get("a") == [1, "x"] and value.get("b") != {"c d": 0.5}]) > 10


def test_a_format_that_says_something_else_again_is_broken() -> None:
    with pytest.raises(Broken, match="a number: 1 became 2"):
        same(1, 2, "a number")


def test_coverage_guides_where_it_can(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="coverage-guided fuzzing needs the extra `fuzz`: 64-bit Linux only")
    with engine.Guided() as guided:
        outcomes = [guided.fuzz(TARGETS[name], 2, 1, tmp_path) for name in ("leb128", "column")]
    for outcome in outcomes:
        assert outcome.inputs > 100
        assert outcome.faults == []
        assert outcome.edges[1] >= outcome.edges[0] > 10
    assert list((tmp_path / "leb128").iterdir())


def test_the_words_of_a_format_come_from_the_code_that_reads_it() -> None:
    words = dictionary(("core.importing.xmp_packet",))
    assert "".join(f"\\x{byte:02x}" for byte in b"http://purl.org/dc/elements/1.1/") in words
    assert all(line.startswith('"\\x') and line.endswith('"') for line in words.splitlines())


def test_of_what_was_found_the_smallest_is_kept_that_reaches_something_new() -> None:
    target = TARGETS["leb128"]
    assert worth_keeping(target, [b"\x05"], [b"\x06", b"\x80\x01", b"\x80\x02", b"\x80\x80\x01"]) == [b"\x80\x01"]


def test_without_it_seeds_are_damaged_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(engine, "is_there", lambda: False)
    monkeypatch.setattr(soak, "TARGETS", {name: TARGETS[name] for name in ("leb128", "column")})
    counts = soak.run(0.1, 1, said.append)
    assert counts.inputs >= 200
    assert counts.findings == []
    assert "no coverage" in said[0]
    assert "no coverage" in said[-1]
