"""The program's import packages have generic names: nothing it depends on may install another of the same name."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OUR_PACKAGES = {"core", "crdt", "crypto", "ml", "sync_relay", "tui"}


def test_no_installed_dependency_brings_a_top_level_module_of_our_names() -> None:
    clashes = []
    for distribution in distributions():
        if distribution.metadata["Name"] == "safelight":
            continue
        tops = {Path(str(file)).parts[0] for file in distribution.files or () if not str(file).startswith("..")}
        # `crypto` and `Crypto` are one folder on macOS and Windows.
        modules = {re.sub(r"\.(py|pyi|so|pyd)$|\..*\.(so|pyd)$", "", top).casefold() for top in tops}
        clashes += [(distribution.metadata["Name"], name) for name in modules & OUR_PACKAGES]
    assert clashes == []


def test_every_locked_dependency_is_pinned_by_hash() -> None:
    for lock, least in (("dev", 20), ("fuzz", 1), ("installer", 1)):
        lines = (REPOSITORY / "requirements" / f"{lock}.txt").read_text().split("\n")
        pins = [line for line in lines if re.match(r"[a-z0-9]", line)]
        assert len(pins) >= least
        assert all("==" in pin and pin.endswith("\\") for pin in pins)
        assert not any("://" in line for line in lines)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return zipfile.ZipFile(next(target.glob("*.whl")))


def test_the_wheel_carries_our_packages_and_the_built_in_pack_only(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == OUR_PACKAGES
    pack = [entry for entry in wheel.infolist() if entry.filename.startswith("ml/packs/safelight-mini/")]
    assert {Path(entry.filename).name for entry in pack} >= {"pack.toml", "model.onnx", "labels.txt"}
    assert sum(entry.file_size for entry in pack) <= 4_000_000
