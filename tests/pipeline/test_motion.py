"""The camera's motion between two pictures, and how much of the picture agrees."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.config import pipeline_config
from apps.pipeline.motion import Motion, motion_between
from apps.pipeline.overview import Overview
from apps.pipeline.types import ByteArray, FloatArray

LEAST = pipeline_config().shots.same_agreement
CENTRE = np.array([128.0, 72.0])


def photo(name: str = "coffee") -> ByteArray:
    """Larger than what is cut from it, so that new parts come into the picture."""
    image: ByteArray = getattr(skimage.data, name)()
    return np.ascontiguousarray(image[..., ::-1])


def taken(
    image: ByteArray, x: float = 0, y: float = 0, zoom: float = 1, turn: float = 0
) -> Overview:
    """The picture that a camera takes of a photo's middle, moved by pixels of the picture."""
    matrix = cv2.getRotationMatrix2D((image.shape[1] / 2, image.shape[0] / 2), turn, zoom)
    matrix[:, 2] += CENTRE - (image.shape[1] / 2, image.shape[0] / 2) - (x, y)
    return Overview(cv2.warpAffine(image, matrix, (256, 144), flags=cv2.INTER_AREA))


def where(motion: Motion, point: tuple[float, float]) -> FloatArray:
    """Where a point of the frame before is, both in pixels."""
    here = np.array([point[0] / 256, point[1] / 144, 1.0])
    there: FloatArray = (motion.matrix @ here * (256, 144)).astype(np.float32)
    return there


@given(st.integers(-60, 60), st.integers(-30, 30))
@settings(max_examples=40, deadline=None)
def test_a_pan_is_found(x: int, y: int) -> None:
    motion = motion_between(taken(photo()), taken(photo(), x, y), LEAST)
    assert motion.agreement >= LEAST
    assert where(motion, (100, 70)) == pytest.approx((100 - x, 70 - y), abs=1.5)


@pytest.mark.parametrize("zoom", [0.85, 1.0, 1.2])
@pytest.mark.parametrize("turn", [-5.0, 0.0, 4.0])
def test_a_zoom_and_a_turn_are_found(zoom: float, turn: float) -> None:
    motion = motion_between(taken(photo()), taken(photo(), zoom=zoom, turn=turn), LEAST)
    assert motion.agreement >= LEAST
    assert where(motion, (128, 72)) == pytest.approx((128, 72), abs=1.5)
    across = where(motion, (178, 72)) - where(motion, (128, 72))
    assert np.hypot(*across) == pytest.approx(50 * zoom, abs=2)
    assert np.degrees(np.arctan2(-across[1], across[0])) == pytest.approx(turn, abs=1.5)


def test_another_light_is_the_same_place() -> None:
    before, image = taken(photo()), taken(photo(), 4, 2).image
    lit = Overview(np.clip(image * 1.8 + 20, 0, 255).astype(np.uint8))
    motion = motion_between(before, lit, LEAST)
    assert motion.response >= pipeline_config().shots.same_response
    assert where(motion, (100, 70)) == pytest.approx((96, 68), abs=1.5)


@pytest.mark.parametrize("other", ["astronaut", "chelsea", "rocket"])
def test_another_place_does_not_agree(other: str) -> None:
    motion = motion_between(taken(photo()), taken(photo(other)), LEAST)
    assert motion.agreement < LEAST
    assert motion.response < pipeline_config().shots.same_response


@pytest.mark.parametrize("shape", [(8, 256), (455, 256), (144, 256)])
@pytest.mark.parametrize("level", [0, 255])
def test_an_empty_picture_moves_nowhere(shape: tuple[int, int], level: int) -> None:
    plain = Overview(np.full((*shape, 3), level, np.uint8))
    motion = motion_between(plain, plain, LEAST)
    assert np.isfinite(motion.matrix).all()
    assert motion.matrix == pytest.approx(np.eye(2, 3), abs=1e-6)


def test_the_same_twice_is_the_same() -> None:
    one, two = (motion_between(taken(photo()), taken(photo(), 9, 5), LEAST) for _ in range(2))
    assert (one.matrix == two.matrix).all()
    assert (one.agreement, one.response) == (two.agreement, two.response)
