"""Targets for what `ml` reads: packs are somebody else's files, and a class table may come from another device."""

from __future__ import annotations

import json
import zlib

import msgspec

from ml.aliases import read_aliases
from ml.calibration import read_calibration
from ml.classes import ClassTable
from ml.errors import LabelsInvalid, MlError
from ml.labels import LabelRules
from ml.manifest import parse_any_manifest
from ml.onnx_file import inspect
from ml.taxonomy import Taxonomy
from ml.text_tokens import END, START, Tokenizer, byte_letters
from tests.fuzz.target import same, target

_WORD_END = "</w>"


@target(MlError, covers=("ml.manifest", "ml.toml_source"), values=0)
def pack_manifest(data: bytes) -> None:
    """`pack.toml` of either kind."""
    parse_any_manifest(data, "pack.toml")


@target(MlError, covers=("ml.taxonomy", "ml.toml_source"), values=0)
def taxonomy(data: bytes) -> None:
    """A pack's own taxonomy: there is an end to what lies above each label."""
    read = Taxonomy.parse(data, "taxonomy.toml")
    for name in read.labels:
        same(name in read.ancestors(name), False, "a label above itself")
    read.roll_up([(class_id, 0.5) for label in read.labels.values() for class_id in label.wnids])


@target(MlError, covers=("ml.calibration", "ml.toml_source"), values=0)
def calibration(data: bytes) -> None:
    """`calibration.toml`: what was read is written so that it is read again."""
    text = read_calibration(data, "calibration.toml").toml()
    same(read_calibration(text.encode(), "calibration.toml").toml(), text, "a calibration")


@target(MlError, covers=("ml.aliases", "ml.toml_source"), values=0)
def aliases(data: bytes) -> None:
    """Other words for labels."""
    read_aliases(data, "aliases.toml", Taxonomy())


@target(LabelsInvalid, covers=("ml.classes", "ml.taxonomy", "ml.labels"), values=1)
def class_table(data: bytes) -> None:
    """A class table in the library's settings: any bytes, or compressed as it should be, by the first byte."""
    how, data = data[:1], data[1:]
    table = ClassTable.unpack(zlib.compress(data) if how > b"\x1f" else data)
    rules = LabelRules(table, str.casefold)
    strong = [(0, 0.9), (1, 0.05), (2**31, 0.05)]
    same(len(rules.choose(strong)) >= len(rules.most_specific(strong)), True, "the labels of a photo")
    rules.reasons(strong)
    packed = table.pack()
    same(msgspec.msgpack.encode(ClassTable.unpack(packed)), msgspec.msgpack.encode(table), "a class table")


@target(MlError, covers=("ml.text_tokens",))
def tokens(data: bytes) -> None:
    """The tokenizer's two files: pairs of any content, or tokens of any content, and a text to take apart."""
    how, data = data[:1], data[1:]
    letters = byte_letters()
    known = [START, END, *letters, *(letter + _WORD_END for letter in letters)]
    text = data.decode("utf-8", "replace")
    if how < b"\x80":
        known += [pair.replace(" ", "") for pair in text.split("\n") if pair.replace(" ", "") not in known]
        vocabulary, merges = json.dumps({piece: at for at, piece in enumerate(dict.fromkeys(known))}).encode(), data
    else:
        vocabulary, merges = data, b"#version: 0.2\n"
    tokenizer = Tokenizer(vocabulary, merges, vocabulary_name="vocab.json", merges_name="merges.txt")
    ids, own = tokenizer.encode(text, 16)
    same((len(ids), own <= 16), (16, True), "the tokens of a text")


@target(MlError, covers=("ml.onnx_file",))
def onnx_file(data: bytes) -> None:
    """A model, before ONNX Runtime sees it."""
    inspect(data, "model.onnx")
