"""Changes taken apart and put together again at will, with checksums that hold: what a hostile member can write."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from crdt.leb128 import read_signed, read_unsigned, write_unsigned
from crdt.replica import Replica, new_actor

MONTH = "photos:2024-05"


def signed(number: int) -> bytes:
    out = bytearray()
    while True:
        byte = number & 0x7F
        number >>= 7
        if (number == 0 and not byte & 0x40) or (number == -1 and byte & 0x40):
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def text(value: str) -> bytes:
    return write_unsigned(len(value.encode())) + value.encode()


def run_lengths(values: Sequence[Any], write: Callable[[Any], bytes] = write_unsigned) -> bytes:
    """Encode a column in Automerge's canonical form: runs, literals, nulls; empty if all are null."""
    if all(value is None for value in values):
        return b""
    runs: list[tuple[Any, int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1] + 1)
        else:
            runs.append((value, 1))
    out = b""
    literal: list[Any] = []

    def flush() -> bytes:
        data = signed(-len(literal)) + b"".join(map(write, literal)) if literal else b""
        literal.clear()
        return data

    for value, count in runs:
        if value is None:
            out += flush() + b"\x00" + write_unsigned(count)
        elif count == 1:
            literal.append(value)
        else:
            out += flush() + signed(count) + write(value)
    return out + flush()


def deltas(values: Sequence[int]) -> bytes:
    return run_lengths([b - a for a, b in zip([0, *values], values, strict=False)], signed)


@dataclass
class Op:
    """One operation as a hostile device may write it; the defaults are an honest put of a caption."""

    key: str | None = "00" * 16
    value: bytes = b"hello"
    meta: int | None = None
    action: int = 1
    object: tuple[int, bytes] | None = (6, b"safelight/schema")
    predecessors: Sequence[tuple[int, bytes]] = ()


@dataclass
class Parts:
    """A change chunk's fields; ``bytes()`` gives the chunk with the right checksum, however wrong the rest."""

    dependencies: list[bytes]
    actor: bytes
    sequence: int
    start: int
    others: list[bytes]
    columns: dict[int, bytes]
    time: int = 0
    message: bytes = b""
    extra: bytes = b""
    kind: int = 1
    directory: list[tuple[int, int]] | None = field(default=None)

    @classmethod
    def read(cls, raw: bytes) -> Self:
        _, at = read_unsigned(raw, 9)
        count, at = read_unsigned(raw, at)
        dependencies = [raw[at + 32 * i : at + 32 * i + 32] for i in range(count)]
        at += 32 * count
        actor, at = cls._sized(raw, at)
        sequence, at = read_unsigned(raw, at)
        start, at = read_unsigned(raw, at)
        time, at = read_signed(raw, at)
        message, at = cls._sized(raw, at)
        count, at = read_unsigned(raw, at)
        others = []
        for _ in range(count):
            other, at = cls._sized(raw, at)
            others.append(other)
        count, at = read_unsigned(raw, at)
        directory = []
        for _ in range(count):
            number, at = read_unsigned(raw, at)
            length, at = read_unsigned(raw, at)
            directory.append((number, length))
        columns = {}
        for number, length in directory:
            columns[number] = raw[at : at + length]
            at += length
        return cls(dependencies, actor, sequence, start, others, columns, time, message, raw[at:])

    @classmethod
    def of(cls, replica: Replica, ops: Iterable[Op], actor: bytes, sequence: int = 1, start: int | None = None) -> Self:
        """A change that follows everything in ``replica``; ``start`` is by default what it should be."""
        history = replica._history
        last = max(node.last for node in history._nodes.values())
        parts = cls(history.heads, actor, sequence, last + 1 if start is None else start, [], {})
        parts.set_operations(list(ops))
        return parts

    @staticmethod
    def _sized(raw: bytes, at: int) -> tuple[bytes, int]:
        length, at = read_unsigned(raw, at)
        return raw[at : at + length], at + length

    def set_operations(self, ops: list[Op]) -> None:
        named = {maker for op in ops for _, maker in op.predecessors} | {op.object[1] for op in ops if op.object}
        self.others = sorted(named - {self.actor})
        actors = [self.actor, *self.others]
        metas = [len(op.value) << 4 | 6 if op.meta is None else op.meta for op in ops]
        predecessors = [each for op in ops for each in op.predecessors]
        columns = {
            0x01: run_lengths([actors.index(op.object[1]) if op.object else None for op in ops]),
            0x02: run_lengths([op.object[0] if op.object else None for op in ops]),
            0x15: run_lengths([op.key for op in ops], text),
            0x34: write_unsigned(len(ops)),
            0x42: run_lengths([op.action for op in ops]),
            0x56: run_lengths(metas),
            0x57: b"".join(op.value for op in ops),
            0x70: run_lengths([len(op.predecessors) for op in ops]),
            0x71: run_lengths([actors.index(maker) for _, maker in predecessors]),
            0x73: deltas([counter for counter, _ in predecessors]),
        }
        self.columns = {number: data for number, data in columns.items() if data}

    def bytes(self) -> bytes:
        directory = self.directory or [(number, len(data)) for number, data in sorted(self.columns.items())]
        body = b"".join(
            (
                write_unsigned(len(self.dependencies)),
                *self.dependencies,
                write_unsigned(len(self.actor)) + self.actor,
                write_unsigned(self.sequence) + write_unsigned(self.start) + signed(self.time),
                write_unsigned(len(self.message)) + self.message,
                write_unsigned(len(self.others)),
                *(write_unsigned(len(other)) + other for other in self.others),
                write_unsigned(len(directory)),
                *(write_unsigned(number) + write_unsigned(length) for number, length in directory),
                *(self.columns.get(number, b"") for number, _ in directory),
                self.extra,
            )
        )
        hashed = bytes([self.kind]) + write_unsigned(len(body)) + body
        return b"\x85\x6f\x4a\x83" + hashlib.sha256(hashed).digest()[:4] + hashed


@dataclass(frozen=True)
class Hostile:
    """What the tests of hostile changes are made with."""

    op: type[Op] = Op
    parts: type[Parts] = Parts
    run_lengths: Callable[..., bytes] = run_lengths
    signed: Callable[[int], bytes] = signed


@pytest.fixture(scope="session")
def hostile() -> Hostile:
    """Return the tools for writing changes that no honest device writes."""
    return Hostile()


@dataclass(frozen=True)
class Device:
    """A device id, and replicas of one month that are written to in its name."""

    id: bytes

    def replica(self, document: str = MONTH) -> Replica:
        return Replica.create(document, self.actor())

    def actor(self) -> bytes:
        return new_actor(self.id)


@pytest.fixture
def device() -> Device:
    return Device(os.urandom(32))


@pytest.fixture
def other_device() -> Device:
    return Device(os.urandom(32))


@pytest.fixture
def pid() -> bytes:
    return os.urandom(16)
