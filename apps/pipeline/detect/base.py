"""The seam between the pipeline and any detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from apps.common.contracts import ModelFacts
from apps.pipeline.geometry import Letterbox
from apps.pipeline.types import ByteArray, Faces


@dataclass(frozen=True)
class DetectorFacts:
    """What really runs, read back from the session after it was made.

    Args:
        provider: ONNX Runtime's execution provider that the session uses first.
        session_providers: all of the session's, in order.
        intra_op_threads: as the session's options say.
    """

    model: ModelFacts
    provider: str
    session_providers: tuple[str, ...]
    intra_op_threads: int


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

        Args:
            image: shape (canvas_height, canvas_width, 3), uint8, BGR.
        """
        ...


@dataclass(frozen=True)
class DetectorRequest:
    """What a detector is made from.

    Args:
        width, height: of the video as displayed, pixels.
        det_size: bound of the long side of the picture, pixels.
        det_thresh: least confidence, 0..1.
        provider: ONNX Runtime's execution provider.
        threads: intra-op threads of the session, >= 1.
    """

    width: int
    height: int
    det_size: int
    det_thresh: float
    provider: str
    threads: int
