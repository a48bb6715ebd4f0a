"""A recognition model for tests, of the form that InsightFace's have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_model(path: Path, inputs: Sequence[int | str] = ("n", 3, 112, 112)) -> Path:
    """Mean colour of the face's middle: shape (n, 3), about 0."""
    value = helper.make_tensor_value_info
    begin = numpy_helper.from_array(np.array([40, 40], np.int64), "begin")
    end = numpy_helper.from_array(np.array([72, 72], np.int64), "end")
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    nodes = [
        helper.make_node("Slice", ["x", "begin", "end", "axes"], ["middle"]),
        helper.make_node("GlobalAveragePool", ["middle"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [value("x", TensorProto.FLOAT, inputs)],
        [value("embedding", TensorProto.FLOAT, ["n", 3])],
        [begin, end, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path
