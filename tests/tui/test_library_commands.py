"""init, unlock, lock, passphrase, verify, rebuild, doctor, and how errors end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from core.library import Library
from tests.tui.conftest import PASSPHRASE, CommandLine
from tui.cli import exit_codes

if TYPE_CHECKING:
    from pathlib import Path


def test_init_prints_ids_and_the_phrase_once(empty: CommandLine) -> None:
    (created,) = empty.json("init", "--name", "laptop")
    assert set(created) == {"library_id", "device_id", "recovery_phrase"}
    assert len(bytes.fromhex(created["library_id"])) == len(bytes.fromhex(created["device_id"])) == 32
    assert len(created["recovery_phrase"].split()) == 24
    for path in empty.root.rglob("*"):
        if path.is_file():
            assert created["recovery_phrase"].split()[0].encode() + b" " not in path.read_bytes()
    empty("init", code=exit_codes.FAILED)
    assert "already" in empty.err
    assert "hint:" in empty.err


def test_an_init_that_ended_before_anybody_saw_the_phrase_is_repeated(empty: CommandLine) -> None:
    library, phrase = Library.create(empty.root, PASSPHRASE.encode(), device_name="desk", keep_phrase=True)
    library.close()  # as where the process was killed just then
    empty("search")
    assert "nobody has seen" in empty.err
    assert "safelight init" in empty.err
    kept = empty.root.parent / "the same file"
    kept.hardlink_to(empty.root / "phrase.sealed")
    sealed = kept.read_bytes()
    assert not any(word.encode() in sealed for word in phrase.split())
    (created,) = empty.json("init")
    assert created["recovery_phrase"] == phrase
    assert created["device_id"] == library.device_id.hex()
    assert kept.read_bytes() == bytes(len(sealed)), "a disk gives back no phrase"
    assert all(path.is_dir() or sealed[-32:] not in path.read_bytes() for path in empty.root.rglob("*"))
    (empty.root / "phrase.sealed").write_bytes(bytes(len(sealed)))  # as where it was killed before the file was gone
    empty("init")
    assert "recovery phrase was shown" in empty.err
    assert not (empty.root / "phrase.sealed").exists()
    empty("search")
    assert empty.err == ""
    empty("init", code=exit_codes.FAILED)
    assert "already" in empty.err


def test_init_for_people_shows_twenty_four_words(empty: CommandLine) -> None:
    lines = empty("init", "--yes")
    assert sum(len(line.split()) for line in lines if line.startswith("  ")) == 48


def test_a_wrong_passphrase_is_exit_3(cli: CommandLine) -> None:
    cli.passphrase_file.write_text("another passphrase\n")
    cli("search", code=exit_codes.LOCKED)
    assert cli.out == ""
    assert "passphrase does not open" in cli.err
    assert "Traceback" not in cli.err


def test_without_a_passphrase_and_a_terminal_it_is_locked(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAFELIGHT_PASSPHRASE_FILE")
    cli("search", code=exit_codes.LOCKED)
    assert "safelight unlock" in cli.err


def test_options_may_stand_before_and_after_the_command(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAFELIGHT_LIBRARY")
    monkeypatch.delenv("SAFELIGHT_PASSPHRASE_FILE")
    given: list[str | Path] = ["--library", cli.root, "--passphrase-file", cli.passphrase_file]
    cli(*given, "search")
    cli("search", *given)
    cli("--library", cli.root.with_name("elsewhere"), "search", *given)
    cli("search", "--library", cli.root.with_name("elsewhere"), code=exit_codes.FAILED)
    assert "safelight init" in cli.err


def test_a_passphrase_file_others_can_read_is_warned_about(cli: CommandLine) -> None:
    cli.passphrase_file.chmod(0o644)
    cli("search")
    assert "other users" in cli.err


def test_unlock_makes_the_passphrase_unnecessary_until_lock(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("unlock", "--for", "1h")
    try:
        monkeypatch.delenv("SAFELIGHT_PASSPHRASE_FILE")
        cli("search")
        cli()
        assert "unlocked until" in cli.out
    finally:
        cli("lock")
    cli("search", code=exit_codes.LOCKED)
    cli("lock")


def test_unlock_wants_the_passphrase_itself(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("unlock")
    try:
        cli.passphrase_file.write_text("wrong")
        cli("unlock", code=exit_codes.LOCKED)
        # The option means this passphrase and no other, whatever the agent keeps.
        cli("search", "--passphrase-file", cli.passphrase_file, code=exit_codes.LOCKED)
        cli("search")
    finally:
        cli("lock")


@pytest.mark.parametrize("time", ["", "8", "h", "1x", "-1h", "0s", "99999999d"])
def test_impossible_times_are_refused(cli: CommandLine, time: str) -> None:
    cli("unlock", "--for", time, code=exit_codes.FAILED if time == "99999999d" else exit_codes.USAGE)


def test_changing_the_passphrase(cli: CommandLine, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.touch(mode=0o600)
    new.write_text("a new passphrase")
    cli("passphrase", "--new-passphrase-file", new)
    assert "still open with the old one" in cli.err
    cli("search", code=exit_codes.LOCKED)
    cli("search", "--passphrase-file", new)


@pytest.mark.parametrize("damage", ["truncated", "altered", "ceiling"])
def test_a_damaged_library_file_is_named_and_is_exit_4(cli: CommandLine, damage: str) -> None:
    path = cli.root / "library.toml"
    text = path.read_text()
    if damage == "truncated":
        path.write_text(text[: len(text) // 2])
    elif damage == "altered":
        path.write_text(text.replace('library_id = "', 'library_id = "00', 1).replace("0000", "00", 1))
    else:
        path.write_text(
            "\n".join("memlimit = 1099511627776" if line.startswith("memlimit") else line for line in text.split("\n"))
        )
    cli("search", code=exit_codes.INTEGRITY_ALARM)
    assert "library.toml" in cli.err
    assert "hint:" in cli.err


def test_a_damaged_log_is_named_and_is_exit_4(cli: CommandLine) -> None:
    path = cli.root / "log.db"
    for name in ("log.db-wal", "log.db-shm"):
        (cli.root / name).unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    data[:1024] = os.urandom(1024)
    path.write_bytes(data)
    cli("search", code=exit_codes.INTEGRITY_ALARM)
    assert "log.db" in cli.err


def test_verify_and_rebuild_on_a_sound_library(cli: CommandLine) -> None:
    cli("verify", "--deep", "--gc")
    (done,) = cli.json("verify")
    assert done["event"] == "done"
    assert done["problems"] == 0
    assert "told" not in done
    cli("rebuild")
    cli("search")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serach"], "did you mean 'search'"),
        (["search", "--frobnicate"], "--frobnicate"),
        (["rate", "9", "abc"], "0 to 5"),
        (["label", "add", "x"], "which photos"),
        (["label", "add", "x", "abc", "--query", "dog"], "not both"),
        (["search", "--sort", "taken:sideways"], "sideways"),
        (["search", "--sort", "shoesize"], "shoesize"),
        (["search", "lable:dog"], "label"),
        (["export"], "DIR"),
    ],
)
def test_usage_errors_say_what_to_do(cli: CommandLine, arguments: list[str], said: str) -> None:
    cli(*arguments, code=exit_codes.USAGE)
    assert cli.out == ""
    assert said in cli.err
    assert cli.err.startswith("safelight: ")
    assert "hint: " in cli.err


def test_an_error_in_a_query_points_at_its_column(cli: CommandLine) -> None:
    cli("search", "label:dog shoesize:9", code=exit_codes.USAGE)
    lines = cli.err.split("\n")
    query = next(index for index, line in enumerate(lines) if line.strip() == "label:dog shoesize:9")
    assert lines[query + 1].index("^") == lines[query].index("shoesize")


def test_an_unexpected_error_shows_neither_traceback_nor_message(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"the passphrase is {PASSPHRASE}")

    monkeypatch.setattr("tui.cli.session.Session.device_secrets", fail)
    cli("search", code=exit_codes.FAILED)
    assert "RuntimeError" in cli.err
    assert PASSPHRASE not in cli.err
    assert "Traceback" not in cli.err


def test_a_copied_library_becomes_a_device_of_its_own_with_its_first_edit(
    filled: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
    assert len(filled.json("search")) == 3
    assert filled.err.count("this machine has not written") == 1
    assert "doctor --claim" in filled.err
    filled("verify")
    filled("rate", "5", "--query", "")
    assert "a device of its own now, called 'test device (copy)'" in filled.err
    filled("search")
    assert filled.err == ""
    assert len(filled.ids("rating:5")) == 3
    assert len(filled.json("device", "list")) == 2


def test_a_library_that_was_moved_goes_on_as_the_device_it_was(
    filled: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
    filled("doctor", "--claim", code=exit_codes.USAGE)
    filled("doctor", "--claim", "--yes")
    filled("rate", "5", "--query", "")
    assert len(filled.ids("rating:5")) == 3
    assert len(filled.json("device", "list")) == 1


def test_doctor_says_what_is_there(cli: CommandLine) -> None:
    findings = cli.json("doctor", code=0 if _has_builtin_pack() else 1)
    checks = {finding["check"]: finding["ok"] for finding in findings}
    assert checks["library"]
    assert checks["folder"]
    assert checks["unlock"]
    cli.root.chmod(0o755)
    assert not {f["check"]: f["ok"] for f in cli.json("doctor", code=1)}["folder"]


def test_the_command_without_a_name_says_where_the_library_is(empty: CommandLine) -> None:
    empty()
    assert str(empty.root) in empty.out
    assert "safelight init" in empty.out


def test_a_reader_that_has_had_enough_is_no_error(cli: CommandLine) -> None:
    command = f"{sys.executable} -P -m tui.cli --help | head -1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True, check=True)
    assert result.stderr == ""


def test_results_alone_are_on_stdout(cli: CommandLine) -> None:
    for line in cli("log", "--json"):
        json.loads(line)
    assert cli.err == ""


def _has_builtin_pack() -> bool:
    from ml.builtin import BUILTIN_FOLDER

    return (BUILTIN_FOLDER / "pack.toml").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_process_that_holds_keys_can_be_dumped_nowhere(cli: CommandLine) -> None:
    code = (
        "import ctypes, resource, sys\n"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n"
        "from tui.cli.application import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    for command in (["search"], ["init", "--yes"]):
        root = cli.root if command == ["search"] else cli.root.with_name("another")
        given = ["--library", str(root), "--passphrase-file", str(cli.passphrase_file)]
        ended = subprocess.run(
            [sys.executable, "-P", "-c", code, *given, *command], capture_output=True, text=True, check=True
        )
        assert ended.stdout.splitlines()[-1] == "0 0"
