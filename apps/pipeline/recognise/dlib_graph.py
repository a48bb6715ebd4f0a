"""dlib's face recognition network as an ONNX graph.

Loaded only where the graph is made: importing onnx takes a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from apps.common.errors import ModelUnavailable
from apps.pipeline.arrays import FloatArray
from apps.pipeline.recognise.dlib_weights import (
    AddPrevious,
    Affine,
    Convolution,
    Dense,
    DlibNetwork,
    Pool,
    Relu,
)

_OPSET, _IR = 13, 8
_CHANNELS = 3
_RANGE = 256.0  # dlib divides a picture's values by this


def dlib_graph(network: DlibNetwork) -> bytes:
    """The same network in ONNX's format.

    Its input `pictures` has shape (n, 3, side, side): red, green and blue in 0..255. Its output
    `embeddings` has shape (n, k).

    Raises:
        ModelUnavailable: its layers do not fit each other.
    """
    try:
        return _Graph(network).serialised()
    except (AttributeError, IndexError, ValueError) as error:
        raise ModelUnavailable(
            f"The recognition network's layers do not fit each other: {error}.",
            hint="The file may be damaged: install the package again.",
        ) from error


@dataclass(frozen=True)
class _Value:
    """A tensor of the graph and its shape without the batch: (channels, rows, columns)."""

    name: str
    shape: tuple[int, ...]


@dataclass
class _Graph:
    network: DlibNetwork
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def serialised(self) -> bytes:
        side = self.network.side
        value = _Value("pictures", (_CHANNELS, side, side))
        result = self._through(value)
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "dlib_face_recognition",
            [tensor(value.name, TensorProto.FLOAT, ["n", *value.shape])],
            [tensor(result.name, TensorProto.FLOAT, ["n", *result.shape])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR
        written: bytes = model.SerializeToString()
        return written

    def _through(self, value: _Value) -> _Value:
        """All layers, one after the other.

        dlib's tags are not in its file, but a block has one form: what comes in goes by a shortcut,
        through a pool where the block halves the picture, to the addition at the block's end.
        """
        layers = self.network.layers
        first, shortcut = True, None
        for number, layer in enumerate(layers):
            following = layers[number + 1] if number + 1 < len(layers) else None
            match layer:
                case Convolution():
                    shortcut = value if shortcut is None and not first else shortcut
                    folded = _folded(layer, following)
                    value = self._convolved(
                        value, _on_bytes(folded, self.network) if first else folded
                    )
                    first = False
                case Affine():
                    pass  # it is part of the convolution before it
                case Relu():
                    value = self._node("Relu", [value.name], value.shape)
                case Pool() if shortcut is not None:
                    shortcut = self._pooled(shortcut, layer)
                case Pool():
                    value = self._pooled(value, layer)
                case AddPrevious():
                    if shortcut is None:
                        raise ValueError("an addition has nothing to add")
                    value, shortcut = self._added(value, shortcut), None
                case Dense():
                    value = self._dense(value, layer)
        return value

    def _convolved(self, value: _Value, layer: Convolution) -> _Value:
        filters, channels, *window = layer.weights.shape
        if value.shape[0] != channels:
            raise ValueError(f"{channels} channels are wanted of {value.shape[0]}")
        shape = (filters, *_sizes(value, window, layer.step, layer.padding))
        return self._node(
            "Conv",
            [value.name, self._constant(layer.weights), self._constant(layer.bias)],
            shape,
            strides=list(layer.step),
            pads=list(layer.padding) * 2,
        )

    def _pooled(self, value: _Value, layer: Pool) -> _Value:
        if layer.size == (0, 0):
            return self._node("GlobalAveragePool", [value.name], (value.shape[0], 1, 1))
        return self._node(
            "MaxPool" if layer.kind == "max" else "AveragePool",
            [value.name],
            (value.shape[0], *_sizes(value, layer.size, layer.step, layer.padding)),
            kernel_shape=list(layer.size),
            strides=list(layer.step),
            pads=list(layer.padding) * 2,
        )

    def _added(self, one: _Value, other: _Value) -> _Value:
        """The sum; dlib takes what a smaller one lacks, at its ends, for zeros."""
        shape = tuple(max(sizes) for sizes in zip(one.shape, other.shape, strict=True))
        names = [self._padded(value, shape).name for value in (one, other)]
        return self._node("Add", names, shape)

    def _padded(self, value: _Value, shape: tuple[int, ...]) -> _Value:
        if value.shape == shape:
            return value
        missing = [wide - narrow for wide, narrow in zip(shape, value.shape, strict=True)]
        pads = self._constant(np.array([0, 0, 0, 0, 0, *missing], np.int64))
        return self._node("Pad", [value.name, pads], shape)

    def _dense(self, value: _Value, layer: Dense) -> _Value:
        inputs, outputs = layer.weights.shape
        if int(np.prod(value.shape)) != inputs:
            raise ValueError(f"{inputs} numbers are wanted of {value.shape}")
        flat = self._node("Flatten", [value.name], (inputs,))
        weights = self._constant(layer.weights)
        return self._node("MatMul", [flat.name, weights], (outputs,), output="embeddings")

    def _node(
        self,
        kind: str,
        inputs: Sequence[str],
        shape: tuple[int, ...],
        *,
        output: str | None = None,
        **attributes: Any,
    ) -> _Value:
        name = f"v{len(self.nodes)}" if output is None else output
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return _Value(name, shape)

    def _constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _sizes(
    value: _Value, window: Sequence[int], steps: Sequence[int], padding: Sequence[int]
) -> tuple[int, ...]:
    """Rows and columns after a window has moved over them."""
    sides = zip(value.shape[1:], window, steps, padding, strict=True)
    return tuple((side + 2 * pad - wide) // step + 1 for side, wide, step, pad in sides)


def _folded(layer: Convolution, following: object) -> Convolution:
    """With the affine layer behind it, where there is one."""
    if not isinstance(following, Affine):
        return layer
    weights = layer.weights * following.gamma[:, None, None, None]
    bias = layer.bias * following.gamma + following.beta
    return Convolution(weights, bias, layer.step, layer.padding)


def _on_bytes(layer: Convolution, network: DlibNetwork) -> Convolution:
    """Of values in 0..255 as they are: it has no padding, so the mean goes into the bias."""
    if any(layer.padding):
        raise ValueError("the first convolution has a padding")
    weights: FloatArray = layer.weights / np.float32(_RANGE)
    mean = np.array(network.mean, np.float32)
    bias = layer.bias - (weights.sum(axis=(2, 3)) @ mean)
    return Convolution(weights, bias.astype(np.float32), layer.step, layer.padding)
