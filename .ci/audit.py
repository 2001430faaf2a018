"""Asks the OSV database whether anything that the lock files pin is known to be vulnerable.

    python .ci/audit.py [--service URL] [--accept ID]... LOCK...

Ends with 1 if so, naming package, version and advisory. Where the database cannot be asked (no network, an outage, a
proxy in between) it says so and ends with 0: a build without a network has to pass. All that leaves this machine are
the names and versions of the lock files. Method and formats: https://google.github.io/osv.dev/post-v1-querybatch/.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import msgspec

_Told = TypeVar("_Told", bound=msgspec.Struct)
_SERVICE: Final = "https://api.osv.dev/v1"
_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_PATIENCE_S: Final = 10.0
_MOST_PAGES: Final = 20


class Found(msgspec.Struct):
    """An advisory of an answer: its name, and nothing that is needed of it else."""

    id: str


class Result(msgspec.Struct):
    """What is known of one package; a token where there is more than fits an answer."""

    vulns: list[Found] = []
    next_page_token: str = ""


class Answer(msgspec.Struct):
    """The answer to a batch: as many results as there were questions, in their order."""

    results: list[Result]


class Advisory(msgspec.Struct):
    """An advisory. One that was withdrawn is none."""

    id: str
    summary: str = ""
    aliases: list[str] = []
    withdrawn: str | None = None


class CannotAsk(Exception):
    """The database gave no answer, or one that makes no sense."""


def pins(text: str) -> set[tuple[str, str]]:
    """Return the (name, version) pairs that a lock file pins, for every system it was made for."""
    return {(name.lower(), version) for name, version in _PIN.findall(text)}


def ask(client: httpx2.Client, pinned: list[tuple[str, str]]) -> dict[tuple[str, str], set[str]]:
    """Return the ids of the advisories on each pinned version. Raises `CannotAsk`."""
    queries: dict[tuple[str, str], dict[str, Any]] = {
        (name, version): {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in pinned
    }
    found: dict[tuple[str, str], set[str]] = {}
    for _ in range(_MOST_PAGES):
        answer = _sent(client, "POST", "querybatch", Answer, {"queries": list(queries.values())})
        if len(answer.results) != len(queries):
            raise CannotAsk(f"{len(answer.results)} results for {len(queries)} packages")
        more: dict[tuple[str, str], dict[str, Any]] = {}
        for (pin, query), result in zip(queries.items(), answer.results, strict=True):
            found.setdefault(pin, set()).update(one.id for one in result.vulns)
            if result.next_page_token:
                more[pin] = query | {"page_token": result.next_page_token}
        queries = more
        if not queries:
            return {pin: ids for pin, ids in found.items() if ids}
    raise CannotAsk("its answer has no end")


def _sent(
    client: httpx2.Client, method: str, path: str, kind: type[_Told], body: dict[str, Any] | None = None
) -> _Told:
    try:
        response = client.request(method, path, json=body)
        if response.status_code != httpx2.codes.OK:
            raise CannotAsk(f"it answers {response.status_code}")
        return msgspec.json.decode(response.content, type=kind)
    except (httpx2.HTTPError, msgspec.MsgspecError) as error:
        raise CannotAsk(str(error) or type(error).__name__) from error


def main() -> int:
    """Audit the lock files that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("locks", nargs="+", type=Path, metavar="LOCK")
    parser.add_argument("--service", default=_SERVICE, help="an OSV database's address (default: %(default)s)")
    parser.add_argument("--accept", action="append", default=[], metavar="ID", help="an advisory that does not matter")
    arguments = parser.parse_args()
    pinned = sorted(set().union(*(pins(lock.read_text(encoding="utf-8")) for lock in arguments.locks)))
    if not pinned:
        parser.error("no lock file pins anything")
    faults = 0
    with httpx2.Client(base_url=arguments.service.rstrip("/") + "/", timeout=_PATIENCE_S) as client:
        try:
            found = ask(client, pinned)
        except CannotAsk as error:
            print(
                f"NOT AUDITED: {arguments.service} cannot be asked for known vulnerabilities ({error}).",
                file=sys.stderr,
            )
            return 0
        for (name, version), ids in sorted(found.items()):
            for number in sorted(ids):
                try:
                    advisory = _sent(client, "GET", f"vulns/{number}", Advisory)
                except CannotAsk:
                    advisory = Advisory(number)  # what it says is not needed to know that it is there
                if advisory.withdrawn or {number, *advisory.aliases} & set(arguments.accept):
                    continue
                faults += 1
                summary = "".join(one if one.isprintable() else " " for one in advisory.summary)[:200]
                print(
                    f"{name} {version}: {number} {summary}\n    https://osv.dev/vulnerability/{number}", file=sys.stderr
                )
    if faults:
        print(
            f"{faults} known vulnerabilities in what is locked. Take fixed versions in with `make lock`; what does not"
            " matter here is accepted by name in the Makefile (AUDIT_ACCEPTED).",
            file=sys.stderr,
        )
        return 1
    print(f"{len(pinned)} locked packages: no known vulnerability.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
