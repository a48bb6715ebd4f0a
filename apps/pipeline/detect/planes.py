"""Pictures as networks take them."""

from __future__ import annotations

import threading

import cv2
import numpy as np

from apps.pipeline.arrays import ByteArray, FloatArray


class Planes(threading.local):
    """A thread's input of a network, one for all of its pictures: fresh memory costs more.

    Args:
        shape: of the input, (1, 3, height, width).
        rgb: the network takes red first; else blue.
    """

    def __init__(self, shape: tuple[int, ...], *, rgb: bool) -> None:
        self._values: FloatArray = np.empty(shape, np.float32)
        self._rgb = rgb

    def of(self, image: ByteArray) -> FloatArray:
        """float32 0..255; a third of the time of `cv2.dnn.blobFromImage`. The next call reuses it.

        Args:
            image: shape (height, width, 3), uint8, BGR.
        """
        for channel, values in enumerate(cv2.split(image)):
            self._values[0, 2 - channel if self._rgb else channel] = values
        return self._values
