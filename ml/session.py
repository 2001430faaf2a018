"""Running a pack's model: tensors in, checked probabilities out."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.errors import ExternalDataRefused, ModelMismatch, ModelUnusable, OutputInvalid
from ml.manifest import MODEL_NAME, Manifest
from ml.onnx_file import inspect
from ml.preprocess import tensor, tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import onnxruntime
    from numpy.typing import NDArray
    from PIL import Image

    from ml.manifest import ImageTextManifest
    from ml.pack import Pack, PackFiles

TOP_CLASSES = 32
"""How many of the strongest classes are kept for a photo."""

_ROUNDING = 0.01
_LEAST_SUM, _MOST_SUM = 0.5, 1.25
"""Bounds on the sum of a photo's probabilities. The lower one is not for quantised outputs, where what is small is
rounded to nothing: mobilenet-v2-int8 comes down to 0.52 on real photos."""

_TYPES = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}
_OUTPUT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(uint8)", "tensor(double)")


@dataclass(frozen=True)
class Predictions:
    """A model's answers for N photos."""

    probabilities: NDArray[np.float32]
    """``[N, C]``, each 0-1. Rows sum to about 1; those of a quantised model only roughly."""
    embeddings: NDArray[np.float32] | None
    """``[N, D]`` as the model gives them, or None when the pack names no embedding output."""


class Classifier:
    """A pack's model, loaded. Not for use by several threads at once."""

    def __init__(self, pack: Pack, *, threads: int = 1) -> None:
        """Load the model; ``threads`` is the number of cores one inference may use.

        Raises PackFileChanged, NotOnnx, ExternalDataRefused, OperatorRefused, ModelMismatch, ModelUnusable.
        """
        self.pack = pack
        self._spec = pack.manifest.input
        self._output = pack.manifest.output
        self._session = open_session(
            pack.model_bytes(), str(pack.folder / MODEL_NAME), functools.partial(weights_of, pack), threads=threads
        )
        self._batch = _check_signature(self._session, pack.manifest)
        self._names = [self._output.name] + ([self._output.embedding] if self._output.embedding else [])

    def tensor(self, image: Image.Image) -> NDArray[Any]:
        """One photo as this model's input, by its first crop; see ``ml.preprocess.tensor``."""
        return tensor(image, self._spec)

    def classify(self, images: Iterable[Image.Image]) -> Predictions:
        """Preprocess and run ``images``, N >= 1; the answers to a photo's crops are averaged."""
        answers = self.run(np.concatenate([tensors(image, self._spec) for image in images]))
        if (crops := len(self._spec.crops)) == 1:
            return answers
        return Predictions(
            _mean(answers.probabilities, crops),
            None if answers.embeddings is None else _mean(answers.embeddings, crops),
        )

    def run(self, tensors: NDArray[Any]) -> Predictions:
        """Run ``tensors``, ``[N, ...]`` as ``tensor`` makes them, N >= 1; a fixed batch size is padded to.

        Raises ModelUnusable when the runtime fails and OutputInvalid when the answers cannot be probabilities.
        """
        # One at a time unless the model wants more: on a CPU a batch is no faster (mobilenet-v2: 11 ms a photo either
        # way, with 130 MB for one and 280 MB for sixteen), and an answer must not depend on the photos beside it.
        step = self._batch or 1
        probabilities: list[NDArray[np.float32]] = []
        embeddings: list[NDArray[np.float32]] = []
        for start in range(0, len(tensors), step):
            part = tensors[start : start + step]
            outputs = self._run_once(part)
            probabilities.append(self._probabilities(outputs[0], len(part)))
            if self._output.embedding:
                embeddings.append(self._embeddings(outputs[1], len(part)))
        return Predictions(np.concatenate(probabilities), np.concatenate(embeddings) if embeddings else None)

    def raw(self, tensors: NDArray[Any]) -> NDArray[np.float64]:
        """``[N, C]`` as the model gives it times the manifest's scale: before softmax and without its checks."""
        step = self._batch or 1
        parts = [tensors[start : start + step] for start in range(0, len(tensors), step)]
        return np.concatenate([self._values(self._run_once(part)[0], len(part)) for part in parts])

    def _run_once(self, part: NDArray[Any]) -> list[NDArray[Any]]:
        return run_session(self._session, self._names, {self._spec.name: part}, self._batch, self.pack.model)

    def _values(self, output: NDArray[Any], count: int) -> NDArray[np.float64]:
        classes = self._output.classes
        if output.ndim < 2 or output.shape[0] < count or output.size != output.shape[0] * classes:  # noqa: PLR2004
            raise OutputInvalid(
                f'{self.pack.model}: output "{self._output.name}" has the shape {list(output.shape)}; the manifest '
                f"declares {classes} classes"
            )
        values = output.reshape(output.shape[0], classes)[:count].astype(np.float64) * self._output.scale
        if not np.isfinite(values).all():
            raise OutputInvalid(
                f"{self.pack.model}: the model answered with values that are not numbers",
                hint="A float16 model overflows when mean and std are wrong; check [input] against its source.",
            )
        return values

    def _probabilities(self, output: NDArray[Any], count: int) -> NDArray[np.float32]:
        values = self._values(output, count)
        if self._output.kind == "logits":
            values /= self._output.temperature
            values = np.exp(values - values.max(axis=1, keepdims=True))
            values /= values.sum(axis=1, keepdims=True)
        else:
            sums = values.sum(axis=1)
            least = _LEAST_SUM if self._output.scale == 1 else 0.0
            in_bounds = values.min() >= -_ROUNDING and values.max() <= 1 + _ROUNDING
            if not in_bounds or not least <= sums.min() <= sums.max() < _MOST_SUM:
                raise OutputInvalid(
                    f'{self.pack.model}: output "{self._output.name}" is declared as probabilities, and its values '
                    f"({values.min():.3g} to {values.max():.3g}, sum {sums[0]:.3g}) are not",
                    hint='Logits need kind = "logits"; a uint8 output needs its scale, such as 0.00390625.',
                )
            values = values.clip(0, 1)
        return values.astype(np.float32)

    def _embeddings(self, output: NDArray[Any], count: int) -> NDArray[np.float32]:
        if output.ndim < 2 or output.shape[0] < count or not output.size:  # noqa: PLR2004
            raise OutputInvalid(f"{self.pack.model}: the embedding has the shape {list(output.shape)}, not [N, D]")
        vectors = output.reshape(output.shape[0], -1)[:count].astype(np.float32)
        if not np.isfinite(vectors).all():
            raise OutputInvalid(f"{self.pack.model}: the embedding has values that are not numbers")
        return vectors


def _mean(rows: NDArray[np.float32], crops: int) -> NDArray[np.float32]:
    """Return ``[N, D]`` for ``[N * crops, D]``."""
    mean: NDArray[np.float32] = rows.reshape(-1, crops, rows.shape[1]).mean(axis=1, dtype=np.float32)
    return mean


def top_classes(
    probabilities: NDArray[np.float32], background: int = -1, limit: int = TOP_CLASSES
) -> list[tuple[int, float]]:
    """Return the strongest classes of one photo, ``(index, probability)``, strongest first, equals by index.

    ``probabilities``: ``[C]``. The background class is left out and the others are *not* scaled up in its place: what
    went to the background is the model saying "nothing I know", and must weigh against every label.
    """
    order = np.argsort(-probabilities, kind="stable")[: limit + 1]
    return [(int(i), float(probabilities[i])) for i in order if i != background and probabilities[i] > 0][:limit]


def open_session(
    model: bytes, name: str, read: Callable[[str], bytes], *, threads: int = 1
) -> onnxruntime.InferenceSession:
    """Load an ONNX model from its bytes, after looking into it.

    ``name`` is how errors call the model. ``read`` gives the bytes of a file beside it that holds weights, and raises
    for one that may not be read. Raises NotOnnx, OperatorRefused, ModelUnusable, and what ``read`` raises.
    """
    contents = inspect(model, name)
    buffers = {location: read(location) for location in sorted(contents.external_files)}
    with warnings.catch_warnings():
        # Imported here: 60 ms and 30 MB that only an inference needs.
        warnings.simplefilter("ignore")
        import onnxruntime as ort
    ort.set_default_logger_severity(4)
    ort.disable_telemetry_events()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Never guess the format from the content: the runtime's own one is a second parser with a second set of bugs.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Threads that spin between photos take the cores from decoding and sealing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if buffers:
        # Handed over as bytes, so the runtime opens no file by itself.
        options.add_external_initializers_from_files_in_memory(
            list(buffers), list(buffers.values()), [len(data) for data in buffers.values()]
        )
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as cause:  # its exception classes have no common base but this one
        raise ModelUnusable(
            f"{name}: ONNX Runtime {ort.__version__} cannot load the model: {_one_line(cause)}",
            hint="Export it again, with an older opset if it is the newest.",
        ) from cause


def run_session(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str],
    inputs: Mapping[str, NDArray[Any]],
    batch: int | None,
    model: str,
) -> list[NDArray[Any]]:
    """Run a model once; inputs with fewer rows than the fixed ``batch`` are filled up with their last one.

    Raises ModelUnusable when the runtime fails; ``model`` is how the error calls it.
    """
    filled = {}
    for name, values in inputs.items():
        missing = (batch or len(values)) - len(values)
        filled[name] = np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values
    try:
        answers: list[NDArray[Any]] = session.run(list(outputs), filled)
    except Exception as cause:  # its exception classes have no common base but this one
        raise ModelUnusable(f"{model}: the model failed while running: {_one_line(cause)}") from cause
    return answers


def weights_of(pack: PackFiles, location: str) -> bytes:
    """Return the file of weights beside a pack's model. Raises ExternalDataRefused for one that is not listed."""
    if location not in pack.manifest.files:
        raise ExternalDataRefused(
            f"{pack.folder / MODEL_NAME}: the model wants to read {location!r}, which is not a file of the pack",
            hint="Put it beside the model and list it in [files], or export with the weights inside.",
        )
    return pack.read(location)


def _check_signature(session: onnxruntime.InferenceSession, manifest: Manifest) -> int | None:
    """Compare the model's inputs and outputs with the manifest; return its fixed batch size, or None."""
    batch = check_image_input(session, manifest)
    output = manifest.output
    outputs = {node.name: node for node in session.get_outputs()}
    for wanted in [output.name] + ([output.embedding] if output.embedding else []):
        if wanted not in outputs:
            raise ModelMismatch(
                f'{manifest.model}: the model has no output "{wanted}"', hint=f"Its outputs: {names_of(outputs)}."
            )
        if outputs[wanted].type not in _OUTPUT_TYPES:
            raise ModelMismatch(f'{manifest.model}: output "{wanted}" is {outputs[wanted].type}, not numbers')
    shape = outputs[output.name].shape
    counts = [side for side in shape[1:] if isinstance(side, int)]
    if len(shape) <= 1 or (len(counts) == len(shape) - 1 and int(np.prod(counts)) != output.classes):
        raise ModelMismatch(
            f'{manifest.model}: output "{output.name}" has the shape {shape}, the manifest says '
            f"{output.classes} classes",
            hint="A background class counts: ImageNet models have 1,000 outputs without and 1,001 with one.",
        )
    return batch


def check_image_input(session: onnxruntime.InferenceSession, manifest: Manifest | ImageTextManifest) -> int | None:
    """Compare the model's one input with the manifest; return its fixed batch size, or None. Raises ModelMismatch."""
    spec = manifest.input
    inputs = {node.name: node for node in session.get_inputs()}
    if spec.name not in inputs:
        raise ModelMismatch(
            f'{manifest.model}: the model has no input "{spec.name}"', hint=f"Its inputs: {names_of(inputs)}."
        )
    if len(inputs) > 1:
        raise ModelMismatch(f"{manifest.model}: the model needs further inputs: {names_of(inputs)}")
    node = inputs[spec.name]
    if node.type != _TYPES[spec.dtype]:
        raise ModelMismatch(
            f'{manifest.model}: input "{spec.name}" is {node.type}, the manifest says dtype = "{spec.dtype}"'
        )
    image = (3, spec.size, spec.size) if spec.layout == "NCHW" else (spec.size, spec.size, 3)
    if not _fits(node.shape, (None, *image)):
        raise ModelMismatch(
            f'{manifest.model}: input "{spec.name}" has the shape {node.shape}, the manifest says '
            f"{['N', *image]} ({spec.layout})"
        )
    batch = node.shape[0]
    return batch if isinstance(batch, int) else None


def _fits(actual: list[int | str | None] | None, wanted: tuple[int | None, ...]) -> bool:
    """Whether a declared shape allows ``wanted``; names and None stand for any size."""
    if actual is None:
        return False
    return len(actual) == len(wanted) and all(
        want is None or not isinstance(side, int) or side == want for side, want in zip(actual, wanted, strict=True)
    )


def names_of(nodes: Iterable[str]) -> str:
    """Return the names in quotes, sorted, for an error."""
    return ", ".join(f'"{name}"' for name in sorted(nodes))


def _one_line(cause: Exception) -> str:
    """Return the runtime's message, which can be long and of several lines, made fit for one."""
    text = " ".join(str(cause).split())
    return "".join(character if character.isprintable() else "?" for character in text)[:300]
