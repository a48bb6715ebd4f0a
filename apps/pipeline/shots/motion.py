"""How the camera moved between two processed frames, and how much of the picture agrees with it.

Points of a grid are followed forth and back (Lucas and Kanade, 1981; pyramids after Bouguet, 2001)
from where phase correlation (Kuglin and Hines, 1975) puts them, and one zoom, turn and shift is
fitted to those that came back (RANSAC), as the camera compensation of BoT-SORT does (Aharon et al.,
2022). Between two pictures of the same place, however the light changed, most points agree; across
a cut hardly any does.

Points cannot be followed through a fast pan or zoom between samples half a second apart. Where few
agree, features that know their own size and turn (ORB; Rublee et al., 2011) are looked for all over
the picture. That takes ten times as long and is rarely needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np

from apps.pipeline.arrays import BoolArray, ByteArray, FloatArray
from apps.pipeline.frame_features import COARSE, FrameFeatures

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
_FEATURES_FIT_WITHIN = 3.0  # pixels
_MOST_POINTS = (5, 95)  # percentiles
_STAYED = 0.5  # of the points that agree on a motion, as many that stayed
_NO_WORSE = 1.0  # difference that a motion leaves, over that of the pictures as they are
_MUCH_BETTER = 0.6  # true ones leave 0.4 at most, coincidences 0.85 at least
_MIN_OVERLAP = 0.1  # share of the picture
_MAX_ZOOM = 4.0  # and one over it: what is beyond fits by chance
_MAX_TURN = 0.35  # radians
_CELL = 8  # pixels of COARSE: the side of a part of the picture that stays or changes
_TEXTURE = 6.0  # mean difference of a cell's pixels from their mean, 0..255; plain ones say nothing
_UNCHANGED = 2.0  # mean difference of a cell; what is encoded again differs by less than this
_OVERLAY = 0.4  # of the picture, and of what shows in it: where more stays it is the place itself


def _still() -> FloatArray:
    return np.eye(2, 3, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Motion:
    """From one processed frame to the next.

    Args:
        matrix: shape (2, 3), takes points (x, y, 1), 0..1 of the frame before, to this frame.
        agreement: 0..1, the share of followed points that moved as `matrix` says.
        response: peak of the phase correlation, about 0..1; near 1 for a shifted picture in any
            light.
        features: number of features found again; 0 where they were not needed.
        is_one_thing: whether these are all of a small thing that has another size now, so that they
            say nothing of the place.
        stays: whether what was found again has not moved at all.
    """

    matrix: FloatArray = field(default_factory=_still)
    agreement: float = 1.0
    response: float = 1.0
    features: int = 0
    is_one_thing: bool = False
    stays: bool = True


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """When a measurement is believed.

    Args:
        agreement: least share of points.
        response: least response of the phase correlation.
        features: least number of features.
        spread: the part of the picture, 0..1, that features of a place span.
        scale_change: times; features that span less are of the place as long as they do not grow or
            shrink by more.
    """

    agreement: float
    response: float
    features: int
    spread: float
    scale_change: float


class MotionBetween(Protocol):
    """Measures as `motion_between`, or knows what that would find."""

    def __call__(
        self,
        before: FrameFeatures,
        now: FrameFeatures,
        limits: MotionLimits,
        overlay: BoolArray | None = None,
    ) -> Motion: ...


def motion_between(
    before: FrameFeatures,
    now: FrameFeatures,
    limits: MotionLimits,
    overlay: BoolArray | None = None,
) -> Motion:
    """Measures the motion. What is not believed leaves the shift alone, or no motion at all.

    Args:
        overlay: what is not looked at, as `overlay_of` tells.
    """
    height, width = now.grey.shape
    shift, response = _shift(before, now, overlay)
    fits = []
    for guess in (shift if response > _WORTH_A_GUESS else np.zeros(2), np.zeros(2)):
        fits.append(_fit(before, now, overlay, (guess * (width, height)).astype(np.float32)))
        if fits[-1][0] >= _CLEAR or not guess.any():
            break
    agreement, fitted, stays = max(fits, key=lambda fit: fit[0])
    if fitted is not None and agreement >= limits.agreement:
        matrix = _of_unit_square(fitted, now)
        explains = _explains(matrix, before, now, _NO_WORSE)
        return Motion(matrix if explains else _still(), agreement, response, stays=stays)
    found = _Found(stays=not shift.any())
    if response < limits.response:
        found = _find(before, now, limits, overlay)
        if found.matrix is not None and found.features >= limits.features:
            matrix = _of_unit_square(found.matrix, now)
            if _explains(matrix, before, now, _MUCH_BETTER):
                return found.as_motion(matrix, agreement, response)
    shifted = _still()
    shifted[:, 2] = shift
    is_trusted = response > _TRUSTED_SHIFT and _explains(shifted, before, now, _NO_WORSE)
    return found.as_motion(shifted if is_trusted else _still(), agreement, response)


def overlay_of(before: FrameFeatures, now: FrameFeatures) -> BoolArray | None:
    """What lies over two pictures of which the rest has changed: a logo, subtitles, a ticker.

    It stays across a cut, and says nothing of the place.

    Returns:
        Shape of COARSE; with a margin. None where nothing has stayed, or so much of the picture, or
        of what there is to see, that it is the place itself.
    """
    one, other = _cells(before.plain), _cells(now.plain)
    shows = np.minimum(_texture(one), _texture(other)) >= _TEXTURE
    stays = shows & (np.abs(one - other).mean(axis=(1, 3)) < _UNCHANGED)
    margin = cv2.dilate(stays.astype(np.uint8), np.ones((3, 3), np.uint8))
    if not 0 < stays.sum() <= _OVERLAY * shows.sum() or margin.mean() > _OVERLAY:
        return None
    cell = np.ones((_CELL, _CELL), np.uint8)
    overlay: BoolArray = np.kron(margin, cell) == 1
    return overlay


def _of_unit_square(matrix: FloatArray, view: FrameFeatures) -> FloatArray:
    """The same motion for points in 0..1 instead of pixels."""
    height, width = view.grey.shape
    scale = np.array([width, height], np.float32)
    of_unit = matrix / scale[:, None]
    of_unit[:, :2] *= scale
    return of_unit.astype(np.float32)


def _explains(matrix: FloatArray, before: FrameFeatures, now: FrameFeatures, share: float) -> bool:
    """Whether the moved picture differs from the new one by a share of what it does unmoved.

    Points of people who walk past a plain wall agree with each other, the wall has none.
    """
    size = np.array(COARSE, np.float32)
    pixels = matrix * size[:, None]
    pixels[:, :2] /= size
    moved = cv2.warpAffine(before.small, pixels, COARSE)
    covered = cv2.warpAffine(np.full_like(before.small, 255), pixels, COARSE) == 255
    if covered.mean() < _MIN_OVERLAP:
        return False
    still = cv2.absdiff(before.small, now.small).mean()
    return bool(cv2.absdiff(moved, now.small)[covered].mean() <= share * still)


def _cells(plain: ByteArray) -> FloatArray:
    """Shape (9, 8, 16, 8): rows and columns of cells, each with its pixels."""
    width, height = COARSE
    return plain.reshape(height // _CELL, _CELL, width // _CELL, _CELL).astype(np.float32)


def _texture(cells: FloatArray) -> FloatArray:
    middle = cells.mean(axis=(1, 3), keepdims=True)
    texture: FloatArray = np.abs(cells - middle).mean(axis=(1, 3))
    return texture


def _is_clear(points: FloatArray, view: FrameFeatures, overlay: BoolArray | None) -> BoolArray:
    """Which points, in pixels of the view, lie in no overlay."""
    if overlay is None:
        return np.ones(len(points), bool)
    scale = np.array(COARSE, np.float32) / view.grey.shape[::-1]
    column, row = np.clip((points * scale).astype(np.int64), 0, np.array(COARSE) - 1).T
    clear: BoolArray = ~overlay[row, column]
    return clear


def _shift(
    before: FrameFeatures, now: FrameFeatures, overlay: BoolArray | None
) -> tuple[FloatArray, float]:
    """By phase correlation, in parts of the picture's sides; and its response."""
    width, height = COARSE
    # Copies: OpenCV multiplies what it is given by the window, in place.
    pictures = before.small.astype(np.float32), now.small.astype(np.float32)
    if overlay is not None:
        for picture in pictures:
            picture[overlay] = picture[~overlay].mean()
    (dx, dy), response = cv2.phaseCorrelate(*pictures, _WINDOW)
    return np.array([dx / width, dy / height], np.float32), float(response)


def _fit(
    before: FrameFeatures, now: FrameFeatures, overlay: BoolArray | None, guess: FloatArray
) -> tuple[float, FloatArray | None, bool]:
    """Share of the points that agree, what they agree on, and whether it is that they stay.

    Shape (2, 3), in pixels.
    """
    height, width = now.grey.shape
    expected = before.points + guess
    inside = ((expected >= 0) & (expected < (width, height))).all(axis=1)
    inside &= _is_clear(before.points, before, overlay)
    points = before.points[inside]
    if len(points) < _FEWEST_POINTS:
        return 0.0, None, False
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before.grey, now.grey, points, expected[inside].copy(), **_FOLLOW
    )
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        now.grey, before.grey, there, there - guess, **_FOLLOW
    )
    missed = np.linalg.norm(back - points, axis=1)
    good = (found.ravel() == 1) & (found_back.ravel() == 1) & (missed < _BACK_WITHIN)
    if good.sum() < _FEWEST_POINTS // 2:
        return 0.0, None, False
    matrix, fits = cv2.estimateAffinePartial2D(
        points[good], there[good], method=cv2.RANSAC, ransacReprojThreshold=_FITS_WITHIN
    )
    if matrix is None:
        return 0.0, None, False
    stayed = np.linalg.norm(there[good] - points[good], axis=1) < _FITS_WITHIN
    agree = fits.ravel() == 1
    is_passer = (stayed & ~agree).sum() >= _STAYED * agree.sum()  # what stayed is the background
    return (
        float(agree.sum()) / len(points),
        _still() if is_passer else matrix,
        _stay(points[good][agree], there[good][agree]),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """Features that were found again.

    Args:
        matrix: how they moved, shape (2, 3), in pixels; None where they do not agree.
        features, is_one_thing, stays: as in `Motion`.
    """

    matrix: FloatArray | None = None
    features: int = 0
    is_one_thing: bool = False
    stays: bool = False

    def as_motion(self, matrix: FloatArray, agreement: float, response: float) -> Motion:
        return Motion(matrix, agreement, response, self.features, self.is_one_thing, self.stays)


def _find(
    before: FrameFeatures, now: FrameFeatures, limits: MotionLimits, overlay: BoolArray | None
) -> _Found:
    (points, known), (others, seen) = before.features, now.features
    clear, clear_now = _is_clear(points, before, overlay), _is_clear(others, now, overlay)
    points, known, others, seen = points[clear], known[clear], others[clear_now], seen[clear_now]
    if min(len(points), len(others)) < _FEWEST_POINTS:
        return _Found()
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(known, seen)
    if len(pairs) < _FEWEST_POINTS:
        return _Found()
    here, there = points[[p.queryIdx for p in pairs]], others[[p.trainIdx for p in pairs]]
    matrix, fits = cv2.estimateAffinePartial2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=_FEATURES_FIT_WITHIN
    )
    if matrix is None:
        return _Found()
    zoom, turn = np.hypot(matrix[0, 0], matrix[1, 0]), np.arctan2(matrix[1, 0], matrix[0, 0])
    if abs(turn) > _MAX_TURN or not 1 / _MAX_ZOOM <= zoom <= _MAX_ZOOM:
        return _Found()
    found = fits.ravel() == 1
    here, there = here[found], there[found]
    is_small = max(_spread(here, before), _spread(there, now)) < limits.spread
    is_one_thing = is_small and max(zoom, 1 / zoom) > limits.scale_change
    return _Found(matrix, len(here), is_one_thing, _stay(here, there))


def _spread(points: FloatArray, view: FrameFeatures) -> float:
    """The part of the picture, 0..1, that nine tenths of the points span each way."""
    low, high = np.percentile(points / view.grey.shape[::-1], _MOST_POINTS, axis=0)
    return float(np.prod(high - low))


def _stay(points: FloatArray, there: FloatArray) -> bool:
    """Whether half of the points, in pixels, are where they were; shape (n, 2) each."""
    return bool(np.median(np.linalg.norm(there - points, axis=1)) < _FITS_WITHIN)
