"""A small view of a processed frame: enough for cuts, for camera motion and for how faces look."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, ClassVar, Self

import cv2
import numpy as np

from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.types import Frame
from apps.pipeline.yuv_crop import FacePatch

WIDTH = 256  # pixels; more costs time and finds no further cut
COARSE = (128, 72)
TINY = (32, 18)  # pixels: enough to see a picture mix with another one
LAYOUT = (16, 9)  # cells: a face or a hand moves within a few of them
_PLAIN = 1.5  # standard deviation, 0..255, of a picture that shows nothing
_BINS = (32, 32)  # hue, saturation
_LOOK = (4, 5)  # columns, rows
FACE_APPEARANCE = _LOOK[0] * _LOOK[1] * 3  # numbers of a face
COMPUTED_SHAPES = {"layout": (*reversed(LAYOUT), 3), "colours": _BINS, "digest": (16,)}
_MAX_HEIGHT = 4.0  # times the width; what is higher is seen in fewer pixels
_XYZ_OF_RGB = np.array(  # of sRGB, over the white point
    [
        [0.433953, 0.376219, 0.189828],
        [0.212671, 0.715160, 0.072169],
        [0.017758, 0.109477, 0.872766],
    ],
    np.float32,
)
_LIGHT = 0.5  # weight of lightness in a look beside the two axes of colour
_CELLS = (10, 6)  # columns, rows: one point to follow in each
_CORNER = 3  # pixels of `small`, the side of what is taken for a corner
_MIN_CORNER = 1e-4  # smallest eigenvalue of a point that can be followed; plain walls have none
_FEATURES: dict[str, Any] = {  # small ones, for a small picture; zooms up to 1.2 ** 5 = 2.5
    "nfeatures": 400,
    "scaleFactor": 1.2,
    "nlevels": 6,
    "edgeThreshold": 12,
    "patchSize": 21,
    "fastThreshold": 8,
}


class _Tiny(ABC):
    """What a picture of a few pixels tells."""

    _KEPT: ClassVar[tuple[str, ...]] = ("layout",)  # costs more to compute than to keep

    def computed(self) -> dict[str, ByteArray | FloatArray]:
        """What has been computed of it so far and is worth keeping with it, by name."""
        return {name: vars(self)[name] for name in self._KEPT if name in vars(self)}

    def know(self, computed: Mapping[str, ByteArray | FloatArray]) -> Self:
        """Need not compute again what `computed` gave for the same picture; itself."""
        vars(self).update({name: computed[name] for name in self._KEPT if name in computed})
        return self

    @property
    @abstractmethod
    def tiny(self) -> FloatArray:
        """Shape (18, 32, 3), BGR, 0..255: what is mixed in a dissolve."""

    @cached_property
    def light(self) -> float:
        """Mean of the picture, 0..255."""
        return float(self.tiny.mean())

    @cached_property
    def is_plain(self) -> bool:
        """Whether it shows nothing: all black, all white or of any one colour."""
        return float(self.tiny.std(axis=(0, 1)).max()) < _PLAIN

    @cached_property
    def layout(self) -> FloatArray:
        """Shape (9, 16, 3), CIELAB (8 bit scale): which colours are where."""
        return _lab(cv2.resize(self.tiny, LAYOUT, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class FrameFeatures(_Tiny):
    """One processed frame, 256 pixels wide.

    Args:
        image: shape (h, 256, 3), uint8, BGR.
    """

    image: ByteArray
    _KEPT: ClassVar[tuple[str, ...]] = ("layout", "colours", "digest")

    @staticmethod
    def of(frame: Frame) -> FrameFeatures:
        box = frame.letterbox
        image = frame.image[: box.inner_height, : box.inner_width]
        size = (WIDTH, max(8, round(image.shape[0] * WIDTH / image.shape[1])))
        # Means of whole blocks are quick, those of parts of pixels take four times as long.
        while image.shape[1] >= 2 * WIDTH:
            half = (image.shape[1] // 2, max(1, image.shape[0] // 2))
            image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
        return FrameFeatures(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))

    @cached_property
    def digest(self) -> ByteArray:
        """Shape (16,): names the picture; others have other ones."""
        name = blake2b(self.image.tobytes(), digest_size=16)
        name.update(repr(self.image.shape).encode())
        return np.frombuffer(name.digest(), np.uint8)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.image.shape[0], self.image.shape[1]

    def like(self, other: FrameFeatures) -> FrameFeatures:
        """The same view in the shape of another one."""
        if self.shape == other.shape:
            return self
        height, width = other.shape
        return FrameFeatures(
            cv2.resize(self.image, (width, height), interpolation=cv2.INTER_LINEAR)
        )

    @cached_property
    def grey(self) -> ByteArray:
        """Shape (h, 256), local contrast made even, so that light matters little."""
        grey = cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY)
        even: ByteArray = cv2.createCLAHE(2.0, (4, 4)).apply(grey)
        return even

    @cached_property
    def small(self) -> ByteArray:
        """`grey` at 128 x 72."""
        small: ByteArray = cv2.resize(self.grey, COARSE, interpolation=cv2.INTER_AREA)
        return small

    @cached_property
    def plain(self) -> ByteArray:
        """Grey as it is, at 128 x 72."""
        small = cv2.resize(self.image, COARSE, interpolation=cv2.INTER_AREA)
        plain: ByteArray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        return plain

    @cached_property
    def tiny(self) -> FloatArray:
        """Shape (18, 32, 3), BGR, 0..255: what is mixed in a dissolve."""
        return _tiny(self.image)

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
        strength = cv2.cornerMinEigenVal(self.small, _CORNER)  # a twelfth of the time of `grey`'s
        columns, rows = _CELLS
        height, width = strength.shape[0] // rows, strength.shape[1] // columns
        cells = strength[: height * rows, : width * columns].reshape(rows, height, columns, width)
        cells = cells.transpose(0, 2, 1, 3).reshape(rows * columns, -1)
        best = cells.argmax(axis=1)
        cell = np.arange(len(cells))
        usable = cells[cell, best] > _MIN_CORNER
        x = (cell % columns) * width + best % width
        y = (cell // columns) * height + best // width
        at = np.stack([x, y], axis=1)[usable]
        scale = np.array(self.grey.shape[::-1], np.float32) / COARSE
        points: FloatArray = ((at + 0.5) * scale - 0.5).astype(np.float32)
        return points

    @cached_property
    def features(self) -> tuple[FloatArray, ByteArray]:
        """Points easily recognised: shape (n, 2), pixels; and descriptors, shape (n, 32).

        Source: Rublee et al., "ORB: an efficient alternative to SIFT or SURF", 2011.
        """
        found, described = cv2.ORB.create(**_FEATURES).detectAndCompute(self.grey, None)
        if described is None:
            return np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8)
        return np.array([point.pt for point in found], np.float32), described

    def appearance(self, boxes: FloatArray) -> FloatArray:
        """What each face looks like, coarsely: colours without its overall lightness.

        Args:
            boxes: shape (n, 4), [x1, y1, x2, y2] in 0..1.

        Returns:
            Shape (n, 60): CIELAB (8 bit scale) of 4 x 5 patches.
        """
        height, width = self.image.shape[:2]
        patches = np.zeros((len(boxes), _LOOK[1], _LOOK[0], 3), np.float32)
        corners = np.rint(boxes * [width, height, width, height]).astype(np.int64)
        for number, (x1, y1, x2, y2) in enumerate(corners):
            left, top = min(max(x1, 0), width - 2), min(max(y1, 0), height - 2)
            face = self.image[top : max(top + 2, y2), left : max(left + 2, x2)]
            patches[number] = cv2.resize(face, _LOOK, interpolation=cv2.INTER_AREA)
        lab = _lab(patches)
        light = lab[..., 0]
        lab[..., 0] = _LIGHT * (light - light.mean(axis=(1, 2), keepdims=True))
        return lab.reshape(len(boxes), 3 * _LOOK[0] * _LOOK[1])


@dataclass(frozen=True)
class FewPixels:
    """What is left of a picture that was not kept, since its view was unlikely to be asked for.

    Args:
        tiny: see `FrameFeatures.tiny`.
        again: makes its view from the video.
    """

    tiny: FloatArray
    again: Callable[[], FrameFeatures]


@dataclass(frozen=True)
class Glimpse(_Tiny):
    """A frame seen in passing: it had to be decoded, and so can tell where a picture changes.

    Args:
        ts_s: presentation time.
        source: the whole frame as it was stored, or a view of it, or what is left of it.
        is_intra: it was encoded without other pictures, as encoders do where a shot begins.
    """

    ts_s: float
    source: FacePatch | FrameFeatures | FewPixels
    is_intra: bool = False

    @cached_property
    def view(self) -> FrameFeatures:
        """Made when it is asked for the first time, which is rarely needed."""
        if isinstance(self.source, FrameFeatures):
            return self.source
        if isinstance(self.source, FewPixels):
            return self.source.again()
        width, height = self.source.shape
        return FrameFeatures(self.source.picture(glimpse_side(width, height)))

    @cached_property
    def tiny(self) -> FloatArray:
        """As `FrameFeatures.tiny`."""
        if isinstance(self.source, FrameFeatures | FewPixels):
            return self.source.tiny
        return _tiny(self.source.picture(2 * TINY[0]))


def glimpse_side(width: float, height: float) -> int:
    """The long side of a picture that is 256 pixels wide, or high as a tower."""
    return round(WIDTH * min(_MAX_HEIGHT, max(1.0, height / width)))


def _tiny(image: ByteArray) -> FloatArray:
    tiny: FloatArray = cv2.resize(image, TINY, interpolation=cv2.INTER_AREA).astype(np.float32)
    return tiny


def _lab(bgr: FloatArray) -> FloatArray:
    """CIELAB of sRGB colours (IEC 61966-2-1, D65), each axis scaled as in 8-bit pictures.

    OpenCV's own conversion spends 0.2 s on a table before the first pixel.

    Args:
        bgr: shape (..., 3), 0..255.
    """
    encoded = bgr[..., ::-1] / np.float32(255)
    linear = np.where(
        encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    ).astype(np.float32)
    white = linear @ _XYZ_OF_RGB.T
    f = np.where(white > 0.008856, np.cbrt(white), 7.787 * white + 16 / 116)
    axes = (116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2]))
    lab: FloatArray = np.stack(axes, axis=-1).astype(np.float32)
    lab[..., 0] *= 255 / 100
    return lab
