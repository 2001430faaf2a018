"""A text encoder's process: texts in, vectors out. `python -P -m core.text_encoder_worker`.

It runs a model that somebody else made, so it holds no key, knows no library and writes no file. What the model makes
ONNX Runtime do, it does here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.confinement import PipeBroken, bound_memory, confine, own_pipes
from core.frames import receive_frame, send_frame
from core.text_messages import MAX_REQUEST_BYTES, Encode, Encoded, Failed, requests
from ml.errors import MlError
from ml.image_text import TextEncoder
from ml.pack import ImageTextPack

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_OPEN_FILES: Final = 64
_MEMORY: Final = 6 << 30
"""Beyond the start; the text encoder of CLIP ViT-L/14 takes one and a half gigabytes."""


def main() -> int:
    """Answer requests until the parent closes the pipe."""
    stdin, stdout = own_pipes()
    confine(open_files=_MAX_OPEN_FILES)
    bound_memory(_MEMORY, for_good=True)
    answer = _answering()
    try:
        while True:
            send_frame(stdout.write, answer(receive_frame(stdin, requests, MAX_REQUEST_BYTES)))
    except PipeBroken:
        return 0


def _answering() -> Callable[[Encode], Encoded | Failed]:
    loaded: dict[bytes, TextEncoder] = {}

    def answer(request: Encode) -> Encoded | Failed:
        try:
            if request.manifest not in loaded:
                loaded.clear()
                # What is read is compared with the manifest, which the parent has checked.
                pack = ImageTextPack(Path(request.folder), request.manifest, "pack.toml")
                loaded[request.manifest] = TextEncoder(pack, threads=request.threads)
            vectors = loaded[request.manifest].encode(request.texts)
        except MlError as error:
            return Failed(type(error).__name__, str(error), error.hint)
        except MemoryError:
            return Failed("ModelUnusable", "the model needs more memory than a text encoder may", None)
        return Encoded(len(vectors), vectors.astype("<f4").tobytes())

    return answer


if __name__ == "__main__":
    sys.exit(main())
