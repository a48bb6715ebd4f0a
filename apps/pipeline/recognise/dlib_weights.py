"""Reads the weights of dlib's face recognition network from the file that dlib writes.

Source of the format: dlib's `serialize.h` and `dnn/{core,layers,tensor}.h` (Boost licence). A
network is written from its outermost layer inwards as numbers of versions, then from its input
outwards as what each layer holds. Whole numbers are a control byte (how many bytes follow; the
highest bit is the sign) and these bytes, the lowest first; a floating-point number is a whole
number and a power of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.common.errors import ModelUnavailable
from apps.pipeline.arrays import FloatArray

_LOSS = "loss_metric_2"
_INPUT = "input_rgb_image_sized"
_VERSIONS = (1, 2, 3)  # of layers and tags, before the name of the input
_MAX_LAYERS = 1000
_MAX_VALUES = 1 << 24  # of a tensor; the largest has 590,080


@dataclass(frozen=True)
class Convolution:
    """A convolution with its bias.

    Args:
        weights: shape (filters, channels, rows, columns).
        bias: shape (filters,).
        step, padding: rows and columns.
    """

    weights: FloatArray
    bias: FloatArray
    step: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class Affine:
    """A factor and an offset a channel, each of shape (channels,): what is left of a batch norm."""

    gamma: FloatArray
    beta: FloatArray


@dataclass(frozen=True)
class Pool:
    """The mean or the maximum of a window; of the whole picture where it has no size.

    Args:
        kind: "max" or "mean".
        size, step, padding: rows and columns.
    """

    kind: str
    size: tuple[int, int]
    step: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class Relu:
    """What is below zero becomes zero."""


@dataclass(frozen=True)
class AddPrevious:
    """Adds what came out before the block; the smaller of both is padded by zeros."""


@dataclass(frozen=True)
class Dense:
    """A matrix of shape (inputs, outputs), without a bias."""

    weights: FloatArray


Layer = Convolution | Affine | Pool | Relu | AddPrevious | Dense


@dataclass(frozen=True)
class DlibNetwork:
    """A network as dlib wrote it.

    Args:
        mean: of red, green and blue in 0..255; they are taken off before all is divided by 256.
        side: pixels of the picture's height and width.
        layers: from the input to the output.
    """

    mean: tuple[float, float, float]
    side: int
    layers: tuple[Layer, ...]


def read_dlib(data: bytes) -> DlibNetwork:
    """The network in a file of dlib's.

    Raises:
        ModelUnavailable: it is cut off, or is another kind of network.
    """
    try:
        return _Reader(data).network()
    except (IndexError, ValueError, OverflowError) as error:
        raise ModelUnavailable(
            f"The weights are no face recognition network of dlib's: {error}.",
            hint="The file may be damaged: install the package again, or name another model.",
        ) from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def network(self) -> DlibNetwork:
        self._expect(_LOSS, after_version=True)
        self._real(), self._real()  # margin and distance, used in training
        for _ in range(_MAX_LAYERS):
            number = self._whole()
            if number not in _VERSIONS:
                break
        if number != len(_INPUT) or self._take(number) != _INPUT.encode():
            raise ValueError("its input is no colour picture of a fixed size")
        red, green, blue = self._real(), self._real(), self._real()
        height, width = self._whole(), self._whole()
        if height != width:
            raise ValueError(f"its picture is {width} x {height}")
        return DlibNetwork((red, green, blue), height, self._layers())

    def _layers(self) -> tuple[Layer, ...]:
        layers: list[Layer] = []
        while self._place < len(self._data):
            layers.append(self._layer(self._text()))
            self._take(3)  # flags: set up, gradient is stale, no gradient
            for _ in range(3):  # gradients and the last output
                self._tensor()
            if len(layers) == 1:
                self._whole()  # how many samples a picture becomes; the input's layer alone has it
        if not layers or not isinstance(layers[-1], Dense):
            raise ValueError("it does not end with numbers")
        return tuple(layers)

    def _layer(self, name: str) -> Layer:
        match name:
            case "con_4":
                return self._convolution()
            case "affine_":
                return self._affine()
            case "relu_":
                return Relu()
            case "max_pool_2" | "avg_pool_2":
                size, step, padding = self._pair(), self._pair(), self._pair()
                return Pool("max" if name.startswith("max") else "mean", size, step, padding)
            case "add_prev_":
                return AddPrevious()
            case "fc_2":
                return self._dense()
        raise ValueError(f"it has a layer {name[:40]!r}")

    def _convolution(self) -> Convolution:
        values = self._tensor().ravel()
        filters, rows, columns = self._whole(), self._whole(), self._whole()
        step, padding = self._pair(), self._pair()
        shape = self._alias()
        self._alias()  # of the biases
        for _ in range(4):
            self._real()  # rates of learning
        if shape[0] != filters or shape[2:] != (rows, columns):
            raise ValueError(f"a convolution of {filters} x {rows} x {columns} is {shape}")
        weights, bias = np.split(values, [int(np.prod(shape))])
        if bias.size != filters:
            raise ValueError(f"a convolution of {filters} has {bias.size} biases")
        return Convolution(weights.reshape(shape), bias, step, padding)

    def _affine(self) -> Affine:
        values = self._tensor().ravel()
        channels = int(np.prod(self._alias()))
        self._alias()
        self._whole()  # a channel, or a value
        if values.size != 2 * channels:
            raise ValueError(f"an affine layer of {channels} has {values.size} values")
        return Affine(values[:channels], values[channels:])

    def _dense(self) -> Dense:
        outputs, inputs = self._whole(), self._whole()
        weights = self._tensor()
        self._alias()
        self._alias()
        self._whole()  # whether it has a bias
        for _ in range(4):
            self._real()
        return Dense(weights.reshape(inputs, outputs))

    def _tensor(self) -> FloatArray:
        """Shape as it is written, float32."""
        self._expect_version(2)
        shape = tuple(self._whole() for _ in range(4))
        count = int(np.prod(shape))
        if not 0 <= count <= _MAX_VALUES:
            raise ValueError(f"a tensor is {shape}")
        return np.frombuffer(self._take(4 * count), "<f4").astype(np.float32).reshape(shape)

    def _alias(self) -> tuple[int, ...]:
        self._expect_version(1)
        return tuple(self._whole() for _ in range(4))

    def _expect_version(self, wanted: int) -> None:
        version = self._whole()
        if version != wanted:
            raise ValueError(f"a tensor is of version {version}")

    def _expect(self, name: str, *, after_version: bool = False) -> None:
        if after_version:
            self._whole()
        found = self._text()
        if found != name:
            raise ValueError(f"it begins with {found[:40]!r}")

    def _pair(self) -> tuple[int, int]:
        return self._whole(), self._whole()

    def _text(self) -> str:
        length = self._whole()
        return self._take(length).decode("ascii")

    def _whole(self) -> int:
        control = self._take(1)[0]
        size = control & 0x0F
        if control & 0x70 or not 1 <= size <= 8:
            raise ValueError(f"there is no number at byte {self._place - 1}")
        value = int.from_bytes(self._take(size), "little")
        return -value if control & 0x80 else value

    def _real(self) -> float:
        mantissa, exponent = self._whole(), self._whole()
        return float(np.ldexp(float(mantissa), exponent))

    def _take(self, size: int) -> bytes:
        taken = self._data[self._place : self._place + size]
        if size < 0 or len(taken) != size:
            raise ValueError(f"it ends at byte {len(self._data)}")
        self._place += size
        return taken
