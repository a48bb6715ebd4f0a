"""Where frames lie in the detector's picture, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.pipeline.geometry import (
    Letterbox,
    Orientation,
    displayed_size,
    fit,
    fit_into,
    grow,
    quarter_turns,
)

sides = st.integers(1, 8192)
fractions = st.floats(0, 1, width=32)


@pytest.mark.parametrize(
    ("frame", "long_side", "inner", "canvas"),
    [
        ((1920, 1080), 640, (640, 360), (640, 384)),
        ((1080, 1920), 640, (360, 640), (384, 640)),
        ((1920, 1080), 480, (480, 270), (480, 288)),
        ((640, 360), 640, (640, 360), (640, 384)),
        ((176, 144), 640, (176, 144), (192, 160)),  # never enlarged
        ((1024, 1024), 640, (640, 640), (640, 640)),
        ((853, 481), 640, (640, 361), (640, 384)),  # odd sizes
        ((641, 359), 640, (640, 358), (640, 384)),
        ((1, 1), 640, (1, 1), (32, 32)),
        ((4000, 1), 640, (640, 1), (640, 32)),  # never less than a pixel
        ((1920, 1080), 500, (500, 281), (512, 288)),  # a bound off the grid
    ],
)
def test_fit(
    frame: tuple[int, int], long_side: int, inner: tuple[int, int], canvas: tuple[int, int]
) -> None:
    assert fit(*frame, long_side) == Letterbox(*canvas, *inner)


@given(sides, sides, st.integers(32, 2048))
@settings(max_examples=200)
def test_fit_keeps_its_promises(width: int, height: int, long_side: int) -> None:
    box = fit(width, height, long_side)
    assert box.canvas_width % 32 == box.canvas_height % 32 == 0
    assert 1 <= box.inner_width <= min(width, long_side)
    assert 1 <= box.inner_height <= min(height, long_side)
    # The frame fills the canvas up to the rounding, so no pixel is computed for nothing.
    assert 0 <= box.canvas_width - box.inner_width < 32
    assert 0 <= box.canvas_height - box.inner_height < 32
    # Its shape is kept to half a pixel.
    scale = min(1.0, long_side / max(width, height))
    assert abs(box.inner_width - max(1, width * scale)) <= 0.5
    assert abs(box.inner_height - max(1, height * scale)) <= 0.5


@pytest.mark.parametrize(
    ("frame", "inner"),
    [
        ((1920, 1080), (640, 360)),
        ((1080, 1920), (360, 640)),
        ((320, 200), (320, 200)),
        ((5000, 640), (640, 82)),
    ],
)
def test_fit_into_a_fixed_canvas(frame: tuple[int, int], inner: tuple[int, int]) -> None:
    assert fit_into(*frame, 640, 640) == Letterbox(640, 640, *inner)


@given(sides, sides, st.integers(1, 1024), st.integers(1, 1024))
def test_fit_into_stays_inside(width: int, height: int, across: int, down: int) -> None:
    box = fit_into(width, height, across, down)
    assert (box.canvas_width, box.canvas_height) == (across, down)
    assert 1 <= box.inner_width <= min(width, across)
    assert 1 <= box.inner_height <= min(height, down)


@pytest.mark.parametrize(
    ("coded", "ratio", "rotation", "shown"),
    [
        ((1920, 1080), 1.0, 0, (1920, 1080)),
        ((1920, 1080), 1.0, 90, (1080, 1920)),
        ((1920, 1080), 1.0, 180, (1920, 1080)),
        ((1920, 1080), 1.0, 270, (1080, 1920)),
        ((720, 576), 64 / 45, 0, (1024, 576)),  # PAL, wide
        ((720, 480), 8 / 9, 0, (640, 480)),  # NTSC
        ((1440, 1080), 4 / 3, 90, (1080, 1920)),  # stretched first, turned then
        ((1, 9), 0.1, 0, (1, 9)),
    ],
)
def test_displayed_size(
    coded: tuple[int, int], ratio: float, rotation: int, shown: tuple[int, int]
) -> None:
    assert displayed_size(*coded, ratio, Orientation(rotation // 90)) == shown


@pytest.mark.parametrize(
    ("degrees", "turns"),
    [
        *((0, 0), (90, 1), (180, 2), (-180, 2), (270, 3), (-90, 3), (360, 0), (-270, 1)),
        *((89.6, 1), (-0.2, 0), (359.9, 0)),
    ],
)
def test_quarter_turns(degrees: float, turns: int) -> None:
    assert quarter_turns(degrees) == turns


@given(sides, sides, st.integers(32, 1024), fractions, fractions)
def test_normalise_undoes_the_letterbox(
    width: int, height: int, long_side: int, x: float, y: float
) -> None:
    box = fit(width, height, long_side)
    pixels = np.array([[[x * box.inner_width, y * box.inner_height]]], np.float32)
    back = box.normalise(pixels)
    assert back.dtype == np.float32
    assert back.shape == pixels.shape
    np.testing.assert_allclose(back[0, 0], [x, y], atol=1e-6)


def test_normalise_clips_what_lies_in_the_border() -> None:
    box = fit(1920, 1080, 640)
    points = np.array([[-5.0, -0.1], [650.0, 383.0], [320.0, 180.0]], np.float32)
    assert box.normalise(points).tolist() == [[0, 0], [1, 1], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("box", "margin", "grown"),
    [
        ((0.25, 0.25, 0.75, 0.75), 0.0, (25, 50, 75, 150)),
        ((0.25, 0.25, 0.75, 0.75), 0.1, (15, 40, 85, 160)),  # of the long side, on each side
        ((0.0, 0.0, 0.1, 0.1), 1.0, (0, 0, 30, 40)),
        ((0.9, 0.9, 1.0, 1.0), 1.0, (70, 160, 100, 200)),
        ((1.0, 1.0, 1.0, 1.0), 0.0, (99, 199, 100, 200)),  # one pixel at least
        ((0.301, 0.301, 0.309, 0.304), 0.0, (30, 60, 31, 61)),  # outward to whole pixels
    ],
)
def test_grow(box: tuple[float, ...], margin: float, grown: tuple[int, int, int, int]) -> None:
    assert grow(np.array(box, np.float64), margin, 100, 200) == grown  # type: ignore[arg-type]


@given(st.tuples(fractions, fractions, fractions, fractions), st.floats(0, 3), sides, sides)
def test_grow_stays_inside_and_holds_a_pixel(
    corners: tuple[float, ...], margin: float, width: int, height: int
) -> None:
    x, y = sorted(corners[:2]), sorted(corners[2:])
    box = np.array([x[0], y[0], x[1], y[1]], np.float32)
    left, top, right, bottom = grow(box, margin, width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


orientations = st.builds(Orientation, st.integers(0, 3), st.booleans())


@given(orientations, st.integers(0, 6), st.integers(0, 8), st.integers(1, 3), st.integers(1, 3))
def test_a_box_of_the_shown_picture_is_found_in_the_stored_one(
    orientation: Orientation, left: int, top: int, width: int, height: int
) -> None:
    stored = np.arange(7 * 9).reshape(9, 7)
    shown = orientation.shown(stored)
    high, wide = shown.shape
    assert orientation.stored_size(wide, high) == (7, 9)
    x1, y1 = min(left, wide - 1), min(top, high - 1)
    x2, y2 = min(x1 + width, wide), min(y1 + height, high)
    box = orientation.stored((x1 / wide, y1 / high, x2 / wide, y2 / high))
    a, b, c, d = (round(side * n) for side, n in zip(box, (7, 9, 7, 9), strict=True))
    assert set(stored[b:d, a:c].ravel()) == set(shown[y1:y2, x1:x2].ravel())


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "turns", "mirrored"),
    [
        (1, 0, 0, 1, 0, False),
        (0, -1, 1, 0, 1, False),  # what is to the right is shown above
        (-1, 0, 0, -1, 2, False),
        (0, 1, -1, 0, 3, False),
        (-1, 0, 0, 1, 0, True),
        (1, 0, 0, -1, 2, True),
        (0.1, -2, 2, 0.1, 1, False),  # nearly, and larger
    ],
)
def test_orientation_of_a_matrix(
    a: float, b: float, c: float, d: float, turns: int, mirrored: bool
) -> None:
    matrix = [round(n * 65536) for n in (a, b, 0, c, d, 0, 0, 0, 16384)]
    assert Orientation.of_matrix(matrix) == Orientation(turns, mirrored)
    assert Orientation(turns, mirrored).degrees == 90 * turns
    assert Orientation(turns, mirrored).is_sideways == (turns % 2 == 1)
