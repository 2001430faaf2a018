"""A library on several devices, a relay that a crook stands before, and what must never be lost of it all.

Everything in here is the program's own: libraries on disk, keys, sync engine, relay. `World` is a step at a time what a
user, a network, an attacker does; each step takes plain numbers, so a run can be written down and repeated
(`tests/soak/test_found.py`). Random bytes and the time are drawn from a seed, so that a run is the same each time.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core import edits, history
from core.devices import revoke
from core.errors import CoreError, NotAMember, NothingToUndo, Refused, RelayRefused, RelayUnreachable
from core.library import Library
from core.originals import keep_every_original
from core.sync.checkpoints import make_checkpoint
from core.sync.free import free
from core.sync.seen_checkpoints import look
from sync_relay.server.maintenance import begin_generation
from sync_relay.server.removal import sweep
from tests.core.sync.conftest import Device
from tests.soak.beginning import Clock, add_device, memory_folder, repeatable
from tests.soak.crook import WORD, Crook, Killed
from tests.soak.ending import Ending, Lost
from tests.soak.hostile_member import HostileMember
from tests.soak.in_process import URL, InProcessRelay
from tests.soak.steps import MOST_DEVICES, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from core.sync.engine import SyncEngine
    from core.sync.report import SyncReport
    from tests.soak.beginning import Beginning
    from tests.soak.mischief import Fault

MONTHS: Final = ("2024-05", "2024-06")
MONTH_S: Final = 31 * 86_400


@dataclass
class Kept:
    """What one edit left, that nobody has taken away since: a label on a photo, a photo, or an album."""

    author: int
    what: str
    pid: bytes = b""
    name: str = ""


@dataclass
class World:
    """One run. Devices are named by their numbers, photos by theirs among those that a device shows."""

    beginning: Beginning
    seed: int = 0
    steps: int = 0
    alarms: int = 0
    kept: dict[bytes, Kept] = field(default_factory=dict)
    purged: set[bytes] = field(default_factory=set)
    revoked: set[int] = field(default_factory=set)
    added_by: dict[int, int] = field(default_factory=dict)
    heads: dict[int, tuple[bytes, int, bytes]] = field(default_factory=dict)
    log: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="safelight-world-", dir=memory_folder()))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        shutil.copytree(self.beginning.folder, self.folder, dirs_exist_ok=True)
        self.clock = Clock(self.beginning.clock)
        self._stack.enter_context(repeatable(self.seed, self.clock, self.folder / "state"))
        self.crook: Crook = Crook(InProcessRelay(self.folder / "relay", self.clock))
        self.devices: list[Device] = []
        for number, own in enumerate(self.beginning.secrets):
            root = self.folder / f"device {number}"
            self.devices.append(Device(root, own, Library.open(root, own), self.crook.connect(number)))
        self.member: HostileMember | None = None
        self._backup: Path | None = None
        self._copies = 0
        self.lost_by_others: set[bytes] = set()

    def close(self) -> None:
        """Close and remove it all."""
        try:
            for device in self.devices:
                device.close()
            for relay in self.crook.relays.values():
                relay.close()
        finally:
            self._stack.close()

    # What users do

    def add_photos(self, number: int, count: int = 1, month: int = 0, *, same: bool = False) -> None:
        """Import photos; with `same`, those that other devices may have imported too."""
        number = self.number(number)
        device = self.device(number)
        self.begins("add_photos", number, count, month, same=same)
        seed = WORD if same else f"{WORD} {self.steps}"
        with self.may_be_revoked(number):
            group = secrets.token_bytes(16)
            pids = device.bench.add_photos(
                device.library, count, month=MONTHS[month % 2], seed=seed, blobs=True, group=group
            )
            # What was here already is no edit, and its undo is not this device's.
            if not same:
                for index, pid in enumerate(pids):
                    self.kept[group + bytes([index])] = Kept(number, "photo", pid)
        self.ends(number)

    def edit(self, number: int, what: int, photo: int = 0, value: int = 0) -> None:
        """Change something about a photo, or an album."""
        number = self.number(number)
        device = self.device(number)
        self.begins("edit", number, what, photo, value)
        library, mine = device.library, f"{WORD}-{self.steps}"
        pids = [*library.catalog.pids(""), *library.catalog.pids("is:trash")]
        with self.may_be_revoked(number):
            if not pids or what % 9 == 0:
                album = edits.create_album(library, mine)
                group = next(iter(history.entries(library, 1))).group
                self.kept[group] = Kept(number, "album", name=mine)
                if pids:
                    edits.add_to_album(library, [pids[photo % len(pids)]], album)
            else:
                self._edit_photo(number, what % 9, pids[photo % len(pids)], value, mine)
        self.ends(number)

    def _edit_photo(self, number: int, what: int, pid: bytes, value: int, mine: str) -> None:
        library = self.devices[number].library
        if what in {1, 2}:
            receipt = edits.add_label(library, [pid], mine)
            self.kept[receipt.group] = Kept(number, "label", pid, mine)
            return
        shared = (f"{WORD}-lake", f"{WORD}-dog")[value % 2]
        change: Callable[[], object] = (
            lambda: edits.add_label(library, [pid], shared),
            lambda: edits.remove_label(library, [pid], shared),
            lambda: edits.set_caption(library, [pid], f"{mine} {value}"),
            lambda: edits.set_rating(library, [pid], value % 6),
            lambda: edits.trash(library, [pid]),
            lambda: edits.restore(library, [pid]),
        )[what - 3]
        change()

    def undo(self, number: int) -> None:
        """Take back a device's newest edit."""
        number = self.number(number)
        device = self.device(number)
        self.begins("undo", number)
        with self.may_be_revoked(number), contextlib.suppress(NothingToUndo):
            self.kept.pop(history.undo(device.library).group, None)
        self.ends(number)

    def purge(self, number: int, photo: int) -> None:
        """Destroy a photo for good."""
        number = self.number(number)
        device = self.device(number)
        pids = [*device.library.catalog.pids(""), *device.library.catalog.pids("is:trash")]
        if pids:
            self.begins("purge", number, photo)
            with self.may_be_revoked(number):
                edits.purge(device.library, [pids[photo % len(pids)]])
                self.purged.add(pids[photo % len(pids)])
            self.ends(number)

    def add_device(self, by: int) -> None:
        """Add a device by another one."""
        inviter = self.device(by).library
        if len(self.devices) < MOST_DEVICES and self.number(by) not in self.revoked and inviter.members.is_member:
            self.begins("add_device", by)
            self.added_by[len(self.devices)] = self.number(by)
            self.devices.append(add_device(self.folder, self.devices, self.crook, self.number(by)))
            self.ends(len(self.devices) - 1)

    def revoke(self, number: int, by: int) -> None:
        """Have one device take out another."""
        number, by = self.number(number), self.number(by)
        if number == by or by in self.revoked or len(self.devices) - len(self.revoked) < 2:
            return
        self.begins("revoke", number, by)
        with contextlib.suppress(Refused):  # it has not heard of that one yet, or knows that it is out
            before = self.held_somewhere()
            revoke(self.devices[by].library, self.devices[number].id)
            self.revoked.add(number)
            self.lost_by_others |= before - self.held_somewhere()
        self.ends(by)

    def restart(self, number: int, *, killed: bool = False) -> None:
        """Close a device's library and open it again; `killed`: without its being told."""
        number = self.number(number)
        self.begins("restart", number, killed=killed)
        device = self.device(number)
        if killed:
            self._abandon(device)
        else:
            device.reopen()
        self.ends(number)

    def keep_all(self, number: int, *, wanted: bool) -> None:
        """Have a device keep every original, or not any more."""
        number = self.number(number)
        self.begins("keep_all", number, wanted=wanted)
        with self.may_be_revoked(number):
            keep_every_original(self.device(number).library, wanted=wanted)
        self.ends(number)

    def free(self, number: int, *, single_copy: bool) -> None:
        """Drop originals that are elsewhere."""
        number = self.number(number)
        self.begins("free", number, single_copy=single_copy)
        device = self.device(number)
        with contextlib.suppress(Refused, RelayRefused, RelayUnreachable):
            free(device.library, single_copy=single_copy, connect=self.crook.connect(number))
        self.ends(number)

    def checkpoint(self, number: int) -> None:
        """Make a checkpoint, however little it is worth it."""
        number = self.number(number)
        self.begins("checkpoint", number)
        device = self.device(number)
        with self.may_be_revoked(number):
            device.library.refresh()
            make_checkpoint(device.library, look(device.library))
        self.ends(number)

    # Sync, and what goes wrong with it

    def sync(
        self,
        number: int,
        plan: Sequence[Fault] = (),
        *,
        originals: bool | None = None,
    ) -> SyncReport | None:
        """Sync a device, with what the plan says going wrong; None: the process was killed."""
        number = self.number(number)
        self.begins("sync", number, list(plan), originals=originals)
        return self._sync(number, plan, originals=originals)

    def _sync(
        self,
        number: int,
        plan: Sequence[Fault] = (),
        *,
        originals: bool | None = None,
        meanwhile: tuple[int, Callable[[], object]] | None = None,
    ) -> SyncReport | None:
        device = self.device(number)
        engine = self._engine(number)
        self.crook.begin(plan, meanwhile)
        try:
            report = engine.run(originals=originals)
        except Killed:
            self._abandon(device)
            report = None
        except CoreError as error:
            # Only what stands in the way of this device's own writing is raised; the relay's faults are in the report.
            if not isinstance(error, NotAMember) or not self.may_be_out(number):
                raise
            report = None
        finally:
            self.crook.end()
        self.ends(number)
        return report

    def sync_two(self, number: int, other: int, at: int) -> None:
        """Sync two devices at once: the one does all of its own before the n-th request of the other."""
        number, other = self.number(number), self.number(other)
        self.begins("sync_two", number, other, at)

        def run_other() -> None:
            if number != other:
                with contextlib.suppress(NotAMember):
                    self._engine(other).run()

        self._sync(number, meanwhile=(at, run_other))
        self.ends(other)

    def edit_meanwhile(self, number: int, at: int, value: int) -> None:
        """Let another process on the same library write while this one syncs."""
        number = self.number(number)
        self.begins("edit_meanwhile", number, at, value)
        device = self.device(number)

        def write() -> None:
            with Library.open(device.root, device.secrets) as library, contextlib.suppress(NotAMember):
                edits.create_album(library, f"{WORD} meanwhile {value}")

        self._sync(number, meanwhile=(at, write))

    def kill(self, number: int, at: int) -> None:
        """Kill a process before the n-th request of its sync."""
        number = self.number(number)
        self.begins("kill", number, at)

        def die() -> None:
            raise Killed

        self._sync(number, meanwhile=(at, die))

    def release(self) -> None:
        """Let what the network held back arrive."""
        self.begins("release")
        self.crook.release()

    def withhold(self, author: int, reader: int, back: int = 0) -> None:
        """Keep from one device what another writes from here on, or has written of late."""
        author, reader = self.number(author), self.number(reader)
        if author == reader:
            return
        self.begins("withhold", author, reader, back)
        library = self.devices[author].library
        seq, hashed = library.log.head(self.devices[author].id)
        wanted = max(0, seq - back)
        found = library.log.hash_at(self.devices[author].id, wanted) if wanted else bytes(32)
        seq, hashed = (wanted, found) if found is not None else (seq, hashed)
        self.crook.hidden.setdefault(reader, {})[self.devices[author].id] = (seq, hashed)
        self.crook.happened.add("withhold")

    def relent(self) -> None:
        """Keep back nothing any more."""
        self.begins("relent")
        self.crook.hidden.clear()

    def back_up(self) -> None:
        """Keep a copy of the relay's database and blobs."""
        self.begins("back_up")
        self._backup = self._copy_of(min(self.crook.relays))

    def roll_back(self, *, announced: bool) -> None:
        """Put the relay back to the copy; `announced`: as `safelight-relay restore` does, which tells its clients."""
        if self._backup is None:
            return
        self.begins("roll_back", announced=announced)
        self.crook.happened.add("roll back")
        before = self.held_somewhere()
        number = min(self.crook.relays)
        self._close_relay(number)
        self.crook.relays[number] = self._open_copy(self._backup)
        if announced:
            relay = self.crook.relays[number]
            relay.run(begin_generation(relay.service.parts))
        self.lost_by_others |= before - self.held_somewhere()

    def fork(self, members: int) -> None:
        """Go on with two histories, and show the second to the devices whose bits are set in `members`."""
        if len(self.crook.relays) > 1:
            return
        self.begins("fork", members)
        self.crook.happened.add("fork")
        first = min(self.crook.relays)
        self.crook.relays[first + 1] = self._open_copy(self._copy_of(first))
        for number in range(MOST_DEVICES):
            self.crook.shows[number] = first + (members >> number & 1)

    def join(self, *, second: bool) -> None:
        """Show everybody one history again: the first, or the second."""
        if len(self.crook.relays) == 1:
            return
        self.begins("join", second=second)
        before = self.held_somewhere()
        self.crook.shows.clear()
        self._close_relay((min if second else max)(self.crook.relays))
        self.lost_by_others |= before - self.held_somewhere()

    def hostile_writes(self, what: int, victim: int) -> None:
        """Have a hostile member write something about a device; the first time, it is added by that one."""
        victim = self.number(victim)
        if self.may_be_out(victim):
            return
        self.begins("hostile_writes", what, victim)
        self.crook.happened.add("hostile member")
        library = self.devices[victim].library
        if self.member is None:
            library.rotate_if_due()
            self.member = HostileMember(library, self.crook.connect)
        if what % 7 == 6:  # what it has deleted at a relay is gone there
            self.lost_by_others.update(library.blobs.iter_ids())
        self.member.write(what, library, self.steps)
        self.ends(victim)

    def revoke_hostile(self, by: int) -> None:
        """Have a device take the hostile member out."""
        by = self.number(by)
        if self.member is not None and not self.may_be_out(by):
            self.begins("revoke_hostile", by)
            with contextlib.suppress(Refused):
                revoke(self.devices[by].library, self.member.id)
            self.ends(by)

    def months_pass(self, count: int = 1) -> None:
        """Let the graces end in which relays keep what they were told to drop."""
        self.begins("months_pass", count)
        for relay in self.crook.relays.values():
            self.clock.now += count * MONTH_S
            relay.run(sweep(relay.service.parts))

    def check(self) -> None:
        """End the mischief, sync until all is still, and assert what has to hold then."""
        Ending(self).check()

    @property
    def has_a_backup(self) -> bool:
        """Whether the relay can be put back."""
        return self._backup is not None

    def may_be_out(self, number: int) -> bool:
        """Tell whether a device was revoked, or came by one that was: it counts only for who knew of it by then."""
        by = self.added_by.get(number)
        return number in self.revoked or (by is not None and self.may_be_out(by))

    # Inside

    def number(self, number: int) -> int:
        """Return the number of a device that there is."""
        return number % len(self.devices)

    def device(self, number: int) -> Device:
        """Return a device."""
        return self.devices[self.number(number)]

    def begins(self, step: str, *arguments: object, **named: object) -> None:
        """Note a step, so that it can be taken again."""
        self.steps += 1
        self.clock.now += 1
        self.log.append(Step(step, arguments, named))

    def ends(self, number: int) -> None:
        """Assert what has to hold after each step: nothing that a device wrote is gone, and it can write on."""
        number = self.number(number)
        library = self.devices[number].library
        assert library.alarms == [], library.alarms
        device, seq, hashed = self.heads.get(number, (library.device_id, 0, bytes(32)))
        if seq and device == library.device_id and library.log.hash_at(device, seq) != hashed:
            raise Lost(f"device {number} lacks its own envelope {seq}")
        self.heads[number] = (library.device_id, *library.log.head(library.device_id))

    def _engine(self, number: int) -> SyncEngine:
        """Return what syncs a device. One that uses no relay any more (`undo` takes back also that) is told of it."""
        engine = self.device(number).engine
        if not engine.relays.urls():
            engine.relays.remember([URL])
        return engine

    @contextlib.contextmanager
    def may_be_revoked(self, number: int) -> Iterator[None]:
        """Let a device that was revoked be told so; nobody else."""
        try:
            yield
        except NotAMember:
            assert self.may_be_out(number)

    def _abandon(self, device: Device) -> None:
        device.library.log.close()
        device._engine = None
        device.library = Library.open(device.root, device.secrets)

    def held_somewhere(self) -> set[bytes]:
        """Return the originals that a device that is in, or the relay, has."""
        found = {
            blob
            for number, device in enumerate(self.devices)
            if number not in self.revoked
            for blob in device.library.blobs.iter_ids()
        }
        for relay in self.crook.relays.values():
            names = [path.name.partition(".")[0] for path in (relay.data / "blobs" / "blobs").rglob("*")]
            found.update(bytes.fromhex(name) for name in names if len(name) == 64)
        return found

    def _copy_of(self, number: int) -> Path:
        """Copy a relay's files, as they lie there between two requests."""
        self._copies += 1
        target = self.folder / f"copy {self._copies}"
        shutil.copytree(self.crook.relays[number].data, target)
        return target

    def _open_copy(self, folder: Path) -> InProcessRelay:
        self._copies += 1
        target = self.folder / f"relay {self._copies}"
        shutil.copytree(folder, target)
        return InProcessRelay(target, self.clock)

    def _close_relay(self, number: int) -> None:
        relay = self.crook.relays.pop(number)
        assert '"broken"' not in relay.log.getvalue(), relay.log.getvalue()
        relay.close()
        shutil.rmtree(relay.data, ignore_errors=True)
