"""Pure geometry: where a frame lies in the detector's picture, and back.

Letterboxing as in YOLO and InsightFace: the frame keeps its shape, is shrunk until it fits, lies
in the upper left corner, and the rest is black. The picture is rounded up to a multiple of the
network's stride, not to a square: a 16:9 frame at 640 needs 640x384, 40 % less than 640x640.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


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
    coded_width: int, coded_height: int, sample_aspect_ratio: float, rotation: int
) -> tuple[int, int]:
    """Size in square pixels, as a player shows it.

    Args:
        coded_width, coded_height: stored size, pixels.
        sample_aspect_ratio: width of a pixel over its height, > 0.
        rotation: degrees counterclockwise, a multiple of 90.
    """
    width, height = max(1, round(coded_width * sample_aspect_ratio)), coded_height
    return (height, width) if rotation % 180 == 90 else (width, height)


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
