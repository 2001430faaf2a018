"""What is interrupted once in the life of a folder: it is made, its formats are migrated, a copy becomes a device.

Each begins with the same folder again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from core import log_schema, view
from core.errors import LibraryExists
from core.library import Library
from core.unshown_phrase import first_phrase_was_shown, unshown_phrase
from crypto import kdf
from sync_relay.server.database import Database, newest_revision
from sync_relay.server.settings import Settings
from tests.core.sync.conftest import COSTS, PASSPHRASE
from tests.crash.household import MARK, Lost, Plan, examine, expect
from tests.crash.operation import Operation

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.crash.forked import Ended, Session

_SCHEMA_1 = {"fact", "membership", "envelope", "chain_head", "blob_state"}
"""The tables of the first schema that are as they were; its tables about relays were empty."""


class Folder:
    """A folder that is put back before each round; it takes the place of the machine's own state, too."""

    def __init__(self) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="safelight-crash-"))
        self.now, self._saved = self.top / "now", self.top / "saved"
        self._outside: str | None = None

    def __enter__(self) -> Self:
        self._outside = os.environ.get("SAFELIGHT_STATE_DIR")
        os.environ["SAFELIGHT_STATE_DIR"] = str(self.now / "state")
        return self

    def __exit__(self, *_error: object) -> None:
        if self._outside is None:
            os.environ.pop("SAFELIGHT_STATE_DIR", None)
        else:
            os.environ["SAFELIGHT_STATE_DIR"] = self._outside
        shutil.rmtree(self.top, ignore_errors=True)

    def save(self) -> None:
        shutil.copytree(self.now, self._saved)

    def put_back(self) -> None:
        shutil.rmtree(self.now)
        shutil.copytree(self._saved, self.now)


class Founding(Operation):
    """A library is made."""

    name = "init"

    def __init__(self, folder: Folder, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self._root = folder.now / "library"
        folder.save()

    def prepare(self) -> list[Path]:
        self._folder.put_back()
        return [self._folder.now]

    def work(self, session: Session) -> None:
        session.attempt(lambda: self._found(session))

    def _found(self, session: Session | None = None) -> None:
        library, _ = Library.create(self._root, PASSPHRASE, device_name=MARK, kdf=COSTS, keep_phrase=True)
        with library:
            if session is not None:
                session.tell("made")
                first_phrase_was_shown(library)
                session.tell("shown")

    def check(self, ended: Ended) -> None:
        if ended.done and not (self._root / "library.toml").exists():
            raise Lost("a library was acknowledged, and is not there")
        with contextlib.suppress(LibraryExists):
            self._found()
        with Library.open(self._root, Library.unlock(self._root, PASSPHRASE)) as library:
            examine(library, self._folder.now)
            is_kept = unshown_phrase(library) is not None
            if ("made" not in ended.done and not is_kept) or ("shown" in ended.done and is_kept):
                raise Lost(f"a phrase that nobody has seen, or somebody has, is kept: {is_kept}")
            plan = Plan({}, self._chance, 1)
            plan.add()
            plan.make(library)
            expect(library, plan.models[-1])


class Upgrading(Operation):
    """A library of the first schema, whose derived files another version made, is opened and edited."""

    name = "migrate a library"

    def __init__(self, folder: Folder, chance: random.Random) -> None:
        self._folder = folder
        self._root = folder.now / "library"
        library, _ = Library.create(self._root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
        self._secrets = library.members.secrets
        before = Plan({}, chance, 1)
        before.add(3)
        before.several(3)
        with library:
            before.make(library)
            library.save_derived()
        self._plan = Plan(before.models[-1], chance, 2)
        self._plan.add(1)
        self._plan.several(1)
        self._age()
        folder.save()

    def _age(self) -> None:
        """Make the folder one that an earlier version left."""
        with contextlib.closing(sqlite3.connect(self._root / "log.db")) as log:
            for table in log_schema.metadata.tables:
                if table not in _SCHEMA_1:
                    log.execute(f"DROP TABLE {table}")
            log.execute("CREATE TABLE relay (id BLOB NOT NULL PRIMARY KEY, cursor INTEGER NOT NULL)")
            log.execute("CREATE TABLE outbox (relay BLOB NOT NULL, position INTEGER NOT NULL)")
            log.execute("PRAGMA user_version=1")
            log.commit()

    def prepare(self) -> list[Path]:
        self._folder.put_back()
        return [self._folder.now]

    def work(self, session: Session) -> None:
        view._derivation = lambda: "of another version"  # type: ignore[assignment]

        def edit() -> None:
            with Library.open(self._root, self._secrets) as library:
                session.insist(lambda: self._plan.make(library, session.tell))
                library.save_derived()

        session.insist(edit)

    def check(self, ended: Ended) -> None:
        with Library.open(self._root, self._secrets) as library:
            examine(library, self._folder.now)
            self._plan.done(library, len(ended.done))
            self._plan.make(library)
            self._look(library)
        with contextlib.closing(sqlite3.connect(self._root / "log.db")) as log:
            (version,) = log.execute("PRAGMA user_version").fetchone()
        assert version == log_schema.SCHEMA_VERSION

    def _look(self, library: Library) -> None:
        assert len(library.log.heads()) == 1


class Succeeding(Upgrading):
    """A copied folder becomes a device of its own with its next edit; its `library.toml` then has another format."""

    name = "copy"

    def _age(self) -> None:
        """Let this machine know nothing of the folder."""
        shutil.rmtree(self._folder.now / "state")

    def _look(self, library: Library) -> None:
        """The old device and the new one are members, and no third one, however often it was tried."""
        members = [member for member in library.members.membership.members.values() if not member.is_phrase]
        assert len(members) == 2, members
        assert library.device_id != self._secrets.device_id


class UpgradingRelay(Operation):
    """A relay whose database an earlier version made is started."""

    name = "migrate a relay"

    def __init__(self, folder: Folder, _chance: random.Random) -> None:
        self._folder = folder
        self._settings = Settings(data=folder.now)
        asyncio.run(self._migrate())
        with contextlib.closing(sqlite3.connect(folder.now / "relay.db")) as database:
            database.execute("DROP INDEX ix_blob_unfinished")
            database.execute("UPDATE alembic_version SET version_num = '0001'")
            database.commit()
            self._rows = self._read(database)
        folder.save()

    async def _migrate(self) -> None:
        database = Database(self._settings.database)
        try:
            await database.migrate()
            await database.check()
        finally:
            await database.close()

    def prepare(self) -> list[Path]:
        self._folder.put_back()
        return [self._folder.now]

    def work(self, session: Session) -> None:
        session.insist(lambda: asyncio.run(self._migrate()))
        session.tell("migrated")

    def check(self, ended: Ended) -> None:
        if ended.killed:
            asyncio.run(self._migrate())
        with contextlib.closing(sqlite3.connect(self._folder.now / "relay.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert database.execute("SELECT version_num FROM alembic_version").fetchone() == (newest_revision(),)
            assert database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ix_blob_unfinished'").fetchone()
            assert self._read(database) == self._rows

    @staticmethod
    def _read(database: sqlite3.Connection) -> list[tuple[str, bytes]]:
        return sorted(database.execute("SELECT name, value FROM relay"))


@contextlib.contextmanager
def migration(kind: type[Founding | Upgrading | UpgradingRelay], chance: random.Random) -> Iterator[Operation]:
    """Give one of these, in a folder of its own."""
    with Folder() as folder:
        folder.now.mkdir()
        yield kind(folder, chance)


MIGRATIONS: tuple[type[Founding | Upgrading | UpgradingRelay], ...] = (
    Founding,
    Upgrading,
    Succeeding,
    UpgradingRelay,
)
