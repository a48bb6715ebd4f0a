"""The seam between the pipeline and any detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import onnxruntime as ort

from apps.common.contracts.manifest import ModelFacts, ProviderProbe
from apps.common.options import CoreMLUnits, Precision
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.geometry import Letterbox
from apps.pipeline.types import Faces

Finder = Callable[[ByteArray], Faces]


@dataclass(frozen=True)
class DetectorFacts:
    """What really runs, read back from the session after it was made.

    Args:
        provider: ONNX Runtime's execution provider that the session uses first.
        session_providers: all of the session's, in order.
        intra_op_threads: as the session's options say.
        probe: the benchmark that the provider won, where there was one.
        nodes_on_cpu: how many nodes of each kind an accelerator has left to the CPU.
    """

    model: ModelFacts
    provider: str
    session_providers: tuple[str, ...]
    intra_op_threads: int
    probe: ProviderProbe | None = None
    nodes_on_cpu: Mapping[str, int] = field(default_factory=dict)


class Detector(Protocol):
    """Finds faces in one picture. Made for one video: the letterbox does not change."""

    @property
    def facts(self) -> DetectorFacts: ...

    @property
    def letterbox(self) -> Letterbox:
        """The picture it wants."""
        ...

    def detect(self, image: ByteArray) -> Faces:
        """Faces in an image of the letterbox's size, in its pixels, best first.

        On the CPU it may be called by several threads at once.

        Args:
            image: shape (canvas_height, canvas_width, 3), uint8, BGR.
        """
        ...


class Network(Protocol):
    """What quantising must know of a detector: how pictures go in and faces come out."""

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of the pictures that it is calibrated and checked on, pixels."""
        ...

    def dimensions(self, width: int, height: int) -> dict[str, int]:
        """Sizes of the model's symbolic dimensions for such a picture."""
        ...

    def blob(self, image: ByteArray) -> FloatArray:
        """The model's input, shape (1, 3, height, width)."""
        ...

    def finder(self, session: ort.InferenceSession) -> Finder:
        """Finds faces with a session of this network, at the detector's usual threshold."""
        ...


@dataclass(frozen=True)
class DetectorRequest:
    """What a detector is made from.

    Args:
        width, height: size of the video as displayed, pixels.
        det_size: bound of the long side of the picture, pixels.
        det_thresh: least confidence, 0..1.
        provider: ONNX Runtime's execution provider.
        threads: intra-op threads of the session, >= 1.
        precision: arithmetic of the network, float32 or int8.
        rivals: providers that `provider` must beat in a benchmark; none where it was asked for.
        coreml_units: what CoreML may compute on.
    """

    width: int
    height: int
    det_size: int
    det_thresh: float
    provider: str
    threads: int
    precision: Precision = "float32"
    rivals: tuple[str, ...] = ()
    coreml_units: CoreMLUnits = "CPUAndNeuralEngine"
