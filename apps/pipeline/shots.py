"""Shots: cuts between sampled frames, on the frames that are decoded anyway.

Detectors that compare neighbouring frames pixel by pixel need all of them: between samples that lie
a quarter or half a second apart, a pan or a face that moves differs as much as a cut does, and a
flash always does. So the first question is whether the picture is the same one, moved: hardly any
point of it is found again across a cut, most are under another light. Where the place is not found
again, its colours decide, or, since two walls of a room have the same ones, its faces.
"""

from __future__ import annotations

import cv2
import numpy as np

from apps.common.config import ShotsConfig
from apps.pipeline.motion import motion_between
from apps.pipeline.overview import Overview
from apps.pipeline.types import FloatArray, Scene


class ShotSplitter:
    """Numbers the shots of a sampled video from 0.

    Args:
        config: thresholds; see `config/pipeline.toml`.

    Attributes:
        cuts: index of the first sampled frame of every shot but the first.
    """

    def __init__(self, config: ShotsConfig) -> None:
        self._config = config
        self._before: tuple[Overview, FloatArray] | None = None
        self.cuts: list[int] = []

    def scene_of(self, index: int, view: Overview, looks: FloatArray) -> Scene:
        """Where the next frame in order belongs.

        Args:
            index: of the frame.
            view: of the frame.
            looks: of its faces, as `view` tells them; shape (n, 60).
        """
        before, self._before = self._before, (view, looks)
        if before is None:
            return Scene(0)
        config = self._config
        seen, looks_before = before
        motion = motion_between(seen, view, config.same_agreement)
        colours = cv2.compareHist(seen.colours, view.colours, cv2.HISTCMP_BHATTACHARYYA)
        is_correlated = motion.response >= config.same_response
        is_same = motion.agreement >= config.same_agreement or is_correlated
        if not is_same and (
            colours >= config.other_colours
            or (colours >= config.other_shades and self._are_others(looks_before, looks))
        ):
            self.cuts.append(index)
            return Scene(len(self.cuts))
        return Scene(
            len(self.cuts),
            motion.matrix,
            is_calm=motion.agreement >= config.calm_agreement or is_correlated,
            is_lit_otherwise=is_correlated and colours >= config.other_light,
        )

    def _are_others(self, before: FloatArray, now: FloatArray) -> bool:
        """Whether there were faces and there are, and no two of them look alike."""
        if len(before) == 0 or len(now) == 0:
            return False
        unlike = np.abs(before[:, None] - now[None]).mean(axis=2)
        return float(unlike.min()) >= self._config.other_faces
