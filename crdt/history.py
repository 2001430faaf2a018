"""The graph of a document's changes: which are there, who made them, and what a further one may build on.

The engine checks next to nothing of what a change refers to. An operation that overwrites one which is not there, a
counter used twice or a second change with one sequence number are taken in, and the document then saves but never
loads. :meth:`History.admit` refuses them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from crdt.change import DEVICE_PREFIX_BYTES, Change, Write, parse_change
from crdt.documents import DocumentKind
from crdt.engine import ROOT, Engine, OperationId
from crdt.errors import ChangeMalformed, DuplicateSequence, OperationRefused
from crdt.genesis import EXTENSION_PREFIX, RESERVED_ACTOR, object_ids
from crdt.weight import change_weight, raw_weight

MAX_ENGINE_LOOKUPS = 256
"""Past this many questions of what was at a key long ago, which cost the engine up to 2 ms each in a document of
thousands of actors, the changes in question are read instead."""


@dataclass(slots=True)
class Node:
    """One change of the document.

    Attributes:
        hash: its hash.
        actor: who made it.
        sequence: its number among the actor's changes.
        start: counter of its first operation.
        last: counter of its last operation.
        dependencies: the changes it directly builds on.
        index: its place in the order of arrival.
        weight: what it weighs (:mod:`crdt.weight`).
        covers: it builds on every change whose index is below this, directly or not.
        pending: the change itself, while the engine does not have it yet.
    """

    hash: bytes
    actor: bytes
    sequence: int
    start: int
    last: int
    dependencies: tuple[bytes, ...]
    weight: int = 0
    index: int = 0
    covers: int = 0
    pending: Change | None = field(default=None, repr=False)


class History:
    """The changes of one document, in an order in which each follows all that it builds on."""

    def __init__(self, engine: Engine, kind: DocumentKind) -> None:
        """Read the changes that ``engine`` holds; it is asked later for what they contain."""
        self._engine = engine
        self._kind = kind
        self._nodes: dict[bytes, Node] = {}
        self._order: list[Node] = []
        self._by_actor: dict[bytes, list[Node]] = {}
        self._heads: set[bytes] = set()
        self.weights: Counter[bytes] = Counter()
        """What the changes of each device weigh, by the prefix of its actors."""
        for made in engine.history():
            weight = 0 if made.actor == RESERVED_ACTOR else raw_weight(made.raw)
            self._add(Node(made.hash, made.actor, made.sequence, made.start, made.last, made.dependencies, weight))

    def __contains__(self, change_hash: bytes) -> bool:
        return change_hash in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def heads(self) -> list[bytes]:
        """Hashes of the changes no other builds on, ascending."""
        return sorted(self._heads)

    def at_sequence(self, actor: bytes, sequence: int) -> bytes | None:
        """Return the hash of an actor's change of this number, if there is one."""
        chain = self._by_actor.get(actor, ())
        return chain[sequence - 1].hash if 0 < sequence <= len(chain) else None

    def admit(self, change: Change, constants: Iterable[bytes] = ()) -> Node:
        """Check what a change refers to, and add it.

        Args:
            change: one whose dependencies are all here.
            constants: hashes of the constant changes that make the maps it writes to.

        Raises:
            DuplicateSequence: if another change has its actor and sequence number.
            ChangeMalformed: if it does not build on its actor's last change, or its counters do not follow those of
                its dependencies.
            OperationRefused: if it overwrites an operation that it cannot have seen at that key.
        """
        previous = self._by_actor.get(change.actor, [])
        if change.sequence <= len(previous):
            raise DuplicateSequence(f"actor {change.actor.hex()} made two changes with the number {change.sequence}")
        follows = change.sequence == len(previous) + 1
        if not follows or (previous and previous[-1].hash not in change.dependencies):
            raise ChangeMalformed(f"a change of actor {change.actor.hex()} does not follow that actor's last one")
        before = max(self._nodes[dependency].last for dependency in change.dependencies)
        if change.start != before + 1:
            raise ChangeMalformed(f"a change counts from {change.start}; its dependencies end at {before}")
        node = _node(change)
        needed = self._overwritten(change)
        for constant in constants:
            if constant not in self._nodes:
                raise OperationRefused("a change writes to a map it does not build on")
            needed.append(self._nodes[constant])
        if not self._covered(node.dependencies, needed):
            raise OperationRefused("a change overwrites an operation, or writes to a map, that it does not build on")
        node.pending = change
        self._add(node)
        return node

    def add_constant(self, change_hash: bytes, sequence: int, counter: int, dependency: bytes) -> Node:
        """Add a change of the reserved actor, of one operation, which needs no check."""
        node = Node(change_hash, RESERVED_ACTOR, sequence, counter, counter, (dependency,))
        self._add(node)
        return node

    def add_own(self, change: Change) -> None:
        """Add a change the engine has just made itself."""
        self._add(_node(change))

    def forget(self, nodes: Iterable[Node], heads: Iterable[bytes]) -> None:
        """Take back nodes just added, the last ones, and restore the heads there were before."""
        for node in reversed(list(nodes)):
            del self._nodes[node.hash]
            self._order.pop()
            self.weights[node.actor[:DEVICE_PREFIX_BYTES]] -= node.weight
            chain = self._by_actor[node.actor]
            chain.pop()
            if not chain:
                del self._by_actor[node.actor]
        self._heads = set(heads)

    def _add(self, node: Node) -> None:
        node.index = len(self._order)
        self._order.append(node)
        if self._heads.issubset(node.dependencies):
            node.covers = node.index
        else:
            node.covers = max((self._nodes[dependency].covers for dependency in node.dependencies), default=0)
        self._nodes[node.hash] = node
        self.weights[node.actor[:DEVICE_PREFIX_BYTES]] += node.weight
        self._by_actor.setdefault(node.actor, []).append(node)
        self._heads.difference_update(node.dependencies)
        self._heads.add(node.hash)

    def _overwritten(self, change: Change) -> list[Node]:
        """Find the changes whose operations this one overwrites, each checked to have put a value at that very key."""
        found: dict[int, Node] = {}
        old: list[tuple[Node, OperationId, Write]] = []
        for write in change.writes:
            for operation in write.predecessors:
                node = self._maker(operation)
                if node is None or node.actor == RESERVED_ACTOR:
                    raise _not_there(write)
                if node.pending is not None:
                    if not _put_by(node.pending, operation, write):
                        raise _not_there(write)
                elif self._seen(write) != operation:
                    old.append((node, operation, write))
                found[node.index] = node
        if len(old) > MAX_ENGINE_LOOKUPS:
            self._check_by_reading(old)
        else:
            for node, operation, write in old:
                # A change writes a key at most once, and counts on from all it builds on: what is seen right after it,
                # at a key that it wrote, is its own operation.
                if self._seen(write, node.hash) != operation:
                    raise _not_there(write)
        return list(found.values())

    def _check_by_reading(self, old: list[tuple[Node, OperationId, Write]]) -> None:
        raw = self._engine.raw_changes({node.hash for node, _, _ in old})
        changes = {change_hash: parse_change(each, self._kind) for change_hash, each in raw.items()}
        for node, operation, write in old:
            if not _put_by(changes[node.hash], operation, write):
                raise _not_there(write)

    def _seen(self, write: Write, at: bytes | None = None) -> OperationId | None:
        # Asked about a map that the document lacks, so far or for good, the engine raises what has no name.
        if write.map.startswith(EXTENSION_PREFIX) and write.map not in self._engine.keys(ROOT):
            return None
        return self._engine.operation(object_ids(self._kind)[write.map], write.key, at)

    def _maker(self, operation: OperationId) -> Node | None:
        """Find the change an operation is of, by the counters."""
        counter, actor = operation
        chain = self._by_actor.get(actor, [])
        place = bisect_left(chain, counter, key=lambda node: node.last)
        return chain[place] if place < len(chain) and chain[place].start <= counter else None

    def _covered(self, heads: Iterable[bytes], wanted: Iterable[Node]) -> bool:
        """Tell whether everything ``wanted`` is among ``heads`` and what they build on.

        Walks from the newest down, so that a change passed over cannot turn up later. A change builds on all earlier
        ones of its actor, and on everything before its ``covers``.
        """
        missing = sorted({node.index for node in wanted})
        of_actor: dict[bytes, list[int]] = {}
        for index in missing:
            of_actor.setdefault(self._order[index].actor, []).append(index)
        found: set[int] = set()
        pending: list[int] = []
        seen = set(heads)
        for head in seen:
            heappush(pending, -self._nodes[head].index)
        while True:
            while missing and missing[-1] in found:
                missing.pop()
            if not missing:
                return True
            if not pending:
                return False
            node = self._order[-heappop(pending)]
            if missing[-1] > node.index:
                return False
            found.update(of_actor.pop(node.actor, ()))
            del missing[: bisect_left(missing, node.covers)]
            lowest = missing[0] if missing else node.index
            for dependency in node.dependencies:
                if dependency not in seen and self._nodes[dependency].index >= lowest:
                    seen.add(dependency)
                    heappush(pending, -self._nodes[dependency].index)


def _node(change: Change) -> Node:
    made = (change.hash, change.actor, change.sequence, change.start, change.last, change.dependencies)
    return Node(*made, change_weight(change))


def _put_by(change: Change, operation: OperationId, write: Write) -> bool:
    """Tell whether ``operation``, one of ``change``'s, put a value at the key ``write`` is about."""
    made = change.writes[operation[0] - change.start]
    return (made.map, made.key) == (write.map, write.key) and made.value is not None


def _not_there(write: Write) -> OperationRefused:
    return OperationRefused(
        f"a change overwrites an operation that is not at the key {write.key[:64]!r} of the map {write.map!r}"
    )
