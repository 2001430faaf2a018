"""Whatever a model makes the runtime do happens to a process of its own."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from ml.check import CheckReport
from ml.errors import ModelUnusable, OutputInvalid, PackFileChanged
from ml.installed import add_pack, packs_folder
from ml.trial import try_pack

if TYPE_CHECKING:
    from tests.ml.colour_packs import MakePack


def test_the_report_comes_back(colour_pack: MakePack) -> None:
    report = try_pack(colour_pack(background=True).write(), repeats=1)
    assert isinstance(report, CheckReport)
    assert (report.model, report.labels[3], report.warnings) == ("colours@1.0.0", "red", ())


def test_so_do_errors_with_their_hints(colour_pack: MakePack) -> None:
    with pytest.raises(OutputInvalid, match="declared as logits") as caught:
        try_pack(colour_pack(gives="probabilities").write())
    assert 'kind = "probabilities"' in str(caught.value.hint)
    folder = colour_pack().write()
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(PackFileChanged):
        try_pack(folder)


def test_a_model_that_never_answers_is_given_up(colour_pack: MakePack) -> None:
    with pytest.raises(ModelUnusable, match="did not answer within 3 s"):
        try_pack(colour_pack(gives="never").write(), timeout_s=3)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to abort by")
def test_an_abort_of_the_runtime_ends_nothing_else_and_installs_nothing(colour_pack: MakePack) -> None:
    folder = colour_pack(gives="never").write()
    done = threading.Event()

    def abort() -> None:
        """As the runtime does it: to the process that runs the model, whenever there is one."""
        while not done.wait(0.05):
            for child in psutil.Process().children():
                if "ml.trial" in child.cmdline():
                    child.send_signal(signal.SIGABRT)

    thread = threading.Thread(target=abort)
    thread.start()
    try:
        with pytest.raises(ModelUnusable, match="SIGABRT"):
            add_pack(folder)
    finally:
        done.set()
        thread.join()
    assert list(packs_folder().iterdir()) == []
