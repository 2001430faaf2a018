"""What other devices changed is applied in a worker first: each attack, at the reader and at the process behind it."""

from __future__ import annotations

import os
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from core import edits
from core.envelope_body import KIND_CHANGES, DocumentChanges, EnvelopeBody
from core.errors import Forged
from core.rebuild import rebuild
from core.rehearsal import MOST_DEATHS
from core.replica_process import LEAST_MEMORY, LEAST_SECONDS, WORKER
from crdt.leb128 import write_unsigned
from crdt.operations import Put
from crdt.replica import Replica, new_actor
from tests.core import remote_device
from tests.crdt.conftest import Op, Parts, signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library
    from tests.core.conftest import Bench
    from tests.core.remote_device import Remote

MONTH = "photos:2024-05"
FAULTY = "tests.core.faulty_replica_worker"
RATING = (7, b"safelight/schema")
PID = "ab" * 16


@dataclass
class Member:
    """A member elsewhere, with a replica of one month to write to."""

    library: Library
    remote: Remote
    replica: Replica = field(init=False)

    def __post_init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what it wrote, as far as that was refused: nothing of it is built upon."""
        self.replica = Replica.create(MONTH, new_actor(self.remote.id))
        self.replica.apply(self.library.with_replica(MONTH, lambda known, _: known.changes()), author=None)

    def caption(self, text: str) -> bytes:
        """Return a change that sets a caption of its own."""
        change = self.replica.edit([Put("caption", self.remote.id.hex()[:32], text)])
        assert change is not None
        return change

    def write(self, *changes: bytes) -> str:
        """Write an envelope, which the library gets, and return how alarms name it."""
        body = EnvelopeBody(KIND_CHANGES, 0, [], [DocumentChanges(MONTH, list(changes))], bytes(16), "edit", "edit")
        self.library.ingest.envelopes([self.remote.write(body=body)])
        self.library.refresh()
        return f"envelope {self.remote.place[0]} of device {self.remote.id.hex()[:12]}"

    def shown(self) -> object:
        """Return this member's caption as the library shows it."""
        return self.library.replica_get(MONTH, "caption", self.remote.id.hex()[:32])


@pytest.fixture
def member(library: Library) -> Callable[[], Member]:
    return lambda: Member(library, remote_device.pair(library))


@pytest.fixture
def faulty(library: Library, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Return the library with a worker that has holes, and little memory."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    library.replica_process.module = FAULTY
    library.replica_process.memory = 96 << 20
    return library


def refused(library: Library, envelope: str) -> str:
    """Check that one envelope was refused by name, and that nothing else is amiss; return the alarm."""
    (alarm,) = library.take_distrust()
    assert isinstance(alarm, Forged)
    assert envelope in str(alarm)
    assert "revoke" in (alarm.hint or "")
    assert list(library.doubts) == []
    return str(alarm)


def parts(member: Member, **fields: object) -> Parts:
    return Parts.of(member.replica, [Op(**fields)], new_actor(member.remote.id))  # type: ignore[arg-type]


def run_length_bomb(member: Member) -> bytes:
    made, many = parts(member, key="k"), signed(1 << 40)
    made.columns = {0x01: many + b"\1", 0x02: many + b"\6", 0x15: many + b"\1k", 0x34: write_unsigned(1 << 40)}
    made.columns |= {0x42: many + b"\1", 0x56: many + b"\6", 0x70: many + b"\0"}
    return made.bytes()


def chunk_bomb(member: Member) -> bytes:
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    deflated = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(128)) + deflater.flush()
    return member.caption("x")[:8] + b"\x02" + write_unsigned(len(deflated)) + deflated


ATTACKS: dict[str, tuple[Callable[[Member], bytes], str]] = {
    "run-length bomb": (run_length_bomb, "more than 20000 values"),
    "a key of the root": (lambda member: parts(member, object=None).bytes(), "works on"),
    "a wrong shape": (lambda member: parts(member, object=RATING).bytes(), "'rating' holds"),
    "a new object": (lambda member: parts(member, action=0, value=b"", meta=0).bytes(), "make an object"),
    "compressed bomb": (chunk_bomb, "is deflated"),
}


def test_the_reader_refuses_in_both_processes(library: Library, member: Callable[[], Member]) -> None:
    alice = member()
    alice.write(alice.caption("before"))
    pid = library.replica_process.pid
    for attack, (make, why) in ATTACKS.items():
        mallory = member()
        assert why in refused(library, mallory.write(make(mallory))), attack
        alice.write(alice.caption(f"after {attack}"))
        assert alice.shown() == f"after {attack}"
    assert library.replica_process.pid == pid, "no process was lost over it"


@pytest.mark.skipif(sys.platform != "linux", reason="the bound on memory holds on Linux alone")
def test_without_the_reader_a_process_at_most_is_lost(faulty: Library, member: Callable[[], Member]) -> None:
    """The reader is there in the second process still: it refuses what the first one survives."""
    alice = member()
    alice.write(alice.caption("before"))
    for attack, (make, _) in ATTACKS.items():
        mallory, pid = member(), faulty.replica_process.pid
        change = make(mallory)
        if attack == "run-length bomb":
            faulty.replica_process.seconds = 1  # it would go on for years
        refused(faulty, mallory.write(change))
        faulty.replica_process.seconds = LEAST_SECONDS
        alice.write(alice.caption(f"after {attack}"))
        assert alice.shown() == f"after {attack}"
        assert (faulty.replica_process.pid != pid) == ("bomb" in attack), attack


@pytest.mark.skipif(sys.platform != "linux", reason="the bound on memory holds on Linux alone")
@pytest.mark.parametrize(
    ("fault", "why"),
    [("crash", "crashed (SIGABRT)"), ("panic", "gave up"), ("memory", "more memory"), ("endless", "took too long")],
)
def test_what_the_reader_does_not_know(fault: str, why: str, faulty: Library, member: Callable[[], Member]) -> None:
    """A change in perfect order at which the engine fails: the change is lost, and a process."""
    mallory, alice = member(), member()
    alice.write(alice.caption("before"))
    if fault == "endless":
        faulty.replica_process.seconds = 2
    assert why in refused(faulty, mallory.write(alice_and(alice, mallory, f"fault:{fault}")))
    faulty.replica_process.seconds = LEAST_SECONDS
    assert mallory.shown() is None
    alice.write(alice.caption("after"))
    assert alice.shown() == "after"


def alice_and(alice: Member, mallory: Member, text: str) -> bytes:
    """Return a change of mallory's that builds on what alice wrote."""
    mallory.replica.apply(alice.replica.changes(), author=None)
    return mallory.caption(text)


def test_one_of_many_is_found(faulty: Library, member: Callable[[], Member]) -> None:
    mallory, alice = member(), member()
    faulty.ingest.envelopes([])
    body = [DocumentChanges(MONTH, [alice.caption(f"number {number}")]) for number in range(20)]
    envelopes = [
        alice.remote.write(body=EnvelopeBody(KIND_CHANGES, 0, [], [one], bytes(16), "edit", "edit")) for one in body
    ]
    bad = DocumentChanges(MONTH, [mallory.caption("fault:crash")])
    envelopes.insert(11, mallory.remote.write(body=EnvelopeBody(KIND_CHANGES, 0, [], [bad], bytes(16), "edit", "edit")))
    faulty.ingest.envelopes(envelopes)
    faulty.refresh()
    refused(faulty, f"envelope 1 of device {mallory.remote.id.hex()[:12]}")
    assert alice.shown() == "number 19"


def test_who_brings_what_a_hostile_change_waited_for_is_not_to_blame(
    faulty: Library, member: Callable[[], Member]
) -> None:
    mallory, alice = member(), member()
    awaited = alice.caption("honest")
    mallory.write(alice_and(alice, mallory, "fault:crash"))
    assert faulty.take_distrust() == [], "it waits"
    replicas = faulty._view.replicas
    replicas._save(MONTH, replicas.get(MONTH))
    alice.write(awaited)
    (alarm,) = faulty.take_distrust()
    assert mallory.replica.actor.hex() in str(alarm)
    assert (alice.shown(), mallory.shown()) == ("honest", None)
    replicas.drop_all()
    assert (alice.shown(), mallory.shown()) == ("honest", None)


def test_it_is_remembered_and_a_rebuild_tries_again(
    bench: Bench, faulty: Library, member: Callable[[], Member]
) -> None:
    mallory = member()
    envelope = mallory.write(mallory.caption("fault:crash"))
    refused(faulty, envelope)
    edits.set_caption(faulty, bench.add_photos(faulty, 1), "own")
    faulty.save_derived()
    with bench.open() as again:
        mallory.library = again
        assert mallory.shown() is None
        again.rebuild_view()
        refused(again, envelope)
        assert mallory.shown() is None
        assert again.replica_process.pid is None, "nothing that was tried is tried again unasked"
        rebuild(again)
        assert mallory.shown() == "fault:crash", "a worker without the fault takes it"
        assert again.take_distrust() == []


def test_after_several_deaths_a_device_is_not_tried_again(faulty: Library, member: Callable[[], Member]) -> None:
    mallory, alice = member(), member()
    for number in range(MOST_DEATHS):
        mallory.begin_anew()
        assert "crashed" in refused(faulty, mallory.write(mallory.caption(f"fault:crash {number}")))
    alice.write(alice.caption("before"))
    pid = faulty.replica_process.pid
    mallory.begin_anew()
    assert "was not tried" in refused(faulty, mallory.write(mallory.caption("harmless, for once")))
    assert faulty.replica_process.pid == pid
    alice.write(alice.caption("after"))
    assert alice.shown() == "after"


def test_where_no_process_can_be_started_what_others_did_waits(
    bench: Bench, library: Library, member: Callable[[], Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = member()
    pids = bench.add_photos(library, 1)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(bench.root / "nothing"))
        alice.write(alice.caption("hello"))
        edits.set_caption(library, pids, "own")
        assert (alice.shown(), list(library.doubts), len(library.notes)) == (None, [], 1)
        with bench.open() as again:
            alice.library = again
            again.rebuild_view()
            assert (alice.shown(), again.replica_get(MONTH, "caption", pids[0].hex())) == (None, "own")
    alice.library = library
    library.expect_news()
    library.refresh()
    assert (alice.shown(), library.replica_get(MONTH, "caption", pids[0].hex())) == ("hello", "own")


def test_changes_that_were_passed_over_are_tried_when_they_can_be_applied(
    faulty: Library, member: Callable[[], Member]
) -> None:
    mallory = member()
    view = faulty._view
    faulty.replica_process.module = WORKER
    mallory.write(mallory.caption("fault:crash"))
    faulty.replica_process._end()
    faulty.replica_process.module = FAULTY
    view.rehearsal.postpone(MONTH)
    view.replicas.drop_all()
    assert mallory.shown() is None
    faulty.refresh()
    assert [document for document, _ in view.replicas.refusals] == []
    assert not view.rehearsal.is_pending(MONTH)


def test_alone_there_is_no_process_and_with_others_there_is_one(
    bench: Bench, library: Library, member: Callable[[], Member]
) -> None:
    others = set(psutil.Process().children())  # what tests before it left
    pids = bench.add_photos(library, 2)
    edits.set_caption(library, pids, "own")
    rebuild(library)
    library.expect_changes()
    assert not set(psutil.Process().children()) - others
    alice = member()
    library.expect_changes()
    process = psutil.Process(library.replica_process.pid)
    alice.write(alice.caption("one"))
    alice.write(alice.caption("two"))
    assert alice.shown() == "two"
    assert library.replica_process.pid == process.pid, "one for all"
    if sys.platform == "linux":
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        bounds = {line[:18].strip(): line[26:].split()[0] for line in limits.splitlines()}
        assert bounds["Max file size"] == bounds["Max core file size"] == "0"
        assert int(bounds["Max address space"]) < LEAST_MEMORY + (1 << 30)
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"
        if os.getuid() == 0:  # nobody else may look
            assert not [file for file in process.open_files() if str(bench.root) in file.path]
    with bench.open() as again:
        rebuild(again)
        assert again.replica_process.pid is None, "what was rehearsed once is not rehearsed again"
    library.close()
    assert not process.is_running() or os.name == "nt"
