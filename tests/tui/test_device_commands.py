"""device, join, recover and phrase, as scripts and people use them: a real relay, and processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from core.library import Library
from core.sync.engine import SyncEngine
from core.sync.relays import Relays
from crypto import kdf
from crypto.phrase import new_phrase
from sync_relay.server.settings import Settings
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay
from tests.tui.conftest import PASSPHRASE, CommandLine
from tui.cli import exit_codes, qr_code
from tui.cli.application import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    running = Relay(Settings(data=tmp_path / "relay"), Clock())
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """New folders cost as little to unlock as is allowed."""
    monkeypatch.setattr("core.library_folder.new_parameters", lambda: kdf.new_parameters(*kdf.FLOOR))


def use_relay(cli: CommandLine, relay: Relay) -> None:
    with Library.open(cli.root, Library.unlock(cli.root, PASSPHRASE.encode())) as library:
        Relays(library).use(relay.url, relay.invite())
        with closing(SyncEngine(library)) as engine:
            assert engine.run().worst_error is None


def written(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@contextmanager
def adding(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`device add`, in a process of its own that has printed its code."""
    command = [sys.executable, "-P", "-m", "tui.cli", "device", "add", "--yes", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first, process.communicate()
            yield json.loads(first)["code"], process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]], str]:
    out, err = process.communicate(timeout=600)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def test_a_device_is_added_and_joins(filled: CommandLine, relay: Relay, tmp_path: Path) -> None:
    use_relay(filled, relay)
    with adding() as (code, process):
        (joined,) = filled.json("join", relay.url, code, "--name", "laptop", "--library", tmp_path / "second")
        assert ended(process) == (0, [{"device_id": joined["device_id"], "name": "laptop"}], "")
    assert joined["name"] == "laptop"
    assert (
        f"nothing of it since: if it never finished joining, `safelight device revoke {joined['device_id'][:8]}`"
        in (filled("device", "list")[-1])
    )
    listed = filled.json("device", "list", "--library", tmp_path / "second")
    assert [set(one) for one in listed] == [{"device_id", "name", "added_at", "last_seen", "revoked", "this"}] * 2
    assert [(one["name"], one["this"], one["revoked"]) for one in listed] == [
        ("test device", False, False),
        ("laptop", True, False),
    ]
    assert len(filled.json("search", "--library", tmp_path / "second")) == 3
    filled("rate", "4", "--query", "", "--library", tmp_path / "second")
    filled("sync", "--library", tmp_path / "second")
    filled("sync")
    assert len(filled.ids("rating:4")) == 3
    assert "nothing of it" not in filled("device", "list")[-1]


def test_the_code_is_typed_as_it_is_read(filled: CommandLine, relay: Relay, tmp_path: Path) -> None:
    use_relay(filled, relay)
    with adding() as (code, process):
        typed = code.upper().replace("-", " ")
        filled("join", relay.url + "/", typed, "--name", "laptop", "--library", tmp_path / "second")
        assert ended(process)[0] == 0


def test_a_mistyped_code_is_a_matter_of_usage(empty: CommandLine, relay: Relay) -> None:
    empty("join", relay.url, "7-velvet-harbor", "--name", "x", code=exit_codes.USAGE)
    assert "harbour" in empty.err
    empty("join", relay.url, "7-velvet-harbour", "--name", "x", code=exit_codes.FAILED)
    assert "no such code" in empty.err
    assert not empty.root.exists()


def test_a_relay_that_is_not_there_is_exit_5(empty: CommandLine) -> None:
    empty("join", "http://127.0.0.1:9", "7-velvet-harbour", code=exit_codes.RELAY_OUT_OF_REACH)
    empty("join", "http://relay.example", "7-velvet-harbour", code=exit_codes.USAGE)
    assert not empty.root.exists()


def test_a_library_without_a_relay_says_how_to_get_one(cli: CommandLine) -> None:
    cli("device", "add", "--yes", code=exit_codes.FAILED)
    assert "safelight relay use" in cli.err


def test_a_code_ends_with_the_command_that_showed_it(cli: CommandLine, relay: Relay, tmp_path: Path) -> None:
    use_relay(cli, relay)
    with adding() as (code, process):
        process.send_signal(signal.SIGINT)
        assert ended(process)[0] == exit_codes.INTERRUPTED
    cli("join", relay.url, code, "--library", tmp_path / "second", code=exit_codes.FAILED)
    assert "no such code" in cli.err


def test_without_a_terminal_nobody_is_let_in_unasked(cli: CommandLine, relay: Relay) -> None:
    use_relay(cli, relay)
    cli("device", "add", code=exit_codes.USAGE)
    assert "--yes" in cli.err


def test_a_revoked_device_is_told_so_and_can_still_read(filled: CommandLine, relay: Relay, tmp_path: Path) -> None:
    use_relay(filled, relay)
    second = tmp_path / "second"
    with adding() as (code, process):
        filled("join", relay.url, code, "--name", "laptop", "--library", second)
        assert ended(process)[0] == 0
    filled("device", "revoke", "laptop", code=exit_codes.USAGE)
    filled("device", "revoke", "laptop", "--yes")
    assert filled.err == ""
    assert [one["revoked"] for one in filled.json("device", "list")] == [False, True]
    filled("sync", "--library", second, code=exit_codes.REFUSED_BY_RELAY)
    assert "hint:" in filled.err
    assert len(filled.json("search", "--library", second)) == 3
    filled("device", "add", "--yes", "--library", second, code=exit_codes.REFUSED_BY_RELAY)
    filled("device", "revoke", "test device", "--yes", "--library", second, code=exit_codes.REFUSED_BY_RELAY)


def test_revoking_without_the_relay_says_that_it_does_not_know(
    filled: CommandLine, relay: Relay, tmp_path: Path
) -> None:
    use_relay(filled, relay)
    with adding() as (code, process):
        filled("join", relay.url, code, "--name", "laptop", "--library", tmp_path / "second")
        assert ended(process)[0] == 0
    filled("sync")
    relay.stop()
    try:
        filled("device", "revoke", "laptop", "--yes")
        assert "does not know yet" in filled.err
    finally:
        relay.start()
    filled("sync")
    filled("sync", "--library", tmp_path / "second", code=exit_codes.REFUSED_BY_RELAY)


def test_renaming_and_listing(cli: CommandLine) -> None:
    cli("device", "rename", "test device", "upstairs")
    (line,) = cli("device", "list")
    assert line.endswith("upstairs  (this device)")
    cli("device", "rename", "nobody", "x", code=exit_codes.FAILED)
    assert "device list" in cli.err
    cli("device", "rename", "upstairs", "a\nb", code=exit_codes.USAGE)


def test_recover_brings_back_every_byte(
    empty: CommandLine, relay: Relay, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (created,) = empty.json("init", "--name", "desk")
    empty("import", photos, "--no-labels")
    use_relay(empty, relay)
    empty("sync")
    phrase = written(tmp_path / "words", created["recovery_phrase"] + "\n")
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
    new = tmp_path / "new"
    empty("recover", relay.url, "--phrase-file", phrase, "--library", new, code=exit_codes.USAGE)
    (back,) = empty.json("recover", relay.url, "--phrase-file", phrase, "--name", "second", "--yes", "--library", new)
    assert back["library_id"] == created["library_id"]
    devices = empty.json("device", "list", "--library", new)
    assert [(one["name"], one["revoked"], one["this"]) for one in devices] == [
        ("desk", True, False),
        ("second", False, True),
    ]
    out = tmp_path / "exported"
    empty("export", out, "--library", new)
    exported = {path.read_bytes() for path in out.rglob("*.jpg")}
    assert exported == {path.read_bytes() for path in photos.rglob("*.jpg")}


def test_recover_keeps_the_devices_that_are_named(empty: CommandLine, relay: Relay, tmp_path: Path) -> None:
    (created,) = empty.json("init", "--name", "desk")
    use_relay(empty, relay)
    phrase = written(tmp_path / "words", created["recovery_phrase"])
    new = tmp_path / "new"
    recover: list[str | Path] = [
        "recover",
        relay.url,
        "--phrase-file",
        phrase,
        "--name",
        "second",
        "--yes",
        "--library",
        new,
    ]
    empty(*recover, "--keep", "ffff", code=exit_codes.FAILED)
    assert not any(new.iterdir())
    empty(*recover, "--keep", created["device_id"][:8])
    assert [one["revoked"] for one in empty.json("device", "list", "--library", new)] == [False, False]
    empty("sync")


@pytest.mark.parametrize("words", ["zoo", "abandon " * 24, new_phrase()], ids=["short", "checksum", "another"])
def test_a_wrong_phrase_is_exit_3(cli: CommandLine, relay: Relay, tmp_path: Path, words: str) -> None:
    use_relay(cli, relay)
    phrase = written(tmp_path / "words", words)
    cli("recover", relay.url, "--phrase-file", phrase, "--yes", "--library", tmp_path / "new", code=exit_codes.LOCKED)
    assert words.strip() not in cli.err
    cli("phrase", "replace", "--phrase-file", phrase, "--yes", code=exit_codes.LOCKED)
    assert not (tmp_path / "new").exists()


def test_a_phrase_file_others_can_read_is_warned_about(cli: CommandLine, tmp_path: Path) -> None:
    phrase = written(tmp_path / "words", "zoo")
    phrase.chmod(0o644)
    cli("phrase", "replace", "--phrase-file", phrase, "--yes", code=exit_codes.LOCKED)
    assert "other users" in cli.err
    cli("phrase", "replace", "--phrase-file", tmp_path / "none", "--yes", code=exit_codes.LOCKED)
    cli("phrase", "replace", "--yes", code=exit_codes.LOCKED)
    assert "--phrase-file" in cli.err


def test_replacing_the_phrase_shows_the_new_one_once(empty: CommandLine, relay: Relay, tmp_path: Path) -> None:
    (created,) = empty.json("init")
    use_relay(empty, relay)
    old = written(tmp_path / "old", created["recovery_phrase"])
    (made,) = empty.json("phrase", "replace", "--phrase-file", old, "--yes")
    new = written(tmp_path / "new", made["recovery_phrase"])
    empty("phrase", "replace", "--phrase-file", old, "--yes", code=exit_codes.LOCKED)
    back = tmp_path / "back"
    empty("recover", relay.url, "--phrase-file", old, "--yes", "--library", back, code=exit_codes.LOCKED)
    empty("recover", relay.url, "--phrase-file", new, "--yes", "--library", back)
    lines = empty("phrase", "replace", "--phrase-file", new, "--yes", "--library", back)
    assert sum(len(line.split()) for line in lines if line.startswith("  ")) == 48


def test_a_qr_code_is_shown_where_it_can_be_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    import segno

    text = "safelight join https://relay.example 7-velvet-harbour"
    assert qr_code.qr_lines(text) == []  # no terminal
    monkeypatch.setattr("tui.cli.output.colour_wanted", lambda _: True)
    monkeypatch.setattr("tui.cli.qr_code._shows", lambda _: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "50")
    lines = qr_code.qr_lines(text)
    rows = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    shown = [line.removeprefix("\x1b[30;107m").removesuffix("\x1b[0m") for line in lines]
    assert {len(line) for line in shown} == {len(rows[0])}
    assert [[letter in "▀█" for letter in line] for line in shown] == [
        [bool(cell) for cell in row] for row in rows[::2]
    ]
    monkeypatch.setenv("COLUMNS", "20")
    assert qr_code.qr_lines(text) == []


def test_the_code_is_for_people_a_line_to_be_typed(filled: CommandLine, relay: Relay) -> None:
    use_relay(filled, relay)
    command = [sys.executable, "-P", "-m", "tui.cli", "device", "add", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        process.kill()
    assert line[:3] == ["safelight", "join", relay.url]
    assert run(["join", relay.url, line[3], "--library", str(filled.root)]) == exit_codes.FAILED
