"""Three devices and a relay: whatever happens to any of them, they end equal.

The relay, what runs at the same time and what is killed are processes of their own; other commands do without one.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from sync_relay.server.__main__ import run as relay_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Safelight

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes as POSIX does")


class Relay:
    """`safelight-relay serve` on one port, started as often as a test likes."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "sync_relay.server", *arguments, "--data", str(self.data)]

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command("serve", "--port", str(self.port)),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stderr is not None
        for text in self.process.stderr:
            line = json.loads(text)
            if line["event"] == "starting":
                self.port = int(line["port"])
            if line["event"] == "ready":
                return
        raise AssertionError("the relay ended before it was ready")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.communicate()
            self.process = None

    def invite(self) -> str:
        told = io.StringIO()
        with redirect_stdout(told):
            assert relay_command(["invite", "--json", "--data", str(self.data)]) == 0
        invite: str = json.loads(told.getvalue())["invite"]
        return invite


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    relay = Relay(tmp_path / "relay")
    yield relay
    relay.stop()


@pytest.fixture
def machine(safelight: Safelight, tmp_path: Path) -> Callable[[str], Safelight]:
    """Give a function that makes a machine of its own: its library, its memory of libraries, its agents."""

    def make(name: str) -> Safelight:
        library = tmp_path / name / "library"
        environment = dict(
            safelight.environment,
            SAFELIGHT_LIBRARY=str(library),
            SAFELIGHT_STATE_DIR=str(tmp_path / name / "state"),
            SAFELIGHT_RUNTIME_DIR=str(tmp_path / name / "run"),
        )
        return replace(safelight, library=library, environment=environment)

    return make


def pictures(folder: Path, count: int, seed: int) -> Path:
    """Make pictures that no other seed makes."""
    folder.mkdir(parents=True)
    for number in range(count):
        noise = random.Random(seed * 1_000 + number).randbytes(48 * 32 * 3)
        Image.frombytes("RGB", (48, 32), noise).save(folder / f"picture {seed}-{number}.jpg", quality=92)
    return folder


def bring_in(device: Safelight, folder: Path) -> None:
    device.here("import", "--no-labels", folder)


def join(inviter: Safelight, newcomer: Safelight, relay: Relay, name: str) -> None:
    process = inviter.start("device", "add", "--yes", "--json")
    assert process.stdout is not None
    code = json.loads(process.stdout.readline())["code"]
    newcomer.here("join", relay.url, code, "--name", name)
    _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told


def shown(device: Safelight) -> list[dict[str, Any]]:
    """Return all that `search` shows, by photo."""
    return sorted(device.asked("search"), key=lambda photo: str(photo["id"]))


def equal(*devices: Safelight) -> list[dict[str, Any]]:
    first, *others = [shown(device) for device in devices]
    for other in others:
        assert other == first
    return first


def sync(*devices: Safelight) -> None:
    """Sync devices, all at once."""
    for process in [device.start("sync") for device in devices]:
        out, told = process.communicate(timeout=600)
        assert process.returncode == 0, (out, told)


def sync_in_turn(*devices: Safelight) -> None:
    for device in devices:
        device.here("sync")


def kill_in_the_middle(device: Safelight, events: int) -> None:
    """Start to sync, and kill the process once it has told so many steps."""
    process = device.start("sync", "--json")
    assert process.stdout is not None
    for _ in range(events):
        if not process.stdout.readline():
            break
    process.kill()
    process.communicate(timeout=600)


def test_three_devices_end_equal_whatever_happens(
    machine: Callable[[str], Safelight], relay: Relay, tmp_path: Path
) -> None:
    desk, laptop, phone = machine("desk"), machine("laptop"), machine("phone")
    everybody = (desk, laptop, phone)
    desk.here("init", "--name", "desk")
    bring_in(desk, pictures(tmp_path / "first", 6, 1))
    desk.here("relay", "use", relay.url, "--invite", relay.invite())
    desk.run("sync")
    join(desk, laptop, relay, "laptop")
    join(laptop, phone, relay, "phone")
    sync_in_turn(desk, laptop)
    ids = [photo["id"] for photo in equal(*everybody)]
    assert len(ids) == 6
    assert {one["name"] for one in desk.asked("device", "list")} == {"desk", "laptop", "phone"}

    # Nobody can reach the relay, everybody goes on: edits on all, each knowing of the others' only afterwards; one file
    # is imported by two of them.
    relay.stop(signal.SIGKILL)
    bring_in(desk, pictures(tmp_path / "second", 4, 2))
    bring_in(laptop, pictures(tmp_path / "third", 3, 3))
    bring_in(phone, tmp_path / "third")
    desk.here("label", "add", "lighthouse", ids[0], ids[1])
    laptop.here("rate", "5", ids[1], ids[2])
    phone.here("caption", "by the sea", ids[2])
    phone.here("trash", ids[5])
    laptop.here("sync", code=5)
    relay.start()

    # Each is killed in the middle of its first sync since then; what it had begun, it ends the next time.
    for number, device in enumerate(everybody):
        kill_in_the_middle(device, 1 + 2 * number)
    sync(*everybody)
    sync_in_turn(*everybody)
    assert len(equal(*everybody)) == 12
    assert [photo["id"] for photo in laptop.asked("search", "is:trash")] == [ids[5]]
    assert len(phone.asked("search", "label:lighthouse")) == 2
    laptop.here("verify")


def test_devices_that_watch_end_equal_and_one_that_is_lost_is_out(
    machine: Callable[[str], Safelight], relay: Relay, tmp_path: Path
) -> None:
    desk, laptop = machine("desk"), machine("laptop")
    desk.here("init", "--name", "desk")
    bring_in(desk, pictures(tmp_path / "first", 2, 1))
    desk.here("relay", "use", relay.url, "--invite", relay.invite())
    desk.here("sync")
    join(desk, laptop, relay, "laptop")
    watching = [device.start("sync", "--watch", "--json") for device in (desk, laptop)]
    try:
        ids = [photo["id"] for photo in desk.asked("search")]
        desk.here("label", "add", "lighthouse", *ids)
        # An event tells of each thing that came.
        wait_for(watching[1], lambda event: event.get("event") == "relay" and event["pulled"] > 0)
        laptop.here("rate", "4", *ids)
        wait_for(watching[0], lambda event: event.get("event") == "relay" and event["pulled"] > 0)
    finally:
        for process in watching:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=600)
    sync_in_turn(desk, laptop)
    (first, second) = equal(desk, laptop)
    assert first["rating"] == second["rating"] == 4

    # The laptop is lost: it gets and gives nothing more.
    laptop.here("caption", "never sent", ids[0])
    desk.here("device", "revoke", "laptop", "--yes")
    desk.here("label", "add", "after", ids[0])
    desk.here("sync")
    laptop.here("sync", code=6)
    assert laptop.asked("search", "label:after") == []
    assert desk.asked("search", '"never sent"') == []


def wait_for(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if wanted(json.loads(line)):
            return
    raise AssertionError("it ended without that")
