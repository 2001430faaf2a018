"""This machine's memory of its own chain head: it survives torn writes, and it never goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.machine_state import TOKEN_BYTES, MachineHead, MachineState

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = bytes(TOKEN_BYTES)


def head(seq: int, token: bytes = TOKEN) -> MachineHead:
    return MachineHead(seq, bytes([seq]) * 32, token)


def state(folder: Path) -> MachineState:
    return MachineState(folder, b"l" * 32, b"d" * 32)


def test_the_newest_head_is_remembered_and_an_older_one_does_not_replace_it(tmp_path: Path) -> None:
    memory = state(tmp_path)
    assert memory.read() is None
    for seq in (0, 1, 2, 5, 9, 3):
        memory.advance(head(seq))
    assert state(tmp_path).read() == head(9)


def test_a_torn_write_leaves_the_head_before_it(tmp_path: Path) -> None:
    memory = state(tmp_path)
    for seq in range(7):
        memory.advance(head(seq))
    path = next((tmp_path / "devices").iterdir())
    whole = path.read_bytes()
    for offset in (10, 128 + 10):
        torn = bytearray(whole)
        torn[offset] ^= 1
        path.write_bytes(torn)
        assert state(tmp_path).read() in (head(6), head(5))
        state(tmp_path).advance(head(8))
        assert state(tmp_path).read() == head(8)


def test_a_new_token_forgets_what_the_old_one_wrote(tmp_path: Path) -> None:
    memory = state(tmp_path)
    memory.advance(head(9))
    other = bytes([1]) * TOKEN_BYTES
    memory.advance(head(4, other))
    assert memory.read() == head(4, other)


def test_libraries_and_devices_have_memories_of_their_own(tmp_path: Path) -> None:
    state(tmp_path).advance(head(3))
    assert MachineState(tmp_path, b"m" * 32, b"d" * 32).read() is None
    assert MachineState(tmp_path, b"l" * 32, b"e" * 32).read() is None


def test_the_file_is_private_and_says_neither_library_nor_device(tmp_path: Path) -> None:
    state(tmp_path).advance(head(3))
    path = next((tmp_path / "devices").iterdir())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (b"l" * 32).hex()[:8] not in path.name
