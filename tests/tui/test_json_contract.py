"""What scripts rely on: the exact fields of every `--json`, as docs/commands.md promises them."""

from __future__ import annotations

import io
import json
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.tui.conftest import PASSPHRASE, CommandLine, create_library, make_photo
from tui.cli.application import run

MANIFEST = Path(__file__).resolve().parents[1] / "ml" / "manifests" / "mobilenet-v1-0.25.toml"

SEARCH = [
    "id",
    "filename",
    "taken_at",
    "width",
    "height",
    "size",
    "mime",
    "labels",
    "caption",
    "rating",
    "favourite",
    "albums",
    "location",
    "score",
]


@pytest.fixture(scope="module")
def labelled_once(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of real photos, labelled by a real model, with that model and what this machine remembers."""
    base = tmp_path_factory.mktemp("labelled")
    folder = base / "photos"
    folder.mkdir()
    for name in ("dalmatian", "sunflower"):
        for path in sorted((shared_data / "labelled" / "caltech101" / name).iterdir())[:3]:
            shutil.copy(path, folder / f"{name}-{path.name}")
    shutil.copy(shared_data / "photos" / "metadata" / "ianare__DSCN0010.jpg", folder / "gps.jpg")
    (base / "passphrase").touch(mode=0o600)
    (base / "passphrase").write_text(PASSPHRASE + "\n")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for name in ("STATE_DIR", "DATA_DIR", "RUNTIME_DIR", "LIBRARY"):
            patch.setenv(f"SAFELIGHT_{name}", str(base / name.partition("_")[0].lower()))
        patch.setenv("SAFELIGHT_PASSPHRASE_FILE", str(base / "passphrase"))
        create_library(base / "library")
        model = shared_data / "models" / "mobilenet-v1-0.25"
        assert run(["model", "add", str(model), "--manifest", str(MANIFEST), "--use"]) == 0
        assert run(["import", str(folder)]) == 0
    return base


@pytest.fixture
def labelled(empty: CommandLine, labelled_once: Path) -> CommandLine:
    """A copy of the labelled library that this test may change."""
    shutil.copytree(labelled_once / "library", empty.root)
    for name in ("state", "data"):
        shutil.copytree(labelled_once / name, os.environ[f"SAFELIGHT_{name.upper()}_DIR"])
    return empty


def test_search(filled: CommandLine) -> None:
    lines = filled.json("search", "--sort", "name")
    assert [list(line) for line in lines] == [SEARCH] * 3
    blue, green, red = lines
    assert red["filename"] == "red.jpg"
    assert red["taken_at"] == "2024-05-01T10:00:00"
    assert datetime.fromisoformat(green["taken_at"]).tzinfo is None
    assert (red["width"], red["height"], red["mime"]) == (64, 48, "image/jpeg")
    assert len(bytes.fromhex(red["id"])) == 16
    assert (red["labels"], red["caption"], red["rating"], red["favourite"], red["albums"]) == ([], "", 0, False, [])
    assert red["location"] is None
    assert red["score"] is None
    assert blue["size"] > 0


def test_search_with_everything_set(filled: CommandLine) -> None:
    (red,) = filled.ids("name:red")
    filled("label", "add", "square", red)
    filled("caption", red, "Words")
    filled("rate", red, "5")
    filled("favourite", red)
    filled("album", "create", "Shapes")
    filled("album", "add", "Shapes", red)
    filled("date", red, "2020-01-01T00:00:00+05:30")
    (line,) = filled.json("search", "label:square")
    assert line["labels"] == [{"name": "square", "score": 1.0, "source": "user", "model": None}]
    assert line["taken_at"] == "2020-01-01T00:00:00+05:30"
    assert (line["caption"], line["rating"], line["favourite"], line["albums"]) == ("Words", 5, True, ["Shapes"])
    assert line["score"] == 1.0


def test_labels_of_a_model(labelled: CommandLine) -> None:
    dogs = labelled.json("search", "label:dog")
    assert dogs
    for dog in dogs:
        assert 0 < dog["score"] <= 1
        for label in dog["labels"]:
            assert list(label) == ["name", "score", "source", "model"]
            assert label["source"] == "model"
            assert label["model"].startswith("mobilenet-v1-0.25@")
            assert 0 < label["score"] <= 1
    (gps,) = labelled.json("search", "has:gps")
    assert set(gps["location"]) == {"latitude", "longitude"}


def test_why(labelled: CommandLine) -> None:
    dog = labelled.json("search", "label:dog")[0]["id"]
    (reason,) = labelled.json("why", dog, "dog")
    assert set(reason) == {
        "label",
        "shown",
        "source",
        "score",
        "model",
        "active",
        "crops",
        "needed",
        "because_of",
        "above",
        "classes",
    }
    assert reason["shown"]
    assert reason["crops"] == ["centre"]
    assert reason["score"] >= reason["needed"] or reason["because_of"]
    assert sum(part["probability"] for part in reason["classes"]) == pytest.approx(reason["score"], abs=1e-3)
    assert {tuple(part) for part in reason["classes"]} == {("name", "wordnet", "probability")}
    shown = {line["label"] for line in labelled.json("why", dog) if line["shown"]}
    assert shown == {label["name"] for label in labelled.json("show", dog)[0]["labels"]}
    labelled("label", "remove", "dog", dog)
    lines = labelled.json("why", dog, "dog")
    assert [line["shown"] for line in lines] == [False] * len(lines)
    assert lines[0]["source"] == "user"
    labelled("why", dog, "dog")
    assert "took it away" in labelled.out
    assert "looking at a square of its centre" in labelled.out


def test_model(labelled: CommandLine, shared_data: Path) -> None:
    packs = {line["name"]: line for line in labelled.json("model", "list")}
    mine = packs["mobilenet-v1-0.25"]
    assert set(mine) == {
        "name",
        "version",
        "builtin",
        "active",
        "folder",
        "kind",
        "licence",
        "source",
        "classes",
        "size",
        "sha256",
        "problem",
    }
    assert (mine["builtin"], mine["active"], mine["problem"], mine["classes"]) == (False, True, None, 1001)
    (report,) = labelled.json("model", "test")
    assert report["model"] == f"mobilenet-v1-0.25@{mine['version']}"
    (figures,) = labelled.json(
        "model", "eval", shared_data / "labelled" / "imagenet-sample", "--pack", "mobilenet-v1-0.25"
    )
    assert list(figures) == ["photos", "top1", "top5", "precision", "coverage", "ece"]
    assert figures["photos"] > 100
    assert 0 < figures["top1"] <= figures["top5"] <= 1


def test_import(cli: CommandLine, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes((photos / "red.jpg").read_bytes()[:200])
    (photos / "again.jpg").write_bytes((photos / "red.jpg").read_bytes())
    (photos / "notes.txt").write_text("text")
    events = cli.json("import", photos, "--no-labels", code=7)
    assert cli.err == ""
    done = events[-1]
    assert list(done) == ["event", "added", "duplicates", "skipped", "failed", "seconds"]
    assert [done[name] for name in list(done)[:-1]] == ["done", 3, 1, 1, 1]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for event in events[:-1]:
        by_kind.setdefault(event["event"], []).append(event)
    assert len(by_kind["added"]) == 3
    assert all(set(event) >= {"event", "path", "id"} for event in by_kind["added"] + by_kind["duplicate"])
    (failed,) = by_kind["failed"]
    assert list(failed) == ["event", "path", "reason"]
    assert failed["path"].endswith("broken.jpg")
    assert set(by_kind) <= {"added", "duplicate", "skipped", "failed", "note", "progress"}


def test_export(filled: CommandLine, tmp_path: Path) -> None:
    events = filled.json("export", "name:red", tmp_path / "out")
    assert [event["event"] for event in events] == ["exported", "done"]
    assert list(events[0]) == ["event", "id", "path"]
    assert list(events[1]) == ["event", "exported", "present", "failed", "sidecars", "fetched", "seconds"]


def test_listings(filled: CommandLine) -> None:
    filled("label", "add", "x", "--query", "")
    filled("album", "create", "A")
    assert [list(line) for line in filled.json("label", "list")] == [["name", "photos"]]
    assert [list(line) for line in filled.json("album", "list")] == [["id", "name", "photos"]]
    assert {tuple(line) for line in filled.json("log")} == {
        ("id", "at", "device", "action", "summary", "photos_added", "undone")
    }
    assert filled.json("search", "--count") == [{"count": 3}]
    show = filled.json("show", "--query", "name:red")[0]
    assert list(show)[: len(SEARCH)] == SEARCH
    assert {"camera", "lens", "iso", "date_source", "rotation", "trashed_at"} <= set(show)
    (done,) = filled.json("verify")
    assert {"event", "problems", "envelopes", "blobs"} <= set(done)
    assert {tuple(line) for line in filled.json("doctor", code=_doctor_code())} == {("check", "ok", "detail", "hint")}


def test_a_problem_that_verify_finds_is_a_line(filled: CommandLine) -> None:
    blob = next(path for path in (filled.root / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(blob.read_bytes()[:-1])
    *problems, done = filled.json("verify", code=4)
    assert [list(problem) for problem in problems] == [["event", "name", "thing", "message", "hint", "photo", "file"]]
    assert problems[0]["name"] == "blob-damaged"
    assert blob.name in problems[0]["thing"]
    assert done["problems"] == 1
    assert len(filled.json("search")) == 3


def test_names_that_are_no_text_are_text_in_json(cli: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    path = make_photo(folder / "x.jpg")
    try:
        path.rename(folder / "caf\udce9.jpg")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes only Unicode names")
    events = cli.json("import", folder, "--no-labels")
    assert [event["event"] for event in events if event["event"] != "progress"] == ["added", "done"]
    (line,) = cli("search", "--json")
    assert json.loads(line)["filename"].startswith("caf")


def _doctor_code() -> int:
    from ml.builtin import BUILTIN_FOLDER

    return 0 if (BUILTIN_FOLDER / "pack.toml").is_file() else 1
