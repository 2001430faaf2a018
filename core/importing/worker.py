"""A worker process: file bytes in, facts, renditions and labels out. `python -P -m core.importing.worker`.

It decodes what comes from anywhere, so it holds no key, knows no library, writes no file, and has bounds on memory; its
parent ends it when it takes too long. What it cannot survive costs one file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from core.confinement import PipeBroken, bound_memory, confine, own_pipes
from core.importing import protocol
from core.importing.decode import decode
from core.importing.errors import FileRefused
from core.importing.renditions import render
from ml.errors import MlError

if TYPE_CHECKING:
    import io

    from core.importing.limits import Limits
    from ml.image_text import ImageEncoder
    from ml.session import Classifier

_PIECE = 1 << 20
_MAX_OPEN_FILES = 64


def main() -> int:
    """Answer requests until the parent closes the pipe."""
    stdin, stdout = own_pipes()
    try:
        worker = _start(stdin, stdout)
        while True:
            request, body = protocol.receive_request(stdin)
            worker.answer(request, body)
    except PipeBroken:
        return 0


@dataclass
class _Worker:
    stdin: io.FileIO
    stdout: io.FileIO
    limits: Limits
    classifier: Classifier | None
    encoder: ImageEncoder | None

    def answer(self, request: protocol.Request, body: bytearray) -> None:
        try:
            if isinstance(request, protocol.Photo):
                answer, preview = self._photo(request, body)
            elif isinstance(request, protocol.Preview):
                answer, preview = self._preview(request, body), b""
            else:
                answer, preview = protocol.Refused("the worker was asked for what it does not know"), b""
        except FileRefused as refusal:
            answer, preview = protocol.Refused(str(refusal)), b""
        except MlError as error:
            answer, preview = protocol.Refused(f"the model failed on it: {error}"), b""
        except MemoryError:
            answer, preview = protocol.Refused("it needs more memory than one photo may have"), b""
        protocol.send(self.stdout.write, answer, preview)

    def _photo(self, request: protocol.Photo, body: bytearray) -> tuple[protocol.Answer, bytes]:
        digest = None
        with contextlib.ExitStack() as stack:
            source: bytearray | BinaryIO = body
            if request.path is not None:
                try:
                    file = stack.enter_context(Path(os.fsdecode(request.path)).open("rb"))
                except OSError as error:
                    raise FileRefused((error.strerror or type(error).__name__).lower()) from error
                digest = _digest(file)
                source = file
            decoded = decode(source, request.name, self.limits, before_heavy=self._wait_for_turn)
            rendered = render(decoded.image, decoded.profile, request.size, close=self.limits.longest > 0)
            labels = vector = None
            # The photo is more than its labels; a later retag says what the model's trouble is.
            with contextlib.suppress(MlError):
                labels = self._labels(decoded.image)
            with contextlib.suppress(MlError):
                vector = self._vector(decoded.image)
        done = protocol.Done(
            decoded.facts,
            rendered.preview_size,
            rendered.thumbnail,
            rendered.thumbhash,
            rendered.looks,
            labels,
            digest,
            vector,
        )
        return done, rendered.preview

    def _preview(self, request: protocol.Preview, body: bytearray) -> protocol.Answer:
        image = decode(body, "preview.jpg", self.limits).image
        labels = self._labels(image) if request.labels else None
        vector = self._vector(image) if request.vector else None
        if labels is None and vector is None:
            raise FileRefused("there is no model to label it with")
        return protocol.Labelled(labels, vector)

    def _labels(self, image: Image.Image) -> protocol.Labels | None:
        if self.classifier is None:
            return None
        from ml.session import top_classes

        predictions = self.classifier.classify([image])
        classes = top_classes(predictions.probabilities[0], self.classifier.pack.manifest.output.background)
        embedding = None
        if predictions.embeddings is not None:
            embedding = predictions.embeddings[0].astype("<f2").tobytes()
        return protocol.Labels(classes, embedding)

    def _vector(self, image: Image.Image) -> bytes | None:
        return None if self.encoder is None else self.encoder.encode([image])[0].astype("<f2").tobytes()

    def _wait_for_turn(self) -> None:
        protocol.send(self.stdout.write, protocol.Heavy())
        request, _ = protocol.receive_request(self.stdin)
        if not isinstance(request, protocol.Go):
            raise PipeBroken("the parent did not answer")


def _start(stdin: io.FileIO, stdout: io.FileIO) -> _Worker:
    request, _ = protocol.receive_request(stdin)
    if not isinstance(request, protocol.Start):
        raise PipeBroken("the parent did not begin with the limits")
    try:
        classifier = None if request.model is None else _classifier(request.model)
        encoder = None if request.image_text is None else _encoder(request.image_text)
    except MlError as error:
        protocol.send(stdout.write, protocol.Refused(str(error)))
        raise PipeBroken(str(error)) from error
    # Loaded before the limits count, so that these are about photos alone.
    _load_decoders()
    bound_memory(request.limits.memory, for_good=True)
    confine(open_files=_MAX_OPEN_FILES)
    protocol.send(stdout.write, protocol.Ready())
    return _Worker(stdin, stdout, request.limits, classifier, encoder)


def _classifier(model: protocol.Model) -> Classifier:
    from ml.pack import Pack
    from ml.session import Classifier

    # The parent has opened and checked the pack; what is read here is compared with its manifest again.
    pack = Pack(Path(model.folder), model.manifest, "pack.toml")
    classifier = Classifier(pack, threads=1)
    # The first run allocates: better now than inside a photo's limits.
    classifier.classify([_black(pack.manifest.input.size)])
    return classifier


def _encoder(model: protocol.Model) -> ImageEncoder:
    from ml.image_text import ImageEncoder
    from ml.pack import ImageTextPack

    pack = ImageTextPack(Path(model.folder), model.manifest, "pack.toml")
    encoder = ImageEncoder(pack, threads=1)
    encoder.encode([_black(pack.manifest.input.size)])
    return encoder


def _black(side: int) -> Image.Image:
    return Image.fromarray(np.zeros((side, side, 3), dtype=np.uint8))


def _load_decoders() -> None:
    """Load those of Pillow's plugins that are ever asked; all of them would take three times as long."""
    from PIL import (  # noqa: F401
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )


def _digest(file: BinaryIO) -> bytes:
    hasher = hashlib.blake2b(digest_size=32)
    while piece := file.read(_PIECE):
        hasher.update(piece)
    file.seek(0)
    return hasher.digest()


if __name__ == "__main__":
    sys.exit(main())
