"""The audit of the locked dependencies, against a database that answers as the real one does, or does not answer."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = 'jinja2==2.4.1 ; python_version >= "3.11" \\\n    --hash=sha256:00\nsafe-thing==1.0 \\\n    --hash=sha256:01\n'
VULNERABLE = "GHSA-462w-v97r-4m45"
WITHDRAWN = "PYSEC-2019-217"
ADVISORIES = {
    VULNERABLE: {"id": VULNERABLE, "summary": "Sandbox escape", "aliases": ["CVE-2019-10906"]},
    WITHDRAWN: {"id": WITHDRAWN, "withdrawn": "2020-01-01T00:00:00Z"},
}


class Osv(BaseHTTPRequestHandler):
    """Knows something of old versions of Jinja, on a page of its own each."""

    status = 200

    def answer(self, told: object) -> None:
        body = json.dumps(told).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer({"results": [self.known(query) for query in asked["queries"]]})

    def do_GET(self) -> None:
        self.answer(ADVISORIES[self.path.rsplit("/", 1)[1]])

    @staticmethod
    def known(query: dict[str, object]) -> dict[str, object]:
        if query["package"] != {"name": "jinja2", "ecosystem": "PyPI"} or query["version"] != "2.4.1":
            return {}
        if "page_token" not in query:
            return {"vulns": [{"id": WITHDRAWN}], "next_page_token": "more"}
        return {"vulns": [{"id": VULNERABLE}]}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def audit(folder: Path, lock: str, service: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "lock.txt").write_text(lock)
    command = [sys.executable, str(REPOSITORY / ".ci" / "audit.py"), "--service", service, *options]
    return subprocess.run([*command, str(folder / "lock.txt")], capture_output=True, text=True, check=False)


def test_a_pin_that_is_known_to_be_vulnerable_fails_the_build(service: str, tmp_path: Path) -> None:
    ended = audit(tmp_path, LOCK, service)
    assert ended.returncode == 1
    assert f"jinja2 2.4.1: {VULNERABLE} Sandbox escape" in ended.stderr
    assert WITHDRAWN not in ended.stderr
    assert "safe-thing" not in ended.stderr
    assert audit(tmp_path, LOCK, service, "--accept", "CVE-2019-10906").returncode == 0


def test_pins_that_nothing_is_known_of_pass(service: str, tmp_path: Path) -> None:
    ended = audit(tmp_path, LOCK.replace("2.4.1", "3.1.6"), service)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "2 locked packages: no known vulnerability" in ended.stdout


def test_without_the_database_it_is_said_that_nothing_was_audited(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Osv, "status", 403)  # as a proxy answers that lets nobody out
    for address in (service, "http://127.0.0.1:9/v1"):
        ended = audit(tmp_path, LOCK, address)
        assert ended.returncode == 0
        assert "NOT AUDITED" in ended.stderr
        assert ended.stdout == ""
