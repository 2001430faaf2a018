"""The text encoder's process says what the encoder says, and its end costs one text."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from core.text_encoder import ConfinedTextEncoder
from ml.errors import MlError, ModelUnusable, PackFileChanged
from ml.image_text import TextEncoder
from ml.pack import ImageTextPack
from tests.ml.image_text_packs import ImageTextPack as Maker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXTS = ["a red thing", "blue", ""]


@pytest.fixture
def pack(tmp_path: Path) -> ImageTextPack:
    return ImageTextPack.open(Maker(tmp_path / "words").write())


@pytest.fixture
def faulty(pack: ImageTextPack) -> Iterator[ConfinedTextEncoder]:
    encoder = ConfinedTextEncoder(pack, worker="tests.core.faulty_text_encoder")
    yield encoder
    encoder.close()


def test_whatever_its_runtime_does_ends_that_process_alone(pack: ImageTextPack, faulty: ConfinedTextEncoder) -> None:
    expected = TextEncoder(pack).encode(TEXTS)
    np.testing.assert_array_equal(faulty.encode(TEXTS), expected)
    for fault in ("fault:abort", "fault:rows", "fault:bytes", "fault:memory"):
        with pytest.raises(ModelUnusable, match=r"^colour-words@1\.0\.0: the text encoder|memory"):
            faulty.encode([fault])
        np.testing.assert_array_equal(faulty.encode(TEXTS), expected, fault)
    assert faulty._process is not None
    os.kill(faulty._process.pid, signal.SIGKILL)  # the system, out of memory
    with pytest.raises(ModelUnusable, match="ended") as caught:
        faulty.encode(TEXTS)
    assert "model test" in (caught.value.hint or "")
    np.testing.assert_array_equal(faulty.encode(TEXTS), expected)


def test_a_pack_that_was_changed_is_named_as_in_one_process(pack: ImageTextPack) -> None:
    (pack.folder / "text.onnx").write_bytes(b"something else")
    encoder = ConfinedTextEncoder(pack)
    with pytest.raises(PackFileChanged) as confined:
        encoder.encode(TEXTS)
    with pytest.raises(MlError) as here:
        TextEncoder(pack)
    assert (type(confined.value), str(confined.value)) == (type(here.value), str(here.value))
    encoder.close()
