"""The two encoders of an image-text pack: pictures and texts become vectors that can be compared by their cosine."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.errors import ModelMismatch, OutputInvalid
from ml.manifest import MODEL_NAME
from ml.preprocess import tensor
from ml.session import check_image_input, names_of, open_session, run_session, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import onnxruntime
    from numpy.typing import NDArray
    from PIL import Image

    from ml.pack import ImageTextPack

_NUMBERS = ("tensor(float)", "tensor(float16)", "tensor(double)")
_TOKENS = {"int64": "tensor(int64)", "int32": "tensor(int32)"}
MAX_DIMENSIONS = 8192


class ImageEncoder:
    """Pictures to vectors. Not for use by several threads at once."""

    def __init__(self, pack: ImageTextPack, *, threads: int = 1) -> None:
        """Load the model; ``threads`` is the number of cores one inference may use.

        Raises PackFileChanged, NotOnnx, ExternalDataRefused, OperatorRefused, ModelMismatch, ModelUnusable.
        """
        self.pack = pack
        self._spec = pack.manifest.input
        self._output = pack.manifest.output.embedding
        self._session = open_session(
            pack.model_bytes(), str(pack.folder / MODEL_NAME), functools.partial(weights_of, pack), threads=threads
        )
        self._batch = check_image_input(self._session, pack.manifest)
        _check_output(self._session, self._output, pack.model)

    def tensor(self, image: Image.Image) -> NDArray[Any]:
        """One photo as this model's input; see ``ml.preprocess.tensor``."""
        return tensor(image, self._spec)

    def encode(self, images: Iterable[Image.Image]) -> NDArray[np.float32]:
        """Return ``[N, D]``, each row of length 1, or zeros where the model sees nothing. Raises as ``run``."""
        return self.run(np.stack([self.tensor(image) for image in images]))

    def run(self, tensors: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``[N, D]``, as ``encode`` does, for ``[N, ...]`` as ``tensor`` makes them; N >= 1.

        Raises ModelUnusable when the runtime fails, and OutputInvalid for answers that are no vectors.
        """
        return _run(self._session, self._output, {self._spec.name: tensors}, self._batch, self.pack.model)


class TextEncoder:
    """Texts to vectors. Not for use by several threads at once."""

    def __init__(self, pack: ImageTextPack, *, threads: int = 1) -> None:
        """Load model and tokenizer; raises as ``ImageEncoder``, and TokensInvalid."""
        self.pack = pack
        self._text = text = pack.manifest.text
        self._tokenizer = pack.tokenizer()
        self._session = open_session(
            pack.read(text.model), str(pack.folder / text.model), functools.partial(weights_of, pack), threads=threads
        )
        self._batch = self._check_inputs()
        _check_output(self._session, text.embedding, pack.model)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``[N, D]``, each row of length 1, or zeros for a text that tells the model nothing; N >= 1.

        What of a text is over the model's context is cut off.

        Raises ModelUnusable when the runtime fails, and OutputInvalid for answers that are no vectors.
        """
        ids = np.empty((len(texts), self._text.context), dtype=self._text.dtype)
        own = np.zeros_like(ids)
        for row, text in enumerate(texts):
            tokens, length = self._tokenizer.encode(text, self._text.context, self._text.padding)
            ids[row] = tokens
            own[row, :length] = 1
        inputs = {self._text.name: ids}
        if self._text.mask is not None:
            inputs[self._text.mask] = own
        return _run(self._session, self._text.embedding, inputs, self._batch, self.pack.model)

    def _check_inputs(self) -> int | None:
        """Compare the model's inputs with the manifest; return its fixed batch size, or None."""
        model, text = self.pack.model, self._text
        inputs = {node.name: node for node in self._session.get_inputs()}
        wanted = [text.name] + ([text.mask] if text.mask else [])
        for name in wanted:
            if name not in inputs:
                raise ModelMismatch(
                    f'{model}: {text.model} has no input "{name}"', hint=f"Its inputs: {names_of(inputs)}."
                )
            node = inputs[name]
            if node.type != _TOKENS[text.dtype]:
                raise ModelMismatch(f'{model}: input "{name}" is {node.type}, the manifest says dtype = "{text.dtype}"')
            if len(node.shape) != 2 or (isinstance(node.shape[1], int) and node.shape[1] != text.context):  # noqa: PLR2004
                raise ModelMismatch(
                    f'{model}: input "{name}" has the shape {node.shape}, the manifest says {["N", text.context]}'
                )
        if len(inputs) > len(wanted):
            raise ModelMismatch(
                f"{model}: {text.model} needs further inputs: {names_of(inputs.keys() - set(wanted))}",
                hint='An attention mask is named by [text] mask = "…".',
            )
        batch = inputs[text.name].shape[0]
        return batch if isinstance(batch, int) else None


def _check_output(session: onnxruntime.InferenceSession, name: str, model: str) -> None:
    outputs = {node.name: node for node in session.get_outputs()}
    if name not in outputs:
        raise ModelMismatch(f'{model}: the model has no output "{name}"', hint=f"Its outputs: {names_of(outputs)}.")
    if outputs[name].type not in _NUMBERS:
        raise ModelMismatch(f'{model}: output "{name}" is {outputs[name].type}, not a vector of fractions')


def _run(
    session: onnxruntime.InferenceSession, output: str, inputs: dict[str, NDArray[Any]], batch: int | None, model: str
) -> NDArray[np.float32]:
    """Run all rows, as many at once as the model was made for, or one: no answer depends on its neighbours."""
    count = len(next(iter(inputs.values())))
    step = batch or 1
    parts = []
    for start in range(0, count, step):
        part = {name: values[start : start + step] for name, values in inputs.items()}
        (answer,) = run_session(session, [output], part, batch, model)
        parts.append(_vectors(answer, min(step, count - start), output, model))
    if len({part.shape[1] for part in parts}) > 1:
        raise OutputInvalid(f'{model}: output "{output}" changes its length from one run to the next')
    return np.concatenate(parts)


def _vectors(answer: NDArray[Any], count: int, output: str, model: str) -> NDArray[np.float32]:
    """Return ``[count, D]`` of length 1; zeros stay zeros."""
    if answer.ndim < 2 or answer.shape[0] < count or not answer.size or answer[0].size > MAX_DIMENSIONS:  # noqa: PLR2004
        raise OutputInvalid(f'{model}: output "{output}" has the shape {list(answer.shape)}, not [N, D]')
    vectors = answer.reshape(answer.shape[0], -1)[:count].astype(np.float64)
    if not np.isfinite(vectors).all():
        raise OutputInvalid(
            f'{model}: output "{output}" has values that are not numbers',
            hint="A float16 model overflows when mean and std are wrong; check [input] against its source.",
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: NDArray[np.float32] = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return normalised
