"""CenterFace, the embedded default detector.

Source: Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019.
The network gives, for every 4x4 cell, a heat (is a face's centre here?), the logarithm of the
box's size, the centre's offset inside the cell, and five landmarks relative to the box.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from apps.common.config import DetectorConfig
from apps.common.errors import ModelUnavailable
from apps.common.files import storage_errors, write_atomic
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.detect.base import (
    DetectorRequest,
    Finder,
)
from apps.pipeline.detect.loading import NetworkDetector, Weights, checked_source
from apps.pipeline.detect.planes import Planes
from apps.pipeline.detect.suppress import suppress
from apps.pipeline.detect.weights import Shape
from apps.pipeline.geometry import fit
from apps.pipeline.inference.callbacks import NO_CALLBACKS, LoadCallbacks
from apps.pipeline.types import Faces

MODEL_ID = "centerface"
CELL = 4  # pixels of the picture for one cell of the output
_PREPARED = 1  # raise when `_prepare` changes, so that cached models are made again


@dataclass(frozen=True)
class CenterFaceNetwork:
    """A `Network`.

    Args:
        threshold: least heat.
        nms_iou: boxes that overlap more are one face.
    """

    threshold: float
    nms_iou: float
    canvas: tuple[int, int] = (640, 448)

    def dimensions(self, width: int, height: int) -> dict[str, int]:
        return {"height": height, "width": width}

    def blob(self, image: ByteArray) -> FloatArray:
        return Planes((1, 3, *image.shape[:2]), rgb=True).of(image)

    def finder(self, session: ort.InferenceSession) -> Finder:
        given = session.get_inputs()[0]
        planes = Planes(tuple(given.shape), rgb=True)

        def find(image: ByteArray) -> Faces:
            heat, scale, offset, landmarks = session.run(None, {given.name: planes.of(image)})
            faces = decode_maps(heat[0, 0], scale[0], offset[0], landmarks[0], self.threshold)
            return suppress(faces, self.threshold, self.nms_iou)

        return find


class CenterFace(NetworkDetector):
    """CenterFace as a `Detector`."""

    def __init__(
        self,
        request: DetectorRequest,
        config: DetectorConfig,
        weights: Path,
        cache: Path,
        callbacks: LoadCallbacks = NO_CALLBACKS,
    ) -> None:
        """Loads the network for pictures of this size.

        Args:
            request: picture, threshold, provider, threads, precision.
            config: its entry in `config/models.toml`.
            weights: its file, as it came.
            cache: folder for the prepared model.
            callbacks: receive progress messages, and may stop the work.

        Raises:
            ModelUnavailable: the file is broken, or of another network.
        """
        source = checked_source(MODEL_ID, weights, config, "CenterFace", _is_centerface)
        usual = CenterFaceNetwork(config.det_thresh, config.nms_iou)
        super().__init__(
            source,
            Weights(prepared_model(weights, source.sha256, cache), usual),
            replace(usual, threshold=request.det_thresh),
            request,
            fit(request.width, request.height, request.det_size),
            cache,
            callbacks,
        )


def _is_centerface(outputs: dict[str, Shape]) -> bool:
    return [shape[1:2] for shape in outputs.values()] == [(1,), (2,), (2,), (10,)]


def decode_maps(
    heat: FloatArray,
    scale: FloatArray,
    offset: FloatArray,
    landmarks: FloatArray,
    threshold: float,
) -> Faces:
    """Output maps to boxes in pixels of the picture, overlapping ones included.

    Args:
        heat: shape (h, w), 0..1.
        scale: shape (2, h, w), logarithm of height and width over the cell.
        offset: shape (2, h, w), of the centre inside the cell, y and x.
        landmarks: shape (10, h, w), y and x of five points, relative to box size and corner.
        threshold: least heat.
    """
    rows, columns = np.divmod(np.flatnonzero(heat > threshold), heat.shape[1])
    size = np.exp(scale[:, rows, columns]) * CELL
    height, width = size[0], size[1]
    top = (rows + offset[0, rows, columns] + 0.5) * CELL - height / 2
    left = (columns + offset[1, rows, columns] + 0.5) * CELL - width / 2
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    bounds = np.array([heat.shape[1], heat.shape[0]] * 2, np.float32) * CELL
    boxes = np.clip(boxes, 0, bounds)
    points = landmarks[:, rows, columns].reshape(5, 2, -1)
    x = points[:, 1] * width + boxes[:, 0]
    y = points[:, 0] * height + boxes[:, 1]
    return Faces(
        boxes.astype(np.float32),
        np.stack([x, y], axis=-1).transpose(1, 0, 2).astype(np.float32),
        heat[rows, columns].astype(np.float32),
    )


def prepared_model(source: Path, sha256: str, cache: Path) -> Path:
    """The model as ONNX Runtime likes it, from the cache or made now.

    As shipped its input is fixed to 10x3x32x32, and its weights are listed as inputs, which keeps
    ONNX Runtime from folding them.
    """
    path = cache / "models" / f"{MODEL_ID}-{sha256[:16]}-v{_PREPARED}.onnx"
    if not path.is_file():
        with storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, _prepare(source))
    return path


def _prepare(source: Path) -> bytes:
    import onnx  # a third of a second, needed once for a model

    try:
        model = onnx.load(str(source))
    except Exception as error:
        raise ModelUnavailable(
            f"{source.name} is damaged.", hint="Install the pinned requirements again (make setup)."
        ) from error
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    used = {name for node in graph.node for name in node.input}
    inputs = [value for value in graph.input if value.name not in weights]
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.input[:], graph.initializer[:], graph.value_info[:]
    graph.input.extend(inputs)
    graph.initializer.extend(tensors)
    _name_dimensions(graph.input[0], "height", "width")
    for output in graph.output:
        _name_dimensions(output, "rows", "columns")
    return bytes(model.SerializeToString())


def _name_dimensions(value: object, height: str, width: str) -> None:
    dims = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
    dims[0].dim_value = 1
    dims[2].dim_param = height
    dims[3].dim_param = width
