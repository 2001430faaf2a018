"""Unlocking for a while: this device's secrets go to a small process (`core.agent_process`) and come back from it.

One agent per library folder, known by a socket in the user's runtime folder whose name is a hash of the library id
and the folder: a second device of the same library on the same machine has an agent of its own. On Windows, which has
no such socket, the platform's keyring keeps the secrets with their expiry (`core.agent_keyring`).

Promises: the secrets are in memory only (except in the keyring of Windows, which encrypts them for the user); they
reach the agent through a pipe; only processes of the same user get them; after the expiry there is no agent. Not
promised: protection from a program that runs as the same user, who can also read this process.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from core import agent_process
from core.errors import AgentRefused
from core.peer_credentials import peer_user_id

if TYPE_CHECKING:
    from crypto.keys import DeviceSecrets

DEFAULT_LIFETIME = 8 * 3600
"""Seconds that `unlock` lasts when nothing else is said."""
LONGEST_LIFETIME = 30 * 24 * 3600
"""Seconds; an agent that outlives a month is a library that is never locked."""

_ANSWER_SECONDS = 20.0
_START_SECONDS = 60.0
_SECRETS_LIMIT = 4096
_SOCKET_PATH_LIMIT = 92
"""Bytes: sun_path holds 104 on macOS, 108 on Linux, less the suffix of the file that is renamed into place."""


@dataclass(frozen=True)
class AgentStatus:
    """An agent that answered. `expires_at` is in UTC seconds."""

    expires_at: int


def start_agent(library_id: bytes, root: Path, secrets: DeviceSecrets, lifetime: int = DEFAULT_LIFETIME) -> AgentStatus:
    """Keep `secrets` for `lifetime` seconds (1 to `LONGEST_LIFETIME`); replaces the library's agent if it has one.

    Raises:
        AgentRefused: the process or its socket could not be made, or `lifetime` is out of range.
    """
    if not 1 <= lifetime <= LONGEST_LIFETIME:
        raise AgentRefused(
            f"cannot unlock for {lifetime} seconds", hint="Choose a time between one second and 30 days."
        )
    expiry = int(time.time()) + lifetime
    if sys.platform == "win32":
        from core import agent_keyring

        agent_keyring.store(_name(library_id, root), secrets.to_bytes(), expiry)
        return AgentStatus(expiry)
    path = os.fsencode(_socket_path(library_id, root, create=True))
    stop_agent(library_id, root)
    packed = secrets.to_bytes()
    message = b"".join(
        (
            agent_process.HEADER.pack(expiry, len(path)),
            path,
            agent_process.LENGTH.pack(len(packed)),
            packed,
        )
    )
    process, said = _launch(message)
    if said != "ready":
        process.kill()
        process.wait()
        raise AgentRefused(
            f"the agent did not start: {said or 'it ended at once, or took too long'}",
            hint="Commands still work with a passphrase or --passphrase-file; try again when the machine is less busy.",
        )
    # It outlives this command on purpose; without this, Popen's finaliser warns about a child that still runs.
    process.returncode = 0
    return AgentStatus(expiry)


def _launch(message: bytes) -> tuple[subprocess.Popen[bytes], str]:
    """Start the process, tell it `message`; returns it and the line it answered, empty if it did not in time."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", agent_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            close_fds=True,
        )
    except OSError as error:
        raise AgentRefused(f"the agent could not be started: {error.strerror}") from error
    if process.stdin is None or process.stdout is None:
        raise AgentRefused("the agent was started without its pipes")
    with process.stdin, process.stdout, contextlib.suppress(BrokenPipeError):
        # Far less than a pipe holds, so this does not wait for the process to read it.
        process.stdin.write(message)
        process.stdin.flush()
        # Once it has said its line it keeps running, so its end cannot be waited for as `communicate` would.
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if selector.select(_START_SECONDS):
                return process, os.read(process.stdout.fileno(), 4096).decode(errors="replace").strip()
    return process, ""


def fetch_secrets(library_id: bytes, root: Path) -> DeviceSecrets | None:
    """The secrets that the library's agent keeps, or None: no agent, expired, or it answers nonsense."""
    if sys.platform == "win32":
        from core import agent_keyring

        packed = agent_keyring.load(_name(library_id, root))
    else:
        reply = _ask(library_id, root, agent_process.REQUEST_SECRETS)
        packed = None if reply is None else reply[agent_process.EXPIRY.size :]
    if not packed:
        return None
    from crypto.keys import DeviceSecrets

    try:
        return DeviceSecrets.from_bytes(packed)
    except ValueError:  # of another length
        return None


def agent_status(library_id: bytes, root: Path) -> AgentStatus | None:
    """Whether the library is unlocked, and until when; None when there is no agent."""
    if sys.platform == "win32":
        from core import agent_keyring

        expiry = agent_keyring.expiry(_name(library_id, root))
        return None if expiry is None else AgentStatus(expiry)
    reply = _ask(library_id, root, agent_process.REQUEST_STATUS)
    if reply is None:
        return None
    (expires_at,) = agent_process.EXPIRY.unpack_from(reply)
    return AgentStatus(int(expires_at))


def stop_agent(library_id: bytes, root: Path) -> bool:
    """Lock: end the library's agent. Returns whether there was one. A socket left by a dead one is removed."""
    if sys.platform == "win32":
        from core import agent_keyring

        return agent_keyring.forget(_name(library_id, root))
    answered = _ask(library_id, root, agent_process.REQUEST_QUIT) is not None
    if not answered:
        with contextlib.suppress(FileNotFoundError, AgentRefused):
            _socket_path(library_id, root, create=False).unlink()
    return answered


def runtime_folder(*, create: bool) -> Path:
    """The folder of the sockets, 0700 and ours. `SAFELIGHT_RUNTIME_DIR` names another one.

    Raises:
        AgentRefused: the folder belongs to somebody else, is open to others, or cannot be made.
    """
    named = os.environ.get("SAFELIGHT_RUNTIME_DIR")
    # https://specifications.freedesktop.org/basedir-spec: ours alone and, where systemd makes it, in memory.
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if named:
        folder = Path(named)
    elif runtime and Path(runtime).is_dir():
        folder = Path(runtime) / "safelight"
    else:
        # On macOS this is a folder of the user's own below /var/folders.
        folder = Path(tempfile.gettempdir()) / f"safelight-{os.getuid()}"
    if len(os.fsencode(folder)) > _SOCKET_PATH_LIMIT - 2 * _NAME_BYTES - 1:
        folder = Path(tempfile.gettempdir()) / f"safelight-{os.getuid()}"
    if create:
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        except OSError as error:
            raise AgentRefused(
                f"the runtime folder {folder} could not be made: {error.strerror}",
                hint="Set SAFELIGHT_RUNTIME_DIR to a folder that only you can enter.",
            ) from error
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return folder
    except OSError as error:
        raise AgentRefused(f"the runtime folder {folder} cannot be looked at: {error.strerror}") from error
    # Whoever owns the folder could put a socket of their own there and be given nothing but trust.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise AgentRefused(
            f"the runtime folder {folder} is open to others",
            hint=f"Make it yours alone (chmod 700 {folder}), or set SAFELIGHT_RUNTIME_DIR to another folder.",
        )
    return folder


_NAME_BYTES = 10


def _name(library_id: bytes, root: Path) -> str:
    place = os.fsencode(os.path.realpath(root))
    return blake2b(library_id + place, digest_size=_NAME_BYTES, person=b"safelight agent").hexdigest()


def _socket_path(library_id: bytes, root: Path, *, create: bool) -> Path:
    return runtime_folder(create=create) / _name(library_id, root)


def _ask(library_id: bytes, root: Path, request: bytes) -> bytes | None:
    try:
        path = _socket_path(library_id, root, create=False)
    except AgentRefused:
        # A folder that is not ours holds no agent of ours; whoever made it must not stop the commands from working.
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(os.fspath(path))
            if peer_user_id(connection) != os.getuid():
                return None
            connection.sendall(request)
            reply = bytearray()
            while len(reply) <= _SECRETS_LIMIT and (piece := connection.recv(_SECRETS_LIMIT)):
                reply += piece
        except OSError:
            return None
    if len(reply) < agent_process.EXPIRY.size or len(reply) > _SECRETS_LIMIT:
        return None
    (expires_at,) = agent_process.EXPIRY.unpack_from(reply)
    # An agent that was asleep with the machine may not have noticed yet that its time is up.
    return bytes(reply) if expires_at > time.time() else None
