"""Tone: pictures of high dynamic range (PQ, HLG) as ordinary ones, for people to look at.

What was brightest white in an ordinary programme keeps its place; only what is brighter is pressed
together. The detector's picture is left as it is stored: networks find no more faces in the other.

Sources: Rec. ITU-R BT.2100-2 (PQ and HLG, tables 4 and 5), BT.2408-7 (203 cd/m² for diffuse white),
BT.2087-0 (BT.2020 to BT.709), IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.pipeline.arrays import ByteArray, FloatArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# FFmpeg's numbers (libavutil/pixfmt.h) of transfer characteristics and primaries.
PQ, HLG = 16, 18
_BT709_PRIMARIES, _SMPTE170M_PRIMARIES = 1, 6
_UNSPECIFIED = 2
_WHITE = 203.0  # cd/m²
_PEAK = 1000.0  # cd/m², of the display that HLG is meant for
_KNEE = 0.75  # of white: up to here light stays as it is
_ENCODED_STEPS = 4096
# From BT.2020 to BT.709, rows and columns in the order blue, green, red.
_TO_BT709 = np.array(
    [
        [1.1187, -0.1006, -0.0182],
        [-0.0083, 1.1329, -0.1246],
        [-0.0728, -0.5876, 1.6605],
    ],
    np.float32,
)
_LUMINANCE_BT2020 = np.array([0.0593, 0.6780, 0.2627], np.float32)  # of blue, green, red


@dataclass(frozen=True, slots=True)
class Tone:
    """How the colours of a picture are to be mapped.

    Args:
        transfer: PQ or HLG.
        is_wide: its primaries are those of BT.2020.
    """

    transfer: int
    is_wide: bool

    @staticmethod
    def of(frame: VideoFrame, announced: int) -> Tone | None:
        """None for an ordinary picture.

        Args:
            announced: the container's transfer characteristic, for frames that name none.
        """
        transfer = int(frame.color_trc)
        transfer = announced if transfer in (0, _UNSPECIFIED) else transfer
        if transfer not in (PQ, HLG):
            return None
        return Tone(
            transfer, int(frame.color_primaries) not in (_BT709_PRIMARIES, _SMPTE170M_PRIMARIES)
        )

    def mapped(self, image: NDArray[Any]) -> ByteArray:
        """The picture in the ordinary range of light and colours.

        Args:
            image: shape (h, w, 3), BGR as stored: uint8, or uint16 for finer steps.

        Returns:
            Shape (h, w, 3), uint8, BGR (sRGB).
        """
        light = np.take(_light(self.transfer, int(np.iinfo(image.dtype).max)), image)
        if self.transfer == HLG:
            brightness = cv2.transform(light, _LUMINANCE_BT2020[None]).reshape(*light.shape[:2], 1)
            light *= _PEAK / _WHITE * np.power(np.maximum(brightness, 1e-6), np.float32(0.2))
        if self.is_wide:
            light = cv2.transform(light, _TO_BT709)
        np.maximum(light, 0, out=light)
        brightest = light.max(axis=2, keepdims=True)
        light *= _pressed(brightest) / np.maximum(brightest, 1e-6)
        steps = np.minimum(light * (_ENCODED_STEPS - 1), _ENCODED_STEPS - 1).astype(np.uint16)
        encoded: ByteArray = np.take(_encoded(), steps)
        return encoded


def _pressed(light: FloatArray) -> FloatArray:
    """Light of any strength, 1 being white, to 0..1: as it is up to the knee, then ever less."""
    room = np.float32(1 - _KNEE)
    above = _KNEE + room * (1 - np.exp(-np.maximum(light - _KNEE, 0) / room))
    pressed: FloatArray = np.where(light <= _KNEE, light, above).astype(np.float32)
    return pressed


@cache
def _light(transfer: int, largest: int) -> FloatArray:
    """Shape (largest + 1,), light of each stored value: over white (PQ), of the scene (HLG)."""
    signal = np.arange(largest + 1, dtype=np.float64) / largest
    return (_pq(signal) / _WHITE if transfer == PQ else _hlg(signal)).astype(np.float32)


def _pq(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Luminance in cd/m² (the EOTF)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** (1 / m2)
    light: NDArray[np.float64] = np.maximum(power - c1, 0) / (c2 - c3 * power)
    return 10_000 * light ** (1 / m1)


def _hlg(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of the scene, 0..1 (the inverse OETF)."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


@cache
def _encoded() -> ByteArray:
    """Shape (4096,), sRGB of light in 0..1."""
    light = np.arange(_ENCODED_STEPS) / (_ENCODED_STEPS - 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    encoded: ByteArray = np.rint(255 * srgb).astype(np.uint8)
    return encoded
