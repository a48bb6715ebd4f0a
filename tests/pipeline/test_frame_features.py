"""The small view of a frame, and what it tells of faces."""

from __future__ import annotations

import numpy as np
import pytest
import skimage

from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.frame_features import WIDTH, FrameFeatures
from apps.pipeline.geometry import fit
from apps.pipeline.types import Frame

FACE = (0.33, 0.1, 0.56, 0.4)  # in the photo of the astronaut


def astronaut() -> ByteArray:
    image: ByteArray = skimage.data.astronaut()
    return np.ascontiguousarray(image[::2, ::2, ::-1])


def boxes(*rows: tuple[float, float, float, float]) -> FloatArray:
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (160, 120), (1920, 32)])
def test_the_margin_of_the_detectors_picture_is_not_in_it(width: int, height: int) -> None:
    box = fit(width, height, 640)
    image = np.zeros((box.canvas_height, box.canvas_width, 3), np.uint8)
    image[: box.inner_height, : box.inner_width] = 200
    view = FrameFeatures.of(Frame(0, 0.0, image, box))
    assert view.image.shape[1] == WIDTH
    assert (view.image == 200).all()
    assert len(view.points) == 0
    assert view.small.shape == (72, 128)
    assert view.colours.sum() == pytest.approx(1)


def test_points_lie_in_the_picture_one_in_a_cell() -> None:
    view = FrameFeatures(astronaut())
    assert 40 < len(view.points) <= 60
    assert (view.points >= 0).all()
    assert (view.points < WIDTH).all()
    cells = {(int(x / 24), int(y / (256 / 6))) for x, y in view.points}
    assert len(cells) == len(view.points)


def test_appearance_tells_faces_apart_whatever_the_light() -> None:
    view = FrameFeatures(astronaut())
    brighter = FrameFeatures(np.clip(view.image * 1.15 + 8, 0, 255).astype(np.uint8))
    [face, flag] = view.appearance(boxes(FACE, (0.05, 0.1, 0.28, 0.4)))
    [lit] = brighter.appearance(boxes(FACE))
    [moved] = view.appearance(boxes((0.34, 0.11, 0.57, 0.41)))
    assert face.shape == (60,)
    assert np.abs(face - lit).mean() < 4
    assert np.abs(face - moved).mean() < 4
    assert np.abs(face - flag).mean() > 10


def test_boxes_at_the_edge_and_beyond_have_an_appearance_too() -> None:
    view = FrameFeatures(astronaut())
    odd = boxes((-0.1, -0.2, 0.1, 0.1), (0.95, 0.9, 1.3, 1.2), (0.5, 0.5, 0.5, 0.5), (1, 1, 1, 1))
    appearance = view.appearance(odd)
    assert appearance.shape == (4, 60)
    assert np.isfinite(appearance).all()
    assert view.appearance(boxes()).shape == (0, 60)
