"""InsightFace's detectors (RetinaFace, SCRFD), through its own model zoo."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort

from apps.common.config import DetectorConfig
from apps.common.errors import ModelUnavailable
from apps.common.files import sha256_of, storage_errors, write_atomic
from apps.common.model_files import insightface_detector, insightface_root
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.detect.base import (
    DetectorRequest,
    Finder,
)
from apps.pipeline.detect.loading import ModelSource, NetworkDetector, Weights
from apps.pipeline.geometry import Letterbox, fit, fit_into
from apps.pipeline.inference.callbacks import NO_CALLBACKS, LoadCallbacks
from apps.pipeline.types import Faces

_STRIDE = 32  # of its coarsest output
_OUTPUTS = (6, 9, 10, 15)  # of InsightFace's detectors: three or five scales, with landmarks or not
_HEIGHT, _WIDTH = "screenalytics_height", "screenalytics_width"
_NAMED = 1  # raise when `_with_named_sizes` changes, so that cached models are made again


@dataclass(frozen=True)
class ScrfdNetwork:
    """A `Network`: InsightFace's own pre- and postprocessing around a session.

    Args:
        path: file of the weights as they came.
        threshold: least confidence.
        nms_iou: boxes that overlap more are one face.
        fixed: width and height of the model's input where the graph fixes it.
    """

    path: Path
    threshold: float
    nms_iou: float
    fixed: tuple[int, int] | None

    @property
    def canvas(self) -> tuple[int, int]:
        return (640, 448) if self.fixed is None else self.fixed

    def letterbox(self, request: DetectorRequest) -> Letterbox:
        """The video's own aspect, unless the graph fixes the picture."""
        if self.fixed is not None:
            return fit_into(request.width, request.height, *self.fixed)
        return fit(request.width, request.height, request.det_size, _STRIDE)

    def dimensions(self, width: int, height: int) -> dict[str, int]:
        return {_HEIGHT: height, _WIDTH: width} if self.fixed is None else {}

    def blob(self, image: ByteArray) -> FloatArray:
        """The network's input as InsightFace prepares it: float32 RGB, about -1..1."""
        return np.asarray(cv2.dnn.blobFromImage(image, 1 / 128, mean=(127.5,) * 3, swapRB=True))

    def finder(self, session: ort.InferenceSession) -> Finder:
        model = _insightface(self.path, session)
        model.nms_thresh = self.nms_iou

        def find(image: ByteArray) -> Faces:
            size = (image.shape[1], image.shape[0])
            found, points = model.detect(image, input_size=size, det_thresh=self.threshold)
            return _faces(found, points)

        return find


class RetinaFace(NetworkDetector):
    """RetinaFace or SCRFD as a `Detector`."""

    def __init__(
        self,
        request: DetectorRequest,
        config: DetectorConfig,
        model: str | None,
        cache: Path,
        callbacks: LoadCallbacks = NO_CALLBACKS,
    ) -> None:
        """Loads the network for pictures of this size.

        Args:
            request: picture, threshold, provider, threads, precision.
            config: its entry in `config/models.toml`.
            model: a pack's name or an `.onnx` file; None takes the configured pack.
            cache: folder of caches.
            callbacks: receive progress messages, and may stop the work.

        Raises:
            ModelUnavailable: it is neither on disk nor downloadable, or is no detector.
        """
        wanted = config.pack if model is None else model
        path = _find_or_download("" if wanted is None else wanted)
        fixed, usable = _usable_model(path, cache)
        usual = ScrfdNetwork(path, config.det_thresh, config.nms_iou, fixed)
        super().__init__(
            ModelSource(path.stem, path, sha256_of(path), config.licence),
            Weights(usable, usual),
            replace(usual, threshold=request.det_thresh),
            request,
            usual.letterbox(request),
            cache,
            callbacks,
        )


def _faces(found: FloatArray, points: FloatArray | None) -> Faces:
    """InsightFace's rows [x1, y1, x2, y2, confidence], and landmarks where it has some."""
    if len(found) == 0:
        return Faces.none()
    if points is None:  # a model without landmarks
        points = np.full((len(found), 5, 2), np.nan, np.float32)
    order = np.argsort(-found[:, 4], kind="stable")
    return Faces(
        found[order, :4].astype(np.float32),
        np.asarray(points, np.float32)[order],
        found[order, 4].astype(np.float32),
    )


def _insightface(path: Path, session: ort.InferenceSession) -> Any:
    """InsightFace's detector around a session that was made here, so with this run's options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from insightface.model_zoo.scrfd import SCRFD

        # Static sessions of its own would be made with other options.
        return SCRFD(model_file=str(path), session=session, static_shape_sessions=False)


def _usable_model(path: Path, cache: Path) -> tuple[tuple[int, int] | None, Path]:
    """Width and height that the graph fixes, if it does, and a model whose sizes can be set.

    Raises:
        ModelUnavailable: the file is no detector of InsightFace.
        StorageFailed: the cache cannot be written.
    """
    import onnx  # InsightFace loads it as well

    try:
        model = onnx.load(str(path))
    except Exception as error:
        raise ModelUnavailable(
            f"{path.name} cannot be loaded.",
            hint="The file may be damaged: delete it and run again to get a new one.",
        ) from error
    graph = model.graph
    sizes = graph.input[0].type.tensor_type.shape.dim if len(graph.input) > 0 else []
    if len(graph.output) not in _OUTPUTS or len(sizes) != 4:
        raise ModelUnavailable(
            f"{path.name} is not a face detector.",
            hint="Give a detector of InsightFace (det_*.onnx, scrfd_*.onnx) or a pack's name.",
        )
    if sizes[2].dim_value > 0 and sizes[3].dim_value > 0:
        return (sizes[3].dim_value, sizes[2].dim_value), path
    return None, _with_named_sizes(model, path, cache)


def _with_named_sizes(model: Any, path: Path, cache: Path) -> Path:
    """A copy whose input has a name for height and another for width.

    InsightFace's packs call both "?", so that neither could be set without the other.
    """
    sha256 = sha256_of(path)
    target = cache / "models" / f"{path.stem[:40]}-{sha256[:16]}-v{_NAMED}.onnx"
    if not target.is_file():
        sizes = model.graph.input[0].type.tensor_type.shape.dim
        sizes[0].dim_value = 1
        sizes[2].dim_param, sizes[3].dim_param = _HEIGHT, _WIDTH
        for output in model.graph.output:
            for axis, size in enumerate(output.type.tensor_type.shape.dim):
                size.dim_param = f"{output.name}_{axis}"
        del model.graph.value_info[:]
        with storage_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(target, model.SerializeToString())
    return target


def _find_or_download(model: str) -> Path:
    found = insightface_detector(model)
    if found is not None:
        return found
    if model.endswith(".onnx"):
        raise ModelUnavailable(
            f"The model file {Path(model).name} does not exist or cannot be read.",
            hint="Correct SCREENALYTICS_RETINAFACE_MODEL or --retinaface-model.",
        )
    root = insightface_root(model)
    try:
        from insightface.utils.storage import ensure_available

        with contextlib.redirect_stdout(io.StringIO()):  # stdout carries the run's events
            ensure_available("models", model, root=str(root))
    except Exception as error:
        raise ModelUnavailable(
            f"InsightFace's pack {model!r} is not on disk and could not be downloaded.",
            hint=f"Unpack it to $INSIGHTFACE_HOME/models/{model}, or use detector 'centerface'.",
        ) from error
    found = insightface_detector(model)
    if found is None:
        raise ModelUnavailable(
            f"InsightFace's pack {model!r} holds no detector.", hint="Use pack 'buffalo_l'."
        )
    return found
