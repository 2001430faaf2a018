"""The agent: what it gives, to whom, and how it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from core import agent, agent_keyring, agent_process
from core.errors import AgentRefused
from crypto.keys import DeviceSecrets

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has the keyring instead of sockets")

LIBRARY_ID = bytes(range(32))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not in tmp_path, whose length depends on the test and the worker: a socket's path has about a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="safelight-") as short:
        folder = Path(short) / "run"
        monkeypatch.setenv("SAFELIGHT_RUNTIME_DIR", str(folder))
        yield folder


@pytest.fixture
def root(tmp_path: Path, runtime: Path) -> Iterator[Path]:
    library = tmp_path / "library"
    yield library
    agent.stop_agent(LIBRARY_ID, library)


def socket_of(runtime: Path) -> Path:
    (path,) = runtime.iterdir()
    return path


def test_gives_back_what_it_was_given_until_it_is_locked(root: Path) -> None:
    secrets = DeviceSecrets.generate()
    assert agent.fetch_secrets(LIBRARY_ID, root) is None
    started = agent.start_agent(LIBRARY_ID, root, secrets)
    assert agent.fetch_secrets(LIBRARY_ID, root) == secrets
    assert agent.agent_status(LIBRARY_ID, root) == started
    assert agent.stop_agent(LIBRARY_ID, root)
    assert agent.fetch_secrets(LIBRARY_ID, root) is None
    assert not agent.stop_agent(LIBRARY_ID, root)


def test_each_library_folder_has_its_own(root: Path) -> None:
    mine, other = DeviceSecrets.generate(), DeviceSecrets.generate()
    copy = root.with_name("copy")
    agent.start_agent(LIBRARY_ID, root, mine)
    agent.start_agent(LIBRARY_ID, copy, other)
    try:
        assert agent.fetch_secrets(LIBRARY_ID, root) == mine
        assert agent.fetch_secrets(LIBRARY_ID, copy) == other
    finally:
        agent.stop_agent(LIBRARY_ID, copy)


def test_a_second_unlock_replaces_the_first(root: Path, runtime: Path) -> None:
    first, second = DeviceSecrets.generate(), DeviceSecrets.generate()
    agent.start_agent(LIBRARY_ID, root, first)
    agent.start_agent(LIBRARY_ID, root, second)
    assert agent.fetch_secrets(LIBRARY_ID, root) == second
    assert len(list(runtime.iterdir())) == 1


def test_socket_and_folder_are_the_users_alone(root: Path, runtime: Path) -> None:
    agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate())
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket_of(runtime).stat().st_mode) == 0o600
    assert LIBRARY_ID.hex()[:8] not in socket_of(runtime).name


def test_a_folder_that_others_can_enter_is_refused(root: Path, runtime: Path) -> None:
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o755)
    with pytest.raises(AgentRefused, match="open to others"):
        agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate())
    runtime.chmod(0o700)


def test_a_folder_that_others_prepared_does_not_stop_the_commands(root: Path, runtime: Path) -> None:
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o777)
    assert agent.fetch_secrets(LIBRARY_ID, root) is None
    assert agent.agent_status(LIBRARY_ID, root) is None
    assert not agent.stop_agent(LIBRARY_ID, root)
    runtime.chmod(0o700)


def test_a_link_in_place_of_the_folder_is_refused(root: Path, runtime: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    runtime.symlink_to(elsewhere)
    with pytest.raises(AgentRefused):
        agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate())
    runtime.unlink()


def test_a_socket_left_by_a_killed_agent_is_no_obstacle(root: Path, runtime: Path) -> None:
    secrets = DeviceSecrets.generate()
    agent.start_agent(LIBRARY_ID, root, secrets)
    os.kill(process_at(socket_of(runtime)), signal.SIGKILL)
    assert agent.fetch_secrets(LIBRARY_ID, root) is None
    agent.start_agent(LIBRARY_ID, root, secrets)
    assert agent.fetch_secrets(LIBRARY_ID, root) == secrets


@pytest.mark.parametrize("length", [1, 63, 65])
def test_an_agent_that_answers_nonsense_is_none(root: Path, runtime: Path, length: int) -> None:
    path = agent._socket_path(LIBRARY_ID, root, create=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(path))
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1)
                connection.sendall(agent_process.EXPIRY.pack(2**40) + bytes(length))

        thread = threading.Thread(target=answer)
        thread.start()
        assert agent.fetch_secrets(LIBRARY_ID, root) is None
        thread.join()
    path.unlink()


def test_lock_removes_a_stale_socket(root: Path, runtime: Path) -> None:
    agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate())
    os.kill(process_at(socket_of(runtime)), signal.SIGKILL)
    assert not agent.stop_agent(LIBRARY_ID, root)
    assert list(runtime.iterdir()) == []


def test_ends_by_itself_when_the_time_is_up(root: Path, runtime: Path) -> None:
    agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate(), lifetime=1)
    ends = time.monotonic() + 20
    while list(runtime.iterdir()) and time.monotonic() < ends:
        time.sleep(0.05)
    assert list(runtime.iterdir()) == []
    assert agent.agent_status(LIBRARY_ID, root) is None


@pytest.mark.parametrize("lifetime", [0, -1, agent.LONGEST_LIFETIME + 1])
def test_impossible_lifetimes_are_refused(root: Path, lifetime: int) -> None:
    with pytest.raises(AgentRefused):
        agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate(), lifetime=lifetime)


def test_a_termination_removes_the_socket(root: Path, runtime: Path) -> None:
    agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate())
    process = psutil.Process(process_at(socket_of(runtime)))
    process.terminate()
    process.wait(timeout=20)
    assert list(runtime.iterdir()) == []


def test_a_silent_or_senseless_peer_does_not_lock_others_out(root: Path, runtime: Path) -> None:
    secrets = DeviceSecrets.generate()
    agent.start_agent(LIBRARY_ID, root, secrets)
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as senseless:
        silent.connect(str(socket_of(runtime)))
        senseless.connect(str(socket_of(runtime)))
        senseless.sendall(b"?" * 1000)
        assert agent.fetch_secrets(LIBRARY_ID, root) == secrets


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.sendall(b"G")
    sys.stdout.buffer.write(b"got " + s.recv(4096))
except OSError:
    sys.stdout.buffer.write(b"got ")
"""
    root = tmp_path / "library"
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o711)
        runtime = Path(open_to_all) / "run"
        monkeypatch.setenv("SAFELIGHT_RUNTIME_DIR", str(runtime))
        agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate())
        path = socket_of(runtime)
        # The folder keeps others out; even if it did not, the agent looks at who asks.
        runtime.chmod(0o711)
        path.chmod(0o777)
        answer = subprocess.run([sys.executable, "-c", ask, str(path)], capture_output=True, check=True)
        runtime.chmod(0o700)
        agent.stop_agent(LIBRARY_ID, root)
    assert answer.stdout == b"got "


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_s_agent_is_not_asked(root: Path, runtime: Path) -> None:
    listen = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s.listen(1)
print("ready", flush=True)
peer, _ = s.accept()
said = bytes.fromhex(sys.stdin.readline())
if peer.recv(1) == b"G":
    peer.sendall(said)
"""
    expiry = agent_process.EXPIRY.pack(int(time.time()) + 3600)
    path = agent._socket_path(LIBRARY_ID, root, create=True)
    with subprocess.Popen(
        [sys.executable, "-c", listen, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as impostor:
        assert impostor.stdin is not None
        assert impostor.stdout is not None
        assert impostor.stdout.readline() == "ready\n"
        impostor.stdin.write((expiry + DeviceSecrets.generate().to_bytes()).hex() + "\n")
        impostor.stdin.flush()
        assert agent.fetch_secrets(LIBRARY_ID, root) is None


def locked_memory(process: str) -> int:
    """Return how much of a process's memory is kept out of swap, in KiB."""
    status = (Path("/proc") / process / "status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in status if line.startswith("VmLck:"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_secrets_are_kept_out_of_swap(root: Path, runtime: Path) -> None:
    probe = ctypes.create_string_buffer(4096)
    if ctypes.CDLL(None).mlock(probe, 4096) != 0 or not locked_memory("self"):
        pytest.skip("this system locks no memory, or does not say so")
    agent.start_agent(LIBRARY_ID, root, DeviceSecrets.generate())
    assert locked_memory(str(process_at(socket_of(runtime))))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_secrets_are_in_no_argument_and_no_environment_and_not_dumpable(root: Path, runtime: Path) -> None:
    secrets = DeviceSecrets.generate()
    agent.start_agent(LIBRARY_ID, root, secrets)
    proc = Path("/proc") / str(process_at(socket_of(runtime)))
    packed = secrets.to_bytes()
    for name in ("cmdline", "environ"):
        content = (proc / name).read_bytes()
        assert packed[:32] not in content
        assert packed[:32].hex().encode() not in content
    limits = (proc / "limits").read_text()
    assert "Max core file size        0                    0" in limits
    # A process that is not dumpable has a /proc that belongs to root.
    assert (proc / "environ").stat().st_uid == 0


def test_the_process_is_light() -> None:
    code = "import core.agent_process, sys; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "nacl",
        "msgspec",
        "sqlalchemy",
        "automerge",
        "onnxruntime",
        "PIL",
        "numpy",
        "structlog",
        "crypto",
        "crdt",
        "ml",
    }
    assert heavy.isdisjoint(loaded)


class Drawer:
    """A keyring backend in memory: the counterpart of Windows' Credential Manager, which cannot be tried here."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service_name: str, username: str) -> str | None:
        return self.kept.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self.kept[service_name, username] = password

    def delete_password(self, service_name: str, username: str) -> None:
        del self.kept[service_name, username]


def test_the_keyring_forgets_what_has_expired() -> None:
    drawer = Drawer()
    agent_keyring.store("name", b"secrets", 2**40, drawer)
    assert agent_keyring.load("name", drawer) == b"secrets"
    assert agent_keyring.expiry("name", drawer) == 2**40
    assert agent_keyring.forget("name", drawer)
    assert not agent_keyring.forget("name", drawer)
    agent_keyring.store("name", b"secrets", 1, drawer)
    assert agent_keyring.load("name", drawer) is None
    assert drawer.kept == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        '{"expires_at": 9999999999999}',
        '{"expires_at": 9999999999999, "secrets": "*"}',
        '{"expires_at": 9999999999999, "secrets": "é"}',
    ],
)
def test_a_keyring_entry_that_is_none_of_ours_is_no_secret(text: str) -> None:
    drawer = Drawer()
    drawer.set_password(agent_keyring.SERVICE, "name", text)
    assert agent_keyring.load("name", drawer) is None


def process_at(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(packed[:4], sys.byteorder)
