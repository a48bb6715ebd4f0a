"""InsightFace's recognition models (ArcFace), on aligned faces.

Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apps.common.config import RecogniserConfig, model_registry
from apps.common.contracts.manifest import ModelFacts
from apps.common.errors import ModelUnavailable
from apps.common.files import sha256_of
from apps.common.model_files import insightface_recogniser, insightface_root
from apps.pipeline.arrays import FloatArray
from apps.pipeline.inference.session import CPU, SessionPlan, make_session
from apps.pipeline.recognise.base import FaceView, aligned, unit

SIDE = 112  # pixels of an aligned face
# Eyes, nose and mouth corners in it, x and y in pixels (InsightFace, `face_align.arcface_dst`).
PLACES = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ],
    np.float32,
)


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
        if len(inputs) != 1 or len(outputs) != 1 or list(inputs[0].shape[1:]) != [3, SIDE, SIDE]:
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
            licence=self.likeness.licence,
            file=path.name,
        )

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    @property
    def likeness(self) -> RecogniserConfig:
        return model_registry().recognisers["arcface"]

    def embed(self, faces: Sequence[FaceView]) -> FloatArray:
        # One by one: there are models that take no more.
        found = [self._model.get_feat(aligned(face, PLACES, SIDE))[0] for face in faces]
        return unit(np.stack(found))


def _found(model: str) -> Path:
    found = insightface_recogniser(model)
    if found is None and not model.endswith(".onnx"):
        insightface_root(model)  # says so where the pack may be there and cannot be read
    if found is None:
        raise ModelUnavailable(
            f"There is no recognition model {Path(model).name!r} on disk.",
            hint="Correct SCREENALYTICS_RECOGNITION_MODEL: dlib, an .onnx file, or a pack under "
            "$INSIGHTFACE_HOME/models. Without it tracks are not compared by faces.",
        )
    return found
