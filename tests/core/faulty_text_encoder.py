"""A text encoder's process whose runtime fails at certain words: `python -P -m tests.core.faulty_text_encoder`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from core.text_encoder_worker import main
from ml.image_text import TextEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_encode = TextEncoder.encode


class _Odd(list[int]):
    """One vector of bytes that are no numbers."""

    def astype(self, _kind: str) -> _Odd:
        return self

    def tobytes(self) -> bytes:
        return bytes(7)


def _faulty(encoder: TextEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
    said = " ".join(texts)
    if "fault:abort" in said:
        os.abort()
    if "fault:rows" in said:
        return np.zeros((len(texts) + 1, 3), dtype=np.float32)
    if "fault:bytes" in said:
        return _Odd([1])  # type: ignore[return-value]
    if "fault:memory" in said:
        raise MemoryError
    return _encode(encoder, texts)


if __name__ == "__main__":
    TextEncoder.encode = _faulty  # type: ignore[method-assign, assignment]
    sys.exit(main())
