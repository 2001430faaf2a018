"""Membership entries and the keys of epochs, read as docs/formats.md says; part of the second reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.formats.second_reader import (
    Secrets,
    blake,
    check,
    check_keys,
    check_signature,
    check_start,
    committed,
    decrypt,
    number,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GENESIS, ADD, REVOKE, ROTATE, REPLACE = range(1, 6)


@dataclass(frozen=True)
class Entry:
    """One entry; `context` ends with the check of the epoch it makes, `boxes` are by member."""

    kind: int
    hash: bytes
    author: bytes
    created_at: int
    member: bytes = b""
    epoch: bytes = b""
    context: bytes = b""
    boxes: dict[bytes, bytes] = field(default_factory=dict)
    wrapped: dict[bytes, bytes] = field(default_factory=dict)
    heads: tuple[bytes, ...] = ()


def read_genesis(data: bytes, library: bytes | None = None) -> Entry:
    check_start(data, b"MB", 593)
    check(len(data) == 593, "FormatError")
    check(data[8] == GENESIS, "MembershipInvalid")
    check(number(data[9:17]) < 253_402_300_800, "FormatError")
    device, phrase = data[17:49], data[81:113]
    check_keys(device, data[49:81])
    check_keys(phrase, data[113:145])
    check(device != phrase and data[49:81] != data[113:145], "MembershipInvalid")
    check_signature(device, "membership", data[:465], data[465:529])
    check_signature(phrase, "countersignature", data[:529], data[529:])
    check(library in {None, blake(data)}, "WrongLibrary")
    boxes = {device: data[177:321], phrase: data[321:465]}
    return Entry(GENESIS, blake(data), device, number(data[9:17]), epoch=blake(data), context=data[:177], boxes=boxes)


def read_entry(data: bytes, library: bytes) -> Entry:
    """Read any later entry of a library."""
    check_start(data, b"MB", 82)
    kind, created_at, author = data[8], number(data[9:17]), data[49:81]
    check(kind != GENESIS, "MembershipInvalid")
    check(kind <= REPLACE, "UnknownVersion")
    check(kind > 0 and created_at < 253_402_300_800 and 1 <= data[81] <= 64, "FormatError")
    check(data[17:49] == library, "WrongLibrary")
    at = 82 + 32 * data[81]
    check(len(data) >= at + 3, "Truncated")
    heads = tuple(split(data[82:at], 32))
    ascending(heads)
    if kind == ROTATE:
        w, m = data[at], number(data[at + 1 : at + 3])
        size = 3 + 32 * (w + m) + 32 + 80 * w + 112 * m + 64
        check(1 <= w <= 64 and 1 <= m <= 1024, "FormatError")
    else:
        size = {ADD: 369, REPLACE: 369, REVOKE: 136}[kind]
    check(len(data) >= at + size, "Truncated")
    check(len(data) == at + size, "FormatError")
    check_keys(author, (9).to_bytes(32, "little"))  # of an author only the signing key is told
    if kind == REVOKE:
        check(number(data[at + 32 : at + 40]) < 1 << 63, "FormatError")
        check((number(data[at + 32 : at + 40]) == 0) == (data[at + 40 : at + 72] == bytes(32)), "FormatError")
        check_signature(author, "membership", data[:-64], data[-64:])
        return Entry(kind, blake(data), author, created_at, data[at : at + 32], heads=heads)
    if kind == ROTATE:
        epochs, members = split(data[at + 3 : at + 3 + 32 * w], 32), split(data[at + 3 + 32 * w :][: 32 * m], 32)
        ascending(epochs)
        ascending(members)
        end = at + 3 + 32 * (w + m) + 32
        wrapped = dict(zip(epochs, split(data[end : end + 80 * w], 80), strict=True))
        boxes = dict(zip(members, split(data[end + 80 * w : -64], 112), strict=True))
        check_signature(author, "membership", data[:-64], data[-64:])
        return Entry(kind, blake(data), author, created_at, b"", blake(data), data[:end], boxes, wrapped, heads)
    member, flag = data[at : at + 32], data[at + 96]
    check_keys(member, data[at + 32 : at + 64])
    check(member != author, "MembershipInvalid")
    check(flag == 0 or (flag == 1 and kind == ADD), "FormatError")
    check_signature(author, "membership", data[:-128], data[-128:-64])
    check_signature(member, "countersignature", data[:-64], data[-64:])
    boxes = {member: data[at + 97 : at + 241]}
    epoch, context = data[at + 64 : at + 96], data[: at + 97]
    return Entry(kind, blake(data), author, created_at, member, epoch, context, boxes, heads=heads)


def open_epochs(entries: Iterable[Entry], secrets: Secrets) -> tuple[dict[bytes, bytes], bytes]:
    """Return the keys of all epochs that a member can open, by id, and the photo id key.

    Each key is compared with the check of the entry that made its epoch. Entries that wait for others mean nothing.
    """
    every = list(entries)
    while len(known := {entry.hash for entry in every}) > len(
        linked := [entry for entry in every if known.issuperset(entry.heads)]
    ):
        every = linked
    contexts = {entry.epoch: entry.context for entry in every if entry.kind in {GENESIS, ROTATE}}
    mine = [entry for entry in every if secrets.id in entry.boxes]
    check(any(entry.kind != ROTATE for entry in mine), "NotAMember")
    found: dict[bytes, bytes] = {}
    photo_id_key = b""
    for entry in sorted(mine, key=lambda entry: entry.kind == ROTATE):  # the photo id key first
        opened = secrets.open_box(entry.context, entry.boxes[secrets.id])
        photo_id_key = photo_id_key or opened[32:]
        found[entry.epoch] = opened[:32]
    waiting = [entry for entry in every if entry.kind == ROTATE and entry.epoch in found]
    while waiting:
        entry = waiting.pop()
        for epoch, sealed in entry.wrapped.items():
            key = decrypt(
                committed(found[entry.epoch], "sl1-epoch-wrap", entry.context + epoch, sealed[:32]), sealed[32:]
            )
            check(found.setdefault(epoch, key) == key, "MembershipInvalid")
            waiting += [other for other in every if other.kind == ROTATE and other.epoch == epoch]
    for epoch, key in found.items():
        context = contexts[epoch]
        expected = blake(context[:-32], key=key + photo_id_key, person="sl1-epoch-check")
        check(expected == context[-32:], "MembershipInvalid")
    return found, photo_id_key


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def ascending(ids: Sequence[bytes]) -> None:
    check(all(one < other for one, other in pairwise(ids)), "FormatError")
