"""Changes that wait for changes they build on.

The engine has a queue of its own, which grows with every repeat of a change, and two queued changes of one actor and
number make a document that saves but never loads. So nothing goes to the engine before everything it builds on, and
what must wait waits here: once, and within a bound for each device, so that one device cannot crowd out another.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from crdt.change import DEVICE_PREFIX_BYTES, Change
from crdt.errors import DuplicateSequence, OrphanLimit
from crdt.weight import change_weight

MAX_ORPHANS = 1024
MAX_ORPHAN_BYTES = 32 * 1024 * 1024


class OrphanQueue:
    """Changes of one document that cannot be applied yet, each once."""

    def __init__(self) -> None:
        self._changes: dict[bytes, Change] = {}
        self._numbers: dict[tuple[bytes, int], bytes] = {}
        self._waiting: dict[bytes, set[bytes]] = {}
        self._used: dict[bytes, tuple[int, int]] = {}
        self.weights: Counter[bytes] = Counter()
        """What waits of each device weighs, by the prefix of its actors."""

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        """Iterate over the queued changes, in order of arrival."""
        return iter(self._changes.values())

    def __contains__(self, change_hash: bytes) -> bool:
        return change_hash in self._changes

    def check_numbers(self, changes: Iterable[Change]) -> None:
        """Check that no two changes, arriving or queued, claim one actor and number.

        Raises:
            DuplicateSequence: if two do.
        """
        arriving: dict[tuple[bytes, int], bytes] = {}
        for change in changes:
            number = (change.actor, change.sequence)
            if number in self._numbers or arriving.setdefault(number, change.hash) != change.hash:
                raise DuplicateSequence(
                    f"actor {change.actor.hex()} made two changes with the number {change.sequence}"
                )

    def check_room(self, arriving: Iterable[Change], leaving: Iterable[Change]) -> None:
        """Check that no device would have too much waiting.

        Args:
            arriving: changes not queued yet.
            leaving: changes that will be removed, if they are queued.

        Raises:
            OrphanLimit: if a device would have more than 1,024 changes or 32 MiB waiting.
        """
        used = dict(self._used)
        for change in leaving:
            if change.hash in self._changes:
                _count(used, change, -1)
        for change in arriving:
            _count(used, change, 1)
            device = change.actor[:DEVICE_PREFIX_BYTES]
            count, size = used[device]
            if count > MAX_ORPHANS or size > MAX_ORPHAN_BYTES:
                raise OrphanLimit(f"{count} changes of the device with actors {device.hex()}… wait for missing ones")

    def add(self, change: Change) -> None:
        """Queue a change that the two checks have let through; nothing happens if it is queued already."""
        if change.hash in self._changes:
            return
        self._changes[change.hash] = change
        self._numbers[change.actor, change.sequence] = change.hash
        for dependency in change.dependencies:
            self._waiting.setdefault(dependency, set()).add(change.hash)
        _count(self._used, change, 1)
        self.weights[change.actor[:DEVICE_PREFIX_BYTES]] += change_weight(change)

    def remove(self, change_hash: bytes) -> None:
        """Take a change out; nothing happens if it is not queued."""
        change = self._changes.pop(change_hash, None)
        if change is None:
            return
        del self._numbers[change.actor, change.sequence]
        for dependency in change.dependencies:
            waiting = self._waiting[dependency]
            waiting.discard(change_hash)
            if not waiting:
                del self._waiting[dependency]
        _count(self._used, change, -1)
        self.weights[change.actor[:DEVICE_PREFIX_BYTES]] -= change_weight(change)

    def waiting_for(self, change_hash: bytes) -> list[Change]:
        """List the queued changes that directly build on a change, in order of their hashes."""
        return [self._changes[waiting] for waiting in sorted(self._waiting.get(change_hash, ()))]

    def missing(self, is_there: Callable[[bytes], bool]) -> list[bytes]:
        """List the hashes, ascending, that queued changes build on and that are neither queued nor applied."""
        return sorted(each for each in self._waiting if each not in self._changes and not is_there(each))


def _count(used: dict[bytes, tuple[int, int]], change: Change, by: int) -> None:
    """Add a change to, or with -1 take it off, what its device uses."""
    device = change.actor[:DEVICE_PREFIX_BYTES]
    count, size = used.get(device, (0, 0))
    used[device] = (count + by, size + by * len(change.raw))
    if used[device][0] == 0:
        del used[device]
