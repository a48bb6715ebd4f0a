"""Scaling channels changes ranges and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.common.config import model_registry
from apps.pipeline.arrays import FloatArray
from apps.pipeline.detect.equalise import equalisable_tensors, equalise
from apps.pipeline.detect.weights import packaged_model

CHANNELS = 4
PEAKS = np.array([100, 10, 1, 0], np.float32)


def random(*shape: int) -> FloatArray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def graph(activation: str | None = "Relu", groups: int = CHANNELS, *, twice: bool = False) -> Any:
    """A dense convolution whose channels differ, an activation, and a second convolution."""
    second = random(CHANNELS, CHANNELS // groups, 3, 3)
    weights = {
        "w1": random(CHANNELS, 3, 1, 1) * PEAKS.reshape(-1, 1, 1, 1),
        "b1": random(CHANNELS) * PEAKS,
        "w2": second,
        "b2": random(CHANNELS),
        "slope": random(CHANNELS, 1, 1),
    }
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["a"])]
    inner = "a"
    if activation is not None:
        extra = ["slope"] if activation == "PRelu" else []
        nodes.append(helper.make_node(activation, ["a", *extra], ["h"]))
        inner = "h"
    nodes.append(helper.make_node("Conv", [inner, "w2", "b2"], ["y"], group=groups))
    if twice:
        nodes.append(helper.make_node("Neg", [inner], ["z"]))
    names = ["y", "z"] if twice else ["y"]
    return helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 9, 9])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )


def values(made: Any, name: str) -> FloatArray:
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if name not in {output.name for output in made.output}:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([name], {"x": random(1, 3, 9, 9)})[0])


def peaks(made: Any, name: str) -> FloatArray:
    return np.abs(values(made, name)).max(axis=(0, 2, 3))


@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "PRelu", None])
def test_the_result_stays_and_the_ranges_become_equal(activation: str | None) -> None:
    made = graph(activation)
    (tensor,) = equalisable_tensors(made)
    before, result = peaks(made, tensor), values(made, "y")
    equalise(made, {tensor: before})
    after = peaks(made, tensor)
    np.testing.assert_allclose(values(made, "y"), result, rtol=1e-4, atol=1e-3)
    assert before[0] > 50 * before[2]
    np.testing.assert_allclose(after[1], after[0], rtol=1e-4)
    assert after[2] == pytest.approx(16 * before[2], rel=1e-4)  # no more than that
    assert after[3] == 0


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"activation": "Sigmoid"}, id="scaling does not pass through"),
        pytest.param({"groups": 1}, id="dense: weights share a scale"),
        pytest.param({"groups": 2}, id="grouped"),
        pytest.param({"twice": True}, id="somebody else reads it"),
    ],
)
def test_what_would_change_the_result_is_left_alone(other: dict[str, Any]) -> None:
    made = graph(**other)
    before = made.SerializeToString()
    assert equalisable_tensors(made) == []
    equalise(made, {})
    assert made.SerializeToString() == before


def test_weights_that_two_layers_share_are_left_alone() -> None:
    made = graph()
    made.node.append(helper.make_node("Conv", ["x", "w1", "b1"], ["other"]))
    assert equalisable_tensors(made) == []


def test_an_output_is_left_alone() -> None:
    made = graph()
    made.output.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, None))
    assert equalisable_tensors(made) == []


def test_channels_without_any_signal_are_left_alone() -> None:
    made = graph()
    before = made.SerializeToString()
    equalise(made, {"h": np.zeros(CHANNELS, np.float32)})
    assert made.SerializeToString() == before


def test_the_default_detector_has_many() -> None:
    model = onnx.load(str(packaged_model(model_registry().detectors["centerface"])))
    onnx.checker.check_model(model)
    assert len(equalisable_tensors(model.graph)) > 10
