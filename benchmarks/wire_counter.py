"""A TCP forwarder that counts what every byte on the wire costs: bodies, header fields, and WebSocket frames."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import defaultdict
from typing import Self
from urllib.parse import urlsplit

import psutil

_AT_ONCE = 1 << 16


class WireCounter:
    """Passes connections on to a relay; what crosses them is counted for the process that opened them."""

    def __init__(self) -> None:
        """Listen on a free port of this machine."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._target = ("127.0.0.1", 0)
        self._counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._owners: dict[int, int] = {}
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.moved_at = time.monotonic()
        """When the last byte crossed, by the monotonic clock."""

    @property
    def url(self) -> str:
        """Where clients reach the relay by way of this."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def connect(self, url: str) -> None:
        """Pass connections on to the relay at `url` from now on."""
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self, pid: int) -> tuple[int, int]:
        """Return the bytes from a process to the relay and back since the last call."""
        with self._lock:
            up = down = 0
            ports = {connection.laddr.port for connection in psutil.Process(pid).net_connections("tcp")}
            for port in list(self._counts):
                if port in ports:
                    self._owners[port] = pid
                if self._owners.get(port) == pid:
                    more_up, more_down = self._counts.pop(port)
                    up, down = up + more_up, down + more_down
            return up, down

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close everything."""
        for one in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, (_, port) = self._listening.accept()
                server = socket.create_connection(self._target)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += (client, server)
                for source, sink, way in ((client, server, 0), (server, client, 1)):
                    threading.Thread(target=self._pass, args=(source, sink, port, way), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, port: int, way: int) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_AT_ONCE):
                with self._lock:
                    self._counts[port][way] += len(piece)
                    self.moved_at = time.monotonic()
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
