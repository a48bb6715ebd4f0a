"""The camera's motion between two pictures, and how much of the picture agrees."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.config import pipeline_config
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.frame_features import FrameFeatures
from apps.pipeline.shots.motion import Motion, MotionLimits, motion_between, overlay_of

SHOTS = pipeline_config().shots
LIMITS = MotionLimits(
    SHOTS.same_agreement,
    SHOTS.same_response,
    SHOTS.same_features,
    SHOTS.same_spread,
    SHOTS.same_scale_change,
)
CENTRE = np.array([128.0, 72.0])


def photo(name: str = "coffee") -> ByteArray:
    """Larger than what is cut from it, so that new parts come into the picture."""
    image: ByteArray = getattr(skimage.data, name)()
    return np.ascontiguousarray(image[..., ::-1])


def taken(
    image: ByteArray, x: float = 0, y: float = 0, zoom: float = 1, turn: float = 0
) -> FrameFeatures:
    """The picture that a camera takes of a photo's middle, moved by pixels of the picture."""
    matrix = cv2.getRotationMatrix2D((image.shape[1] / 2, image.shape[0] / 2), turn, zoom)
    matrix[:, 2] += CENTRE - (image.shape[1] / 2, image.shape[0] / 2) - (x, y)
    return FrameFeatures(cv2.warpAffine(image, matrix, (256, 144), flags=cv2.INTER_AREA))


def where(motion: Motion, point: tuple[float, float]) -> FloatArray:
    """Where a point of the frame before is, both in pixels."""
    here = np.array([point[0] / 256, point[1] / 144, 1.0])
    there: FloatArray = (motion.matrix @ here * (256, 144)).astype(np.float32)
    return there


@given(st.integers(-60, 60), st.integers(-30, 30))
@settings(max_examples=40, deadline=None)
def test_a_pan_is_found(x: int, y: int) -> None:
    motion = motion_between(taken(photo()), taken(photo(), x, y), LIMITS)
    assert motion.agreement >= LIMITS.agreement
    assert where(motion, (100, 70)) == pytest.approx((100 - x, 70 - y), abs=1.5)


@pytest.mark.parametrize("zoom", [0.85, 1.0, 1.2])
@pytest.mark.parametrize("turn", [-5.0, 0.0, 4.0])
def test_a_zoom_and_a_turn_are_found(zoom: float, turn: float) -> None:
    motion = motion_between(taken(photo()), taken(photo(), zoom=zoom, turn=turn), LIMITS)
    assert motion.agreement >= LIMITS.agreement
    assert where(motion, (128, 72)) == pytest.approx((128, 72), abs=1.5)
    across = where(motion, (178, 72)) - where(motion, (128, 72))
    assert np.hypot(*across) == pytest.approx(50 * zoom, abs=2)
    assert np.degrees(np.arctan2(-across[1], across[0])) == pytest.approx(turn, abs=1.5)


@pytest.mark.parametrize(
    ("x", "zoom"), [(0, 2.0), (0, 0.6), (-130, 1.0), (130, 1.0), (60, 1.7)], ids=str
)
def test_fast_pans_and_zooms_are_found(x: int, zoom: float) -> None:
    image = photo("astronaut")
    before, after = taken(image, zoom=0.8), taken(image, x, zoom=0.8 * zoom)
    motion = motion_between(before, after, LIMITS)
    if zoom != 1:  # too much to be followed
        assert motion.agreement < LIMITS.agreement
        assert motion.features >= LIMITS.features
    assert where(motion, (128, 72)) == pytest.approx((128 - x, 72), abs=4)
    across = where(motion, (178, 72)) - where(motion, (128, 72))
    assert np.hypot(*across) == pytest.approx(50 * zoom, rel=0.05)


@pytest.mark.parametrize("step", [-11, -6, 6, 11])
def test_who_walks_past_a_plain_wall_is_not_the_camera(step: int) -> None:
    """A person with many corners before a wall with few, which stays."""
    wall = np.full((144, 256, 3), 120, np.uint8)
    for x in range(8, 256, 40):
        cv2.circle(wall, (x, 10), 4, (90, 90, 90), -1)
        cv2.circle(wall, (x, 134), 4, (90, 90, 90), -1)
    person = taken(photo()).image[30:120, :50]
    before, after = wall.copy(), wall.copy()
    before[30:120, 100:150] = person
    after[30:120, 100 + step : 150 + step] = person
    motion = motion_between(FrameFeatures(before), FrameFeatures(after), LIMITS)
    assert where(motion, (128, 72)) == pytest.approx((128, 72), abs=1)


def test_measuring_leaves_the_pictures_as_they_are() -> None:
    """OpenCV's phase correlation multiplies its input by the window, in place."""
    before, after = taken(photo()), taken(photo(), 9, 5)
    first = motion_between(before, after, LIMITS)
    small = before.small.copy(), after.small.copy()
    again = motion_between(before, after, LIMITS)
    assert again.response == first.response
    np.testing.assert_array_equal(again.matrix, first.matrix)
    for view, kept in zip((before, after), small, strict=True):
        np.testing.assert_array_equal(view.small, kept)


def test_what_can_be_followed_is_not_looked_for() -> None:
    before, after = taken(photo()), taken(photo(), 20, 5)
    motion = motion_between(before, after, LIMITS)
    assert motion.features == 0
    assert "features" not in vars(before)
    assert "features" not in vars(after)


def test_another_light_is_the_same_place() -> None:
    before, image = taken(photo()), taken(photo(), 4, 2).image
    lit = FrameFeatures(np.clip(image * 1.8 + 20, 0, 255).astype(np.uint8))
    motion = motion_between(before, lit, LIMITS)
    assert motion.response >= LIMITS.response
    assert where(motion, (100, 70)) == pytest.approx((96, 68), abs=1.5)


@pytest.mark.parametrize("other", ["astronaut", "chelsea", "rocket"])
def test_another_place_does_not_agree(other: str) -> None:
    motion = motion_between(taken(photo()), taken(photo(other)), LIMITS)
    assert motion.agreement < LIMITS.agreement
    assert motion.features < LIMITS.features
    assert motion.response < LIMITS.response


@pytest.mark.parametrize("shape", [(8, 256), (455, 256), (144, 256)])
@pytest.mark.parametrize("level", [0, 255])
def test_an_empty_picture_moves_nowhere(shape: tuple[int, int], level: int) -> None:
    plain = FrameFeatures(np.full((*shape, 3), level, np.uint8))
    motion = motion_between(plain, plain, LIMITS)
    assert np.isfinite(motion.matrix).all()
    assert motion.matrix == pytest.approx(np.eye(2, 3), abs=1e-6)


def test_the_same_twice_is_the_same() -> None:
    one, two = (motion_between(taken(photo()), taken(photo(), 9, 5), LIMITS) for _ in range(2))
    assert (one.matrix == two.matrix).all()
    assert (one.agreement, one.response) == (two.agreement, two.response)


def test_what_stays_in_one_place_lies_over_the_picture_and_what_stays_everywhere_does_not() -> None:
    """Behind a dancer who fills the picture the room shows here and there."""
    random = np.random.default_rng(5)
    before, after = (random.integers(0, 255, (144, 256, 3), dtype=np.uint8) for _ in range(2))
    cells = [cv2.resize(picture[::4, ::4], (256, 144)) for picture in (before, after)]  # coarse
    strip, scattered = cells[1].copy(), cells[1].copy()
    strip[112:] = cells[0][112:]
    for row in range(0, 144, 48):
        for column in range(0, 256, 48):
            scattered[row : row + 16, column : column + 16] = cells[0][row : row + 16, column:][
                :, :16
            ]
    found = overlay_of(FrameFeatures(cells[0]), FrameFeatures(strip))
    assert found is not None
    assert found[60:].all()
    assert not found[:40].any()
    assert overlay_of(FrameFeatures(cells[0]), FrameFeatures(scattered)) is None
    assert overlay_of(FrameFeatures(cells[0]), FrameFeatures(cells[0])) is None
    assert overlay_of(FrameFeatures(cells[0]), FrameFeatures(cells[1])) is None
