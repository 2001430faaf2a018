"""Targets for what `core` reads of a library: envelopes' bodies, its files, queries, and what workers answer."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

from core import text_messages
from core.confinement import PipeBroken
from core.derived import DerivedFiles
from core.envelope_body import MAX_UTC_SECONDS, decode_body, encode_body
from core.errors import CoreError, EnvelopeDamaged, QueryError
from core.frames import receive_frame
from core.importing import protocol
from core.library_file import LibraryFile
from core.machine_state import _newest, _slot
from core.query import parse
from core.replica_messages import Trying, receive_answer, receive_request
from crdt.errors import ValueRefused
from crdt.schema import key_pid, label_name, split_copy_key, split_key
from ml.errors import MlError, from_another_process
from tests.fuzz.target import same, scratch, target, text_of
from tests.fuzz.world import FOUNDER
from tui.app.graphics.detection import read_answers

if TYPE_CHECKING:
    from pathlib import Path


@target(EnvelopeDamaged, covers=("core.envelope_body",), values=0)
def envelope_body(data: bytes) -> None:
    """What a hostile member sealed into an envelope: changes, checkpoints, confirmations, frontiers."""
    body = decode_body(data, "the envelope")
    same(0 <= body.at <= MAX_UTC_SECONDS, True, "the time of an envelope")
    packed = encode_body(body)
    same(encode_body(decode_body(packed, "the envelope")), packed, "the body of an envelope")


@target(CoreError, covers=("core.library_file",), longest=1 << 14, values=0)
def library_toml(data: bytes) -> None:
    """`library.toml`, which anybody with the disk can write."""
    path = scratch() / "library.toml"
    path.write_bytes(data)
    read = LibraryFile.read(path)
    read.write(path)
    same(LibraryFile.read(path), read, "library.toml")


@cache
def derived_file_path() -> Path:
    """Return where the derived file lies that the target damages."""
    folder = scratch() / "derived"
    DerivedFiles(folder, FOUNDER).save("catalog", "1", {}, b"content")
    return next(path for path in folder.iterdir() if not path.name.startswith("."))


@target(covers=("core.derived", "crypto.sealed"))
def derived_file(data: bytes) -> None:
    """A derived file: whatever is in its place, it is the file or it is none."""
    path = derived_file_path()
    path.write_bytes(data)
    files = DerivedFiles(path.parent, FOUNDER)
    found = files.load("catalog", "1")
    files.save("catalog", "1", {} if found is None else found.vector, b"content", durable=False)
    again = files.load("catalog", "1")
    same(None if again is None else again.content, b"content", "a derived file that was written anew")


@target(covers=("core.machine_state",), longest=512)
def machine_state(data: bytes) -> None:
    """What a machine remembers of a device's newest envelope: whole, or nothing."""
    head = _newest(data)
    if head is not None:
        same(_newest(_slot(head)), head, "a machine's memory")


@target(QueryError, covers=("core.query.grammar", "core.query.fields", "core.query.values"))
def query(data: bytes) -> None:
    """A query as somebody types it, or as another device saved it: printed, it finds the same."""
    read = parse(text_of(data))
    again = parse(str(read))
    same(again, read, "a query")
    same(str(again), str(read), "the text of a query")


@target(covers=("tui.app.graphics.detection",), longest=8192)
def terminal_answer(data: bytes) -> None:
    """What a terminal answers when it is asked what it can show: whoever is at its other end may answer for it."""
    width, height = read_answers(data).cell
    same(0 < width <= 1000 and 0 < height <= 1000, True, "the cell of a terminal")


@target(ValueRefused, covers=("crdt.schema",), longest=600)
def label(data: bytes) -> None:
    """A label as somebody types it, and the keys of a document as another device wrote them."""
    text = data.decode("utf-8", "replace")
    key_pid(text)
    split_key(text)
    split_copy_key(text)
    name = label_name(text_of(data))
    same(label_name(name), name, "a label's name")


@target(PipeBroken, covers=("core.importing.protocol", "core.confinement"))
def worker_answer(data: bytes) -> None:
    """What a decoder's worker answers, which whoever made the photo may have taken over."""
    protocol.receive_answer(io.BytesIO(data))


@target(PipeBroken, covers=("core.importing.protocol",), values=0)
def worker_answer_framed(data: bytes) -> None:
    """As above, with lengths that are right."""
    protocol.receive_answer(io.BytesIO(len(data).to_bytes(4, "big") + data + bytes(4)))


@target(PipeBroken, MlError, covers=("core.frames", "core.text_messages", "core.confinement"), values=0)
def text_encoder_answer(data: bytes) -> None:
    """What a text encoder's process answers, in which a stranger's model runs."""
    framed = io.BytesIO(len(data).to_bytes(4, "big") + data)
    answer = receive_frame(framed, text_messages.answers, text_messages.MAX_ANSWER_BYTES)
    if isinstance(answer, text_messages.Failed):
        raise from_another_process(answer.error, answer.message, answer.hint)


@target(PipeBroken, covers=("core.replica_messages", "core.confinement"), values=1)
def replica_message(data: bytes) -> None:
    """What a replica's worker answers after it read what a hostile member wrote, or is asked; by the first byte."""
    how, data = data[:1], data[1:]
    framed = io.BytesIO(len(data).to_bytes(4, "big") + data)
    if how < b"\x80":
        answer = receive_answer(framed)
        same(not isinstance(answer, Trying) or answer.step >= 0, True, "the step of an envelope that is tried")
    else:
        receive_request(framed)
