"""The eight-bit form of a graph, by ONNX Runtime's quantiser.

Loaded only where a model is made: these imports take a second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import MinMaxCalibrater
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from apps.pipeline.arrays import FloatArray
from apps.pipeline.detect.base import Network
from apps.pipeline.detect.equalise import equalisable_tensors, equalise
from apps.pipeline.detect.pictures import calibration_pictures
from apps.pipeline.inference.session import CPU, session_options

_OPSET = 13  # the first that has a scale for each channel
_LAYERS = {"Conv", "ConvTranspose", "Add"}
# Their rounding is carried through the whole network. Of the faces on a dark stage that float
# finds, 89 % were left with one of them in float, 95 % with three, for the same time; without equal
# ranges 63 % and 85 %. The check's bright photos lost none with any of these.
_FIRST_LAYERS = 3
_IN_FLOAT = {"BatchNormalization"}  # where it is not folded away, it has no scale by channel
_TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


def quantised_graph(
    source: Path,
    network: Network,
    *,
    activations: str,
    weight_bits: int,
    threads: int,
    check: Callable[[], None],
) -> bytes:
    """Calibrates and quantises.

    Args:
        source: the float model.
        activations: "uint8" or "int8".
        weight_bits: 7 or 8.
        threads: how many the calibration may use, >= 1.
        check: called before every picture; raises where the run is to stop.

    Raises:
        Exception: onnx or ONNX Runtime cannot do it with this graph.
    """
    with tempfile.TemporaryDirectory(prefix="screenalytics-int8-") as folder:
        plain = Path(folder) / "plain.onnx"
        _simplify(source, plain)
        calibration = _Calibration(plain, network, threads, check)
        _equalise(plain, calibration)
        quantizer = QDQQuantizer(
            onnx.shape_inference.infer_shapes(onnx.load(str(plain))),
            per_channel=True,
            reduce_range=weight_bits == 7,
            weight_qType=QuantType.QInt8,
            activation_qType=_TYPES[activations],
            tensors_range=calibration.ranges(),
            nodes_to_quantize=[],
            nodes_to_exclude=_kept_in_float(onnx.load(str(plain)).graph),
            op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry} - _IN_FLOAT),
            extra_options={},
        )
        quantizer.quantize_model()
        target = Path(folder) / "quantised.onnx"
        quantizer.model.save_model_to_file(str(target))
        return target.read_bytes()


def _simplify(source: Path, target: Path) -> None:
    """Folds constants and normalisations, and gives every node a name to be left out by."""
    model = onnx.load(str(source))
    if model.opset_import[0].version < _OPSET:
        model = onnx.version_converter.convert_version(model, _OPSET)
    onnx.save(model, str(target))
    options = session_options(1)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(model.SerializeToString(), options, providers=[CPU])
    simple = onnx.load(str(target))
    for number, node in enumerate(simple.graph.node):
        node.name = f"{node.op_type}_{number}"
    onnx.save(simple, str(target))


def _kept_in_float(graph: Any) -> list[str]:
    """The first layers, and what stands between the last convolutions and the outputs."""
    maker = {name: node for node in graph.node for name in node.output}
    layers = [node.name for node in graph.node if node.op_type in _LAYERS]
    kept = set(layers[:_FIRST_LAYERS])
    ahead = [value.name for value in graph.output]
    while ahead:
        node = maker.get(ahead.pop())
        if node is None or node.name in kept:
            continue
        kept.add(node.name)
        if node.op_type != "Conv":
            ahead.extend(node.input)
    return sorted(kept)


@dataclass(frozen=True)
class _Calibration:
    """Finds the range of activations over the calibration pictures.

    Args:
        model: the file; it may change between two calls.
        network: how it is used.
        threads: >= 1.
        check: called before every picture; raises where the run is to stop.
    """

    model: Path
    network: Network
    threads: int
    check: Callable[[], None]

    def ranges(self) -> Any:
        """Least and greatest value of every tensor, as the quantiser wants them."""
        return self._run(MinMaxCalibrater(self.model, augmented_model_path=self._augmented))

    def peaks(self) -> dict[str, FloatArray]:
        """Greatest absolute value of each channel, of what convolutions read and give."""
        calibrator = MinMaxCalibrater(self.model, ["Conv"], self._augmented, per_channel=True)
        found = self._run(calibrator)
        return {
            name: np.maximum(*(np.abs(limit).ravel() for limit in found[name].range_value))
            for name in found.keys()  # noqa: SIM118  (it is no dict)
        }

    @property
    def _augmented(self) -> str:
        return str(self.model.with_name("ranges.onnx"))

    def _run(self, calibrator: MinMaxCalibrater) -> Any:
        """The calibrator's own session would take every core and spin; it gets one with ours."""
        calibrator.augment_graph()
        width, height = self.network.canvas
        options = session_options(self.threads, self.network.dimensions(width, height))
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Each range right after its tensor, which can then go: 230 MB at the peak instead of 500.
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        calibrator.infer_session = ort.InferenceSession(self._augmented, options, providers=[CPU])
        pictures = calibration_pictures(width, height)
        session = calibrator.infer_session
        calibrator.collect_data(_Reader(self.network, pictures, session, self.check))
        return calibrator.compute_data()


def _equalise(plain: Path, calibration: _Calibration) -> None:
    model = onnx.load(str(plain))
    if equalisable_tensors(model.graph):
        equalise(model.graph, calibration.peaks())
        onnx.save(model, str(plain))


class _Reader:
    """Hands the calibrator one input after the other, and None at the end."""

    def __init__(
        self,
        network: Network,
        pictures: list[Any],
        session: ort.InferenceSession,
        check: Callable[[], None],
    ) -> None:
        self._network = network
        self._left = iter(pictures)
        self._input = session.get_inputs()[0].name
        self._check = check

    def get_next(self) -> dict[str, FloatArray] | None:
        self._check()
        picture = next(self._left, None)
        return None if picture is None else {self._input: self._network.blob(picture)}
