"""InsightFace's detectors (RetinaFace, SCRFD), through its own model zoo."""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from apps.common.config import DetectorConfig
from apps.common.contracts import ModelFacts
from apps.common.errors import ModelUnavailable
from apps.common.model_files import insightface_detector, insightface_root
from apps.pipeline.detect.base import DetectorFacts, DetectorRequest
from apps.pipeline.detect.session import check_provider, provider_list, session_options
from apps.pipeline.geometry import Letterbox, fit, fit_into
from apps.pipeline.types import ByteArray, Faces

_STRIDE = 32  # of its coarsest output


class RetinaFace:
    """A `Detector`. See the protocol for the arguments' units."""

    def __init__(self, request: DetectorRequest, config: DetectorConfig, model: str | None) -> None:
        """Args:
        request: picture, threshold, provider, threads.
        config: its entry in `config/models.toml`.
        model: a pack's name or an `.onnx` file; None takes the configured pack.

        Raises:
            ModelUnavailable: it is neither on disk nor downloadable, or is no detector.
        """
        path = _find_or_download(model or config.pack or "")
        self._model = _load(path, request)
        fixed = getattr(self._model, "static_input_size", None)
        self._letterbox = _letterbox(request, fixed)
        self._size = (self._letterbox.canvas_width, self._letterbox.canvas_height)
        self._model.nms_thresh = config.nms_iou
        self._det_thresh = request.det_thresh
        session: ort.InferenceSession = self._model.session
        check_provider(session, request.provider)
        self._facts = DetectorFacts(
            model=ModelFacts(
                id=path.stem,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                licence=config.licence,
                file=path.name,
            ),
            provider=session.get_providers()[0],
            session_providers=tuple(session.get_providers()),
            intra_op_threads=session.get_session_options().intra_op_num_threads,
        )

    @property
    def facts(self) -> DetectorFacts:
        return self._facts

    @property
    def letterbox(self) -> Letterbox:
        return self._letterbox

    def detect(self, image: ByteArray) -> Faces:
        found, points = self._model.detect(
            image, input_size=self._size, det_thresh=self._det_thresh
        )
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


def _letterbox(request: DetectorRequest, fixed: tuple[int, int] | None) -> Letterbox:
    if fixed is not None:
        return fit_into(request.width, request.height, *fixed)
    return fit(request.width, request.height, request.det_size, _STRIDE)


def _load(path: Path, request: DetectorRequest) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from insightface.model_zoo import get_model

        try:
            model = get_model(
                str(path),
                providers=provider_list(request.provider),
                sess_options=session_options(request.threads),
                static_shape_sessions=False,  # those would be made with other session options
            )
        except Exception as error:
            raise ModelUnavailable(
                f"{path.name} cannot be loaded.",
                hint="The file may be damaged: delete it and run again to get a new one.",
            ) from error
    if getattr(model, "taskname", "detection") != "detection" or not hasattr(model, "detect"):
        raise ModelUnavailable(
            f"{path.name} is not a face detector.",
            hint="Give a detector of InsightFace (det_*.onnx, scrfd_*.onnx) or a pack's name.",
        )
    return model


def _find_or_download(model: str) -> Path:
    found = insightface_detector(model)
    if found is not None:
        return found
    if model.endswith(".onnx"):
        raise ModelUnavailable(
            f"The model file {Path(model).name} does not exist.",
            hint="Correct SCREENALYTICS_RETINAFACE_MODEL or --retinaface-model.",
        )
    try:
        from insightface.utils.storage import ensure_available

        with contextlib.redirect_stdout(io.StringIO()):  # stdout carries the run's events
            ensure_available("models", model, root=str(insightface_root()))
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
