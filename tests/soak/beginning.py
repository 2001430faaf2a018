"""What every run begins with: a library of two devices that have synced, made once and copied; and a time of its own.

Random bytes and the time are drawn from a seed, so that a run is the same each time.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import random
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.labelling import Labeller
from core.library import Library
from core.sync import transfers
from crypto.keys import DeviceSecrets
from crypto.membership_change import countersign, draft_add
from tests import compiled_statements
from tests.core.one_worker import one_worker
from tests.core.sync.conftest import COSTS, PASSPHRASE, Device
from tests.soak.crook import WORD, Crook
from tests.soak.in_process import URL, InProcessRelay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml.labels import LabelRules

compiled_statements.share()


@dataclass
class Clock:
    """The time, for devices and relays alike; every step takes a second."""

    now: int = 1_800_000_000

    def __call__(self) -> int:
        return self.now


_find_rules = Labeller._find_rules


@functools.cache
def _rules_of(model: str) -> LabelRules | None:
    return _find_rules(Labeller(), model)


def _rules(_: Labeller, model: str) -> LabelRules | None:
    """Return what a library makes of a model's classes: the same in all of them, which know no packs of their own."""
    return _rules_of(model)


@contextlib.contextmanager
def repeatable(seed: int, clock: Clock, state: Path) -> Iterator[None]:
    """Draw the main thread's random bytes from a seed and take the time from `clock`; keep heads of chains in `state`.

    Blobs go one at a time, so that their requests come in the same order each time.
    """
    drawn, main, system = random.Random(seed), threading.main_thread(), os.urandom

    def draw(size: int | None = None) -> bytes:
        count = 32 if size is None else size
        return drawn.randbytes(count) if threading.current_thread() is main else system(count)

    with one_worker(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_bytes", draw)
        patch.setattr(secrets, "token_hex", lambda size=None: draw(size).hex())
        patch.setattr(os, "urandom", draw)
        patch.setattr(time, "time", lambda: float(clock.now))
        patch.setattr(transfers, "AT_ONCE", 1)
        # Derived files are written and read again also in runs of some dozens of envelopes; each opening is short then.
        patch.setattr("core.view._LONG_TAIL_ENVELOPES", 6)
        patch.setattr("core.view._VERY_LONG_TAIL_ENVELOPES", 12)
        patch.setattr("core.replicas.LONG_TAIL", 8)
        patch.setattr(Labeller, "_find_rules", _rules)
        patch.setenv("SAFELIGHT_STATE_DIR", str(state))
        yield


def memory_folder() -> str | None:
    """Return where files cost no disk, if there is such a place: what is durable is for the crash tests."""
    shared = Path("/dev/shm")  # noqa: S108 (the operating system's own)
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None


@dataclass(frozen=True)
class Beginning:
    """A library of two devices that have synced, to be copied: it takes a second to make."""

    folder: Path
    secrets: tuple[DeviceSecrets, ...]
    clock: int


def make_beginning(folder: Path) -> Beginning:
    """Make a library of two devices with a relay, and close it all."""
    clock = Clock()
    with repeatable(0, clock, folder / "state"):
        relay = InProcessRelay(folder / "relay", clock)
        crook = Crook(relay)
        library, _ = Library.create(folder / "device 0", PASSPHRASE, device_name=f"{WORD} 0", kdf=COSTS)
        first = Device(folder / "device 0", library.members.secrets, library, crook.connect(0))
        first.engine.relays.use(URL, relay.invite())
        second = add_device(folder, [first], crook)
        for device in (first, second, first):
            device.sync()
        for device in (first, second):
            device.close()
        relay.close()
    return Beginning(folder, (first.secrets, second.secrets), clock.now)


def add_device(folder: Path, devices: Sequence[Device], crook: Crook, by: int = 0) -> Device:
    """Add a device that knows the membership entries, and the relay, of device `by`; it has synced nothing."""
    inviter, number = devices[by].library, len(devices)
    inviter.rotate_if_due()  # as pairing does first
    newcomer, members = DeviceSecrets.generate(), inviter.members
    draft = draft_add(
        members.membership, members.secrets, members.keyring, newcomer.device_id, newcomer.exchange_public
    )
    inviter.add_entries([countersign(draft, inviter.library_id, newcomer)])
    entries = inviter.log.membership_entries()
    genesis = entries.pop(inviter.library_id)
    root = folder / f"device {number}"
    library = Library.create_from(root, PASSPHRASE, newcomer, genesis, list(entries.values()), kdf=COSTS)
    device = Device(root, newcomer, library, crook.connect(number))
    device.engine.relays.remember([URL])
    return device


@functools.cache
def beginning() -> Beginning:
    """Return what every run of this process begins with."""
    folder = Path(tempfile.mkdtemp(prefix="safelight-beginning-", dir=memory_folder()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_beginning(folder)
