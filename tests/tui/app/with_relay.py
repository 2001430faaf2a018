"""Libraries that meet at a relay which answers on a port, for the app's tests."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from core.joining import join
from core.mailbox import PACE
from core.pairing import invite_at
from core.sync.engine import SyncEngine
from core.sync.relays import Relays
from crypto.kdf import FLOOR, new_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from core.pairing import PairingCode
    from tests.sync_relay.running_relay import Relay
    from tests.tui.app.conftest import Bench

QUICK = replace(PACE, first=0.005, longest=0.05)
COSTS = new_parameters(*FLOOR)
OTHER_PASSPHRASE = b"another passphrase"


def put_at(bench: Bench, relay: Relay) -> Bench:
    """Use the relay, and bring everything there."""
    with bench.open() as library:
        Relays(library).use(relay.url, relay.invite())
        with closing(SyncEngine(library)) as engine:
            assert engine.run().worst_error is None
    return bench


def join_in_thread(url: str, code: PairingCode, root: Path, name: str) -> tuple[threading.Thread, list[Exception]]:
    """Join as another device; the list is why it failed, if it did."""
    failed: list[Exception] = []

    def work() -> None:
        try:
            join(url, code, name=name, root=root, passphrase=OTHER_PASSPHRASE, pace=QUICK, kdf=COSTS).close()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, failed


def add_device(bench: Bench, root: Path, name: str) -> Path:
    """Let another device join into `root`."""
    begun: list[tuple[threading.Thread, list[Exception]]] = []
    with bench.open() as library:
        invite_at(
            library,
            on_code=lambda url, code: begun.append(join_in_thread(url, code, root, name)),
            confirm=lambda _: True,
            stop=threading.Event(),
            pace=QUICK,
        )
        thread, failed = begun[0]
        thread.join()
        assert not failed, failed
        with closing(SyncEngine(library)) as engine:
            assert engine.run().worst_error is None
    return root
