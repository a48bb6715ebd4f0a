"""Shots: cuts between sampled frames, on the frames that are decoded anyway.

Detectors that compare neighbouring frames pixel by pixel need all of them: between samples that lie
a quarter or half a second apart, a pan or a face that moves differs as much as a cut does, and a
flash always does. So the first question is whether the picture is the same one, moved: hardly any
point of it is found again across a cut, most are under another light. Where the place is not found
again, its colours decide, or, since two walls of a room have the same ones, its faces, or that a
moment ago everything was still there.

Where the picture gets another shape, the shot ends in any case.

A transition has no such moment: each of its mixtures is like the next one. There, the picture of
half a second ago is asked as well, or the last one before the mixtures, and features tell it from
flashes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np

from apps.common.config import ShotsConfig
from apps.pipeline.associate import assignment, unlikeness
from apps.pipeline.motion import Motion, MotionLimits, motion_between
from apps.pipeline.overview import Overview
from apps.pipeline.types import FloatArray, Scene

_MUCH_ZOOM = 1.5  # and one over it
_MUCH_SHIFT = 0.35  # of a side of the picture
_SAME_SHAPE = 1.03  # one height over the other, at the same width
_CROWD = 3  # pairs of faces


def _unmoved() -> FloatArray:
    return np.eye(3, dtype=np.float32)


@dataclass(eq=False)
class _Seen:
    """A frame of the shot.

    Args:
        looks: of its faces, shape (n, 60).
        moved: shape (3, 3), how the camera moved since then.
    """

    ts_s: float
    view: Overview
    looks: FloatArray
    moved: FloatArray = field(default_factory=_unmoved)


class ShotSplitter:
    """Numbers the shots of a sampled video from 0.

    Args:
        config: thresholds; see `config/pipeline.toml`.

    Attributes:
        cuts: index of the first sampled frame of every shot but the first.
    """

    def __init__(self, config: ShotsConfig) -> None:
        self._config = config
        self._limits = MotionLimits(
            config.same_agreement, config.same_response, config.same_features
        )
        self._before: _Seen | None = None
        self._shot: deque[_Seen] = deque()  # its last half second, without flashes and mixtures
        self.cuts: list[int] = []

    def scene_of(self, index: int, ts_s: float, view: Overview, looks: FloatArray) -> Scene:
        """Where the next frame in order belongs.

        Args:
            index: of the frame.
            ts_s: its presentation time.
            view: of the frame.
            looks: of its faces, as `view` tells them; shape (n, 60).
        """
        now = _Seen(ts_s, view, looks)
        before, self._before = self._before, now
        if before is None:
            return Scene(0)
        if before.view.shape != view.shape:
            if _is_shaped_otherwise(before.view, view):
                return self._cut(index)
            for seen in (before, *self._shot):
                seen.view = seen.view.like(view)
        motion = motion_between(before.view, view, self._limits)
        step = _square(motion)
        for seen in self._shot:
            seen.moved = step @ seen.moved
        colours = _distance(before.view, view)
        is_correlated = motion.response >= self._config.same_response
        is_lit_otherwise = is_correlated and colours >= self._config.other_light
        is_cut = self._is_cut(before, now, motion, colours)
        if is_cut or self._has_dissolved(now):
            return self._cut(index)
        if colours < self._config.disturbed_shades:
            self._shot.append(now)
        is_calm = motion.agreement >= self._config.calm_agreement or is_correlated
        return Scene(len(self.cuts), motion.matrix, is_calm, is_lit_otherwise)

    def _cut(self, index: int) -> Scene:
        self.cuts.append(index)
        self._shot.clear()
        return Scene(len(self.cuts))

    def _is_cut(self, before: _Seen, now: _Seen, motion: Motion, colours: float) -> bool:
        config = self._config
        if self._is_same_place(motion):
            return False
        if colours >= config.other_colours:
            return True
        # In like colours everything must be gone; in others, a person in both has features too.
        is_gone = motion.agreement <= config.gone_agreement
        if not is_gone or motion.features >= config.same_features or colours < config.other_shades:
            return False
        is_sudden = now.ts_s - before.ts_s <= config.sudden_seconds
        return is_sudden or self._are_others(before.looks, now.looks)

    def _has_dissolved(self, now: _Seen) -> bool:
        """Whether the picture of a while ago is another one, of other colours."""
        then = self._a_while_before(now)
        if then is None or _distance(then.view, now.view) < self._config.other_colours:
            return False
        if not _shares_much(then.moved):
            return False
        motion = motion_between(then.view, now.view, self._limits)
        is_flash = motion.features >= self._config.flash_features
        return not is_flash and not self._is_same_place(motion)

    def _is_same_place(self, motion: Motion) -> bool:
        config = self._config
        return motion.agreement >= config.same_agreement or motion.response >= config.same_response

    def _a_while_before(self, now: _Seen) -> _Seen | None:
        """The last frame that is at least `gradual_seconds` older.

        It is hardly older, unless the frames since then were disturbed; and then not older than a
        transition may last.
        """
        config = self._config
        while len(self._shot) > 1 and now.ts_s - self._shot[1].ts_s >= config.gradual_seconds:
            self._shot.popleft()
        while self._shot and now.ts_s - self._shot[0].ts_s > config.transition_seconds:
            self._shot.popleft()
        is_old = bool(self._shot) and now.ts_s - self._shot[0].ts_s >= config.gradual_seconds
        return self._shot[0] if is_old else None

    def _are_others(self, before: FloatArray, now: FloatArray) -> bool:
        """Whether there were faces and there are, and they do not look alike.

        Of one or two pairs the best one decides: somebody may have stayed. Of many faces some pair
        is always alike, so there it is the mean.
        """
        if len(before) == 0 or len(now) == 0:
            return False
        unlike = unlikeness(before, now)
        if min(unlike.shape) < _CROWD:
            return float(unlike.min()) >= self._config.other_faces
        paired = [unlike[pair] for pair in assignment(unlike)]
        return float(np.mean(paired)) >= self._config.other_faces


def _is_shaped_otherwise(one: Overview, other: Overview) -> bool:
    """Whether the picture's sides have another ratio: another programme, or a phone was turned.

    Recordings change the number of their pixels as well, and show the same shape.
    """
    low, high = sorted((one.shape[0], other.shape[0]))
    return high > _SAME_SHAPE * low


def _square(motion: Motion) -> FloatArray:
    return np.vstack([motion.matrix, np.array([0, 0, 1], np.float32)])


def _shares_much(moved: FloatArray) -> bool:
    """Whether pictures can be alike that lie such a motion of the camera apart.

    Args:
        moved: shape (3, 3).
    """
    zoom = np.sqrt(abs(np.linalg.det(moved[:2, :2])))
    shift = moved @ np.array([0.5, 0.5, 1], np.float32) - 0.5
    return bool(1 / _MUCH_ZOOM <= zoom <= _MUCH_ZOOM and np.abs(shift[:2]).max() <= _MUCH_SHIFT)


def _distance(one: Overview, other: Overview) -> float:
    """Bhattacharyya distance of their colours, 0..1."""
    return float(cv2.compareHist(one.colours, other.colours, cv2.HISTCMP_BHATTACHARYYA))
