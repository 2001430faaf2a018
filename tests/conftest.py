"""What several test folders share: where the real photos and models are, and a state folder of each test's own."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import compiled_statements

REPOSITORY = Path(__file__).resolve().parent.parent

# Shared machines stall for seconds at a time: a deadline would measure the neighbours.
settings.register_profile("safelight", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("safelight")

compiled_statements.share()

# A shell without job control starts what runs in its background deaf to ^C, and every process started from there is so
# too: those that tests interrupt would go on for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So does one under nohup with hang-ups, by which programs whose terminal is gone are ended.
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through every module and test there is, again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real photos and models; skip, saying so, where it is missing."""
    folder = Path(os.environ.get("SAFELIGHT_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "photos").is_dir():
        pytest.skip(f"real photos and models are not at {folder}; name their folder in SAFELIGHT_TEST_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _bytecode(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have processes that tests start compile what they import once, where the shell's own may not keep it at all.

    Without it, each of some hundred would take a third of a second more for nothing.
    """
    if sys.dont_write_bytecode:
        folder = tmp_path_factory.getbasetemp()
        shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
        os.environ["PYTHONPYCACHEPREFIX"] = str(shared / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the packs, libraries, agents and chain heads of the person who runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(home / "state"))
    monkeypatch.setenv("SAFELIGHT_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("SAFELIGHT_RUNTIME_DIR", str(home / "run"))
    for name in ("SAFELIGHT_LIBRARY", "SAFELIGHT_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
