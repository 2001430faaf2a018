"""relay, sync and free, as scripts and people use them, with real relays: what is printed, and how they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import Withheld
from core.library import Library
from core.sync.alarms import SyncAlarms
from crypto import kdf
from sync_relay.server.settings import Settings
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay
from tests.tui.conftest import PASSPHRASE, CommandLine
from tui.cli import exit_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RELAY_LINE = [
    "event",
    "url",
    "pulled",
    "pushed",
    "blobs_up",
    "blobs_down",
    "bytes_up",
    "bytes_down",
    "error",
    "message",
    "hint",
]
DONE_LINE = [
    "event",
    "relays",
    "reached",
    "pulled",
    "pushed",
    "blobs_up",
    "blobs_down",
    "bytes_up",
    "bytes_down",
    "missing",
    "alarms",
    "seconds",
]


@pytest.fixture
def new_relay(tmp_path: Path) -> Iterator[Callable[[], Relay]]:
    started: list[Relay] = []

    def start() -> Relay:
        started.append(Relay(Settings(data=tmp_path / f"relay {len(started)}"), Clock()))
        return started[-1]

    yield start
    for relay in started:
        if relay.thread.is_alive():
            relay.stop()


@pytest.fixture
def relay(new_relay: Callable[[], Relay]) -> Relay:
    return new_relay()


def invite_file(folder: Path, relay: Relay, **quota: int) -> Path:
    path = folder / f"invite-{relay.port}"
    path.write_text(relay.invite(**quota) + "\n")
    return path


@pytest.fixture
def synced(filled: CommandLine, relay: Relay, tmp_path: Path) -> CommandLine:
    """A library of three photos, all of it at its relay."""
    filled("relay", "use", relay.url, "--invite-file", invite_file(tmp_path, relay))
    filled("sync")
    return filled


def raise_alarm(cli: CommandLine, message: str = "envelope 7 of device 00 is kept back") -> None:
    with Library.open(cli.root, Library.unlock(cli.root, PASSPHRASE.encode())) as library:
        SyncAlarms(library).raise_(Withheld(message, hint="Ask another relay."), "https://relay.example")


def findings(cli: CommandLine, *options: str) -> list[dict[str, Any]]:
    """What `doctor` finds, whether or not a model is built into this checkout."""
    return [json.loads(line) for line in cli("doctor", "--json", *options, code=None)]


# relay


def test_a_relay_is_used_listed_and_left(filled: CommandLine, relay: Relay, tmp_path: Path) -> None:
    assert filled("relay", "list") == []
    filled("relay", "use", relay.url + "/", "--invite-file", invite_file(tmp_path, relay))
    assert filled("relay", "list") == [relay.url]
    assert filled.json("relay", "list") == [{"url": relay.url}]
    filled("relay", "use", relay.url)
    filled("relay", "remove", relay.url)
    assert filled("relay", "list") == []
    filled("relay", "remove", relay.url, code=exit_codes.FAILED)
    assert "relay list" in filled.err


def test_an_invite_comes_by_option_file_or_standard_input(
    filled: CommandLine, new_relay: Callable[[], Relay], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    filled("relay", "use", (first := new_relay()).url, "--invite", first.invite())
    second = new_relay()
    monkeypatch.setattr(sys, "stdin", io.StringIO(second.invite() + "\n"))
    filled("relay", "use", second.url, "--invite-file", "-")
    assert sorted(filled("relay", "list")) == sorted([first.url, second.url])
    empty = tmp_path / "empty"
    empty.write_text("\n")
    filled("relay", "use", second.url, "--invite-file", empty, code=exit_codes.USAGE)
    filled("relay", "use", second.url, "--invite-file", tmp_path / "none", code=exit_codes.FAILED)
    filled("relay", "use", second.url, "--invite-file", empty, "--invite", "x", code=exit_codes.USAGE)


def test_without_an_invite_and_a_terminal_the_refusal_says_what_is_missing(filled: CommandLine, relay: Relay) -> None:
    filled("relay", "use", relay.url, code=exit_codes.REFUSED_BY_RELAY)
    assert "invite" in filled.err
    filled("relay", "use", relay.url, "--invite", "wrong", code=exit_codes.REFUSED_BY_RELAY)
    assert filled("relay", "list") == []


@pytest.mark.parametrize(
    "url", ["http://relay.example", "ftp://relay.example", "https://", "https://a b", "http://1.2.3.4"]
)
def test_what_is_no_address_is_refused_before_anything_is_sent(filled: CommandLine, url: str) -> None:
    filled("relay", "use", url, "--invite", "x", code=exit_codes.USAGE)
    assert "hint:" in filled.err


def test_a_relay_that_is_not_there(filled: CommandLine, relay: Relay) -> None:
    relay.stop()
    filled("relay", "use", relay.url, "--invite", "x", code=exit_codes.RELAY_OUT_OF_REACH)
    assert relay.url in filled.err
    assert filled("relay", "list") == []


def test_status_says_how_each_relay_stands(synced: CommandLine, relay: Relay) -> None:
    (line,) = synced.json("relay", "status")
    assert list(line) == [
        "event",
        "url",
        "reachable",
        "synced_at",
        "position",
        "newest",
        "bytes",
        "quota_bytes",
        "objects",
        "quota_objects",
        "error",
        "message",
        "hint",
    ]
    assert (line["event"], line["url"], line["reachable"], line["error"]) == ("relay", relay.url, True, None)
    assert line["position"] == line["newest"] > 0
    assert 0 < line["bytes"] < line["quota_bytes"] == 10**9
    assert line["synced_at"].endswith("Z")
    synced("relay", "status")
    assert "No alarms" in synced.out
    assert "Library " in synced.out  # its id, for the relay's owner
    assert "of 1.0 GB" in synced.out
    relay.stop()
    (line,) = synced.json("relay", "status", code=exit_codes.RELAY_OUT_OF_REACH)
    assert (line["reachable"], line["newest"], line["error"]) == (False, None, "relay-unreachable")
    assert line["hint"]
    synced("relay", "status", code=exit_codes.RELAY_OUT_OF_REACH)
    assert "out of reach" in synced.out


def test_status_of_a_library_without_relays(filled: CommandLine) -> None:
    filled("relay", "status")
    assert "relay use" in filled.out
    assert filled.json("relay", "status") == []


def test_alarms_are_shown_until_they_are_cleared(synced: CommandLine) -> None:
    raise_alarm(synced)
    _, alarm = synced.json("relay", "status", code=exit_codes.INTEGRITY_ALARM)
    assert list(alarm) == ["event", "name", "message", "hint", "at", "relay"]
    assert (alarm["event"], alarm["name"], alarm["relay"]) == ("alarm", "withheld", "https://relay.example")
    synced("relay", "status", code=exit_codes.INTEGRITY_ALARM)
    assert "withheld: envelope 7" in synced.out
    assert "Ask another relay." in synced.out
    synced("sync", code=exit_codes.INTEGRITY_ALARM)
    assert "relay status" in synced.err
    assert synced.json("sync", code=exit_codes.INTEGRITY_ALARM)[-1]["alarms"] == 1
    (problem,) = [line for line in synced.json("doctor", code=exit_codes.INTEGRITY_ALARM) if line["check"] == "alarms"]
    assert not problem["ok"]
    assert "withheld" in problem["detail"]
    synced("relay", "status", "--clear")
    assert "withheld" in synced.out
    synced("relay", "status")
    synced("sync")


def test_an_alarm_keeps_nobody_from_writing(synced: CommandLine) -> None:
    raise_alarm(synced)
    synced("rate", "3", "--query", "")
    assert len(synced.ids("rating:3")) == 3


# sync


def test_a_sync_sends_what_is_new_and_says_so(filled: CommandLine, relay: Relay, tmp_path: Path) -> None:
    filled("sync", code=exit_codes.FAILED)
    assert "relay use" in filled.err
    filled("relay", "use", relay.url, "--invite-file", invite_file(tmp_path, relay))
    *events, done = filled.json("sync")
    assert filled.err == ""
    assert list(done) == DONE_LINE
    assert (done["event"], done["relays"], done["reached"], done["alarms"], done["missing"]) == ("done", 1, 1, 0, 0)
    assert done["pushed"] > 0
    assert done["blobs_up"] >= 3
    by_kind: dict[str, list[dict[str, object]]] = {}
    for event in events:
        by_kind.setdefault(event["event"], []).append(event)
    (of_relay,) = by_kind["relay"]
    assert list(of_relay) == RELAY_LINE
    assert {tuple(step) for step in by_kind["progress"]} == {("event", "url", "stage", "done", "total", "bytes")}
    assert set(by_kind) == {"progress", "relay"}
    again = filled.json("sync")[-1]
    assert (again["pushed"], again["pulled"], again["blobs_up"], again["blobs_down"]) == (0, 0, 0, 0)
    filled("sync")
    assert "up to date" in filled.out


def test_how_a_sync_ends_without_its_relays(
    synced: CommandLine, relay: Relay, new_relay: Callable[[], Relay], tmp_path: Path
) -> None:
    second = new_relay()
    synced("relay", "use", second.url, "--invite-file", invite_file(tmp_path, second))
    synced("sync")
    second.stop()
    synced("rate", "1", "--query", "")
    synced("sync", code=exit_codes.PARTLY_DONE)
    assert second.url in synced.err
    assert "hint:" in synced.err
    done = synced.json("sync", code=exit_codes.PARTLY_DONE)[-1]
    assert (done["relays"], done["reached"]) == (2, 1)
    synced("relay", "status", code=exit_codes.PARTLY_DONE)
    relay.stop()
    synced("sync", code=exit_codes.RELAY_OUT_OF_REACH)
    second.start()
    relay.start()
    synced("sync")


def test_a_full_quota_is_refused_by_name(filled: CommandLine, relay: Relay, tmp_path: Path) -> None:
    filled("relay", "use", relay.url, "--invite-file", invite_file(tmp_path, relay, quota_bytes=3_000))
    filled("sync", code=exit_codes.REFUSED_BY_RELAY)
    assert "full" in filled.err
    error = next(line for line in filled.json("sync", code=exit_codes.REFUSED_BY_RELAY) if line["event"] == "relay")
    assert error["error"] == "relay-quota-full"


def test_a_relay_that_lost_everything_is_an_alarm_and_gets_it_again(
    synced: CommandLine, relay: Relay, tmp_path: Path
) -> None:
    relay.stop()
    shutil.rmtree(relay.settings.data)
    relay.start()
    synced("sync", code=exit_codes.REFUSED_BY_RELAY)
    synced("relay", "use", relay.url, "--invite-file", invite_file(tmp_path, relay))
    events = synced.json("sync", code=exit_codes.INTEGRITY_ALARM)
    assert {event["name"] for event in events if event["event"] == "alarm"} == {"rolled-back"}
    assert events[-1]["blobs_up"] >= 3
    synced("relay", "status", "--clear")
    synced("sync")


def test_watching_sends_edits_of_other_processes_until_it_is_told_to_stop(synced: CommandLine, relay: Relay) -> None:
    command = [sys.executable, "-P", "-m", "tui.cli", "sync", "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["event"] == "progress"
            synced("rate", "5", "--query", "")
            while True:
                event = json.loads(process.stdout.readline())
                if event["event"] == "relay" and event["pushed"]:
                    break
            process.send_signal(signal.SIGINT)
            rest = [json.loads(line) for line in process.stdout]
        finally:
            process.kill()
    assert process.returncode == 0
    assert rest[-1]["event"] == "done"
    assert synced.json("sync")[-1]["pushed"] == 0


def test_a_watch_that_ends_with_alarms_says_so(synced: CommandLine) -> None:
    raise_alarm(synced)
    command = [sys.executable, "-P", "-m", "tui.cli", "sync", "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            lines = [json.loads(line) for line in process.stdout]
        finally:
            process.kill()
    assert (process.returncode, lines[-1]["alarms"]) == (exit_codes.INTEGRITY_ALARM, 1)


# originals, free


@pytest.fixture
def second_device(synced: CommandLine, relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of another device of the same library, which has synced."""
    from tests.tui.test_device_commands import adding, ended

    monkeypatch.setattr("core.library_folder.new_parameters", lambda: kdf.new_parameters(*kdf.FLOOR))
    other = ["--library", str(tmp_path / "second")]
    with adding() as (code, process):
        synced("join", relay.url, code, "--name", "phone", *other)
        assert ended(process)[0] == 0
    synced("sync", *other)
    return other


def test_a_second_device_opens_and_exports_what_it_has_not(
    synced: CommandLine, second_device: list[str], relay: Relay, tmp_path: Path
) -> None:
    pid, *_ = synced.ids()
    (done,) = synced.json("verify", *second_device)
    assert done["problems"] == 0
    assert done["elsewhere"] >= 3
    synced("verify", *second_device)
    assert "need not be on this device" in synced.out
    synced("open", pid, "--yes", "--with", "true", *second_device)
    assert synced.json("verify", *second_device)[-1]["elsewhere"] == done["elsewhere"] - 1
    assert synced.json("export", tmp_path / "out", *second_device)[-1]["fetched"] == 2
    relay.stop()
    synced("open", pid, "--yes", "--with", "true", *second_device)
    synced("export", tmp_path / "again", *second_device, code=exit_codes.PARTLY_DONE)
    synced("open", synced.ids()[1], "--yes", "--with", "true", *second_device, code=exit_codes.RELAY_OUT_OF_REACH)
    assert relay.url in synced.err
    synced("free", pid, "--single-copy", *second_device, code=exit_codes.RELAY_OUT_OF_REACH)


def test_an_export_of_which_nothing_can_be_had_says_why(
    synced: CommandLine, second_device: list[str], relay: Relay, tmp_path: Path
) -> None:
    relay.stop()
    synced("export", tmp_path / "out", *second_device, code=exit_codes.RELAY_OUT_OF_REACH)


def test_freeing_and_fetching_everything_again(synced: CommandLine) -> None:
    synced("free")
    assert "Freed 0 originals" in synced.out
    assert "--single-copy" in synced.out
    events = synced.json("free", "--single-copy", "--dry-run")
    assert [list(event) for event in events] == [["event", "id", "bytes"]] * 3 + [
        ["event", "freed", "bytes", "kept", "dry_run"]
    ]
    assert (events[-1]["freed"], events[-1]["dry_run"]) == (3, True)
    (kept,) = [line for line in synced.json("free", "--query", "name:red") if line["event"] == "kept"]
    assert kept["reason"]
    assert synced.json("free", "--single-copy", "--query", "name:red")[-1]["freed"] == 1
    synced("free", "--single-copy", synced.ids("name:blue")[0])
    assert "Freed 1 original (" in synced.out
    (originals,) = [line for line in findings(synced) if line["check"] == "originals"]
    assert originals["detail"].startswith("1 here, 2 elsewhere")
    assert synced.json("verify")[-1]["elsewhere"] == 2
    synced("sync", "--originals")
    assert synced.json("verify")[-1]["elsewhere"] == 0
    synced("free", "--single-copy", code=exit_codes.FAILED)
    assert "--no-originals" in synced.err
    synced("sync", "--no-originals")
    assert synced.json("free", "--single-copy")[-1]["freed"] == 3


def test_free_of_a_library_without_relays(filled: CommandLine) -> None:
    filled("free", code=exit_codes.FAILED)
    assert "relay use" in filled.err
    filled("free", "x", "--query", "y", code=exit_codes.USAGE)


def test_doctor_says_what_devices_relays_and_copies_there_are(
    synced: CommandLine, second_device: list[str], relay: Relay
) -> None:
    found = {line["check"]: line for line in findings(synced, *second_device)}
    assert "test device" in found["devices"]["detail"]
    assert "phone (this one)" in found["devices"]["detail"]
    assert relay.url in found["relay"]["detail"]
    assert found["relay"]["ok"]
    assert found["originals"]["detail"].startswith("0 here, 3 elsewhere")
    assert found["alarms"]["ok"]
    synced("sync")
    (first,) = [line for line in findings(synced) if line["check"] == "relay"]
    assert "it has everything" in first["detail"]
    synced("rate", "2", "--query", "")
    (first,) = [line for line in findings(synced) if line["check"] == "relay"]
    assert "1 edit and 0 files to send" in first["detail"]


def test_leakage_says_what_a_relay_could_infer(synced: CommandLine, relay: Relay) -> None:
    synced("relay", "leakage")
    assert "test device" in synced.out
    assert "recovery phrase" in synced.out
    assert "It does not learn: no picture" in " ".join(synced.out.split())
    (found,) = synced.json("relay", "leakage", "127.0.0.1")
    assert (found["event"], found["url"]) == ("leakage", relay.url)
    assert len(found["files"]) == sum(path.is_file() for path in (synced.root / "blobs").rglob("*"))
    assert found["stored"]["blob.size"]
    synced("relay", "leakage", "nowhere.example", code=exit_codes.USAGE)
    relay.stop()
    synced("relay", "leakage", code=exit_codes.RELAY_OUT_OF_REACH)


def test_doctor_says_how_relays_are_now_and_what_stands_in_the_way(synced: CommandLine, relay: Relay) -> None:
    found = {line["check"]: line for line in findings(synced)}
    assert "nothing new there" in found["relay now"]["detail"]
    assert "1.0 GB" in found["quota"]["detail"]
    assert "clock" in found, "the relay of the tests lives at another time"
    assert found["edits"]["ok"]
    assert "model" in found["labels"]["detail"] or "by " in found["labels"]["detail"]
    raise_alarm(synced)
    relay.stop()
    found = {line["check"]: line for line in findings(synced)}
    assert (found["relay"]["ok"], found["relay now"]["ok"]) == (True, False)
    assert "withheld" in found["alarm"]["detail"]
    assert "relay now" not in {line["check"] for line in findings(synced, "--offline")}


def test_doctor_says_what_can_be_said_of_a_library_that_is_locked_and_damaged(
    synced: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = Library.unlock(synced.root, PASSPHRASE.encode())
    monkeypatch.delenv("SAFELIGHT_PASSPHRASE_FILE")
    (synced.root / "library.toml").chmod(0o644)
    found = {line["check"]: line for line in findings(synced)}
    assert "locked" in found["lock"]["detail"]
    assert "of 1 device;" in found["log"]["detail"]
    assert "encrypted files" in found["files"]["detail"]
    assert not found["permissions"]["ok"]
    assert "library.toml" in found["permissions"]["detail"]
    for secret in (PASSPHRASE, *(part.hex() for part in (secrets.signing_seed, secrets.exchange_secret))):
        assert secret not in synced.out
    log = synced.root / "log.db"
    log.write_bytes(bytes(100) + log.read_bytes()[100:])
    (synced.root / "library.toml").write_text("no library")
    found = {line["check"]: line for line in findings(synced)}
    assert (found["log"]["ok"], found["library"]["ok"]) == (False, False)
    assert "--repair" in found["log"]["hint"]
    log.unlink()
    assert not {line["check"]: line["ok"] for line in findings(synced)}["log"]


def test_doctor_asks_nobody_for_the_passphrase(synced: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAFELIGHT_PASSPHRASE_FILE")
    found = {line["check"]: line for line in findings(synced)}
    assert "unlock" in found["devices"]["detail"]
    assert "relay" not in found


def test_secrets_do_not_stand_in_the_environment_of_what_is_printed(synced: CommandLine) -> None:
    synced("relay", "status")
    assert PASSPHRASE not in synced.out + synced.err
    assert not {name for name in os.environ if "INVITE" in name}


def test_verify_repairs_from_the_relay_and_says_what_it_did(synced: CommandLine, relay: Relay) -> None:
    flipped, gone, *_ = sorted(path for path in (synced.root / "blobs").rglob("*") if path.is_file())
    data = flipped.read_bytes()
    flipped.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    gone.unlink()
    with sqlite3.connect(synced.root / "log.db") as log:
        log.execute("UPDATE envelope SET envelope = zeroblob(300) WHERE seq = 2")
    log.close()
    synced("verify", "--gc", "--repair", code=exit_codes.USAGE)
    synced("verify", code=exit_codes.INTEGRITY_ALARM)
    assert "--repair" in synced.out
    synced("verify", "--repair")
    assert "log.db was put together again" in synced.out
    assert "Fetched and put in place: 2 files" in synced.out
    assert "everything is as it was written" in synced.out
    assert "Not checked: " in synced.out
    assert flipped.read_bytes() == data
    synced("rate", "5", "--query", "")
    relay.stop()
    gone.unlink()
    repaired, problem, done = synced.json("verify", "--repair", code=exit_codes.INTEGRITY_ALARM)
    assert (repaired["event"], repaired["files"], len(repaired["unreachable"])) == ("repair", 0, 1)
    assert problem["thing"] == f"blob {gone.name}"
    assert "backup" in problem["hint"]
    assert (done["problems"], done["deep"], done["stopped"]) == (1, False, False)
