"""Places of a frame, cut out at full size and laid side by side in one picture to look at again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apps.common.config import SecondLookConfig
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.geometry import Letterbox, grow
from apps.pipeline.types import Faces, Frame
from apps.pipeline.yuv_crop import FacePatch, bgr_crop

_AS_STORED = 1 << 16  # pixels; a side that no frame has, so that a part is kept with every pixel


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a part of the frame lies in a mosaic.

    Args:
        number: of the box that it is around.
        corner: x and y of its upper left corner, pixels of the mosaic.
        size: width and height there.
        place: [x1, y1, x2, y2] in 0..1 of the frame.
    """

    number: int
    corner: tuple[int, int]
    size: tuple[int, int]
    place: tuple[float, float, float, float]

    def faces_in_frame(self, found: Faces) -> Faces:
        """Faces of the mosaic, wherever they lie in it, as if they were in this cell's place."""
        boxes = self.in_frame(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        return Faces(boxes, self.in_frame(found.landmarks), found.conf)

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
class MosaicMaker:
    """Lays places of a frame side by side.

    Args:
        config: see `config/pipeline.toml`.
        canvas: the detector's picture.
    """

    config: SecondLookConfig
    canvas: Letterbox

    def of(self, frame: Frame, boxes: FloatArray, numbers: Sequence[int]) -> Mosaic:
        """Of some boxes, as many as there is room for.

        Args:
            boxes: shape (n, 4), in 0..1 of the frame.
            numbers: which of them, the most important first.
        """
        size = (self.canvas.canvas_height, self.canvas.canvas_width, 3)
        image, cells = np.zeros(size, np.uint8), []
        for number, corner in zip(numbers, self._corners(), strict=False):
            x, y = corner
            part = self._part(frame, boxes[number])
            pixels = part.picture(_long_side(part.shape, self._cell))
            height, width = pixels.shape[:2]
            image[y : y + height, x : x + width] = pixels
            cells.append(Cell(int(number), corner, (width, height), part.place))
        return Mosaic(image, tuple(cells))

    @property
    def _cell(self) -> tuple[int, int]:
        """Width and height of a cell, pixels."""
        box, side = self.canvas, self.config.cell
        return min(side, box.canvas_width), min(side, box.canvas_height)

    def _corners(self) -> Iterator[tuple[int, int]]:
        width, height = self._cell
        for row in range(self.canvas.canvas_height // height):
            for column in range(self.canvas.canvas_width // width):
                yield column * width, row * height

    def _part(self, frame: Frame, box: FloatArray) -> FacePatch:
        """The frame around a face, as large as a cell when the face has its target height.

        It has no tone: the detector sees colours as they are stored.
        """
        inner = (frame.letterbox.inner_width, frame.letterbox.inner_height)
        height = max(float(box[3] - box[1]) * inner[1], 1.0)
        whole = self.config.max_share * min(self._cell) / height  # a large face is shrunk
        zoom = min(max(self.config.target_height / height, min(1.0, whole)), self.config.max_zoom)
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


def _long_side(shape: tuple[float, float], cell: tuple[int, int]) -> int:
    """Of a part that is resized until it fits a cell."""
    scale = min(cell[0] / shape[0], cell[1] / shape[1])
    return max(1, int(max(shape) * scale + 1e-6))
