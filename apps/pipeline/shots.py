"""Shots: cuts between sampled frames, on the frames that are decoded anyway.

PySceneDetect's content score compares neighbouring frames pixel by pixel. Between samples that
lie 0.2 to 0.5 s apart, a face that moves scores as high as a cut, so a second, position-free
measure must agree: the distance of the colour histograms.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from apps.common.config import ShotsConfig
from apps.pipeline.types import ByteArray, Frame

_BINS = (32, 32)  # hue, saturation


class SampledCutDetector(ContentDetector):  # type: ignore[misc]
    """A PySceneDetect detector whose cuts need a change of colours as well as of content.

    Args:
        config: thresholds; see `config/pipeline.toml`.
    """

    def __init__(self, config: ShotsConfig) -> None:
        super().__init__(threshold=config.content_threshold, min_scene_len=0)
        self._config = config
        self._histogram: NDArray[np.float32] | None = None

    def process_frame(self, timecode: FrameTimecode, frame_img: ByteArray) -> list[FrameTimecode]:
        """The timecode itself where a cut lies between the last frame and this one, else []."""
        above_content = bool(super().process_frame(timecode, frame_img))
        before, self._histogram = self._histogram, _histogram(frame_img)
        if before is None or not above_content:
            return []
        distance = cv2.compareHist(before, self._histogram, cv2.HISTCMP_BHATTACHARYYA)
        score = self._frame_score or 0.0
        is_cut = (
            distance >= self._config.colour_threshold or score >= self._config.certain_threshold
        )
        return [timecode] if is_cut else []


class ShotSplitter:
    """Numbers the shots of a sampled video from 0.

    Attributes:
        cuts: index of the first sampled frame of every shot but the first.
    """

    def __init__(self, config: ShotsConfig, fps: float) -> None:
        """Args:
        config: thresholds.
        fps: frame rate of the video; PySceneDetect's timecodes want one.
        """
        self._detector = SampledCutDetector(config)
        self._width = config.frame_width
        self._fps = fps
        self.cuts: list[int] = []

    def shot_of(self, frame: Frame) -> int:
        """Number of the shot that the next frame in order belongs to."""
        if self._detector.process_frame(FrameTimecode(frame.index, self._fps), self._small(frame)):
            self.cuts.append(frame.index)
        return len(self.cuts)

    def _small(self, frame: Frame) -> ByteArray:
        box = frame.letterbox
        image = frame.image[: box.inner_height, : box.inner_width]
        scale = self._width / image.shape[1]
        if scale >= 1:
            return image
        size = (self._width, max(1, round(image.shape[0] * scale)))
        small: ByteArray = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return small


def _histogram(image: ByteArray) -> NDArray[np.float32]:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1], None, list(_BINS), [0, 180, 0, 256])
    normalised: NDArray[np.float32] = (counts / max(1.0, float(counts.sum()))).astype(np.float32)
    return normalised
