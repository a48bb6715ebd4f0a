"""Cuts a small part out of a decoded frame without converting the frame to colours.

Nearly every video is stored as planes of brightness and colour. A part of them is copied in
microseconds, and only what is looked at in the end becomes a picture.

Source of the coefficients: ITU-R BT.601-7, BT.709-6 and BT.2020-2, "Luma and colour difference".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.geometry import Orientation, displayed_size, grow
from apps.pipeline.tone import Tone

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

# Shares of red and blue in the brightness, by FFmpeg's number of the colour space. Whatever does
# not name one is taken for BT.601, as FFmpeg's scaler does.
_BT601 = (0.299, 0.114)
_SHARES = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_FULL_RANGE = 2  # FFmpeg's number of "0..255"; else brightness is 16..235


@dataclass(frozen=True, slots=True)
class FacePatch:
    """A part of a frame, apart from it and as it was stored.

    Args:
        planes: one array of shape (h, w, 3), BGR, or three of shape (h, w), Y, U and V, where U
            and V may be smaller; uint8.
        matrix: shape (3, 4), from Y, U, V and 1 to BGR; None where it is BGR.
        orientation: how it is still to be turned.
        shape: width and height as displayed, in pixels of any size.
        place: [x1, y1, x2, y2] in 0..1 of the displayed frame.
        tone: how its colours are still to be mapped; None for an ordinary picture.
    """

    planes: tuple[ByteArray, ...]
    matrix: FloatArray | None
    orientation: Orientation
    shape: tuple[float, float]
    place: tuple[float, float, float, float]
    tone: Tone | None

    def picture(self, long_side: int) -> ByteArray:
        """As displayed; shape (height, width, 3), BGR, the larger of the two is `long_side`."""
        scale = long_side / max(self.shape)
        width, height = (max(1, round(side * scale)) for side in self.shape)
        size = self.orientation.stored_size(width, height)
        parts = [_resized(plane, size) for plane in self.planes]
        image = parts[0]
        if self.matrix is not None:
            image = cv2.transform(cv2.merge(parts), self.matrix)
        if self.tone is not None:
            image = self.tone.mapped(image)
        return np.ascontiguousarray(self.orientation.shown(image))


def bgr_crop(
    image: ByteArray,
    place: tuple[int, int, int, int],
    size: tuple[int, int],
    long_side: int,
    tone: Tone | None = None,
) -> FacePatch:
    """A part of a BGR picture.

    Args:
        image: shape (h, w, 3).
        place: left, top, right, bottom, pixels.
        size: width and height of the frame in the picture, which may have a margin, pixels.
        long_side: what the part is wanted for; more than twice as much is not kept.
        tone: how its colours are to be mapped; None for an ordinary picture.
    """
    left, top, right, bottom = place
    step = max(1, max(right - left, bottom - top) // long_side)
    part = image[top:bottom:step, left:right:step].copy()
    width, height = size
    within = (left / width, top / height, right / width, bottom / height)
    shape = (right - left, bottom - top)
    return FacePatch((part,), None, Orientation(), shape, within, tone)


def yuv_crop(
    frame: VideoFrame,
    box: FloatArray,
    margin: float,
    *,
    orientation: Orientation,
    sample_aspect_ratio: float,
    long_side: int,
    tone: Tone | None = None,
) -> FacePatch | None:
    """A part of a decoded frame; None where it is not stored as three planes.

    Args:
        box: shape (4,), [x1, y1, x2, y2] in 0..1 of the displayed frame.
        margin: on each side, in parts of the box's long side as displayed.
        orientation: how the frame is displayed.
        sample_aspect_ratio: width of a pixel over its height.
        long_side: what the part is wanted for; more than twice as much is not kept.
        tone: how its colours are to be mapped; None for an ordinary frame.
    """
    if not has_planes(frame):
        return None
    # The box is grown where pixels are square, and then taken back to where they are stored.
    width, height = displayed_size(frame.width, frame.height, sample_aspect_ratio, orientation)
    x1, y1, x2, y2 = grow(box, margin, width, height)
    place = (x1 / width, y1 / height, x2 / width, y2 / height)
    stored = orientation.stored(place)
    step = max(1, int(max(x2 - x1, y2 - y1) / long_side))
    parts = tuple(_part(frame.format, plane, stored, step) for plane in frame.planes[:3])
    return FacePatch(parts, _matrix(frame), orientation, (x2 - x1, y2 - y1), place, tone)


def has_planes(frame: VideoFrame) -> bool:
    """Whether it is stored as brightness and two colours, each a plane of its own."""
    stored = frame.format
    return (
        stored.is_planar
        and not stored.is_rgb
        and not stored.is_big_endian
        and len(frame.planes) >= 3
        and all(plane.line_size >= plane.width for plane in frame.planes[:3])
    )


def _part(
    stored: VideoFormat, plane: VideoPlane, box: tuple[float, float, float, float], step: int
) -> ByteArray:
    bits = stored.components[0].bits
    left, right = _whole(box[0], box[2], plane.width)
    top, bottom = _whole(box[1], box[3], plane.height)
    place = (slice(top, bottom, step), slice(left, right, step))
    stored_bytes = memoryview(plane)
    if bits == 8:
        return np.frombuffer(stored_bytes, np.uint8).reshape(plane.height, -1)[place].copy()
    deep = np.frombuffer(stored_bytes, "<u2").reshape(plane.height, -1)[place]
    return (deep >> (bits - 8)).astype(np.uint8)


def _whole(low: float, high: float, size: int) -> tuple[int, int]:
    """From 0..1 to whole pixels, at least one."""
    first = min(max(0, round(low * size)), size - 1)
    return first, max(first + 1, min(size, round(high * size)))


def _resized(plane: ByteArray, size: tuple[int, int]) -> ByteArray:
    smaller = size[0] < plane.shape[1]
    resized: ByteArray = cv2.resize(
        plane, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    return resized


def _matrix(frame: VideoFrame) -> FloatArray:
    red, blue = _SHARES.get(int(frame.colorspace), _BT601)
    full = int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj")
    return _to_bgr(red, blue, full)


@cache
def _to_bgr(red: float, blue: float, full_range: bool) -> FloatArray:
    """Shape (3, 4): from Y, U, V (0..255) and 1 to blue, green, red.

    Args:
        red, blue: their shares in the brightness.
    """
    green = 1 - red - blue
    light, black, colour = (1.0, 0.0, 1.0) if full_range else (255 / 219, 16.0, 255 / 224)
    u, v = 2 * (1 - blue) * colour, 2 * (1 - red) * colour
    rows = np.array(
        [
            [light, u, 0.0, 0.0],
            [light, -u * blue / green, -v * red / green, 0.0],
            [light, 0.0, v, 0.0],
        ]
    )
    rows[:, 3] = -rows[:, :3] @ np.array([black, 128.0, 128.0])
    return rows.astype(np.float32)
