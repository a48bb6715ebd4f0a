"""CenterFace, the embedded default detector.

Source: Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019.
The network gives, for every 4x4 cell, a heat (is a face's centre here?), the logarithm of the
box's size, the centre's offset inside the cell, and five landmarks relative to the box.
"""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from apps.common.config import DetectorConfig
from apps.common.contracts.manifest import ModelFacts
from apps.common.errors import ModelUnavailable
from apps.common.files import sha256_of, storage_errors, write_atomic
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.detect.base import (
    DetectorFacts,
    DetectorRequest,
    Finder,
)
from apps.pipeline.detect.loading import Weights, detector_facts, load_session
from apps.pipeline.geometry import Letterbox, fit
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
        return _into_planes(image, np.empty((1, 3, *image.shape[:2]), np.float32))

    def finder(self, session: ort.InferenceSession) -> Finder:
        given = session.get_inputs()[0]
        kept = _Planes(tuple(given.shape))

        def find(image: ByteArray) -> Faces:
            blob = _into_planes(image, kept.planes)
            heat, scale, offset, landmarks = session.run(None, {given.name: blob})
            faces = decode_maps(heat[0, 0], scale[0], offset[0], landmarks[0], self.threshold)
            return suppress(faces, self.threshold, self.nms_iou)

        return find


class _Planes(threading.local):
    """A thread's input, one for all of its pictures: fresh memory costs more."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.planes: FloatArray = np.empty(shape, np.float32)


class CenterFace:
    """A `Detector`. See the protocol for the arguments' units."""

    def __init__(
        self,
        request: DetectorRequest,
        config: DetectorConfig,
        cache: Path,
        callbacks: LoadCallbacks = NO_CALLBACKS,
    ) -> None:
        """Loads the network for pictures of this size.

        Args:
            request: picture, threshold, provider, threads, precision.
            config: its entry in `config/models.toml`.
            cache: folder for the prepared model.
            callbacks: receive progress messages, and may stop the work.

        Raises:
            ModelUnavailable: the package or its model is missing or broken.
        """
        source = packaged_model(config)
        sha256 = sha256_of(source)
        self._letterbox = fit(request.width, request.height, request.det_size)
        usual = CenterFaceNetwork(config.det_thresh, config.nms_iou)
        loaded = load_session(
            Weights(prepared_model(source, sha256, cache), usual),
            request,
            self._letterbox,
            cache,
            callbacks,
        )
        self._session = loaded.session
        self._find = replace(usual, threshold=request.det_thresh).finder(loaded.session)
        facts = ModelFacts(
            id=MODEL_ID,
            sha256=sha256,
            licence=config.licence,
            file=source.name,
            precision=request.precision,
            quantised=loaded.quantised,
        )
        self._facts = detector_facts(facts, loaded)

    @property
    def facts(self) -> DetectorFacts:
        return self._facts

    @property
    def letterbox(self) -> Letterbox:
        return self._letterbox

    def detect(self, image: ByteArray) -> Faces:
        return self._find(image)


def _into_planes(image: ByteArray, planes: FloatArray) -> FloatArray:
    """float32 RGB 0..255, as it was trained; a third of the time of `cv2.dnn.blobFromImage`.

    Args:
        image: shape (h, w, 3), uint8, BGR.
        planes: shape (1, 3, h, w); written over and returned.
    """
    for channel, values in enumerate(cv2.split(image)):
        planes[0, 2 - channel] = values
    return planes


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


def suppress(faces: Faces, threshold: float, iou: float) -> Faces:
    """Non-maximum suppression: of boxes that overlap more than `iou`, the best one; best first."""
    if len(faces) == 0:
        return faces
    corners, sizes = faces.boxes[:, :2], faces.boxes[:, 2:] - faces.boxes[:, :2]
    boxes = np.concatenate([corners, sizes], axis=1)
    best = cv2.dnn.NMSBoxes(boxes.tolist(), faces.conf.tolist(), threshold, iou)
    return faces[np.array(best, np.int64).ravel()]


def packaged_model(config: DetectorConfig) -> Path:
    """The ONNX file inside the installed package, found without importing the package.

    Raises:
        ModelUnavailable: the package is not installed or carries no such file.
    """
    spec = importlib.util.find_spec(config.package or "")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder) / (config.file or "")
        if path.is_file():
            return path
    raise ModelUnavailable(
        f"The package {config.package!r} with {config.file} is not installed.",
        hint="Install the pinned requirements again (make setup).",
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
