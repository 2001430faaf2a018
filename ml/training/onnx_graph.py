"""The trained network as an ONNX graph.

The graph is written node by node instead of being traced: the net is small, every batch normalisation can be folded
into the convolution before it, and the file depends on nothing but the weights and this module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ml.training.network import BasicBlock, SafelightMini

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

OPSET = 17
IR_VERSION = 8
"""Read by ONNX Runtime 1.20 and everything later."""

INPUT = "pixel_values"
LOGITS = "logits"
EMBEDDING = "embedding"


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return weight ``[out, in, k, k]`` and bias ``[out]`` of the convolution that does the work of both."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None or convolution.bias is not None:
        raise ValueError("only a convolution without bias under a norm with running figures can be folded")
    # In double precision, so that folding is not what tells the two nets apart.
    scale = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    weight = convolution.weight.double() * scale[:, None, None, None]
    bias = norm.bias.double() - mean.double() * scale
    return _array(weight), _array(bias)


def build_model(network: SafelightMini, size: int) -> onnx.ModelProto:
    """Return the float32 model: ``pixel_values [N, 3, size, size]`` to ``logits`` and ``embedding``; N is free."""
    graph = _Graph()
    hidden = graph.convolution("stem", INPUT, network.stem, network.stem_norm, relu=True)
    for number, block in enumerate(network.stages):
        if not isinstance(block, BasicBlock):
            raise TypeError(f"stage {number} is {type(block).__name__}, not a basic block")
        hidden = graph.block(f"block{number}", hidden, block)
    pooled = graph.node("GlobalAveragePool", "pool", [hidden])
    graph.nodes.append(helper.make_node("Flatten", [pooled], [EMBEDDING], name="flatten", axis=1))
    head = [
        graph.constant("head.weight", _array(network.head.weight)),
        graph.constant("head.bias", _array(network.head.bias)),
    ]
    graph.nodes.append(helper.make_node("Gemm", [EMBEDDING, *head], [LOGITS], name="head", transB=1))
    return _model(graph, size, network.head.out_features, network.head.in_features)


def _model(graph: _Graph, size: int, classes: int, width: int) -> onnx.ModelProto:
    proto = helper.make_graph(
        graph.nodes,
        "safelight-mini",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, size, size])],
        [
            helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["N", width]),
        ],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(proto, producer_name="safelight", opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


@dataclass
class _Graph:
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, operator: str, name: str, inputs: list[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: npt.NDArray[np.float32]) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def convolution(self, name: str, source: str, layer: nn.Conv2d, norm: nn.BatchNorm2d, *, relu: bool) -> str:
        weight, bias = fold(layer, norm)
        inputs = [source, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        padding = int(layer.padding[0])
        result = self.node(
            "Conv",
            name,
            inputs,
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=[padding] * 4,
        )
        return self.node("Relu", f"{name}.relu", [result]) if relu else result

    def block(self, name: str, source: str, block: BasicBlock) -> str:
        hidden = self.convolution(f"{name}.first", source, block.first, block.first_norm, relu=True)
        hidden = self.convolution(f"{name}.second", hidden, block.second, block.second_norm, relu=False)
        shortcut = source
        if isinstance(block.shortcut, nn.Sequential):
            pool, layer, norm = block.shortcut
            if isinstance(pool, nn.AvgPool2d):
                sides = [int(block.first.stride[0])] * 2
                shortcut = self.node("AveragePool", f"{name}.pool", [shortcut], kernel_shape=sides, strides=sides)
            if not isinstance(layer, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
                raise TypeError(f"{name}: the shortcut is not pool, convolution, norm")
            shortcut = self.convolution(f"{name}.shortcut", shortcut, layer, norm, relu=False)
        total = self.node("Add", f"{name}.add", [hidden, shortcut])
        return self.node("Relu", f"{name}.out", [total])


def _array(values: torch.Tensor) -> npt.NDArray[np.float32]:
    result: npt.NDArray[np.float32] = values.detach().cpu().numpy().astype(np.float32)
    return result
