"""Equal ranges for the channels in front of depthwise convolutions.

All channels of an activation share one scale in eight bits. In front of a depthwise convolution
their ranges differ most, up to a hundredfold, and the small ones are rounded to a few steps. A
positive factor passes through ReLU unchanged: what one layer divides a channel by, the next one
multiplies it by. The weights of both have a scale for each channel, so that they lose nothing.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
2019, section 4.1, with measured ranges in place of estimated ones. In front of dense convolutions,
whose weights share a scale over their inputs, it found no more faces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import numpy_helper

from apps.pipeline.arrays import FloatArray

_MAX_GAIN = 16  # a channel that the pictures hardly touched must not overflow on others
_HOMOGENEOUS = {"Relu", "LeakyRelu", "PRelu"}  # f(s * x) = s * f(x) for s > 0


@dataclass(frozen=True)
class _Pair:
    """Two convolutions in a row.

    Args:
        before: gives the channels.
        tensor: what the second one reads.
        after: depthwise.
    """

    before: Any
    tensor: str
    after: Any


def equalisable_tensors(graph: Any) -> list[str]:
    """The activations whose ranges `equalise` needs."""
    return [pair.tensor for pair in _pairs(graph)]


def equalise(graph: Any, peaks: Mapping[str, FloatArray]) -> None:
    """Scales weights and biases in place; what the graph computes stays the same.

    Args:
        graph: onnx.GraphProto, its weights among the initialisers.
        peaks: greatest absolute value of each channel, by the name of the tensor; shape (channels,)
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}

    def multiply(name: str, factors: FloatArray) -> None:
        values = numpy_helper.to_array(tensors[name])
        shaped = factors.reshape(-1, *(1,) * (values.ndim - 1))
        tensors[name].CopyFrom(numpy_helper.from_array(values * shaped, name))

    for pair in _pairs(graph):
        peak = peaks[pair.tensor]
        if not peak.max() > 0:
            continue
        factors = np.maximum(peak / peak.max(), 1 / _MAX_GAIN).astype(np.float32)
        for name in pair.before.input[1:3]:  # weights, and the bias where there is one
            multiply(name, 1 / factors)
        multiply(pair.after.input[1], factors)


def _pairs(graph: Any) -> Iterator[_Pair]:
    """Pairs whose weights nobody else uses."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    outputs = {value.name for value in graph.output}

    def only_reader(name: str) -> Any | None:
        return readers[name][0] if len(readers[name]) == 1 and name not in outputs else None

    def is_its_own(node: Any) -> bool:
        return all(name in weights and len(readers[name]) == 1 for name in node.input[1:3])

    for node in graph.node:
        if node.op_type != "Conv" or not is_its_own(node):
            continue
        tensor, after = node.output[0], only_reader(node.output[0])
        if after is not None and after.op_type in _HOMOGENEOUS:
            tensor, after = after.output[0], only_reader(after.output[0])
        if after is None or after.op_type != "Conv" or not is_its_own(after):
            continue
        if _is_depthwise(after, weights[after.input[1]]):
            yield _Pair(node, tensor, after)


def _is_depthwise(node: Any, weights: Any) -> bool:
    """One input channel for each group."""
    groups = next((item.i for item in node.attribute if item.name == "group"), 1)
    return bool(groups > 1 and weights.dims[1] == 1 and weights.dims[0] == groups)
