"""`make relay`: the relay it starts, the invite it prints, and its end, in a process of its own."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.tui.conftest import CommandLine


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running demo, and all it printed before it began to wait."""
    command = [sys.executable, "-P", "-m", "tui.relay_demo", "--port", str(free_port()), str(tmp_path / "kept")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            printed = ""
            while "^C" not in printed:
                line = process.stdout.readline()
                assert line, process.communicate()
                printed += line
            yield process, printed
        finally:
            process.kill()


def test_what_it_prints_can_be_typed(
    demo: tuple[subprocess.Popen[str], str], filled: CommandLine, tmp_path: Path
) -> None:
    process, printed = demo
    typed = [shlex.split(line) for line in re.findall(r"^    \S*safelight (.*)$", printed, re.MULTILINE)]
    first, second, third, *_ = [words for words in typed if words[0] in {"relay", "sync"}]
    assert (first[:2], second, third) == (["relay", "use"], ["sync"], ["relay", "status"])
    for words in (first, second, third):
        filled(*words)
    assert "No alarms" in filled.out
    url = first[2]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60),
    ):
        pass
    assert (tmp_path / "kept" / "relay.db").is_file()


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-P", "-m", "tui.relay_demo", "--port", port, str(tmp_path / "kept")]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr
