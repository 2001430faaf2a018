"""What has to hold at the end of a run, once nobody does anything wrong any more and all devices have synced."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from core.errors import BlobMissing
from core.sync.alarms import SyncAlarms
from core.verify import verify
from tests.core.sync.conftest import shown
from tests.soak.crook import PLANTED, WORD
from tests.soak.in_process import URL
from tests.soak.mischief import HARMLESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.log import Vector
    from tests.soak.world import World

_ROUNDS: Final = 10
# An id of at least four bytes, or the relay's address: what an alarm has to say it is about.
_NAMED: Final = re.compile(rf"[0-9a-f]{{8}}|{re.escape(URL)}|https://")


class Lost(AssertionError):
    """Something that a device had acknowledged is gone."""


def assert_same(one: dict[str, Any], other: dict[str, Any], what: str) -> None:
    """Assert that what is shown is the same; the message says where it differs."""
    differing = {key: (one[key], other[key]) for key in one if one[key] != other[key]}
    assert not differing, f"{what} differ: {differing}"


def _of_photos(shown_now: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of photos, but for the albums they are in, which are another document's."""
    photos = [
        [(name, value) for name, value in photo if name not in {"albums", "album_ids"}] for photo in shown_now["photos"]
    ]
    return {"photos": sorted(photos, key=str), "bundles": shown_now["bundles"]}


class Ending:
    """The end of one run."""

    def __init__(self, world: World) -> None:
        """End what happens in `world`."""
        self.world = world

    def check(self) -> None:
        """End the mischief, sync until all is still, and assert what has to hold then."""
        self.world.begins("check")
        self.world.crook.make_peace()
        self.world.join(second=bool(self.world.seed % 2))
        self._settle_who_is_in()
        self._until_still()
        honest = [number for number in range(len(self.world.devices)) if number not in self.world.revoked]
        self._named_alarms()
        self._relay_reads_nothing()
        if honest:
            self._same(honest)
        # To open, rebuild and verify takes as long as all the rest: one device a run.
        self._saved_files_load(self.world.seed // 2 % len(self.world.devices))

    def _same(self, honest: Sequence[int]) -> None:
        """Assert that devices show the same, and that nothing was lost."""
        first = self.world.devices[honest[0]]
        first_shown = shown(first)
        apart = False
        for number in honest:
            device = self.world.devices[number]
            what, now = f"what devices {number} and {honest[0]} show", shown(device)
            if now != first_shown and self._is_told_of_two_stories(number, honest[0]):
                assert_same(_of_photos(now), _of_photos(first_shown), what)
                apart = True
            else:
                assert_same(now, first_shown, what)
            assert self._heads(number) == self._heads(honest[0]), f"heads of devices {number} and {honest[0]}"
            memberships = [one.library.members.membership.membership for one in (device, first)]
            assert memberships[0] == memberships[1], f"membership of device {number}"
        self._nothing_lost(honest, apart=apart)

    def _heads(self, number: int) -> Vector:
        """Return the newest envelopes that a device has; of a member that told two stories, each may have its own."""
        heads, member = self.world.devices[number].library.log.heads(), self.world.member
        if member is not None and member.told_two_stories:
            heads.pop(member.id, None)
        return heads

    def _is_told_of_two_stories(self, *numbers: int) -> bool:
        """Tell whether one of these devices says, by name, that it may show something else than the other, and why.

        The invariant is that honest devices converge, or that a named alarm says which device and which envelope. Of a
        member's two envelopes with one number each device keeps the one it saw first, and what it was told is final:
        others have built on it. So an edit of an honest device that builds on the one story, in the document that the
        member wrote to, waits for good on those that have the other. Nobody else could decide which is the true one: a
        relay keeps one of them, and is not trusted. Who reads the other story at a relay is alarmed, at every sync
        anew; the others are from its next envelope on, which says what it has seen, and until then they lack nothing of
        it. What holds all the same: no edit is gone from the device that made it, and nothing else is touched. The
        member of these runs writes to the document of albums and settings, so photos have to be the same.
        """
        member = self.world.member
        return member is not None and any(
            alarm.name == "forked" and f"{member.id.hex()[:12]} has two different envelopes" in alarm.message
            for number in numbers
            for alarm in SyncAlarms(self.world.devices[number].library).list()
        )

    def _settle_who_is_in(self) -> None:
        for number in 2 * list(range(len(self.world.devices))):
            self.world.sync(number)
        certain = [number for number in range(len(self.world.devices)) if not self.world.may_be_out(number)]
        members = self.world.devices[certain[0]].library.members if certain else None
        for number, device in enumerate(self.world.devices):
            if members is None or (self.world.may_be_out(number) and device.id not in members.membership.members):
                self.world.revoked.add(number)

    def _until_still(self) -> None:
        """Sync all devices in turn until a whole round changes nothing."""
        news: list[str] = []
        for _ in range(_ROUNDS):
            news = [
                f"device {number}: {told}" for number in range(len(self.world.devices)) for told in self._news(number)
            ]
            if not news:
                return
        raise AssertionError(f"it is not still after {_ROUNDS} rounds: {news}")

    def _news(self, number: int) -> list[str]:
        """Sync a device; return what is new by that, and what did not go well."""
        engine = self.world.devices[number].engine
        before = engine.standing()
        report = self.world.sync(number)
        if report is None or number in self.world.revoked:
            return []
        told = [repr(one) for one in report.relays if one.moved or not self._is_over(number, one.error)]
        told += [repr(alarm) for alarm in report.alarms]
        return told if before == engine.standing() else [*told, "wrote"]

    def _is_over(self, number: int, error: Exception | None) -> bool:
        """Tell whether nothing went wrong, or all that did is that a relay lost photos' files with whoever else had
        them, which every sync names anew.
        """
        if not isinstance(error, BlobMissing):
            return error is None
        blobs = {bytes.fromhex(name) for name in re.findall("[0-9a-f]{64}", str(error))}
        used = self.world.devices[number].library.catalog.blobs_in_use(blobs)
        return bool(blobs) and blobs <= used & self.world.lost_by_others

    def _named_alarms(self) -> None:
        harmless = self.world.crook.happened <= HARMLESS
        for number, device in enumerate(self.world.devices):
            kept = SyncAlarms(device.library).list()
            self.world.alarms += len(kept)
            for alarm in kept:
                # Whatever shows an alarm shows the relay it came from beside it.
                assert _NAMED.search(f"{alarm.message} {alarm.relay or ''}"), f"names nothing: {alarm}"
                assert alarm.hint, f"says nothing to do: {alarm}"
            # What a device that was revoked wrote afterwards is refused by name: nobody did anything wrong.
            told = [alarm.message for alarm in kept if alarm.name != "not-a-member" or not self.world.revoked]
            assert not (harmless and told), f"device {number} is alarmed, and nobody did anything wrong: {told}"

    def _relay_reads_nothing(self) -> None:
        for relay in self.world.crook.relays.values():
            log = relay.log.getvalue()
            assert '"broken"' not in log, log
            assert WORD not in log
            for path in relay.data.rglob("*"):
                assert not path.is_file() or PLANTED not in path.read_bytes(), path.name

    def _nothing_lost(self, honest: Sequence[int], *, apart: bool) -> None:
        for number in honest if apart else honest[:1]:
            self._nothing_lost_on(number, own=apart)

    def _nothing_lost_on(self, number: int, *, own: bool) -> None:
        """Assert that a device shows all that was kept, or, with `own`, all that it has made itself."""
        catalog = self.world.devices[number].library.catalog
        photos = {photo.pid: photo for query in ("", "is:trash") for photo in catalog.search(query)}
        albums = {album.name for album in catalog.albums()}
        blobs = self.world.held_somewhere()
        for kept in self.world.kept.values():
            if own and kept.author != number:
                continue
            if kept.author in self.world.revoked or kept.pid in self.world.purged:
                continue
            there = (
                kept.name in albums
                if kept.what == "album"
                else kept.pid in photos
                and (kept.what == "photo" or kept.name in {label.name for label in photos[kept.pid].labels})
            )
            if not there:
                raise Lost(f"{kept} is on no device any more")
            if kept.what == "photo":
                for copy in catalog.copies(kept.pid):
                    if copy.blob_id not in blobs | self.world.lost_by_others:
                        raise Lost(f"the original of {kept} is nowhere any more")

    def _saved_files_load(self, number: int) -> None:
        device = self.world.devices[number]
        before = shown(device)
        device.library.save_derived()
        device.reopen()
        library = device.library
        assert library.alarms == [], library.alarms
        assert_same(shown(device), before, f"device {number} before and after it was opened again")
        library.rebuild_view()
        assert library.alarms == [], library.alarms
        assert_same(shown(device), before, f"device {number} before and after a rebuild")
        problems = verify(library, deep=True).problems
        assert problems == [], problems
