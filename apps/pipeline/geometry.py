"""Pure geometry: where a frame lies in the detector's picture, and back.

Letterboxing as in YOLO and InsightFace: the frame keeps its shape, is shrunk until it fits, lies
in the upper left corner, and the rest is black. The picture is rounded up to a multiple of the
network's stride, not to a square: a 16:9 frame at 640 needs 640x384, 40 % less than 640x640.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.pipeline.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Sizes in pixels. The frame fills `inner`, in the upper left corner of `canvas`."""

    canvas_width: int
    canvas_height: int
    inner_width: int
    inner_height: int

    def normalise(self, points: FloatArray) -> FloatArray:
        """Pixels of the canvas to 0..1 of the frame, clipped.

        Args:
            points: shape (..., 2), x and y.
        """
        size = np.array([self.inner_width, self.inner_height], np.float32)
        scaled: FloatArray = np.clip(points / size, 0.0, 1.0).astype(np.float32)
        return scaled


def fit(width: int, height: int, long_side: int, multiple: int = 32) -> Letterbox:
    """Shrinks a frame until its long side is at most `long_side`; never enlarges it.

    Args:
        width, height: size of the frame as displayed, pixels >= 1.
        long_side: bound in pixels.
        multiple: the canvas is the next multiple of this.
    """
    scale = min(1.0, long_side / max(width, height))
    inner_w, inner_h = _scaled(width, scale), _scaled(height, scale)
    return Letterbox(_up(inner_w, multiple), _up(inner_h, multiple), inner_w, inner_h)


def fit_into(width: int, height: int, canvas_width: int, canvas_height: int) -> Letterbox:
    """Shrinks a frame until it fits a fixed canvas; never enlarges it."""
    scale = min(1.0, canvas_width / width, canvas_height / height)
    return Letterbox(canvas_width, canvas_height, _scaled(width, scale), _scaled(height, scale))


def displayed_size(
    coded_width: int, coded_height: int, sample_aspect_ratio: float, orientation: Orientation
) -> tuple[int, int]:
    """Size in square pixels, as a player shows it.

    Args:
        coded_width, coded_height: stored size, pixels.
        sample_aspect_ratio: width of a pixel over its height, > 0.
    """
    width, height = max(1, round(coded_width * sample_aspect_ratio)), coded_height
    return (height, width) if orientation.is_sideways else (width, height)


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is turned for display: one of the eight of a rectangle.

    Args:
        turns: quarter turns counterclockwise, 0 to 3.
        mirrored: left and right are exchanged before that.
    """

    turns: int = 0
    mirrored: bool = False

    @staticmethod
    def of_matrix(matrix: Sequence[int]) -> Orientation:
        """The nearest one to a display matrix (ISO/IEC 14496-12, 6.2.2).

        Args:
            matrix: nine numbers, row by row; a stored pixel (x, y) is shown at
                (m0 x + m3 y, m1 x + m4 y), to the right and down.
        """
        a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
        if mirrored := a * d - b * c < 0:
            a, b = -a, -b
        return Orientation(quarter_turns(-math.degrees(math.atan2(b, a))), mirrored)

    @property
    def degrees(self) -> int:
        """Counterclockwise, 0 to 270."""
        return 90 * self.turns

    @property
    def is_sideways(self) -> bool:
        """What is stored as the width is shown as the height."""
        return self.turns % 2 == 1

    def shown(self, image: NDArray[Any]) -> NDArray[Any]:
        """A view of a stored picture as it is displayed; shape (h, w, ...)."""
        return np.rot90(image[:, ::-1] if self.mirrored else image, self.turns)

    def stored_size(self, width: int, height: int) -> tuple[int, int]:
        """Of a displayed width and height."""
        return (height, width) if self.is_sideways else (width, height)

    def stored(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box [x1, y1, x2, y2] of the displayed picture in the stored one, both in 0..1."""
        for _ in range(self.turns):
            x1, y1, x2, y2 = box
            box = (1 - y2, x1, 1 - y1, x2)
        return (1 - box[2], box[1], 1 - box[0], box[3]) if self.mirrored else box


def quarter_turns(rotation_degrees: float) -> int:
    """Counterclockwise quarter turns, 0 to 3, nearest to the angle."""
    return round(rotation_degrees / 90) % 4


def grow(box: FloatArray, margin: float, width: int, height: int) -> tuple[int, int, int, int]:
    """A box in 0..1 as whole pixels, larger by `margin` of its long side on each side.

    Returns:
        (left, top, right, bottom), inside the picture, at least one pixel wide and high.
    """
    left, top, right, bottom = (
        float(box[0]) * width,
        float(box[1]) * height,
        float(box[2]) * width,
        float(box[3]) * height,
    )
    extra = margin * max(right - left, bottom - top)
    x1 = min(max(0, math.floor(left - extra)), width - 1)
    y1 = min(max(0, math.floor(top - extra)), height - 1)
    x2 = max(x1 + 1, min(width, math.ceil(right + extra)))
    y2 = max(y1 + 1, min(height, math.ceil(bottom + extra)))
    return x1, y1, x2, y2


def _scaled(size: int, scale: float) -> int:
    return max(1, round(size * scale))


def _up(size: int, multiple: int) -> int:
    return math.ceil(size / multiple) * multiple
