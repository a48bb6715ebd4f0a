"""dlib's face recognition network: 128 numbers a face, free for any use, no download.

Source: Davis E. King, dlib's `dnn_face_recognition_ex.cpp`, and the weights
`dlib_face_recognition_resnet_model_v1` (in the public domain; 0.9938 on Labeled Faces in the Wild,
as published), which the package `face-recognition-models` brings. It is found and not imported,
which would need setuptools; its 68 landmarks, for non-commercial use only, are not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from apps.common.config import RecogniserConfig, model_registry
from apps.common.contracts.manifest import ModelFacts
from apps.common.errors import ModelUnavailable
from apps.common.files import sha256_of, storage_errors, write_atomic
from apps.common.model_files import packaged_file
from apps.pipeline.arrays import FloatArray
from apps.pipeline.inference.callbacks import NO_CALLBACKS, LoadCallbacks
from apps.pipeline.inference.graph_cache import open_session
from apps.pipeline.inference.session import CPU, SessionPlan
from apps.pipeline.recognise.base import FaceView, aligned, unit

_SIDE = 150  # pixels of an aligned face
_MARGIN = 0.25  # around dlib's mean face, in its sides
# Eyes, nose and corners of the mouth in dlib's mean face, x and y in its sides. Its own five points
# are others (corners of the eyes); these are where they lie between those.
_MEAN_FACE = np.array(
    [(0.2255, 0.2160), (0.7548, 0.2160), (0.4901, 0.5156), (0.2541, 0.7802), (0.7261, 0.7802)],
    np.float32,
)
_PLACES = ((_MEAN_FACE + _MARGIN) / (1 + 2 * _MARGIN) * _SIDE).astype(np.float32)
_PREPARED = 1  # raise when the graph that is made changes


class DlibResNet:
    """A `Recogniser`, on the CPU: it sees few faces."""

    def __init__(self, threads: int, cache: Path, callbacks: LoadCallbacks = NO_CALLBACKS) -> None:
        """Loads the network.

        Args:
            threads: intra-op threads, >= 1.
            cache: folder for the network in ONNX's format.
            callbacks: receive progress messages, and may stop the work.

        Raises:
            ModelUnavailable: the package is missing, or its file is not the one that is known.
            StorageFailed: the cache cannot be written.
        """
        config = self.likeness
        graph = _graph(config, cache, callbacks)
        self._session = open_session(
            SessionPlan(graph, f"{config.sha256}-v{_PREPARED}", {}, threads, CPU), cache
        )
        self._facts = ModelFacts(
            id="dlib_resnet_v1",
            sha256=config.sha256 or "",
            licence=config.licence,
            file=Path(config.file or "").name,
        )

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    @property
    def likeness(self) -> RecogniserConfig:
        return model_registry().recognisers["dlib"]

    def embed(self, faces: Sequence[FaceView]) -> FloatArray:
        pictures = np.stack([aligned(face, _PLACES, _SIDE) for face in faces])
        red_green_blue = pictures[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        (embeddings,) = self._session.run(None, {"pictures": red_green_blue})
        return unit(embeddings)


def _graph(config: RecogniserConfig, cache: Path, callbacks: LoadCallbacks) -> Path:
    """The network in ONNX's format, from the cache or made now."""
    path = cache / "models" / f"dlib-resnet-{(config.sha256 or '')[:16]}-v{_PREPARED}.onnx"
    if not path.is_file():
        from apps.pipeline.recognise.dlib_graph import dlib_graph  # onnx, needed once
        from apps.pipeline.recognise.dlib_weights import read_dlib

        weights = _weights(config)
        callbacks.say("Preparing the recognition network (once)")
        with storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, dlib_graph(read_dlib(weights.read_bytes())))
    return path


def _weights(config: RecogniserConfig) -> Path:
    path = packaged_file(config.package or "", config.file or "")
    if sha256_of(path) != config.sha256:
        raise ModelUnavailable(
            f"{path.name} is not the file that is known (its SHA-256 differs).",
            hint="It may be damaged: install the package again.",
        )
    return path
