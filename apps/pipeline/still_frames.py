"""Which samples show nothing new: a still title, a frozen picture, a shot in which nobody moves.

A sample is compared with the last one that was looked at, not with the one before it, so that slow
changes add up until they count. Each small block of the picture counts for itself: where something
moves, however little of the picture it is, the sample is looked at.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from apps.common.config import StillConfig
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.decode.decoder import Decoded
from apps.pipeline.yuv_crop import FacePatch


@dataclass
class StillFrames:
    """Marks the samples that show what the last unmarked one showed.

    Args:
        config: see `config/pipeline.toml`.
    """

    config: StillConfig
    _seen: FacePatch | None = field(init=False, default=None)

    def marked(self, samples: Iterator[Decoded]) -> Generator[Decoded]:
        """All samples, in their order; what is stored in no planes that can be compared is new."""
        for sample in samples:
            now = sample.picture.glimpse()
            before = self._seen
            repeats = now is not None and before is not None and self._is_same(before, now)
            if not repeats:
                self._seen = now
            yield replace(sample, repeats=repeats, seen=now)

    def _is_same(self, before: FacePatch, now: FacePatch) -> bool:
        shapes = [[plane.shape for plane in patch.planes] for patch in (before, now)]
        return (
            shapes[0] == shapes[1]
            and (before.orientation, before.shape) == (now.orientation, now.shape)
            and all(map(self._is_same_plane, before.planes, now.planes))
        )

    def _is_same_plane(self, before: ByteArray, now: ByteArray) -> bool:
        """No block of it differs by more than an encoder's noise, which grows with its contrast."""
        height, width = before.shape[:2]
        side = self.config.block
        blocks = (max(1, width // side), max(1, height // side))

        def mean(values: FloatArray) -> FloatArray:
            means: FloatArray = cv2.resize(values, blocks, interpolation=cv2.INTER_AREA)
            return means

        values = before.astype(np.float32)
        spread = np.sqrt(np.maximum(mean(values * values) - mean(values) ** 2, 0))
        noise = self.config.noise + self.config.noise_of_contrast * spread
        return bool((mean(np.abs(values - now)) <= noise).all())
