"""ONNX files, written byte by byte, so that they can be wrong in ways no exporter would produce.

The field numbers are those of onnx.proto of the ONNX project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TYPES = {"float32": 1, "uint8": 2, "int32": 6, "int64": 7, "bool": 9, "float16": 10}
_INT, _INTS, _GRAPH, _TENSOR = 2, 7, 5, 4


def varint(value: int) -> bytes:
    parts = bytearray()
    while True:
        parts.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(parts)


def put(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def node(operator: str, inputs: list[str], output: str, attributes: bytes = b"", domain: str = "") -> bytes:
    body = b"".join(put(1, name) for name in inputs) + put(2, output) + put(4, operator) + attributes
    return put(1, body + (put(7, domain) if domain else b""))


def ints(name: str, values: list[int]) -> bytes:
    return put(5, put(1, name) + b"".join(put(8, value) for value in values) + put(20, _INTS))


def integer(name: str, value: int) -> bytes:
    return put(5, put(1, name) + put(3, value & (1 << 64) - 1) + put(20, _INT))


def nested_graph(name: str, graph: bytes) -> bytes:
    return put(5, put(1, name) + put(6, graph) + put(20, _GRAPH))


def tensor_message(name: str, values: NDArray[np.generic], external: str | None = None) -> bytes:
    body = b"".join(put(1, side) for side in values.shape) + put(2, TYPES[str(values.dtype)]) + put(8, name)
    if external is None:
        return body + put(9, values.tobytes())
    entries = [("location", external), ("offset", "0"), ("length", str(values.nbytes))]
    return body + b"".join(put(13, put(1, key) + put(2, value)) for key, value in entries) + put(14, 1)


def value_info(number: int, name: str, dtype: str, shape: list[int | str]) -> bytes:
    sides = b"".join(put(1, put(1, side) if isinstance(side, int) else put(2, side)) for side in shape)
    return put(number, put(1, name) + put(2, put(1, put(1, TYPES[dtype]) + put(2, sides))))


def model_file(graph: bytes, domains: tuple[str, ...] = ("",)) -> bytes:
    opsets = b"".join(put(8, put(1, domain) + put(2, 13 if not domain else 1)) for domain in domains)
    return put(1, 8) + put(7, graph) + opsets
