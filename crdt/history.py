"""The graph of a document's changes: which are there, who made them, and what a further one may build on.

The engine checks next to nothing of what a change refers to. An operation that overwrites one which is not there, a
counter used twice or a second change with one sequence number are taken in, and the document then saves but never
loads. :meth:`History.admit` refuses them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from crdt.change import Change, Write
from crdt.engine import OperationId
from crdt.errors import ChangeMalformed, DuplicateSequence, OperationRefused

Lookup = Callable[[str, str, bytes | None], OperationId | None]
"""``lookup(map, key, at)``: the operation that is seen at a key, now (``at`` is ``None``) or right after one change."""


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
        covers: it builds on every change whose index is below this, directly or not.
        pending: the change itself, while the engine does not have it yet.
    """

    hash: bytes
    actor: bytes
    sequence: int
    start: int
    last: int
    dependencies: tuple[bytes, ...]
    index: int = 0
    covers: int = 0
    pending: Change | None = field(default=None, repr=False)


class History:
    """The changes of one document, in an order in which each follows all that it builds on."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._nodes: dict[bytes, Node] = {}
        self._by_actor: dict[bytes, list[Node]] = {}
        self._heads: set[bytes] = set()
        for node in nodes:
            self._add(node)

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

    def admit(self, change: Change, lookup: Lookup, constants: Iterable[bytes] = ()) -> Node:
        """Check what a change refers to, and add it.

        Args:
            change: one whose dependencies are all here.
            lookup: reads the engine's document; asked only about changes the engine has.
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
        node = Node(change.hash, change.actor, change.sequence, change.start, change.last, change.dependencies)
        needed = self._overwritten(change, lookup)
        for constant in constants:
            if constant not in self._nodes:
                raise OperationRefused("a change writes to a map it does not build on")
            needed.append(self._nodes[constant])
        if not self._covered(node.dependencies, needed):
            raise OperationRefused("a change overwrites an operation, or writes to a map, that it does not build on")
        node.pending = change
        self._add(node)
        return node

    def add_constant(self, node: Node) -> None:
        """Add a change of the reserved actor, which needs no check."""
        self._add(node)

    def add_own(self, change: Change) -> None:
        """Add a change the engine has just made itself."""
        self._add(Node(change.hash, change.actor, change.sequence, change.start, change.last, change.dependencies))

    def forget(self, nodes: Iterable[Node], heads: Iterable[bytes]) -> None:
        """Take back nodes just added, the last ones, and restore the heads there were before."""
        for node in reversed(list(nodes)):
            del self._nodes[node.hash]
            chain = self._by_actor[node.actor]
            chain.pop()
            if not chain:
                del self._by_actor[node.actor]
        self._heads = set(heads)

    def _add(self, node: Node) -> None:
        node.index = len(self._nodes)
        if self._heads.issubset(node.dependencies):
            node.covers = node.index
        else:
            node.covers = max((self._nodes[dependency].covers for dependency in node.dependencies), default=0)
        self._nodes[node.hash] = node
        self._by_actor.setdefault(node.actor, []).append(node)
        self._heads.difference_update(node.dependencies)
        self._heads.add(node.hash)

    def _overwritten(self, change: Change, lookup: Lookup) -> list[Node]:
        """Find the changes whose operations this one overwrites, each checked to have put a value at that very key."""
        found: dict[int, Node] = {}
        for write in change.writes:
            for operation in write.predecessors:
                node = self._maker(operation)
                if node is None or not _put_at(node, operation, write, lookup):
                    raise OperationRefused(
                        f"a change overwrites an operation that is not at the key {write.key[:64]!r} of {write.map!r}"
                    )
                found[node.index] = node
        return list(found.values())

    def _maker(self, operation: OperationId) -> Node | None:
        counter, actor = operation
        chain = self._by_actor.get(actor, [])
        place = bisect_left(chain, counter, key=lambda node: node.last)
        return chain[place] if place < len(chain) and chain[place].start <= counter else None

    def _covered(self, heads: tuple[bytes, ...], wanted: list[Node]) -> bool:
        """Tell whether everything ``wanted`` is among ``heads`` and what they build on."""
        missing = {node.index for node in wanted}
        pending = list(heads)
        seen = set(heads)
        while missing and pending:
            node = self._nodes[pending.pop()]
            missing = {index for index in missing if index >= node.covers and index != node.index}
            if not missing:
                break
            lowest = min(missing)
            for dependency in node.dependencies:
                if dependency not in seen and self._nodes[dependency].index >= lowest:
                    seen.add(dependency)
                    pending.append(dependency)
        return not missing


def _put_at(node: Node, operation: OperationId, write: Write, lookup: Lookup) -> bool:
    """Tell whether ``operation``, one of ``node``'s, put a value at the key ``write`` is about.

    A change writes a key at most once and counts on from all it builds on, so what is seen right after it at a key it
    wrote is its own operation.
    """
    if node.pending is not None:
        made = node.pending.writes[operation[0] - node.start]
        return (made.map, made.key) == (write.map, write.key) and made.value is not None
    return lookup(write.map, write.key, None) == operation or lookup(write.map, write.key, node.hash) == operation
