"""What is interrupted: edits, an import, a sync, a checkpoint and its confirmation, a prune, a rotation of keys.

Each operation brings something about to do (`prepare`), does it in a forked process (`work`), and looks at what is
there afterwards, does what is left, and has both devices agree (`check`).
"""

from __future__ import annotations

import asyncio
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from core import devices
from core.errors import WrongPassphrase
from core.importing import committer
from core.importing.pipeline import import_paths
from core.library import Library
from core.sync import checkpoints
from core.sync.engine import SyncEngine
from core.sync.seen_checkpoints import look
from crypto import kdf
from crypto.keys import DeviceSecrets
from crypto.membership_change import countersign, draft_add
from sync_relay.server import removal
from sync_relay.server.objects import Objects
from sync_relay.server.service import Service
from tests.core.sync.conftest import PASSPHRASE, patience
from tests.crash.household import MARK, Facts, Household, Lost, Plan, Prepared, examine, shown
from tests.crash.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from core.catalog.records import Copy
    from core.importing.events import ImportEvent
    from tests.core.sync.conftest import Device
    from tests.crash.forked import Ended, Session

_MONTH_S = 31 * 86_400


class Editing(Operation):
    """Photos added, rated, labelled, captioned, put into albums, trashed and purged, and an undo."""

    name = "edit"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._plan = household.plan()
        self._originals: dict[str, bytes] = {}

    def prepare(self) -> list[Path]:
        first = self._household.first
        self._household.open()
        self._originals = {name: copies[0].blob_id for name, copies in _copies(first.library).items()}
        self._plan = self._household.plan()
        self._plan.add()
        self._plan.several(3)
        self._plan.undo()
        first.close()
        return self._household.roots(first)

    def work(self, session: Session) -> None:
        first = self._household.first

        def edit() -> None:
            with Library.open(first.root, first.secrets) as library:
                session.insist(lambda: self._plan.make(library, session.tell))
                library.save_derived()

        session.insist(edit)

    def check(self, ended: Ended) -> None:
        household = self._household
        household.open()
        library = household.first.library
        examine(library, household.folder)
        self._plan.done(library, len(ended.done))
        known = self._plan.models[len(ended.done)]
        left = [name for name, blob in self._originals.items() if name not in known and library.blobs.exists(blob)]
        if left and not ended.cut:
            raise Lost(f"{left} were purged, and their originals are here")
        self._plan.make(library)
        household.model = self._plan.models[-1]
        household.settle_now_and_then()


class Importing(Operation):
    """An import of a folder: half of the time the sources go, too."""

    name = "import"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._sources = household.folder.parent / (household.folder.name + " sources")
        self._files: dict[str, bytes] = {}
        self._move = False

    def prepare(self) -> list[Path]:
        household = self._household
        household.serial += 1
        shutil.rmtree(self._sources, ignore_errors=True)
        self._sources.mkdir()
        self._files = {}
        for number in range(4):
            exif = Image.Exif()
            exif[0x010F] = f"{MARK} maker {household.serial} {number}"
            exif.get_ifd(0x8769)[0x9003] = f"2024:{number % 2 + 1:02}:03 04:05:06"
            data = io.BytesIO()
            Image.new("RGB", (80, 60), (number * 30, 40, household.serial % 256)).save(data, "JPEG", exif=exif)
            self._files[f"import {MARK} {household.serial} {number}.jpg"] = data.getvalue()
        for name, content in self._files.items():
            (self._sources / name).write_bytes(content)
        (self._sources / "the last one again.jpg").write_bytes(content)
        self._move = household.chance.random() < 0.5
        household.first.close()
        return household.roots(household.first)

    def work(self, session: Session) -> None:
        first = self._household.first
        committer.MAX_PHOTOS = 2

        def run() -> None:
            with Library.open(first.root, first.secrets) as library:
                session.insist(lambda: self._run(library, session))

        session.insist(run)

    def _run(self, library: Library, session: Session | None = None) -> None:
        def progress(event: ImportEvent) -> None:
            assert event.kind != "failed", event.reason
            if session is not None and event.kind == "added" and event.path is not None:
                session.tell(Path(event.path).name)

        import_paths(library, [self._sources], label=False, workers=1, move=self._move, album="All", progress=progress)

    def check(self, ended: Ended) -> None:
        household = self._household
        household.open()
        library = household.first.library
        examine(library, household.folder)
        self._expect_whole(library, set(ended.done))
        if ended.killed:
            self._run(library)
        self._expect_whole(library, set(self._files))
        left = {path.name for path in self._sources.iterdir()}
        assert left == (set() if self._move else {*self._files, "the last one again.jpg"}), left
        for name in self._files:
            household.model[name] = Facts(albums={"All"})
        household.settle_now_and_then()

    def _expect_whole(self, library: Library, acknowledged: set[str]) -> None:
        known = self._household.model
        found = shown(library)
        if not acknowledged <= found.keys() or {name: found.get(name) for name in known} != known:
            raise Lost(f"{acknowledged} were acknowledged, and {set(found) - set(known)} are there")
        for photo in library.catalog.search("album:All"):
            name = photo.filename
            if name not in self._files:
                continue
            copies = {made.role: made for made in library.catalog.copies(photo.pid)}
            whole = set(copies) == {"original", "preview"} and library.catalog.thumbnail(photo.pid) is not None
            if not whole or library.blobs.read(copies["original"].blob_id, copies["original"].key) != self._files[name]:
                raise Lost(f"{name} is there in part")
        stray = [name for name in found.keys() - known.keys() if found[name] != Facts(albums={"All"})]
        if stray:
            raise Lost(f"{stray} are there in part")


class Syncing(Operation):
    """A device gives what it has and takes what the other gave; both have edited."""

    name = "sync"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._prepared = Prepared(household, self._write)
        self._originals = True

    def prepare(self) -> list[Path]:
        self._prepared.again()
        self._originals = self._household.chance.random() < 0.5
        return self._household.roots(self._household.first)

    def _write(self) -> None:
        household = self._household
        known = household.model
        for device, whose in ((household.first, "first "), (household.second, "second ")):
            plan = Plan({}, household.chance, household.serial, only=whose)
            plan.add()
            plan.several(3)
            plan.make(device.library)
            known = known | plan.models[-1]
        household.model = known
        household.second.sync()

    def work(self, session: Session) -> None:
        sync(self._household.first, session, "synced", originals=self._originals)

    def check(self, ended: Ended) -> None:
        household = self._household
        household.open()
        examine(household.first.library, household.folder)
        found = shown(household.first.library)
        own = {name: facts for name, facts in household.model.items() if not name.startswith("second ")}
        if {name: facts for name, facts in found.items() if not name.startswith("second ")} != own:
            raise Lost(f"shown is {found}, and not {own}")
        if "synced" in ended.done:
            # What was said to be with the relay is there, whatever becomes of this device.
            household.second.sync()
            if shown(household.second.library) != household.model:
                raise Lost("a sync was acknowledged, and the other device does not get what it gave")
        household.settle(thoroughly=False)


class Checkpointing(Operation):
    """A device makes a checkpoint, the other confirms it, and the relay is given the word to prune."""

    name = "checkpoint"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._prepared = Prepared(household, self.write)

    def prepare(self) -> list[Path]:
        self._prepared.again()
        return self._household.roots(self._household.first, self._household.second)

    def write(self) -> None:
        """Give the next checkpoint something to cover."""
        household = self._household
        plan = household.plan()
        plan.add()
        plan.make(household.first.library)
        household.model = plan.models[-1]

    def work(self, session: Session) -> None:
        least, checkpoints.LEAST_BYTES = checkpoints.LEAST_BYTES, 1  # type: ignore[misc]
        sync(self._household.first, session, "made")
        checkpoints.LEAST_BYTES = least  # type: ignore[misc]
        sync(self._household.second, session, "confirmed")
        sync(self._household.first, session, "told")

    def check(self, ended: Ended) -> None:
        household = self._household
        household.open()
        for device in (household.first, household.second):
            examine(device.library, household.folder)
        self.make()
        household.settle(thoroughly=False)

    def make(self) -> None:
        """Make a checkpoint to its end, undisturbed."""
        household = self._household
        household.second.sync()  # it may have confirmed one that no relay has heard of
        least, checkpoints.LEAST_BYTES = checkpoints.LEAST_BYTES, 1  # type: ignore[misc]
        try:
            household.first.sync()
        finally:
            checkpoints.LEAST_BYTES = least  # type: ignore[misc]
        for device in (household.second, household.first):
            device.sync()
        library = household.first.library
        newest = next(iter(look(library).newest()))
        assert newest.is_confirmed(library.members.membership), "the checkpoint was not confirmed"


class Pruning(Operation):
    """The relay drops what a confirmed checkpoint covers, a month later."""

    name = "prune"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._checkpointing = Checkpointing(household)
        self._prepared = Prepared(household, self._cover)

    def prepare(self) -> list[Path]:
        household = self._household
        self._prepared.again()
        household.relay.stop()
        household.clock.now += _MONTH_S
        return [household.relay.settings.data]

    def _cover(self) -> None:
        self._checkpointing.write()
        self._checkpointing.make()

    def work(self, session: Session) -> None:
        relay = self._household.relay
        folder = relay.settings.data / "blobs"

        async def delete(_objects: Objects, names: Iterable[str]) -> None:
            for name in names:
                (folder / name).unlink(missing_ok=True)

        # The store's own threads do not outlive a fork, and would be waited for for ever.
        Objects.delete = delete  # type: ignore[assignment, method-assign]

        async def run() -> None:
            parts = Service(relay.settings, clock=relay.clock).parts
            try:
                await parts.database.migrate()
                await removal.sweep(parts)
            finally:
                await parts.database.close()

        session.insist(lambda: asyncio.run(run()))
        session.tell("pruned")

    def check(self, ended: Ended) -> None:
        self._household.relay.expect_sound()
        self._household.relay.start()
        self._household.settle()

    def newcomer(self) -> None:
        """A device that is new gets everything from a relay that has pruned."""
        household = self._household
        device = household.home.add()
        household.first.sync()
        device.sync()
        if shown(device.library) != household.model:
            raise Lost("a new device does not get everything from a relay that has pruned")
        examine(device.library, household.folder)


class Rotating(Operation):
    """A device is revoked, which changes the epoch's key; then an edit, and another passphrase."""

    name = "rotate"

    def __init__(self, household: Household) -> None:
        self._household = household
        self._plan = household.plan()
        self._newcomer = b""
        self._epoch = b""
        self._passphrases = [PASSPHRASE, PASSPHRASE + b", anew"]

    def prepare(self) -> list[Path]:
        household = self._household
        household.open()
        library = household.first.library
        members = library.members
        newcomer = DeviceSecrets.generate()
        self._newcomer = newcomer.device_id
        draft = draft_add(
            members.membership, members.secrets, members.keyring, newcomer.device_id, newcomer.exchange_public
        )
        library.add_entries([countersign(draft, library.library_id, newcomer)])
        self._epoch = library.epoch.epoch_id
        self._plan = household.plan()
        self._plan.add()
        household.first.close()
        return household.roots(household.first)

    def work(self, session: Session) -> None:
        first = self._household.first

        def rotate() -> None:
            with Library.open(first.root, first.secrets) as library:
                session.insist(lambda: self._finish(library, session.tell))

        session.insist(rotate)

    def _change_passphrase(self) -> None:
        old, new = self._passphrases
        Library.change_passphrase(self._household.first.root, old, new, kdf=kdf.new_parameters(*kdf.FLOOR))

    def _finish(self, library: Library, tell: Callable[[str], None] = lambda _: None) -> None:
        if self._newcomer in library.members.membership.members:
            devices.revoke(library, self._newcomer)
        tell("revoked")
        self._plan.make(library, tell)
        if self._opens_with(self._passphrases[0]):
            self._change_passphrase()
        tell("passphrase")

    def _opens_with(self, passphrase: bytes) -> bool:
        try:
            return Library.unlock(self._household.first.root, passphrase) == self._household.first.secrets
        except WrongPassphrase:
            return False

    def check(self, ended: Ended) -> None:
        household = self._household
        household.open()
        library = household.first.library
        examine(library, household.folder)
        told = set(ended.done)
        is_member = self._newcomer in library.members.membership.members
        if "revoked" in told and is_member:
            raise Lost("a revocation was acknowledged, and the device is a member still")
        assert is_member == (library.epoch.epoch_id == self._epoch), "a revocation without another key"
        opens = [self._opens_with(passphrase) for passphrase in self._passphrases]
        if sum(opens) != 1 or ("passphrase" in told and not opens[1]):
            raise Lost(f"the old passphrase, and the new one, open the library: {opens}")
        self._plan.done(library, "add" in told)
        self._finish(library)
        self._passphrases.reverse()
        household.model = self._plan.models[-1]
        assert library.epoch.epoch_id != self._epoch
        household.settle_now_and_then()


def sync(device: Device, session: Session, word: str, *, originals: bool = True) -> None:
    """Sync a device in a forked process, and tell `word` if all went well."""

    def run() -> None:
        with Library.open(device.root, device.secrets) as library:
            session.insist(lambda: _run(library, originals=originals))
            session.tell(word)

    session.insist(run)


def _run(library: Library, *, originals: bool) -> None:
    engine = SyncEngine(library, patience=patience)
    try:
        error = engine.run(originals=originals).worst_error
    finally:
        engine.close()
    if error is not None:
        raise error


def _copies(library: Library) -> dict[str, list[Copy]]:
    photos = [*library.catalog.search(""), *library.catalog.search("is:trash")]
    return {photo.filename or "?": library.catalog.copies(photo.pid) for photo in photos}
