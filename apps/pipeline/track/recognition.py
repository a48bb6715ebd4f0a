"""Recognise: InsightFace's recognition models (ArcFace), on aligned faces.

Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apps.common.config import model_registry
from apps.common.contracts.manifest import ModelFacts
from apps.common.errors import ModelUnavailable
from apps.common.files import sha256_of
from apps.common.model_files import insightface_recogniser, insightface_root
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.inference.session import CPU, SessionPlan, make_session
from apps.pipeline.yuv_crop import FacePatch

_SIDE = 112  # pixels of an aligned face
# Eyes, nose and mouth corners in it, x and y in pixels (InsightFace, `face_align.arcface_dst`).
_PLACES = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ],
    np.float32,
)
_TINY = 1e-6
_MARGIN_SIDE = 192  # pixels of a face with its margin, before it is aligned


class ArcFace:
    """A `Recogniser`, on the CPU: it sees few faces."""

    def __init__(self, model: str, threads: int) -> None:
        """Loads the recognition model.

        Args:
            model: a pack's name or an `.onnx` file.
            threads: intra-op threads, >= 1.

        Raises:
            ModelUnavailable: it is not on disk, or is no recognition model.
        """
        path = _found(model)
        sha256 = sha256_of(path)
        session = make_session(SessionPlan(path, sha256, {}, threads, CPU))
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or list(inputs[0].shape[1:]) != [3, _SIDE, _SIDE]:
            raise ModelUnavailable(
                f"{path.name} is not a face recognition model.",
                hint="Give one of InsightFace (w600k_*.onnx, glintr100.onnx) or a pack's name.",
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from insightface.model_zoo.arcface_onnx import ArcFaceONNX

            self._model: Any = ArcFaceONNX(model_file=str(path), session=session)
        self._facts = ModelFacts(
            id=path.stem,
            sha256=sha256,
            licence=model_registry().recognition.licence,
            file=path.name,
        )

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    def embed(self, patch: FacePatch, landmarks: FloatArray) -> FloatArray:
        raw = self._model.get_feat(self.aligned(patch, landmarks))[0]
        embedding: FloatArray = raw / max(np.linalg.norm(raw), _TINY)
        return embedding

    def aligned(self, patch: FacePatch, landmarks: FloatArray) -> ByteArray:
        """Shape (112, 112, 3), BGR: eyes, nose and mouth corners where ArcFace has them."""
        picture = patch.picture(_MARGIN_SIDE)
        left, top, right, bottom = patch.place
        within = (landmarks - (left, top)) / (right - left, bottom - top)
        height, width = picture.shape[:2]
        turn = _similarity(within * (width, height), _PLACES)
        aligned: ByteArray = cv2.warpAffine(picture, turn, (_SIDE, _SIDE))
        return aligned


def _similarity(points: FloatArray, places: FloatArray) -> FloatArray:
    """Shape (2, 3): turns, scales and moves points so that they come nearest to places.

    Least squares, with points as complex numbers, of which a similarity is a linear function.

    Args:
        points, places: shape (n, 2).
    """
    p, q = points @ (1, 1j), places @ (1, 1j)
    apart = p - p.mean()
    factor = np.vdot(apart, q - q.mean()) / max(np.vdot(apart, apart).real, _TINY)
    shift = q.mean() - factor * p.mean()
    re, im = factor.real, factor.imag
    return np.array([(re, -im, shift.real), (im, re, shift.imag)], np.float32)


def _found(model: str) -> Path:
    found = insightface_recogniser(model)
    if found is None and not model.endswith(".onnx"):
        insightface_root(model)  # says so where the pack may be there and cannot be read
    if found is None:
        raise ModelUnavailable(
            f"There is no recognition model {Path(model).name!r} on disk.",
            hint="Correct SCREENALYTICS_RECOGNITION_MODEL: an .onnx file, or a pack under "
            "$INSIGHTFACE_HOME/models. Without it tracks are not compared by faces.",
        )
    return found
