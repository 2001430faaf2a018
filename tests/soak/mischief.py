"""What happens between devices and a relay, and what a relay says that is not so.

A run of sync is given at most a few faults. Each waits for a request that it can happen to, from the `at`-th of the
run on, and happens once; those of `UNTIL_THE_END` go on until the run ends. `HARMLESS` ones are what networks and busy
relays do: no device may raise an alarm over them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx2
import msgspec

from crypto.envelope import envelope_hash, read_header
from crypto.errors import CryptoError
from sync_relay import errors, wire
from tests.soak.in_process import Answered, Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNTIL_THE_END: Final = frozenset({"gone", "deaf"})
HARMLESS: Final = frozenset({"gone", "deaf", "drop", "lose", "repeat", "hold", "refuse"})
REFUSALS: Final = (
    errors.TooManyRequests,
    errors.Unavailable,
    errors.Broken,
    errors.QuotaFull,
    errors.NotSignedIn,
    errors.NotAMember,
    errors.PruneRefused,
)
_LOG: Final = ("/v1/log", "/v1/log/past")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong in one run of sync; what `amount` means is its kind's own."""

    kind: str
    at: int = 0
    amount: int = 0


def refusal(amount: int) -> Answered:
    """Return a relay's named error."""
    kind = REFUSALS[amount % len(REFUSALS)]
    body = wire.ErrorBody(error=kind.name, message="not now", hint="Later.", details=errors.ErrorDetails())
    fields = ((b"content-type", wire.MSGPACK.encode()), (wire.ERROR_NAME.encode(), kind.name.encode()))
    return Answered(kind.status, fields, msgspec.msgpack.encode(body))


def flipped(content: bytes, amount: int) -> bytes:
    """Return bytes of which one bit is another one."""
    if not content:
        return content
    at = amount % (8 * len(content))
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


# What a relay says: each returns None where the answer is none that it can happen to.

Lie = "Callable[[Any, int, list[wire.Item]], Any | None]"


def _omit(page: wire.LogPage, amount: int, _: list[wire.Item]) -> wire.LogPage | None:
    if not page.items:
        return None
    at = amount % len(page.items)
    return msgspec.structs.replace(page, items=page.items[:at] + page.items[at + 1 :])


def _double(page: wire.LogPage, amount: int, _: list[wire.Item]) -> wire.LogPage | None:
    if not page.items:
        return None
    at = amount % len(page.items)
    return msgspec.structs.replace(page, items=[*page.items[: at + 1], *page.items[at:]])


def _reverse(page: wire.LogPage, amount: int, _: list[wire.Item]) -> wire.LogPage | None:
    # The places stay in order, which a client looks at first; what stands at them does not.
    bodies = page.items[::-1] if amount % 2 else page.items[amount % 3 :] + page.items[: amount % 3]
    if bodies == page.items:
        return None
    items = [
        msgspec.structs.replace(body, position=item.position) for body, item in zip(bodies, page.items, strict=True)
    ]
    return msgspec.structs.replace(page, items=items)


def _damage(page: wire.LogPage, amount: int, _: list[wire.Item]) -> wire.LogPage | None:
    there = [at for at, item in enumerate(page.items) if item.body]
    if not there:
        return None
    at = there[amount % len(there)]
    body = flipped(page.items[at].body or b"", amount // 7 * 13)
    items = list(page.items)
    items[at] = msgspec.structs.replace(items[at], body=body)
    return msgspec.structs.replace(page, items=items)


def _old_one_instead(page: wire.LogPage, amount: int, known: list[wire.Item]) -> wire.LogPage | None:
    if not page.items or not known:
        return None
    at, old = amount % len(page.items), known[amount // 3 % len(known)]
    if old.body == page.items[at].body:
        return None
    items = list(page.items)
    items[at] = msgspec.structs.replace(old, position=items[at].position)
    return msgspec.structs.replace(page, items=items)


def _jump(page: wire.LogPage, amount: int, _: list[wire.Item]) -> wire.LogPage | None:
    return msgspec.structs.replace(page, position=page.position + 1 + amount % 9)


def _empty(page: wire.LogPage, amount: int, _: list[wire.Item]) -> wire.LogPage | None:
    if not page.items:
        return None
    back = max(0, page.position - amount % 3 * len(page.items))
    return msgspec.structs.replace(page, items=[], more=False, position=back)


def _pruned(page: wire.LogPage, amount: int, _: list[wire.Item]) -> wire.LogPage | None:
    there = [at for at, item in enumerate(page.items) if item.kind == wire.KIND_ENVELOPE and item.body]
    if not there:
        return None
    at = there[amount % len(there)]
    body = page.items[at].body or b""
    header = read_header(body)
    items = list(page.items)
    items[at] = wire.Item(
        position=items[at].position,
        kind=wire.KIND_ENVELOPE,
        device_id=header.device_id,
        seq=header.seq,
        hash=envelope_hash(body),
    )
    return msgspec.structs.replace(page, items=items)


def _heads_low(heads: wire.Heads, amount: int, _: list[wire.Item]) -> wire.Heads | None:
    if not heads.heads:
        return None
    at = amount % len(heads.heads)
    kept = list(heads.heads)
    head = kept.pop(at)
    if amount // 5 % 2 and head.seq > 1:
        kept.insert(at, wire.Head(device_id=head.device_id, seq=head.seq - 1, hash=flipped(head.hash, amount)))
    return msgspec.structs.replace(heads, heads=kept)


def _heads_high(heads: wire.Heads, amount: int, _: list[wire.Item]) -> wire.Heads | None:
    if not heads.heads:
        return None
    at = amount % len(heads.heads)
    kept = list(heads.heads)
    kept[at] = wire.Head(device_id=kept[at].device_id, seq=kept[at].seq + amount % 3, hash=flipped(kept[at].hash, 1))
    return msgspec.structs.replace(heads, heads=kept)


def _session(session: wire.Session, amount: int, _: list[wire.Item]) -> wire.Session | None:
    if amount % 3 == 0:
        return msgspec.structs.replace(session, generation=flipped(session.generation, amount))
    return msgspec.structs.replace(session, position=max(0, session.position + amount % 7 - 3))


def _states(states: wire.BlobStates, amount: int, _: list[wire.Item]) -> wire.BlobStates | None:
    if not states.blobs:
        return None
    at = amount % len(states.blobs)
    blob = states.blobs[at]
    said = (
        wire.BlobState(id=blob.id, state="absent"),
        wire.BlobState(id=blob.id, state="stored", size=blob.size or 100),
        msgspec.structs.replace(blob, size=blob.size + 1),
        wire.BlobState(id=blob.id, state="partial", size=blob.size or 100, offset=1),
    )
    blobs = list(states.blobs)
    blobs[at] = said[amount // 3 % len(said)]
    return None if blobs == states.blobs else msgspec.structs.replace(states, blobs=blobs)


_LIES: Final[Mapping[str, tuple[tuple[str, ...], type[Any], Callable[..., Any]]]] = {
    "omit": (_LOG, wire.LogPage, _omit),
    "double": (_LOG, wire.LogPage, _double),
    "reverse": (_LOG, wire.LogPage, _reverse),
    "damage": (_LOG, wire.LogPage, _damage),
    "old one": (_LOG, wire.LogPage, _old_one_instead),
    "jump": (_LOG, wire.LogPage, _jump),
    "empty": (_LOG, wire.LogPage, _empty),
    "pruned": (_LOG, wire.LogPage, _pruned),
    "heads low": (("/v1/heads",), wire.Heads, _heads_low),
    "heads high": (("/v1/heads",), wire.Heads, _heads_high),
    "session": (("/v1/sign-in",), wire.Session, _session),
    "blob states": (("/v1/blobs/query",), wire.BlobStates, _states),
}
ON_THE_WAY: Final = ("gone", "deaf", "drop", "lose", "repeat", "hold", "refuse", "stale", "flip", "cut", "garble")
KINDS: Final = (*ON_THE_WAY, *_LIES)


def path_of(asked: Asked) -> str:
    """Return what a request is for, without what it asks."""
    return asked.path.partition("?")[0]


def lie(fault: Fault, asked: Asked, answered: Answered, known: list[wire.Item]) -> Answered | None:
    """Return the answer as a lying relay gives it; None where this is no answer for that lie."""
    paths, kind, change = _LIES[fault.kind]
    if answered.status != 200 or path_of(asked) not in paths:
        return None
    try:
        told = msgspec.msgpack.decode(answered.body, type=kind)
    except msgspec.DecodeError:  # another fault of the same run has damaged it
        return None
    changed = change(told, fault.amount, known)
    return None if changed is None else with_body(answered, msgspec.msgpack.encode(changed))


def with_body(answered: Answered, body: bytes) -> Answered:
    """Return an answer with another body, whose length is told as what it is."""
    fields = tuple((name, value) for name, value in answered.headers if name.lower() != b"content-length")
    return dataclasses.replace(answered, headers=fields, body=body)


def keep_back(asked: Asked, answered: Answered, hidden: Mapping[bytes, tuple[int, bytes]]) -> Answered:
    """Return an answer in which devices have written nothing past the (seq, hash) that `hidden` names."""
    if answered.status != 200 or not hidden:
        return answered
    path = path_of(asked)
    if path in _LOG:
        page = msgspec.msgpack.decode(answered.body, type=wire.LogPage)
        items = [item for item in page.items if not _is_hidden(item, hidden)]
        if len(items) < len(page.items):
            return with_body(answered, msgspec.msgpack.encode(msgspec.structs.replace(page, items=items)))
    if path == "/v1/heads":
        heads = msgspec.msgpack.decode(answered.body, type=wire.Heads)
        shown = []
        for head in heads.heads:
            seq, hashed = hidden.get(head.device_id, (head.seq, head.hash))
            if seq:
                shown.append(head if head.seq <= seq else wire.Head(device_id=head.device_id, seq=seq, hash=hashed))
        return with_body(answered, msgspec.msgpack.encode(msgspec.structs.replace(heads, heads=shown)))
    if path.startswith("/v1/envelopes/"):
        _, _, _, device, seq_text = path.split("/")
        if int(seq_text) > hidden.get(bytes.fromhex(device), (int(seq_text), b""))[0]:
            return Answered(404, *_no_such_envelope())
    return answered


def _is_hidden(item: wire.Item, hidden: Mapping[bytes, tuple[int, bytes]]) -> bool:
    device, seq = item.device_id, item.seq
    if item.kind == wire.KIND_ENVELOPE and item.body is not None:
        try:
            header = read_header(item.body)
        except (CryptoError, ValueError):
            return False
        device, seq = header.device_id, header.seq
    return device is not None and seq is not None and seq > hidden.get(device, (seq, b""))[0]


def _no_such_envelope() -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    name = errors.NoSuchEnvelope.name
    body = wire.ErrorBody(error=name, message="not here", details=errors.ErrorDetails())
    return (
        ((b"content-type", wire.MSGPACK.encode()), (wire.ERROR_NAME.encode(), name.encode())),
        msgspec.msgpack.encode(body),
    )


def items_of(asked: Asked, answered: Answered) -> list[wire.Item]:
    """Return the items with a body that an answer gave out."""
    if answered.status != 200 or path_of(asked) not in _LOG:
        return []
    return [item for item in msgspec.msgpack.decode(answered.body, type=wire.LogPage).items if item.body]


def as_request(request: httpx2.Request) -> Asked:
    """Return a client's request, whole."""
    body = b"".join(request.stream)  # type: ignore[arg-type]
    return Asked(request.method, request.url.raw_path.decode(), tuple(request.headers.raw), body)


def as_response(answered: Answered) -> httpx2.Response:
    """Return an answer as a client gets it."""
    return httpx2.Response(answered.status, headers=list(answered.headers), content=answered.body)
