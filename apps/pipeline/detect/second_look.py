"""A second look at small faces of which a detector is not sure.

A detector hardly ever passes over a small face without a trace: it finds it, but doubts it. So the
places of its doubts are cut out of the frame at full size, enlarged, laid side by side in one
picture of the size that the detector has anyway (an accelerator's is fixed), and looked at once
more. What is found there at the ordinary threshold, and lies where the doubt was, is a face. A
frame costs one more inference at most, and none where nothing small is in doubt, as in close-ups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from apps.common.config import SecondLookConfig
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.detect.agreement import overlaps
from apps.pipeline.geometry import Letterbox, grow
from apps.pipeline.types import Faces, Frame
from apps.pipeline.yuv_crop import FacePatch, bgr_crop

_AS_STORED = 1 << 16  # pixels; a side that no frame has, so that a part is kept with every pixel


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a part of the frame lies in a mosaic.

    Args:
        doubt: number of the doubtful face that it is around.
        corner: x and y of its upper left corner, pixels of the mosaic.
        size: width and height there.
        place: [x1, y1, x2, y2] in 0..1 of the frame.
    """

    doubt: int
    corner: tuple[int, int]
    size: tuple[int, int]
    place: tuple[float, float, float, float]

    def in_frame(self, points: FloatArray) -> FloatArray:
        """From pixels of the mosaic to 0..1 of the frame, clipped.

        Args:
            points: shape (..., 2), x and y.
        """
        left, top, right, bottom = self.place
        share = (points - np.array(self.corner)) / np.array(self.size)
        placed = np.array([left, top]) + share * np.array([right - left, bottom - top])
        clipped: FloatArray = np.clip(placed, 0.0, 1.0).astype(np.float32)
        return clipped


@dataclass(frozen=True, slots=True)
class Mosaic:
    """What the detector is to look at once more.

    Args:
        image: shape (canvas_height, canvas_width, 3), uint8, BGR.
        cells: the parts in it.
    """

    image: ByteArray
    cells: tuple[Cell, ...]


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
        size = (self.letterbox.canvas_height, self.letterbox.canvas_width, 3)
        image, cells = np.zeros(size, np.uint8), []
        for number, corner in zip(doubts, self._corners(), strict=False):
            x, y = corner
            part = self._part(frame, faces.boxes[number])
            pixels = part.picture(_long_side(part.shape, self._cell))
            height, width = pixels.shape[:2]
            image[y : y + height, x : x + width] = pixels
            cells.append(Cell(int(number), corner, (width, height), part.place))
        return Mosaic(image, tuple(cells))

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
            confirmed = self._confirmed(cell, faces.boxes[cell.doubt], found)
            if confirmed is not None and not _overlap(sure, confirmed, self.config.same_face):
                sure += confirmed
        return sure[np.argsort(-sure.conf, kind="stable")]

    @property
    def _cell(self) -> tuple[int, int]:
        """Width and height of a cell, pixels."""
        box, side = self.letterbox, self.config.cell
        return min(side, box.canvas_width), min(side, box.canvas_height)

    def _corners(self) -> Iterator[tuple[int, int]]:
        width, height = self._cell
        for row in range(self.letterbox.canvas_height // height):
            for column in range(self.letterbox.canvas_width // width):
                yield column * width, row * height

    def _doubts(self, letterbox: Letterbox, faces: Faces) -> NDArray[np.int64]:
        """Numbers of the small faces in doubt, the likeliest first, without parts of sure faces."""
        heights = (faces.boxes[:, 3] - faces.boxes[:, 1]) * letterbox.inner_height
        is_sure = faces.conf >= self.threshold
        centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
        sure = faces.boxes[is_sure]
        inside = (centres[:, None] >= sure[:, :2]) & (centres[:, None] <= sure[:, 2:])
        is_part = np.any(np.all(inside, axis=2), axis=1)
        return np.flatnonzero(~is_sure & ~is_part & (heights < self.config.max_height))

    def _part(self, frame: Frame, box: FloatArray) -> FacePatch:
        """The frame around a face, as large as a cell when the face has its target height.

        It has no tone: the detector sees colours as they are stored.
        """
        inner = (frame.letterbox.inner_width, frame.letterbox.inner_height)
        height = max(float(box[3] - box[1]) * inner[1], 1.0)
        zoom = min(max(self.config.target_height / height, 1.0), self.config.max_zoom)
        sides = [min(1.0, cell / zoom / size) for cell, size in zip(self._cell, inner, strict=True)]
        centre = [float(box[axis] + box[axis + 2]) / 2 for axis in (0, 1)]
        low = [
            min(max(0.0, middle - side / 2), 1.0 - side)
            for middle, side in zip(centre, sides, strict=True)
        ]
        place = np.array([*low, low[0] + sides[0], low[1] + sides[1]], np.float32)
        stored = None if frame.picture is None else frame.picture.face_patch(place, 0.0, _AS_STORED)
        if stored is None:
            stored = bgr_crop(frame.image, grow(place, 0.0, *inner), inner, _AS_STORED)
        return replace(stored, tone=None)

    def _confirmed(self, cell: Cell, doubt: FloatArray, found: Faces) -> Faces | None:
        """The best face of the second look that lies where the doubtful one was."""
        boxes = cell.in_frame(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        is_there = overlaps(boxes, doubt[None])[:, 0] >= self.config.same_face
        good = np.flatnonzero(is_there & (found.conf >= self.threshold))
        if len(good) == 0:
            return None
        best = good[[np.argmax(found.conf[good])]]
        return Faces(boxes[best], cell.in_frame(found.landmarks[best]), found.conf[best])


def doubtful_from(threshold: float, config: SecondLookConfig) -> float:
    """The least confidence that a detector must report, so that its doubts are known.

    Args:
        threshold: least confidence of a face, 0..1.
    """
    return threshold * config.doubt


def _long_side(shape: tuple[float, float], cell: tuple[int, int]) -> int:
    """Of a part that is resized until it fits a cell."""
    scale = min(cell[0] / shape[0], cell[1] / shape[1])
    return max(1, int(max(shape) * scale + 1e-6))


def _overlap(faces: Faces, other: Faces, iou: float) -> bool:
    return bool((overlaps(faces.boxes, other.boxes) >= iou).any())
