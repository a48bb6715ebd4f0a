"""What happens to whole pictures of a shot: motion blur, darkness, flashes, fades, dissolves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Shape (height, width, 3), BGR, 0..255."""

FLASH = (0.75, 0.5, 0.2)
"""How white the pictures are from a flash's first frame on, 0..1: a press photographer's."""
_MOMENTS = 7  # pictures that make up one motion-blurred one


@dataclass(frozen=True)
class Look:
    """How a shot is exposed and developed. The default changes nothing.

    ``exposure`` is how long the shutter is open, in frames; 0.5 is film, 1 a dim room.
    ``brightness`` is a factor; ``noise`` is the standard deviation of the grain,
    of 255. ``flashes`` are the frames of the shot in which one starts. ``fade_in`` and
    ``fade_out`` are the lengths of fades from and to black, in frames.
    """

    exposure: float = 0.0
    brightness: float = 1.0
    noise: float = 0.0
    flashes: tuple[int, ...] = ()
    fade_in: int = 0
    fade_out: int = 0

    @property
    def moments(self) -> tuple[float, ...]:
        """Times inside the exposure, in frames, around 0 where the frame's boxes are."""
        if self.exposure == 0.0:
            return (0.0,)
        steps = np.linspace(-0.5, 0.5, _MOMENTS)
        return tuple(float(step) * self.exposure for step in steps)

    def developed(self, moments: Sequence[Image], index: int, frames: int, grain: int) -> Image:
        """Return the finished picture of frame ``index`` of a shot of ``frames`` frames.

        ``moments`` are the pictures at the times of :attr:`moments`; ``grain`` seeds the noise.
        """
        picture = moments[0] if len(moments) == 1 else _mean(moments)
        if self.brightness != 1.0 or self.noise > 0.0:
            picture = _dimmed(picture, self.brightness, self.noise, grain)
        if (white := self._white(index)) > 0.0:
            picture = mixed(picture, np.full_like(picture, 255), white)
        if (black := self._black(index, frames)) > 0.0:
            picture = mixed(picture, np.zeros_like(picture), black)
        return picture

    def clearness(self, index: int, frames: int) -> float:
        """Return what flashes and fades leave of a face, 0..1. Darkness and blur hide nothing."""
        return (1.0 - self._white(index)) * (1.0 - self._black(index, frames))

    def _white(self, index: int) -> float:
        since = [index - start for start in self.flashes if 0 <= index - start < len(FLASH)]
        return max((FLASH[frame] for frame in since), default=0.0)

    def _black(self, index: int, frames: int) -> float:
        """A fade-in begins, and a fade-out ends, with a picture that is black."""
        left = frames - 1 - index
        coming = 1.0 - index / self.fade_in if self.fade_in > 0 else 0.0
        going = 1.0 - left / self.fade_out if self.fade_out > 0 else 0.0
        return min(max(coming, going, 0.0), 1.0)


PLAIN = Look()


def mixed(picture: Image, other: Image, share: float) -> Image:
    """Return the picture with ``share`` 0..1 of another one in it."""
    return np.asarray(cv2.addWeighted(picture, 1.0 - share, other, share, 0.0), dtype=np.uint8)


def _mean(pictures: Sequence[Image]) -> Image:
    total = np.zeros(pictures[0].shape, np.float32)
    for picture in pictures:
        cv2.accumulate(picture, total)
    return np.asarray(np.rint(total / len(pictures)), dtype=np.uint8)


def _dimmed(picture: Image, brightness: float, noise: float, grain: int) -> Image:
    """Return a darker picture with the grain of a camera that had too little light."""
    light = picture.astype(np.float32) * brightness
    if noise > 0.0:
        # One value for a pixel: grain of sensors is mostly brightness once it is encoded.
        dots = np.random.default_rng(grain).standard_normal(picture.shape[:2], np.float32)
        light += noise * dots[..., None]
    return np.asarray(np.clip(np.rint(light), 0, 255), dtype=np.uint8)
