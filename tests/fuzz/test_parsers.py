"""Every parser of foreign bytes says no by its package's own errors, and by nothing else, whatever it is given.

What coverage guides is run by `python -P -m tests.fuzz` and `make soak`. Here its corpus, all faults that were found,
and some thousands of damaged seeds are tried.
"""

from __future__ import annotations

import ast
import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from ml.classes import ClassEntry, ClassTable
from tests.fuzz.kept_inputs import CORPUS, FAULT, inputs
from tests.fuzz.mutation import mutations
from tests.fuzz.page import PAGE, page
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS
from tests.fuzz.watched import watch

ROOT = Path(__file__).resolve().parent.parent.parent
CPU_SECONDS = 20.0
"""Ten times what an input may take: machines differ, and what is slow by design of an attacker is slower than this."""
DAMAGED = 120
"""Inputs tried of each target beside those that are kept."""
SLOW = {
    "membership_history": 30, "query": 60, "query_run": 60, "recovery_phrase": 40, "derived_file": 60,
    "shown_month": 20, "shown_library": 20,
}  # fmt: skip

READS_FOREIGN_BYTES = (
    "tomllib.loads",
    "tomllib.load",
    "json.loads",
    "msgspec.convert",
    "msgpack.decode",
    "msgpack.Decoder",
    "json.decode",
    "json.Decoder",
    ".unpack",
    ".unpack_from",
    "decompressobj",
    "ParserCreate",
    "check_preamble",
    "Image.open",
    "frombuffer",
)
"""How a call is written by which a module takes bytes apart."""

OWN = {
    "core.agent": "what the agent of the same user answers over its own socket",
    "core.agent_keyring": "what this program put into the keyring of the same user",
    "core.agent_process": "what its own parent says",
    "core.bundle_records": "`crdt.records` reads them",
    "core.catalog.colours": "the catalog's own rows",
    "core.catalog.holding": "the catalog's own rows",
    "core.catalog.listing": "the catalog's own rows",
    "core.catalog.reading": "the catalog's own rows",
    "core.catalog.selection": "the catalog's own rows",
    "core.catalog.sequence": "the catalog's own rows",
    "core.catalog.writer": "the catalog's own rows",
    "core.copy_records": "`crdt.records` reads them",
    "core.text_encoder": "vectors of a pack that the user chose",
    "core.labelling": "`ml.classes` and `crdt.records` read them",
    "core.partial_catalog": "sealed by this device",
    "core.peer_credentials": "the kernel's answer",
    "core.purge": "`crdt.records` reads them",
    "core.rehearsal": "sealed by this device",
    "core.repair": "`crdt.records` reads them",
    "core.sync.alarms": "sealed by this device",
    "core.sync.checkpoints": "this device's own facts, in its log",
    "core.sync.dropped": "this device's own facts, in its log",
    "core.sync.failed_snapshots": "this device's own facts, in its log",
    "core.sync.fetch": "this device's own facts, in its log",
    "core.sync.holdings": "this device's own facts, in its log",
    "core.sync.named_blobs": "`crdt.records` reads them",
    "core.sync.purged": "this device's own facts, in its log",
    "core.sync.relays": "sealed by this device",
    "core.sync.seen_checkpoints": "this device's own facts, in its log",
    "core.taught_label": "sealed by this device",
    "core.text_search": "sealed by this device",
    "core.vectors": "sealed by this device",
    "core.verify": "`crdt.records` reads them",
    "ml.builtin": "a file of this program's",
    "ml.evaluate": "photos that the user names, in a command that measures and keeps nothing",
    "ml.trial": "what a process of this program's prints",
    "tui.app.settings": "the user's own settings",
    "tui.demo": "what this program prints",
    "tui.relay_demo": "what this program prints",
}
"""Modules that take bytes apart which do not come from strangers, or which another module reads for them."""


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_input_that_is_kept_and_damaged_seeds_are_taken_or_refused(name: str) -> None:
    kept = inputs(name)
    assert kept, f"no seeds: python -P -m tests.fuzz {name} --make-seeds"
    target = TARGETS[name]
    seeds = list(kept.values())
    tried = dict(kept)
    for number, data in enumerate(mutations(target, seeds, f"1 {name}", SLOW.get(name, DAMAGED))):
        tried[f"damaged {number}: {data.hex()[:2000]}"] = data
    faults = {what: watch(target, data, CPU_SECONDS) for what, data in tried.items()}
    assert not {what: fault for what, fault in faults.items() if fault is not None}
    assert any(target(data) for what, data in kept.items() if not what.startswith(FAULT)), "no seed is a good one"


def _class_table(labels: int, classes: int) -> bytes:
    """Return a table in which every class counts for every label: 3 kB when it is compressed."""
    taxonomy = "format = 1\n" + "".join(f'[[label]]\nname = "{at}"\nwnids = ["a"]\n' for at in range(labels))
    entries = (ClassEntry("a", ""),) * classes
    return msgspec.msgpack.encode(ClassTable("a@1", entries, -1, 0.6, None, taxonomy))


_CHAIN = "".join(f'[[label]]\nname = "{at}"\nparents = ["{at - 1}"]\n' for at in range(1, 8_000))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("xmp_packet", b"<" + b"<xmpmeta " * 100_000),
        ("xmp_packet", b"<x:xmpmeta>" * 1_000 + b"</" * 100_000),
        ("library_toml", b"a" + b".a" * 30_000 + b" = 1"),
        ("pack_manifest", b"a" + b".a" * 100_000 + b" = 1"),
        ("taxonomy", b"format = 1\nunknown = [\n" + b"1,\n" * 3_000 + b"]\n"),
        ("taxonomy", f'format = 1\n[[label]]\nname = "0"\n{_CHAIN}'.encode()),
        ("class_table", b"\0" + zlib.compress(bytes(1 << 26))),
        ("class_table", b"\xff" + _class_table(labels=900, classes=100_000)),
        ("envelope_content", struct.pack(">II", 1 << 24, 1 << 16) + zlib.compress(bytes(1 << 26))),
        ("query", b"(" * 10_000),
        ("query", b"-" * 10_000 + b"a"),
        ("takeout", b"[" * 1_000_000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_work_does_not_grow_with_the_square_of_what_is_read(name: str, data: bytes) -> None:
    assert watch(TARGETS[name], data, CPU_SECONDS) is None


def test_the_corpus_is_small_and_of_known_targets() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    assert {path.parent.name for path in files} == set(TARGETS) == set(SEEDS)


def test_the_page_in_the_docs_is_that_of_the_targets() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -P -m tests.fuzz --write"


def test_every_module_that_takes_bytes_apart_has_a_target() -> None:
    reading = set()
    for package in ("core", "crdt", "crypto", "ml", "sync_relay", "tui"):
        for path in (ROOT / package).rglob("*.py"):
            if "training" not in path.parts and _takes_bytes_apart(path):
                reading.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    covered = {module for target in TARGETS.values() for module in target.covers}
    assert reading - covered - set(OWN) == set(), "give it a target in tests/fuzz, or say in OWN whose bytes these are"
    assert {module for module in OWN if _path(module).exists()} <= reading, "OWN names modules that take nothing apart"
    assert not covered & set(OWN)
    assert not [module for module in covered if not _path(module).exists()]


def _path(module: str) -> Path:
    return (ROOT / Path(*module.split("."))).with_suffix(".py")


def _takes_bytes_apart(path: Path) -> bool:
    text = path.read_text("utf-8")
    if not any(all(word in text for word in name.split(".")) for name in READS_FOREIGN_BYTES):
        return False
    tree = ast.parse(text)
    calls = (_called(one.func) for one in ast.walk(tree) if isinstance(one, ast.Call))
    return any(call.endswith(READS_FOREIGN_BYTES) for call in calls)


def _called(function: ast.expr) -> str:
    """Return the last two names of what is called: `msgpack.decode` of `msgspec.msgpack.decode(…)`."""
    if isinstance(function, ast.Attribute):
        return f"{_called(function.value).rpartition('.')[2]}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""
