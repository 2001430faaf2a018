"""Targets for what an import makes of a photo: whatever was read of it, or answered by its decoder, costs that one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from core.blobs import BlobRef, StagedBlob
from core.catalog.records import Copy
from core.confinement import PipeBroken
from core.importing import protocol, sidecar, tagging
from core.importing.committer import Committer, Prepared
from core.importing.dates import CaptureTime
from core.importing.description import Description
from core.importing.facts import FileFacts, Looks
from core.importing.walk import Found
from crdt.replica import Replica, device_prefix
from tests.fuzz.target import same, scratch, target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from core.importing.worker_pool import WorkerPool
    from core.library import Library
    from crdt.operations import Operation, Scalar

_ACTOR = device_prefix(bytes(32)) + b"fuzzing!"
_PID, _OTHER_PID = b"\xab" * 16, b"\xcd" * 16
_ORIGINAL = StagedBlob(BlobRef(b"\1" * 32, bytes(32), 1000), Path("original"))
_PREVIEW = StagedBlob(BlobRef(b"\2" * 32, bytes(32), 500), Path("preview"))
_BUNDLE = StagedBlob(BlobRef(b"\3" * 32, bytes(32), 100), Path("bundle"))
DONE = protocol.Done(
    FileFacts(
        64, 48, 1, "image/jpeg", CaptureTime("2024-05-12T13:45:01", 120, "exif.DateTimeOriginal"), (38.7, -9.1), 3.0,
        "Google", "Pixel 8", "wide", 100, 1.8, 0.01, 24.0,
        Description("a day", 3, favourite=True, rotation=90, labels=("dog",), albums=("Lisbon",)), 2.0, screenshot=True,
    ),
    (64, 48), b"thumb", bytes(24), Looks(500, 3, 10, 20, bytes(8)), protocol.Labels([(3, 0.5), (1, 0.25)], bytes(4)),
    vector=bytes(4),
)  # fmt: skip


class _Library:
    """As much of a library as an import writes to: it has nothing yet, and its documents take what they may hold."""

    def refresh(self) -> None:
        pass

    @property
    def catalog(self) -> _Library:
        return self

    @property
    def blobs(self) -> _Library:
        return self

    def __init__(self, known: Mapping[bytes, str]) -> None:
        self._known = dict(known)

    def documents_of(self, _pids: object) -> dict[bytes, str]:
        return self._known

    def copies(self, _pid: bytes) -> list[Copy]:
        return [Copy(_PREVIEW.ref.id, "preview", _PREVIEW.ref.key, 500, None)]

    def read(self, _blob_id: bytes, _key: bytes) -> bytes:
        return b"a preview"

    def put_bytes(self, _data: bytes) -> BlobRef:
        return _BUNDLE.ref

    def purged(self, _pids: object) -> dict[bytes, str]:
        return {}

    def stage_bytes(self, _data: bytes) -> StagedBlob:
        return _BUNDLE

    def publish(self, _staged: object) -> None:
        pass

    def discard(self, _staged: object) -> None:
        pass

    def replica_get(self, _document: str, _map: str, _key: str) -> Scalar | None:
        return None

    def replica_items(self, _document: str, _map: str) -> Iterator[tuple[str, Scalar]]:
        return iter(())

    def commit(self, changes: Mapping[str, Sequence[Operation]], **_about: object) -> None:
        for document, operations in changes.items():
            Replica.create(document, _ACTOR).edit(list(operations))


class _Pool:
    """Workers that all answer the same."""

    def __init__(self, answer: protocol.Labelled) -> None:
        self._answer = answer

    def looked_at(self, _preview: bytes, **_wanted: bool) -> protocol.Labelled:
        return self._answer


def _retag(answer: protocol.Labelled) -> None:
    library = cast("Library", _Library({_PID: "photos:2024-05", _OTHER_PID: "photos:2024-05"}))
    models = tagging._Models("a@1", "b@1")
    results = []
    for pid, said in ((_PID, answer), (_OTHER_PID, LABELLED)):
        wanted = tagging._Wanted(pid, labels=True, vector=True)
        results.append(tagging._label(library, cast("WorkerPool", _Pool(said)), wanted))
    same(isinstance(results[1], tagging._Result), True, "what was said of another photo")
    tagging._commit(library, [one for one in results if isinstance(one, tagging._Result)], models, bytes(16))


def _import(done: protocol.Done, beside: sidecar.SidecarReading) -> None:
    photo = Prepared(
        Found(Path("IMG_20240512_134501.jpg"), 1000, 1e9, sidecar.Sidecars()), _PID, 1000, _ORIGINAL, _PREVIEW, done,
        beside,
    )  # fmt: skip
    committer = Committer(
        cast("Library", _Library({})),
        group=bytes(16),
        model="a@1",
        text_model="b@1",
        album="Trip",
        readmit_purged=False,
    )
    committer.add(photo)
    outcome = committer.flush()
    same(len(outcome.added) + len(outcome.refused), 1, "what became of a photo")


@target(PipeBroken, covers=("core.importing.protocol", "core.importing.committer", "core.importing.tagging"), values=0)
def decoder_said(data: bytes) -> None:
    """What a decoder says of a photo that may have taken it over: the photo is imported, or refused alone."""
    answer, _ = protocol.receive_answer(io.BytesIO(len(data).to_bytes(4, "big") + data + bytes(4)))
    if isinstance(answer, protocol.Done):
        _import(answer, sidecar.SidecarReading())
    elif isinstance(answer, protocol.Labelled):
        _retag(answer)


@target(covers=("core.importing.committer", "core.importing.sidecar", "core.importing.description"), values=1)
def words_beside(data: bytes) -> None:
    """What a Takeout record or an XMP sidecar says of a photo, by the first byte: it can be stored, or is left out."""
    how, data = data[:1], data[1:]
    if how < b"\x80":
        for name in ("a.json", "metadata.json"):
            (scratch() / name).write_bytes(data)
        beside = sidecar.read(scratch(), sidecar.Sidecars(takeout="a.json", takeout_album="metadata.json"))
    else:
        (scratch() / "a.xmp").write_bytes(data)
        beside = sidecar.read(scratch(), sidecar.Sidecars(xmp=("a.xmp",)))
    _import(DONE, beside)


LABELLED = protocol.Labelled(DONE.labels, DONE.vector)


def answers() -> list[bytes]:
    """Return what decoders answer: one whose facts have no time zone, and one that looked at a preview, too."""
    replace = msgspec.structs.replace
    clock = CaptureTime("2024-05-12T13:45:01", None, "exif.DateTimeOriginal")
    words = replace(DONE.facts.description, taken=CaptureTime("2024-05-12T11:45:02", 0, "xmp.CreateDate"))
    other = replace(DONE, facts=replace(DONE.facts, taken=clock, description=words))
    return [msgspec.msgpack.encode(said) for said in (DONE, other, LABELLED)]
