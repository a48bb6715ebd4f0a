"""Non-maximum suppression."""

from __future__ import annotations

import cv2
import numpy as np

from apps.pipeline.types import Faces


def suppress(faces: Faces, threshold: float, iou: float) -> Faces:
    """Of boxes that overlap more than `iou`, the best one; best first."""
    if len(faces) == 0:
        return faces
    corners, sizes = faces.boxes[:, :2], faces.boxes[:, 2:] - faces.boxes[:, :2]
    boxes = np.concatenate([corners, sizes], axis=1)
    best = cv2.dnn.NMSBoxes(boxes.tolist(), faces.conf.tolist(), threshold, iou)
    return faces[np.array(best, np.int64).ravel()]
