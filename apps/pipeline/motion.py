"""How the camera moved between two processed frames, and how much of the picture agrees with it.

Points of a grid are followed forth and back (Lucas and Kanade, 1981; pyramids after Bouguet, 2001)
from where phase correlation (Kuglin and Hines, 1975) puts them, and one zoom, turn and shift is
fitted to those that came back (RANSAC), as the camera compensation of BoT-SORT does (Aharon et al.,
2022). Between two pictures of the same place, however the light changed, most points agree; across
a cut hardly any does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from apps.pipeline.overview import COARSE, Overview
from apps.pipeline.types import FloatArray

_FOLLOW: dict[str, Any] = {
    "winSize": (11, 11),
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.03),
    "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
}
_WINDOW = cv2.createHanningWindow(COARSE, cv2.CV_32F)
_FEWEST_POINTS = 8
_WORTH_A_GUESS = 0.1  # response of the phase correlation, below it the shift is noise
_TRUSTED_SHIFT = 0.3  # response from which the shift is better than none
_CLEAR = 0.5  # agreement that makes a second try needless
_BACK_WITHIN = 1.0  # pixels
_FITS_WITHIN = 2.0  # pixels


def _still() -> FloatArray:
    return np.eye(2, 3, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Motion:
    """From one processed frame to the next.

    Args:
        matrix: shape (2, 3), takes points (x, y, 1), 0..1 of the frame before, to this frame.
        agreement: 0..1, the share of followed points that moved as `matrix` says.
        response: of the phase correlation, about 0..1; near 1 for a shifted picture in any light.
    """

    matrix: FloatArray = field(default_factory=_still)
    agreement: float = 1.0
    response: float = 1.0


def motion_between(before: Overview, now: Overview, least_agreement: float) -> Motion:
    """Measures the motion. Where few points agree, the matrix is the shift alone, or none.

    Args:
        least_agreement: share of points below which a fit is not believed.
    """
    height, width = now.grey.shape
    shift, response = _shift(before, now)
    fits = []
    for guess in (shift if response > _WORTH_A_GUESS else np.zeros(2), np.zeros(2)):
        fits.append(_fit(before, now, (guess * (width, height)).astype(np.float32)))
        if fits[-1][0] >= _CLEAR or not guess.any():
            break
    agreement, fitted = max(fits, key=lambda fit: fit[0])
    if fitted is not None and agreement >= least_agreement:
        scale = np.array([width, height], np.float32)
        matrix = fitted / scale[:, None]
        matrix[:, :2] *= scale
        return Motion(matrix.astype(np.float32), agreement, response)
    matrix = _still()
    if response > _TRUSTED_SHIFT:
        matrix[:, 2] = shift
    return Motion(matrix, agreement, response)


def _shift(before: Overview, now: Overview) -> tuple[FloatArray, float]:
    """By phase correlation, in parts of the picture's sides; and its response."""
    width, height = COARSE
    (dx, dy), response = cv2.phaseCorrelate(before.coarse, now.coarse, _WINDOW)
    return np.array([dx / width, dy / height], np.float32), float(response)


def _fit(before: Overview, now: Overview, guess: FloatArray) -> tuple[float, FloatArray | None]:
    """Share of the points that agree, and what they agree on: shape (2, 3), in pixels."""
    height, width = now.grey.shape
    expected = before.points + guess
    inside = ((expected >= 0) & (expected < (width, height))).all(axis=1)
    points = before.points[inside]
    if len(points) < _FEWEST_POINTS:
        return 0.0, None
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before.grey, now.grey, points, expected[inside].copy(), **_FOLLOW
    )
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        now.grey, before.grey, there, there - guess, **_FOLLOW
    )
    missed = np.linalg.norm(back - points, axis=1)
    good = (found.ravel() == 1) & (found_back.ravel() == 1) & (missed < _BACK_WITHIN)
    if good.sum() < _FEWEST_POINTS // 2:
        return 0.0, None
    matrix, fits = cv2.estimateAffinePartial2D(
        points[good], there[good], method=cv2.RANSAC, ransacReprojThreshold=_FITS_WITHIN
    )
    if matrix is None:
        return 0.0, None
    return float(fits.sum()) / len(points), matrix
