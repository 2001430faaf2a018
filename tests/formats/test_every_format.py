"""No format of the code is without vectors, and no file of vectors without its line in the page about them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from crypto.preamble import Kind
from tests.formats.vector_cases import FOLDER

REPOSITORY = Path(__file__).resolve().parents[2]

# Where a magic or a version stands in the code, and the vectors that a reader of that format is tried by; or why there
# are none.
FORMATS = {
    "crypto.preamble.MAGIC": "crypto-envelope",
    "crypto.preamble.VERSION": "crypto-envelope",
    "crypto.preamble.Kind.ENVELOPE": "crypto-envelope",
    "crypto.preamble.Kind.BLOB": "crypto-blob",
    "crypto.preamble.Kind.SEALED": "crypto-sealed",
    "crypto.preamble.Kind.SECRETS": "crypto-secrets",
    "crypto.preamble.Kind.MEMBERSHIP": "crypto-membership-entry",
    "crypto.preamble.Kind.PAIRING": "crypto-pairing",
    "crdt.change.MAGIC": "crdt-changes",
    "core.envelope_body.KIND_CHANGES": "core-envelope-body",
    "core.envelope_body.KIND_CHECKPOINT": "core-envelope-body",
    "core.envelope_body.KIND_CONFIRMATION": "core-envelope-body",
    "core.envelope_body.KIND_ACKNOWLEDGEMENT": "core-envelope-body",
    "core.library_file.FORMAT": "core-library-file",
    "core.library_file.FORMAT_WITH_SUCCESSORS": "core-library-file",
    "core.snapshots.MAGIC": "core-snapshot",
    "core.snapshots.VERSION": "core-snapshot",
    "core.derived._MAGIC": "core-derived-file",
    "core.machine_state._MAGIC": "core-machine-state",
    "core.vectors._DERIVATION": "core-vectors-file",
    "core.taught_label._DERIVATION": "core-taught-file",
    "sync_relay.statements._MAGIC": "wire-statements",
    "sync_relay.statements._VERSION": "wire-statements",
    "sync_relay.wire.PROTOCOL": "wire-messages",
    "sync_relay.wire.KIND_ENVELOPE": "wire-messages",
    "sync_relay.wire.KIND_MEMBERSHIP": "wire-messages",
    "sync_relay.wire.KIND_DELETE": "wire-statements",
    "sync_relay.wire.KIND_PRUNE": "wire-statements",
    "ml.manifest.ManifestHead.format": "ml-pack-manifest",
    "ml.taxonomy._File.format": "ml-taxonomy",
    "ml.calibration.Calibration.format": "ml-calibration",
    # SQLite databases: whole ones are in tests/formats/fixtures.
    "core.log._APPLICATION_ID": None,
    "core.log_schema.SCHEMA_VERSION": None,
    "core.catalog.tables.APPLICATION_ID": None,
    "core.catalog.tables.VERSION": None,
    # Automerge's own form, and a number that only tells whether something is made again.
    "core.replicas._DERIVATION": None,
    "core.label_derivation._CODE_VERSION": None,
    # Files that come with the program and are read by no other.
    "ml.aliases._File.format": None,
    "ml.known_models._File.format": None,
    "ml.truth._File.format": None,
}
_PERHAPS = re.compile(
    r"^_?[A-Z_]*(APPLICATION_ID|MAGIC|VERSION|FORMAT|PROTOCOL|DERIVATION|KIND_)|^    format: |b.SL", re.MULTILINE
)
_NAME = re.compile(r"_?(APPLICATION_ID|(\w+_)?(MAGIC|VERSION|FORMAT|PROTOCOL|DERIVATION)(_\w+)?|KIND_\w+)")


def formats_in_the_code() -> set[str]:
    """Return the names of all constants, and fields of files, that say what format something is of."""
    found = {f"crypto.preamble.Kind.{kind.name}" for kind in Kind}
    for folder in ("core", "crdt", "crypto", "ml", "sync_relay", "tui"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            text = path.read_text("utf-8")
            if module.startswith("ml.training") or not _PERHAPS.search(text):  # parsing all of them takes seconds
                continue
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef):
                    found |= {f"{module}.{node.name}.format" for field in node.body if is_format_field(field)}
                elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    names = [target.id for target in targets if isinstance(target, ast.Name)]
                    ours = isinstance(node.value.value, bytes) and node.value.value.startswith(b"SL")
                    found |= {f"{module}.{name}" for name in names if ours or _NAME.fullmatch(name)}
    return found


def is_format_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and ast.unparse(node).startswith("format: Literal[")


def test_every_format_in_the_code_has_vectors() -> None:
    found = formats_in_the_code()
    assert found - FORMATS.keys() == set(), "a new format: add vectors (tests/formats/make_vectors.py), list them here"
    assert FORMATS.keys() - found == set()
    for vectors_of in {name for name in FORMATS.values() if name is not None}:
        kept = json.loads((FOLDER / f"{vectors_of}.json").read_text("utf-8"))
        good, bad = ("good", "bad") if "good" in kept else ("cases", "cases")
        assert kept[good]
        assert kept[bad] if bad != good else {case["expected"] for case in kept["cases"]} > {"ok"}


def test_the_readme_names_every_file() -> None:
    named = set(re.findall(r"`((?:crypto|core|crdt|wire|ml)-[a-z-]+)`", (FOLDER / "README.md").read_text("utf-8")))
    assert named == {path.stem for path in FOLDER.glob("*.json")}
