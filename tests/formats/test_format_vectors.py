"""The vectors that `make_vectors` writes, run by the program."""

from __future__ import annotations

import base64
import functools
import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from core import agent_keyring, bundles, places, vectors, vocabulary
from core.active_model import active_model, text_model
from core.derived import DerivedFiles
from core.envelope_body import decode_body
from core.errors import CoreError
from core.library import Library
from core.machine_state import MachineState
from core.originals import keeps_every_original
from core.sync import holdings
from core.taught_label import Learnt
from crdt.records import BundleEntry
from crypto import kdf, signing
from crypto.errors import CryptoError
from crypto.keys import DeviceSecrets
from crypto.purposes import Signed
from ml.calibration import read_calibration
from ml.classes import ClassTable
from ml.errors import MlError
from ml.manifest import Manifest, parse_any_manifest
from ml.taxonomy import Taxonomy
from sync_relay import wire
from sync_relay.client_url import InvalidUrl, read_address, relay_url
from sync_relay.errors import RelayError
from sync_relay.server.dispatch import _decode as decode_request
from sync_relay.server.sessions import token_bytes, token_hash
from sync_relay.statements import Delete, Place, read_statement, sign_in_statement
from tests.formats.make_vectors import FILES
from tests.formats.vector_cases import ABSENT, FOLDER, Case, plain, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def unhex(given: Case, name: str) -> bytes:
    return bytes.fromhex(given[name])


def run_body(given: Case, folder: Path) -> Case:
    body = decode_body(unhex(given, "body"), "an envelope")
    fields: Case = msgspec.to_builtins(body, builtin_types=(bytes,))
    return dict(zip(body.__struct_fields__, fields, strict=True))


def run_derived(given: Case, folder: Path) -> Case | None:
    files = DerivedFiles(folder, DeviceSecrets.from_bytes(unhex(given, "secrets")))
    path = files._path(given["name"])
    path.write_bytes(unhex(given, "file"))
    found = files.load(given["name"], given["derivation"])
    if found is None:
        return None
    places = [[device, *place] for device, place in found.vector.items()]
    return {"file_name": path.name, "vector": places, "content": found.content}


def run_machine_state(given: Case, folder: Path) -> Case | None:
    state = MachineState(folder, unhex(given, "library_id"), unhex(given, "device_id"))
    state._path.parent.mkdir(exist_ok=True)
    state._path.write_bytes(unhex(given, "file"))
    head = state.read()
    return None if head is None else {"name": state._path.name, "seq": head.seq, "hash": head.hash, "token": head.token}


def run_vectors(given: Case, folder: Path) -> Case | None:
    table = vectors._unpacked(unhex(given, "content"), given["model"])
    if not table.pids:
        return None
    rows = table.steps.astype(np.float32) * table.scales[:, None]
    sources = [part.blob_id for part in table.parts]
    return {"dimensions": table.dimensions, "pids": list(table.pids), "vectors": rows.tolist(), "bundles": sources}


def run_taught(given: Case, folder: Path) -> Case | None:
    try:
        learnt = msgspec.msgpack.decode(unhex(given, "content"), type=Learnt)
    except msgspec.MsgspecError:
        return None
    query = np.asarray([given["vector"]], dtype=np.float32)
    decision = learnt.classifier.decide(query)
    score = learnt.classifier.probabilities(decision)
    return {"decision": float(decision[0]), "score": float(score[0]), "labelled": learnt.labelled()}


def run_bundle(given: Case, folder: Path) -> Case:
    data = unhex(given, "bundle")
    if "dimensions" in given:
        return {"vectors": bundles.read_vectors(data, given["dimensions"]).tolist()}

    class Plaintext:
        size = len(data)

        def read(self, offset: int, length: int) -> bytes:
            return data[offset : offset + length]

    entries = [BundleEntry(bytes.fromhex(pid), offset, length) for pid, offset, length in given["entries"]]
    whole: Any = Plaintext()
    return {"parts": [bundles.read_part(whole, entry.offset, entry.length) for entry in entries]}


def run_message(given: Case, folder: Path) -> Case:
    kind: type[wire.Struct] = getattr(wire, given["message"])
    found = []
    if "msgpack" in given:
        found.append(decode_request(unhex(given, "msgpack"), kind, wire.MSGPACK))
    if "json" in given:
        found.append(decode_request(given["json"].encode(), kind, wire.JSON))
    assert all(message == found[0] for message in found)
    fields: Case = msgspec.to_builtins(found[0], builtin_types=(bytes,))
    return fields


def run_statement(given: Case, folder: Path) -> Case:
    if "nonce" in given:
        library = None if given["library_id"] is None else unhex(given, "library_id")
        nonce, device = unhex(given, "nonce"), unhex(given, "device_id")
        made = sign_in_statement(library, device, time=given["time"], nonce=nonce, origin=given["origin"])
        return {"signed": made, "signature": signing.sign(unhex(given, "seed"), Signed.SIGN_IN, made)}
    said = read_statement(unhex(given, "statement"), unhex(given, "library_id"))
    shown: Case = {"library_id": said.library_id, "device_id": said.device_id, "time": said.time}
    if isinstance(said, Delete):
        return {**shown, "blobs": said.blobs}

    def place(one: Place) -> list[Any]:
        return [one.device_id, one.seq, one.hash]

    shown |= {"checkpoint": place(said.checkpoint), "confirmation": place(said.confirmation)}
    return {**shown, "covered": [place(one) for one in said.covered]}


def run_address(given: Case, folder: Path) -> Case:
    return {"url": relay_url(given["typed"]), "origin": read_address(given["typed"]).origin}


def run_invite(given: Case, folder: Path) -> Case | None:
    token = token_bytes(given["text"])
    return None if token is None else {"bytes": token, "stored": token_hash(token)}


def run_manifest(given: Case, folder: Path) -> Case:
    found = parse_any_manifest(given["file"].encode(), "pack.toml")
    assert isinstance(found, Manifest)
    sides = {"size": found.input.size, "shorter_side": found.input.shorter, "classes": found.output.classes}
    return {"name": found.name, "version": found.version, "kind": found.kind, **sides}


def run_taxonomy(given: Case, folder: Path) -> Case:
    found = Taxonomy.parse(given["file"].encode(), "taxonomy.toml")
    return {"labels_of": {name: sorted(found.labels_of(name)) for name in ("n02085620", "n02085936", "n02123045")}}


def run_calibration(given: Case, folder: Path) -> Case:
    fields: Case = msgspec.to_builtins(read_calibration(given["file"].encode(), "calibration.toml"))
    return fields


def run_class_table(given: Case, folder: Path) -> Case:
    table = ClassTable.unpack(base64.b85decode(given["packed"]))
    fields: Case = {name: msgspec.to_builtins(getattr(table, name)) for name in table.__struct_fields__}
    count = len(table.entries)
    return {**fields, "entries": fields["entries"][:1] if count == 1000 else fields["entries"], "count": count}


def run_setting(library: Library, given: Case) -> Case | None:
    name, value = given["name"], given["value"]
    library.set_setting(name, value)
    prefix, _, rest = name.partition("/") if "/" in name else name.partition(":")
    if name in {"pack", "text-pack"}:
        return {"model": (active_model if name == "pack" else text_model)(library.setting)}
    if prefix == "place":
        shown = {place: [latitude, longitude] for place, latitude, longitude in places._named(library)}
        return {"name": rest, "degrees": shown[rest]} if rest in shown else None
    if prefix == "words":
        texts = vocabulary._known(library)
        return {"texts": list(texts[rest])} if rest in texts else None
    if prefix == "originals":
        return {"keeps": True} if keeps_every_original(library, bytes.fromhex(rest)) else None
    held = {device: int(seq) for device, seq in holdings._PLACE.findall(value)}
    return {"held": held} if held else None


class Drawer:
    """A keyring that holds one text."""

    def __init__(self, text: str) -> None:
        self.text: str | None = text

    def get_password(self, service_name: str, username: str) -> str | None:
        return self.text

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self.text = password

    def delete_password(self, service_name: str, username: str) -> None:
        self.text = None


def run_keyring(given: Case, folder: Path) -> Case | None:
    drawer = Drawer(given["text"])
    expiry, secrets = agent_keyring.expiry("name", drawer), agent_keyring.load("name", drawer)
    return None if secrets is None else {"secrets": secrets, "expires_at": expiry}


RUNNERS: dict[str, Callable[[Case, Path], Case | None]] = {
    "core-envelope-body": run_body,
    "core-derived-file": run_derived,
    "core-machine-state": run_machine_state,
    "core-keyring-entry": run_keyring,
    "core-vectors-file": run_vectors,
    "core-taught-file": run_taught,
    "core-bundle": run_bundle,
    "wire-messages": run_message,
    "wire-statements": run_statement,
    "wire-addresses": run_address,
    "wire-invites": run_invite,
    "ml-pack-manifest": run_manifest,
    "ml-taxonomy": run_taxonomy,
    "ml-calibration": run_calibration,
    "ml-class-table": run_class_table,
}


def rounded(value: Any) -> Any:
    """Return a value with its numbers as far as the vectors promise them."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return round(value, 5) if isinstance(value, float) else value


def mistakes(name: str, run: Callable[[Case], Case | None]) -> list[str]:
    """Return in which cases of a file the program says something else."""
    wrong = []
    for case in read(name):
        outcome: Any
        try:
            shown = run(case["input"])
            outcome = (ABSENT, "refused") if shown is None else rounded(plain(shown))
        except (CoreError, CryptoError, MlError, RelayError, InvalidUrl, ValueError) as error:
            outcome = (type(error).__name__,)
        if case["expected"] == "ok":
            output = rounded(case["output"])
            good = isinstance(outcome, dict) and {key: outcome[key] for key in output} == output
        else:
            good = isinstance(outcome, tuple) and case["expected"] in outcome
        if not good:
            wrong.append(f"{case['name']}: {outcome}, not {case['expected']}")
    return wrong


@pytest.mark.parametrize("name", RUNNERS)
def test_the_program_says_what_the_vectors_say(name: str, tmp_path: Path) -> None:
    assert mistakes(name, lambda given: RUNNERS[name](given, tmp_path)) == []


def test_a_library_takes_from_its_settings_what_the_vectors_say(tmp_path: Path) -> None:
    costs = kdf.new_parameters(*kdf.FLOOR)
    library, _ = Library.create(tmp_path / "library", b"passphrase", device_name="desk", kdf=costs)
    with library:
        assert mistakes("core-settings", functools.partial(run_setting, library)) == []


def test_the_vectors_are_those_that_are_made() -> None:
    assert FILES.keys() == {*RUNNERS, "core-settings"}
    for name, made in FILES.items():
        kept = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
        fresh = json.loads(made())
        if name == "ml-class-table":  # compressors differ; what comes out of them does not
            for case in [*kept["cases"], *fresh["cases"]]:
                del case["input"]
        assert kept == fresh, f"{name}: run tests.formats.make_vectors"


def test_every_message_of_the_wire_has_a_vector() -> None:
    every = {kind.__name__ for kind in vars(wire).values() if isinstance(kind, type) and issubclass(kind, wire.Struct)}
    shown = {case["input"]["message"] for case in read("wire-messages") if case["expected"] == "ok"}
    assert every - {"Struct"} == shown
