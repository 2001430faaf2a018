"""The agent: a small process that keeps one library's device secrets in memory until it is told to stop or time is up.

Started by `core.agent.start_agent`, never by a person. Everything it needs arrives on standard input, so that nothing
secret is ever an argument or an environment variable, and it imports nothing but the standard library, so that it stays
small. It answers only processes of the same user, on a Unix socket in a folder nobody else can enter.

Standard input, little-endian: u64 expiry (UTC seconds), u16 length of the socket's path, the path, u16 length of the
secrets, the secrets. One line on standard output ("ready", or what went wrong) tells the parent that the socket is
there. A request is one byte; see `Request`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from core.core_dumps import forbid_core_dumps
from core.peer_credentials import peer_user_id

if TYPE_CHECKING:
    from types import FrameType

HEADER = struct.Struct("<QH")
LENGTH = struct.Struct("<H")
EXPIRY = struct.Struct("<Q")

REQUEST_SECRETS = b"G"
"""Answered by the expiry (u64, UTC seconds) and the secrets."""
REQUEST_STATUS = b"T"
"""Answered by the expiry alone."""
REQUEST_QUIT = b"Q"
"""Answered by the expiry; the agent wipes the secrets and ends."""

_LOOK_AROUND_SECONDS = 20.0
"""How often the agent checks that its socket is still the one in the folder, and the wall clock after a suspend."""
_PEER_SECONDS = 2.0
"""How long one peer may take over its one byte: a silent peer must not lock everybody else out."""


class _Stopped(Exception):
    """A signal or a request asked the agent to end."""


def _read_exactly(stream: BinaryIO, count: int) -> bytearray:
    buffer = bytearray(count)
    view = memoryview(buffer)
    filled = 0
    while filled < count:
        got = os.readv(stream.fileno(), [view[filled:]])
        if got == 0:
            raise EOFError("the parent went away before it had said everything")
        filled += got
    return buffer


def _hide_memory(secrets: bytearray) -> None:
    """No core dump, no other process of this user reading the memory, no swap: as far as the system lets us."""
    import ctypes

    forbid_core_dumps()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None, use_errno=True)
        # The secrets are only ever in this buffer (read into it, sent from it), so locking its page is enough. A
        # refusal (RLIMIT_MEMLOCK) is no reason to fail: swap is among the exceptions that the documentation names.
        address = (ctypes.c_char * len(secrets)).from_buffer(secrets)
        library.mlock(ctypes.byref(address), ctypes.c_size_t(len(secrets)))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _listen(path: Path) -> tuple[socket.socket, tuple[int, int]]:
    """Bind beside `path` and rename over it: whoever connects meets the older agent or this one, never nothing.

    Returns the listening socket and the identity of its file, by which the agent knows whether it was replaced.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(beside))
        beside.chmod(0o600)
        own = _identity(beside)
        listener.listen(16)
        beside.replace(path)
    except OSError:
        listener.close()
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    return listener, own


def _answer(peer: socket.socket, expiry: int, secrets: bytearray) -> None:
    peer.settimeout(_PEER_SECONDS)
    if peer_user_id(peer) != os.getuid():
        return
    request = peer.recv(1)
    if request not in (REQUEST_SECRETS, REQUEST_STATUS, REQUEST_QUIT):
        return
    peer.sendall(EXPIRY.pack(expiry))
    if request == REQUEST_SECRETS:
        peer.sendall(secrets)
    elif request == REQUEST_QUIT:
        raise _Stopped


def _serve(listener: socket.socket, path: Path, own: tuple[int, int], expiry: int, secrets: bytearray) -> None:
    # Both clocks count: the monotonic one stops while a laptop sleeps, the wall clock can be set back.
    deadline = time.monotonic() + max(0.0, expiry - time.time())
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            left = min(deadline - time.monotonic(), expiry - time.time())
            if left <= 0:
                return
            ready = selector.select(min(left, _LOOK_AROUND_SECONDS))
            if not ready:
                # Replaced by a newer agent, or its folder was cleared: nobody can reach this one to end it.
                try:
                    seen = _identity(path)
                except OSError:
                    return
                if seen != own:
                    return
                continue
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                _answer(peer, expiry, secrets)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped


def _report(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    # The parent may be reading this pipe to its end: let go of it.
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def main() -> int:
    """Read what the parent says, listen until told to stop. Returns the exit status."""
    standard_input = sys.stdin.buffer
    expiry, path_length = HEADER.unpack(_read_exactly(standard_input, HEADER.size))
    path = Path(os.fsdecode(bytes(_read_exactly(standard_input, path_length))))
    (secrets_length,) = LENGTH.unpack(_read_exactly(standard_input, LENGTH.size))
    secrets = bytearray(secrets_length)
    _hide_memory(secrets)
    view = memoryview(secrets)
    filled = 0
    while filled < secrets_length:
        got = os.readv(standard_input.fileno(), [view[filled:]])
        if got == 0:
            return 1
        filled += got
    try:
        listener, own = _listen(path)
    except OSError as error:
        _report(f"no socket at {path}: {error.strerror}")
        return 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _stop)
        _report("ready")
        _serve(listener, path, own, expiry, secrets)
    except _Stopped:
        pass
    finally:
        for index in range(len(secrets)):
            secrets[index] = 0
        listener.close()
        with contextlib.suppress(OSError):
            if _identity(path) == own:
                path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
