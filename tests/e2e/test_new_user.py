"""One user's first evening, through the command line alone, on the real photos and with a real model."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import quick

if TYPE_CHECKING:
    from tests.e2e.conftest import Safelight

MANIFESTS = Path(__file__).resolve().parents[1] / "ml" / "manifests"
CAPTION = "Grandmother's boat at Ragusa"
LABEL = "heliotropium"


@pytest.fixture
def pictures(shared_data: Path, tmp_path: Path) -> Path:
    """Return a folder of real photos: dogs, cats and others, several formats, and one file that is broken."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    labelled = shared_data / "labelled"
    chosen = [
        *sorted((labelled / "caltech101" / "dalmatian").iterdir()),
        *sorted((labelled / "caltech101" / "sunflower").iterdir()),
        *sorted((shared_data / "photos" / "orientation").iterdir())[:8],
        shared_data / "photos" / "immich" / "formats__heic__IMG_2682.heic",
        shared_data / "photos" / "immich" / "formats__webp__denali.webp",
        shared_data / "photos" / "metadata" / "ianare__canon-ixus.jpg",
    ]
    for file in chosen:
        shutil.copy(file, folder / f"{file.parent.name}-{file.name}")
    shutil.copy(shared_data / "photos" / "malformed" / "pillow__broken.png", folder / "broken.png")
    return folder


def test_from_nothing_to_the_dogs_and_back_out(
    safelight: Safelight, pictures: Path, shared_data: Path, tmp_path: Path
) -> None:
    created = safelight.json("init")[0]
    assert len(created["recovery_phrase"].split()) == 24
    quick(safelight)
    model = tmp_path / "mobilenet-v2"
    shutil.copytree(shared_data / "models" / "mobilenet-v2", model)
    safelight.run("model", "add", model, "--manifest", MANIFESTS / "mobilenet-v2.toml")
    safelight.run("model", "use", "mobilenet-v2")

    events = safelight.json("import", pictures, code=7)
    done = events[-1]
    files = [file for file in pictures.iterdir() if file.is_file()]
    assert done["event"] == "done"
    assert done["added"] + done["duplicates"] == len(files) - 1
    assert [Path(event["path"]).name for event in events if event["event"] == "failed"] == ["broken.png"]

    dogs = safelight.json("search", "label:dog")
    assert len(dogs) >= 6
    assert sum("dalmatian" in photo["filename"] for photo in dogs) >= len(dogs) - 1
    assert all(photo["labels"] for photo in dogs)
    assert safelight.asked("search", "label:dog -label:dog") == []
    assert [photo["mime"] for photo in safelight.asked("search", "type:heic")] == ["image/heic"]
    assert safelight.here("why", dogs[0]["id"]).count("%") >= 1

    # What the user says is kept, found, and can be taken back.
    photo = dogs[0]["id"]
    safelight.run("caption", photo, CAPTION)
    safelight.here("label", "add", LABEL, photo)
    safelight.here("label", "remove", "dog", dogs[1]["id"])
    assert [found["id"] for found in safelight.asked("search", "ragusa")] == [photo]
    assert [found["id"] for found in safelight.asked("search", f"label:{LABEL}")] == [photo]
    assert dogs[1]["id"] not in [found["id"] for found in safelight.asked("search", "label:dog")]
    safelight.run("undo")
    assert dogs[1]["id"] in [found["id"] for found in safelight.asked("search", "label:dog")]

    # The same files under other names are the same photos.
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, file in enumerate(sorted(pictures.glob("dalmatian*"))):
        shutil.copy(file, renamed / f"{number}.jpg")
    again = safelight.json("import", renamed)[-1]
    assert (again["added"], again["duplicates"]) == (0, len(list(renamed.iterdir())))

    out = tmp_path / "out"
    safelight.run("export", "label:dog", out)
    originals = {hashlib.sha256(file.read_bytes()).digest() for file in pictures.iterdir()}
    exported = [file for file in out.rglob("*") if file.is_file() and file.suffix.lower() != ".xmp"]
    assert len(exported) == len(dogs)
    assert {hashlib.sha256(file.read_bytes()).digest() for file in exported} <= originals
    assert any(CAPTION.split()[1] in sidecar.read_text() for sidecar in out.rglob("*.xmp"))

    safelight.run("verify", "--deep")
    assert _plaintext_in(safelight.library, [*pictures.iterdir()]) == []


def _plaintext_in(library: Path, photos: list[Path]) -> list[str]:
    """Return which facts of the photos stand in any file of the library, as text of 8 or 16 bits a character."""
    facts = {CAPTION, LABEL, "dalmatian", "sunflower", "DIGITAL IXUS", "Canon", "Exif", "JFIF", "mobilenet", "denali"}
    facts |= {photo.name for photo in photos} | {photo.stem for photo in photos}
    found = []
    for file in library.rglob("*"):
        assert not any(fact in file.name for fact in facts)
        if not file.is_file():
            continue
        data = file.read_bytes()
        runs = b"\n".join(re.findall(rb"[\x20-\x7e]{4,}", data))
        wide = b"\n".join(run.replace(b"\0", b"") for run in re.findall(rb"(?:[\x20-\x7e]\0){4,}", data))
        # Short facts occur by chance in megabytes of ciphertext, as `strings` shows them; six characters do not.
        found += [f"{fact} in {file.name}" for fact in facts if len(fact) >= 6 and fact.encode() in runs + wide]
    return found
