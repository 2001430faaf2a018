"""A look into an ONNX file before ONNX Runtime sees it.

An ONNX model is a protobuf message that may name other files to read weights from, by any path, and operators that live
in native libraries. A pack is somebody else's file, so both are found here first, by walking the message's wire format
(the fields are those of onnx.proto of the ONNX project; only the ones that matter here are known to this module).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml.errors import NotOnnx, OperatorRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_DEPTH = 48
"""Nested graphs (If, Loop, Scan) beyond this are refused; real models have two or three levels."""

KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Operator sets that are built into ONNX Runtime; com.microsoft is what its quantisation tools write."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Field numbers, by message.
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_FUNCTIONS = 1, 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = (
    5,
    6,
    10,
    11,
    22,
    23,
)
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_FUNCTION_NODE, _FUNCTION_DOMAIN = 7, 10


@dataclass
class OnnxContents:
    """What a model refers to outside itself."""

    external_files: set[str] = field(default_factory=set)
    """Locations of external data, as written in the file."""
    operators: set[tuple[str, str]] = field(default_factory=set)
    """(domain, operator) of every node, those of nested graphs included."""
    function_domains: set[str] = field(default_factory=set)
    """Domains of the functions that the model defines itself."""


def inspect(data: bytes, name: str) -> OnnxContents:
    """Return what the model in ``data`` refers to; ``name`` is how errors call the file.

    Raises NotOnnx when it is no ONNX model, and OperatorRefused when it needs operators of an unknown domain.
    """
    contents = OnnxContents()
    graphs = 0
    ir_version = 0
    try:
        for number, value in _fields(memoryview(data)):
            if number == _MODEL_IR_VERSION and isinstance(value, int):
                ir_version = value
            elif number == _MODEL_GRAPH:
                graphs += 1
                _graph(_message(value), contents, 1)
            elif number == _MODEL_FUNCTIONS:
                _function(_message(value), contents)
    except _WireError as cause:
        raise NotOnnx(f"{name}: not an ONNX model ({cause})", hint=_what_it_is(data)) from cause
    if graphs != 1 or ir_version < 1:
        raise NotOnnx(f"{name}: not an ONNX model (no graph in it)", hint=_what_it_is(data))
    foreign = {op for op in contents.operators if op[0] not in KNOWN_DOMAINS | contents.function_domains}
    if foreign:
        domain, operator = min(foreign)
        raise OperatorRefused(
            f"{name}: the model needs the operator {operator} of {domain}, which lives in a library of its own",
            hint="Safelight loads no operator libraries. Export the model with standard ONNX operators only.",
        )
    return contents


def _what_it_is(data: bytes) -> str:
    if data[4:8] == b"ORTM":
        return "It is in ONNX Runtime's own format; packs need the .onnx file it was made from."
    if data[4:8] == b"TFL3":
        return "It is a TensorFlow Lite model: convert it with tf2onnx."
    if data[:2] == b"PK":
        return "It is a ZIP archive (a PyTorch checkpoint, perhaps): export the model with torch.onnx.export."
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return "It is a Keras file: convert it with tf2onnx."
    if data.lstrip()[:1] in (b"<", b"{") or data[:7] == b"version":
        return "It is a text file: a web page or a Git LFS pointer, perhaps, in place of the model."
    return "model.onnx must be a model exported to ONNX; docs/models.md says how."


class _WireError(Exception):
    """The bytes are not protobuf, or not of the expected shape."""


def _graph(data: memoryview, contents: OnnxContents, depth: int) -> None:
    if depth > _MAX_DEPTH:
        message = "graphs nested too deeply"
        raise _WireError(message)
    for number, value in _fields(data):
        if number == _GRAPH_NODE:
            _node(_message(value), contents, depth)
        elif number == _GRAPH_INITIALIZER:
            _tensor(_message(value), contents)
        elif number == _GRAPH_SPARSE:
            _sparse(_message(value), contents)


def _function(data: memoryview, contents: OnnxContents) -> None:
    for number, value in _fields(data):
        if number == _FUNCTION_NODE:
            _node(_message(value), contents, 1)
        elif number == _FUNCTION_DOMAIN:
            contents.function_domains.add(_text(value))


def _node(data: memoryview, contents: OnnxContents, depth: int) -> None:
    operator = domain = ""
    for number, value in _fields(data):
        if number == _NODE_OP_TYPE:
            operator = _text(value)
        elif number == _NODE_DOMAIN:
            domain = _text(value)
        elif number == _NODE_ATTRIBUTE:
            _attribute(_message(value), contents, depth)
    contents.operators.add((domain, operator))


def _attribute(data: memoryview, contents: OnnxContents, depth: int) -> None:
    for number, value in _fields(data):
        if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            _tensor(_message(value), contents)
        elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            _graph(_message(value), contents, depth + 1)
        elif number in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
            _sparse(_message(value), contents)


def _sparse(data: memoryview, contents: OnnxContents) -> None:
    for number, value in _fields(data):
        if number in (_SPARSE_VALUES, _SPARSE_INDICES):
            _tensor(_message(value), contents)


def _tensor(data: memoryview, contents: OnnxContents) -> None:
    external = False
    locations: list[str] = []
    for number, value in _fields(data):
        if number == _TENSOR_DATA_LOCATION:
            external = value == 1
        elif number == _TENSOR_EXTERNAL_DATA:
            entry = dict(_fields(_message(value)))
            if _text(entry.get(_ENTRY_KEY, b"")) == "location":
                locations.append(_text(entry.get(_ENTRY_VALUE, b"")))
    if external and not locations:
        message = "external data without a location"
        raise _WireError(message)
    # Named locations count even where the tensor says its data is inside: readers differ in what they believe.
    contents.external_files.update(locations)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        message = "a number where a message should be"
        raise _WireError(message)
    return value


def _text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        message = "a number where a text should be"
        raise _WireError(message)
    return bytes(value).decode("utf-8", "backslashreplace")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) in order: numbers as int, everything with a length as a view."""
    position = 0
    end = len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            message = "field number 0"
            raise _WireError(message)
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, position = _varint(data, position)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            message = f"wire type {wire_type}"
            raise _WireError(message)
        if length > end - position:
            message = "cut off"
            raise _WireError(message)
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            message = "cut off"
            raise _WireError(message)
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    message = "a number that does not end"
    raise _WireError(message)
