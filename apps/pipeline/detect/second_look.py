"""A second look at small faces of which a detector is not sure.

A detector hardly ever passes over a small face without a trace: it finds it, but doubts it. So the
places of its doubts are cut out of the frame at full size, enlarged, laid side by side in one
picture of the size that the detector has anyway (an accelerator's is fixed), and looked at once
more. What is found there at the ordinary threshold, and lies where the doubt was, is a face. A
frame costs one more inference at most, and none where nothing small is in doubt, as in close-ups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.common.config import SecondLookConfig
from apps.pipeline.arrays import FloatArray
from apps.pipeline.detect.agreement import overlaps
from apps.pipeline.detect.mosaic import Cell, Mosaic, MosaicMaker
from apps.pipeline.geometry import Letterbox
from apps.pipeline.types import Faces, Frame


@dataclass(frozen=True)
class SecondLook:
    """Pure: what a frame gives depends on that frame alone.

    Args:
        config: see `config/pipeline.toml`.
        threshold: least confidence of a face, 0..1.
        letterbox: the detector's picture.
    """

    config: SecondLookConfig
    threshold: float
    letterbox: Letterbox

    def mosaic(self, frame: Frame, faces: Faces) -> Mosaic | None:
        """The doubtful places of a frame; None where nothing is in doubt.

        Args:
            faces: what the first look found, down to `doubtful_from`; in 0..1 of the frame.
        """
        doubts = self._doubts(frame.letterbox, faces)
        if len(doubts) == 0:
            return None
        maker = MosaicMaker(self.config, self.letterbox)
        return maker.of(frame, faces.boxes, doubts.tolist())

    def settled(self, faces: Faces, mosaic: Mosaic | None, found: Faces) -> Faces:
        """What the first look was sure of, and the doubts that the second one confirmed.

        Args:
            faces: what the first look found, in 0..1 of the frame.
            mosaic: that was looked at.
            found: in pixels of the mosaic.

        Returns:
            Best first, in 0..1 of the frame; boxes and confidences of the second look.
        """
        sure = faces[faces.conf >= self.threshold]
        for cell in () if mosaic is None else mosaic.cells:
            confirmed = self._confirmed(cell, faces.boxes[cell.number], found)
            if confirmed is not None and not _overlap(sure, confirmed, self.config.same_face):
                sure += confirmed
        return sure[np.argsort(-sure.conf, kind="stable")]

    def _doubts(self, letterbox: Letterbox, faces: Faces) -> NDArray[np.int64]:
        """Numbers of the small faces in doubt, the likeliest first, without parts of sure faces."""
        heights = (faces.boxes[:, 3] - faces.boxes[:, 1]) * letterbox.inner_height
        is_sure = faces.conf >= self.threshold
        centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
        sure = faces.boxes[is_sure]
        inside = (centres[:, None] >= sure[:, :2]) & (centres[:, None] <= sure[:, 2:])
        is_part = np.any(np.all(inside, axis=2), axis=1)
        return np.flatnonzero(~is_sure & ~is_part & (heights < self.config.max_height))

    def _confirmed(self, cell: Cell, doubt: FloatArray, found: Faces) -> Faces | None:
        """The best face of the second look that lies where the doubtful one was."""
        placed = cell.faces_in_frame(found)
        is_there = overlaps(placed.boxes, doubt[None])[:, 0] >= self.config.same_face
        good = np.flatnonzero(is_there & (found.conf >= self.threshold))
        return None if len(good) == 0 else placed[good[[np.argmax(found.conf[good])]]]


def doubtful_from(threshold: float, config: SecondLookConfig) -> float:
    """The least confidence that a detector must report, so that its doubts are known.

    Args:
        threshold: least confidence of a face, 0..1.
    """
    return threshold * config.doubt


def _overlap(faces: Faces, other: Faces, iou: float) -> bool:
    return bool((overlaps(faces.boxes, other.boxes) >= iou).any())
