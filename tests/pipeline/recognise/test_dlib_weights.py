"""dlib's network is read from its file, and whatever is no such file is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from apps.common.errors import ModelUnavailable
from apps.pipeline.recognise.dlib_graph import dlib_graph
from apps.pipeline.recognise.dlib_weights import (
    AddPrevious,
    Convolution,
    Dense,
    DlibNetwork,
    Pool,
    Relu,
    read_dlib,
)


def weights_file() -> Path:
    spec = importlib.util.find_spec("face_recognition_models")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    return folder / "models" / "dlib_face_recognition_resnet_model_v1.dat"


@pytest.fixture(scope="module")
def written() -> bytes:
    return weights_file().read_bytes()


def test_the_whole_file_is_read(written: bytes) -> None:
    network = read_dlib(written)

    assert network.side == 150
    assert network.mean == pytest.approx((122.782, 117.001, 104.298))
    convolutions = [layer for layer in network.layers if isinstance(layer, Convolution)]
    assert len(convolutions) == 29  # as its author counts them
    assert convolutions[0].weights.shape == (32, 3, 7, 7)
    assert sum(isinstance(layer, AddPrevious) for layer in network.layers) == 14
    assert isinstance(network.layers[-1], Dense)
    assert network.layers[-1].weights.shape == (256, 128)
    assert all(np.isfinite(layer.weights).all() for layer in convolutions)


@pytest.mark.parametrize("size", [0, 1, 17, 300, 1000, 19_000, 5_000_000, -1])
def test_what_is_cut_off_is_refused(written: bytes, size: int) -> None:
    with pytest.raises(ModelUnavailable, match="no face recognition network"):
        read_dlib(written[:size])


@pytest.mark.parametrize(
    ("place", "byte"),
    [
        (4, ord("x")),  # the loss's name
        (292, ord("x")),  # the input's name
        (337, ord("x")),  # a layer's name
        (345, 0x70),  # no number
        (344, 0x0F),  # a number of fifteen bytes
    ],
)
def test_what_is_damaged_is_refused(written: bytes, place: int, byte: int) -> None:
    damaged = bytearray(written)
    damaged[place] = byte

    with pytest.raises(ModelUnavailable):
        read_dlib(bytes(damaged))


def test_text_is_refused() -> None:
    with pytest.raises(ModelUnavailable):
        read_dlib(b"These are no weights. " * 100)


def test_a_size_that_no_memory_holds_is_refused(written: bytes) -> None:
    """The number of filters of the first tensor becomes a huge one."""
    at = written.index(b"con_4") + 5
    huge = b"\x01\x02" + b"\x08" + b"\xff" * 7 + b"\x7f"

    with pytest.raises(ModelUnavailable):
        read_dlib(written[:at] + huge + written[at + 4 :])


def convolution(filters: int, channels: int, seed: int, step: int = 1) -> Convolution:
    random = np.random.default_rng(seed)
    return Convolution(
        random.normal(size=(filters, channels, 3, 3)).astype(np.float32),
        random.normal(size=filters).astype(np.float32),
        (step, step),
        (0, 0) if step > 1 else (1, 1),
    )


def convolved(picture: np.ndarray, layer: Convolution) -> np.ndarray:
    """The definition, in float64."""
    (pad, _), (step, _) = layer.padding, layer.step
    padded = np.pad(picture, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    windows = windows[:, ::step, ::step]
    product = np.einsum("crsij,fcij->frs", windows, layer.weights.astype(np.float64))
    return product + layer.bias[:, None, None]


def test_the_graph_computes_what_the_layers_say() -> None:
    """A block that halves its picture: the mean of the shortcut is padded by channels and rows."""
    import onnxruntime as ort

    first = Convolution(
        np.random.default_rng(1).normal(size=(4, 3, 3, 3)).astype(np.float32),
        np.zeros(4, np.float32),
        (2, 2),
        (0, 0),
    )
    one, two = convolution(6, 4, 2, step=2), convolution(6, 6, 3)
    dense = np.random.default_rng(4).normal(size=(6, 5)).astype(np.float32)
    network = DlibNetwork(
        (120.0, 110.0, 100.0),
        17,
        (
            first,
            Relu(),
            one,
            Relu(),
            two,
            Pool("mean", (2, 2), (2, 2), (0, 0)),
            AddPrevious(),
            Relu(),
            Pool("mean", (0, 0), (1, 1), (0, 0)),
            Dense(dense),
        ),
    )
    picture = np.random.default_rng(5).uniform(0, 255, (3, 17, 17))

    session = ort.InferenceSession(dlib_graph(network), providers=["CPUExecutionProvider"])
    found = session.run(None, {"pictures": picture[None].astype(np.float32)})[0][0]

    value = (picture - np.array(network.mean)[:, None, None]) / 256
    value = np.maximum(convolved(value, first), 0)  # 8 x 8
    shortcut = value.reshape(4, 4, 2, 4, 2).mean(axis=(2, 4))  # 4 x 4
    value = convolved(np.maximum(convolved(value, one), 0), two)  # 3 x 3
    value = np.pad(value, ((0, 0), (0, 1), (0, 1))) + np.pad(shortcut, ((0, 2), (0, 0), (0, 0)))
    wanted = np.maximum(value, 0).mean(axis=(1, 2)) @ dense
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)
