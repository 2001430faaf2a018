"""Two devices and a relay that go through one fault after the other, and a model of what has to be there.

The model is plain: file name -> what was said of the photo. A forked process tells each edit that was acknowledged; so
what a device shows afterwards is what was acknowledged, or that and the one edit that was under way.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from core import edits, history
from core.verify import DERIVED_DAMAGED, verify
from crdt.documents import shard_name
from crdt.operations import Put
from crdt.records import CopyRecord, PhotoFacts
from crdt.schema import copy_key, pid_key
from sync_relay.server.settings import Limits, Settings
from tests.core.one_worker import one_worker
from tests.core.sync.conftest import Device, Home, converged
from tests.crash.relay_process import RelayProcess
from tests.soak.beginning import Clock, memory_folder

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from core.library import Library

MARK = "unsealed"
"""Part of everything that must never be on the disk in the clear: names, captions, labels, contents."""
_OLD_S = 3 * 86_400
_SETTLE_EVERY = 3
_MANY = (1_000_000, 1_000_000.0)


class Lost(AssertionError):
    """Something that was acknowledged is not there, or something is there in part."""


@dataclass
class Facts:
    """What is known of one photo."""

    labels: set[str] = field(default_factory=set)
    albums: set[str] = field(default_factory=set)
    caption: str = ""
    rating: int = 0
    trashed: bool = False


Model = dict[str, Facts]


@dataclass(frozen=True)
class Edit:
    """One edit, and the model once it is made."""

    name: str
    do: Callable[[Library], object]
    after: Model


def shown(library: Library) -> Model:
    """Return what a library shows."""
    photos = [*library.catalog.search(""), *library.catalog.search("is:trash")]
    return {
        photo.filename or "?": Facts(
            {label.name for label in photo.labels},
            set(photo.albums),
            photo.caption or "",
            photo.rating,
            photo.trashed_at is not None,
        )
        for photo in photos
    }


def pids(library: Library, names: list[str]) -> list[bytes]:
    """Return the ids of photos by their names."""
    photos = [*library.catalog.search(""), *library.catalog.search("is:trash")]
    found = {photo.filename: photo.pid for photo in photos}
    return [found[name] for name in names]


def content(name: str) -> bytes:
    """Return what the file of a photo that `add_photos` adds holds."""
    return f"photo {MARK} {name}".encode() * 40


def add_photos(library: Library, names: list[str], month: str) -> None:
    """Add photos in one commit, each with an original."""
    operations = []
    document = ""
    for number, name in enumerate(names):
        original = content(name)
        hasher = library.epoch.photo_hasher()
        hasher.update(original)
        pid = hasher.digest()
        clock = f"{month}-{number % 28 + 1:02}T12:00:00"
        document = shard_name(clock, pid)
        ref = library.blobs.put_bytes(original)
        facts = PhotoFacts(width=400, height=300, size=len(original), mime="image/jpeg", wall_clock=clock)
        record = CopyRecord(role="original", key=ref.key, size=len(original), file_name=name)
        operations.append(Put("photo", pid_key(pid), facts.pack()))
        operations.append(Put("copy", copy_key(pid, ref.id), record.pack()))
    library.commit({document: operations}, action="import", summary="import")


class Plan:
    """Edits to be made one after the other; made up at random from what is known."""

    def __init__(self, model: Model, chance: random.Random, serial: int, *, only: str = "") -> None:
        """Begin with `model`; edit photos whose name begins with `only`."""
        self.before = copy.deepcopy(model)
        self.edits: list[Edit] = []
        self._model = copy.deepcopy(model)
        self._chance = chance
        self._serial = serial
        self._only = only

    @property
    def models(self) -> list[Model]:
        """The models before the first edit, and after each."""
        return [self.before, *(edit.after for edit in self.edits)]

    def add(self, count: int = 2) -> None:
        names = [f"{self._only}{MARK} {self._serial} {number}.jpg" for number in range(count)]
        month = f"20{self._chance.randrange(10, 24)}-{self._chance.randrange(1, 13):02}"
        for name in names:
            self._model[name] = Facts()
        self._note("add", lambda library: add_photos(library, names, month))

    def several(self, count: int) -> None:
        """Make `count` edits of any kind."""
        for _ in range(count):
            self._chance.choice([self._rate, self._label, self._caption, self._album, self._trash, self._purge])()

    def undo(self) -> None:
        """Rate photos, and take it back."""
        before = copy.deepcopy(self._model)
        self._rate()
        if self._model != before:
            self._model = before
            self._note("undo", history.undo)

    def make(self, library: Library, tell: Callable[[str], None] = lambda _: None) -> None:
        """Make what is left of the edits, by what the library shows now; tell each."""
        for edit in self.edits[self.done(library) :]:
            edit.do(library)
            tell(edit.name)

    def done(self, library: Library, acknowledged: int | None = None) -> int:
        """Return how many edits the library shows.

        Raise `Lost` where it shows none of the states there may be: of `acknowledged` edits, or of one more.
        """
        found, models = shown(library), self.models
        may_be = models if acknowledged is None else models[acknowledged : acknowledged + 2]
        if found not in may_be:
            raise Lost(
                f"of {[edit.name for edit in self.edits]}, {acknowledged} were acknowledged, and what is shown is "
                f"neither that nor one more:\n{found}\n{may_be[0]}"
            )
        return max(number for number, model in enumerate(models) if model == found)

    def _some(self, *, trashed: bool = False) -> list[str]:
        names = [
            name for name, facts in self._model.items() if name.startswith(self._only) and facts.trashed == trashed
        ]
        return self._chance.sample(names, min(2, len(names)))

    def _note(self, name: str, do: Callable[[Library], object]) -> None:
        self.edits.append(Edit(name, do, copy.deepcopy(self._model)))

    def _rate(self) -> None:
        names, stars = self._some(), self._chance.randrange(1, 6)
        if any(self._model[name].rating != stars for name in names):
            for name in names:
                self._model[name].rating = stars
            self._note("rate", lambda library: edits.set_rating(library, pids(library, names), stars))

    def _label(self) -> None:
        names, label = self._some(), f"{MARK} label {self._chance.randrange(4)}"
        if any(label not in self._model[name].labels for name in names):
            for name in names:
                self._model[name].labels.add(label)
            self._note("label", lambda library: edits.add_label(library, pids(library, names), label))

    def _caption(self) -> None:
        names, text = self._some(), f"{MARK} caption {self._chance.randrange(1 << 30)}"
        if names:
            for name in names:
                self._model[name].caption = text
            self._note("caption", lambda library: edits.set_caption(library, pids(library, names), text))

    def _album(self) -> None:
        names, album = self._some(), f"{MARK} album {self._serial} {len(self.edits)}"
        if names:
            self._note("new album", lambda library: edits.create_album(library, album))
            for name in names:
                self._model[name].albums.add(album)
            self._note("album", lambda library: _put_into(library, names, album))

    def _trash(self) -> None:
        names = self._some()[:1]
        if names:
            for name in names:
                self._model[name].trashed = True
            self._note("trash", lambda library: edits.trash(library, pids(library, names)))

    def _purge(self) -> None:
        names = self._some(trashed=True)
        if names:
            for name in names:
                del self._model[name]
            self._note("purge", lambda library: edits.purge(library, pids(library, names)))


def _put_into(library: Library, names: list[str], album: str) -> None:
    ids = [found.id for found in library.catalog.albums() if found.name == album]
    edits.add_to_album(library, pids(library, names), ids[0] if ids else edits.create_album(library, album))


@dataclass(frozen=True)
class Saved:
    """A household as it was: its folder, what was known then, and what time it was for the relay."""

    folder: Path
    model: Model
    time: int


class Household:
    """Two devices of one library, and a relay between them, in a folder of their own.

    It is kept where files cost no disk: a process that is killed leaves the same there, and what a power cut leaves is
    worked out (`tests.crash.power`).
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._top = Path(tempfile.mkdtemp(prefix="safelight-crash-", dir=memory_folder()))
        self.folder = self._top / "now"
        self.state = self.folder / "state"
        self.model: Model = {}
        self.serial = 0
        self._begun = False
        self._unsettled = 0
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self._top, ignore_errors=True)
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setenv("SAFELIGHT_STATE_DIR", str(self.state))
            stack.enter_context(one_worker())  # a forked process has its own
            self.clock = Clock(int(time.time()))  # commands of the relay ask the machine
            # As many requests as there are rounds: how many a second are allowed is shown elsewhere.
            limits = Limits(part_bytes=64 << 10, anonymous_rate=_MANY, library_rate=_MANY, pairing_rate=_MANY)
            self.relay = RelayProcess(
                Settings(data=self.folder / "relay", limits=limits), self.clock, self._top / "relay's log"
            )
            stack.callback(self.relay.close)
            invite = self.relay.invite()
            self.relay.start()
            self.home = Home(self.folder)
            stack.callback(self.home.close)
            self.first = self.home.found()
            self.first.engine.relays.use(self.relay.url, invite)
            self.first.sync()
            self.second = self.home.add()
            self.first.sync()
            self.second.sync()
            self._beginning = self.save()
            self._parts = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._parts.close()

    def save(self) -> Saved:
        """Keep a copy of everything as it is now, and none of earlier times but of the beginning.

        The devices are closed for it, and stay so.
        """
        for device in self.home.devices:
            if not device.library._closed:
                device.library.save_derived()  # else each who opens it begins with the whole log
        self._rest()
        self.relay.stop()
        folder = self._top / ("saved" if self._begun else "beginning")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        self._begun = True
        self.relay.start()
        return Saved(folder, copy.deepcopy(self.model), self.clock.now)

    def put_back(self, saved: Saved) -> None:
        """Have everything as it was; the devices are closed."""
        self._rest()
        self.relay.kill()
        shutil.rmtree(self.folder)
        shutil.copytree(saved.folder, self.folder)
        self.model = copy.deepcopy(saved.model)
        self.clock.now = saved.time
        self.relay.start()

    def begin_anew(self) -> None:
        """Have two devices of an empty library again: what is looked at after each fault then stays small."""
        self.put_back(self._beginning)

    def _rest(self) -> None:
        for device in self.home.devices:
            device.close()
        del self.home.devices[2:]

    def roots(self, *devices: Device) -> list[Path]:
        """Return the folders in which these devices write."""
        return [*(device.root for device in devices), self.state]

    def plan(self, *, only: str = "") -> Plan:
        """Return an empty plan of edits from what is known now."""
        self.serial += 1
        return Plan(self.model, self.chance, self.serial, only=only)

    def settle(self, *, thoroughly: bool = True) -> None:
        """Sync both devices; expect that they show what is known, that all is sound, and nothing is in the clear.

        Unless `thoroughly`, only the first device's files are looked at, each blob and derived file and all.
        """
        self.open()
        self.first.sync()
        self.second.sync()
        if self.first.library.log.heads() != self.second.library.log.heads():
            self.first.sync()
        converged(self.first, self.second)
        expect(self.first.library, self.model)
        for device in (self.first, self.second):
            assert device.engine.alarms.list() == [], device.engine.alarms.list()
        expect_no_remains(self.first.library, self.first.root)
        if thoroughly:
            examine(self.second.library, self.folder)

    def settle_now_and_then(self) -> None:
        """Settle every third time: what the first device has alone was looked at, and syncing costs the most."""
        self._unsettled += 1
        if self._unsettled >= _SETTLE_EVERY:
            self._unsettled = 0
            self.settle(thoroughly=False)

    def open(self) -> None:
        """Open those of the two devices that are closed."""
        for device in (self.first, self.second):
            if device.library._closed:
                device.reopen()


class Prepared:
    """What several rounds begin with: brought about once, kept, and put back, because that costs a fraction of it."""

    def __init__(self, household: Household, bring_about: Callable[[], None], rounds: int = 8) -> None:
        """Bring it about anew after so many rounds; it ends with devices of which nobody needs to be open."""
        self._household = household
        self._bring_about = bring_about
        self._rounds = rounds
        self._left = 0
        self._saved: Saved | None = None

    def again(self) -> None:
        """Have it once more."""
        if self._left and self._saved is not None:
            self._household.put_back(self._saved)
        else:
            self._household.begin_anew()
            self._household.open()
            self._bring_about()
            self._saved = self._household.save()
            self._left = self._rounds
        self._left -= 1


def expect(library: Library, model: Model) -> None:
    """Raise `Lost` unless the library shows `model`."""
    found = shown(library)
    if found != model:
        raise Lost(f"shown is {found}, and not {model}")


def examine(library: Library, folder: Path) -> None:
    """Expect that everything stored is sound, and that nothing in `folder` can be read without a key."""
    assert list(library.alarms) == [], library.alarms
    _expect_sound(library)
    for path in _files(folder):
        assert MARK.encode() not in path.read_bytes(), f"{path.name} holds something in the clear"


def expect_no_remains(library: Library, root: Path) -> None:
    """Expect that all is sound, and that what killed processes left there goes with `verify --gc`, a day later."""
    for path in _remains(root):
        aged = path.stat().st_mtime - _OLD_S
        os.utime(path, (aged, aged))
    _expect_sound(library, gc=True)
    remains = [str(path.relative_to(root)) for path in _remains(root)]
    assert remains == [], remains


def _expect_sound(library: Library, *, gc: bool = False) -> None:
    problems = verify(library, deep=True, gc=gc).problems
    if problems and all(problem.name == DERIVED_DAMAGED for problem in problems):
        # Not synced, because nothing is lost with it: that it is named, and can be removed, is all that is promised.
        library.derived.remove_damaged()
        problems = verify(library, deep=True, gc=gc).problems
    assert problems == [], problems


def _remains(root: Path) -> list[Path]:
    """Return what nobody but a writer that is at work has a name for."""
    return [
        path
        for path in _files(root)
        if path.name != ".lock" and (path.name.startswith(".") or path.parent.name == "incoming")
    ]


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)
