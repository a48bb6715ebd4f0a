"""A small view of a processed frame: enough for cuts, for camera motion and for how faces look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.pipeline.types import ByteArray, FloatArray, Frame

WIDTH = 256  # pixels; more costs time and finds no further cut
_COARSE = (128, 72)
_BINS = (32, 32)  # hue, saturation
_LOOK = (4, 5)  # columns, rows
_LIGHT = 0.5  # weight of lightness in a look beside the two axes of colour
_CELLS = (10, 6)  # columns, rows: one point to follow in each
_LEAST_CORNER = 1e-4  # smallest eigenvalue of a point that can be followed; plain walls have none


@dataclass(frozen=True)
class Overview:
    """One processed frame, 256 pixels wide.

    Args:
        image: shape (h, 256, 3), uint8, BGR.
    """

    image: ByteArray

    @staticmethod
    def of(frame: Frame) -> Overview:
        box = frame.letterbox
        image = frame.image[: box.inner_height, : box.inner_width]
        scale = WIDTH / image.shape[1]
        size = (WIDTH, max(8, round(image.shape[0] * scale)))
        return Overview(cv2.resize(image, size, interpolation=cv2.INTER_AREA))

    @cached_property
    def grey(self) -> ByteArray:
        """Shape (h, 256), local contrast made even, so that light matters little."""
        grey = cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY)
        even: ByteArray = cv2.createCLAHE(2.0, (4, 4)).apply(grey)
        return even

    @cached_property
    def coarse(self) -> FloatArray:
        """`grey` at 128 x 72, for phase correlation."""
        small: ByteArray = cv2.resize(self.grey, _COARSE, interpolation=cv2.INTER_AREA)
        return small.astype(np.float32)

    @cached_property
    def colours(self) -> FloatArray:
        """Shape (32, 32), the share of each hue and saturation; sums to 1."""
        hsv = cv2.cvtColor(self.image, cv2.COLOR_BGR2HSV)
        counts = cv2.calcHist([hsv], [0, 1], None, list(_BINS), [0, 180, 0, 256])
        shares: FloatArray = (counts / counts.sum()).astype(np.float32)
        return shares

    @cached_property
    def points(self) -> FloatArray:
        """Shape (n, 2), pixels: in each cell of a grid the point that is followed most easily.

        Source: Shi and Tomasi, "Good features to track", 1994.
        """
        strength = cv2.cornerMinEigenVal(self.grey, 5)
        columns, rows = _CELLS
        height, width = strength.shape[0] // rows, strength.shape[1] // columns
        cells = strength[: height * rows, : width * columns].reshape(rows, height, columns, width)
        cells = cells.transpose(0, 2, 1, 3).reshape(rows * columns, -1)
        best = cells.argmax(axis=1)
        cell = np.arange(len(cells))
        usable = cells[cell, best] > _LEAST_CORNER
        x = (cell % columns) * width + best % width
        y = (cell // columns) * height + best // width
        points: FloatArray = np.stack([x, y], axis=1)[usable].astype(np.float32)
        return points

    def looks(self, boxes: FloatArray) -> FloatArray:
        """What each face looks like, coarsely: colours without its overall lightness.

        Args:
            boxes: shape (n, 4), [x1, y1, x2, y2] in 0..1.

        Returns:
            Shape (n, 60): CIELAB (8 bit scale) of 4 x 5 patches.
        """
        looks = np.zeros((len(boxes), 3 * _LOOK[0] * _LOOK[1]), np.float32)
        if len(boxes) == 0:
            return looks
        height, width = self.image.shape[:2]
        lab = cv2.cvtColor(self.image, cv2.COLOR_BGR2LAB)
        corners = np.rint(boxes * [width, height, width, height]).astype(np.int64)
        for number, (x1, y1, x2, y2) in enumerate(corners):
            left, top = min(max(x1, 0), width - 2), min(max(y1, 0), height - 2)
            face = lab[top : max(top + 2, y2), left : max(left + 2, x2)].astype(np.float32)
            patch: NDArray[np.float32] = cv2.resize(face, _LOOK, interpolation=cv2.INTER_AREA)
            patch[..., 0] = _LIGHT * (patch[..., 0] - patch[..., 0].mean())
            looks[number] = patch.ravel()
        return looks
