"""Pictures of high dynamic range look as the ordinary ones that they were made from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from apps.common.config import ThumbsConfig
from apps.pipeline.artifacts.thumbs import face_patches
from apps.pipeline.decode.video import open_video
from apps.pipeline.geometry import fit
from apps.pipeline.tone import HLG, PQ, Tone
from apps.pipeline.types import Faces
from tests.pipeline.videos import Image, needs

Floats = NDArray[np.float64]
COLOURS = [
    (200, 40, 40),
    (40, 180, 60),
    (50, 60, 200),
    (200, 200, 200),
    (20, 20, 20),
    (120, 90, 70),
]
TO_BT2020 = np.array(  # Rec. ITU-R BT.2087-0, red, green, blue
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
WHITE, PEAK = 203.0, 1000.0  # cd/m²


def linear(srgb: Floats) -> Floats:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def pq(light: Floats) -> Floats:
    """Rec. ITU-R BT.2100, table 4: the inverse EOTF; cd/m² to signal."""
    m1, m2 = 0.1593017578125, 78.84375
    c1, c2, c3 = 0.8359375, 18.8515625, 18.6875
    y = np.maximum(light / 10_000, 0) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


def hlg(light: Floats) -> Floats:
    """Table 5: cd/m² on a display of 1000 to light of the scene, and its OETF."""
    shown = light / PEAK
    brightness = shown @ np.array([0.2627, 0.6780, 0.0593])
    scene = shown * np.maximum(brightness, 1e-9)[..., None] ** (1 / 1.2 - 1)
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    )


def signal(rgb: Image, transfer: int) -> Floats:
    """Of an ordinary picture, whose white is shown at 203 cd/m²."""
    light = linear(rgb / 255) @ TO_BT2020.T * WHITE
    return np.clip(pq(light) if transfer == PQ else hlg(light), 0, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_colours_up_to_white_are_as_they_were(transfer: int, dtype: type) -> None:
    rgb = np.array([COLOURS], np.uint8)
    coded = np.rint(signal(rgb, transfer) * np.iinfo(dtype).max).astype(dtype)
    shown = Tone(transfer, is_wide=True).mapped(np.ascontiguousarray(coded[:, :, ::-1]))[:, :, ::-1]
    assert shown.dtype == np.uint8
    # Eight bits of PQ are coarse: a step is two per cent of light, and more of what is dark.
    assert np.abs(shown.astype(int) - rgb).max() <= (3 if dtype is np.uint16 else 12)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_brighter_is_never_darker_and_white_is_not_the_end(transfer: int) -> None:
    ramp = np.repeat(np.arange(0, 65_536, 16, dtype=np.uint16)[None, :, None], 3, axis=2)
    shown = Tone(transfer, is_wide=True).mapped(ramp)[0].astype(int)
    assert (np.diff(shown, axis=0) >= 0).all()
    assert shown[0].tolist() == [0, 0, 0]
    assert shown[-1].min() >= 254
    white = round(float(signal(np.full((1, 1, 3), 255, np.uint8), transfer)[0, 0, 0]) * 4095)
    assert 235 <= shown[white].mean() <= 250  # there is room for what is brighter


def test_a_red_that_is_too_bright_stays_red() -> None:
    light = np.array([[[4000.0, 100.0, 100.0]]])
    coded = np.rint(pq(light) * 65_535).astype(np.uint16)[:, :, ::-1]
    blue, green, red = Tone(PQ, is_wide=False).mapped(np.ascontiguousarray(coded))[0, 0].astype(int)
    assert red > 200 > 2 * max(green, blue)


def write_hdr(path: Path, rgb: Image, transfer: int) -> Path:
    """HEVC of ten bits, BT.2020, tagged."""
    needs("libx265")
    height, width = rgb.shape[:2]
    coded = signal(rgb, transfer)
    y = coded @ np.array([0.2627, 0.6780, 0.0593])
    u, v = (coded[..., 2] - y) / 1.8814, (coded[..., 0] - y) / 1.4746
    planes = [64 + 876 * y, 512 + 896 * u[::2, ::2], 512 + 896 * v[::2, ::2]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9
        context.color_range = 1
        context.options = {"preset": "ultrafast", "x265-params": "log-level=none:qp=4"}
        for number in range(3):
            frame = av.VideoFrame(width, height, "yuv420p10le")
            for plane, values in zip(frame.planes, planes, strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
                rows[:, : plane.width] = np.rint(values).astype(np.uint16)
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


SQUARE = 64


@pytest.fixture(params=[PQ, HLG], ids=["pq", "hlg"])
def hdr(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    squares = [np.full((SQUARE, SQUARE, 3), colour, np.uint8) for colour in COLOURS]
    picture = np.vstack([np.hstack(squares[:3]), np.hstack(squares[3:])])
    return write_hdr(tmp_path / "a.mp4", picture, request.param), request.param


def middles(image: Image) -> Image:
    """RGB in the middle of each of the six squares."""
    height, width = image.shape[:2]
    places = [
        (height * (2 * r + 1) // 4, width * (2 * c + 1) // 6) for r in (0, 1) for c in range(3)
    ]
    return np.array([image[y, x, ::-1] for y, x in places], np.uint8)


def test_what_people_look_at_is_mapped_and_what_the_detector_sees_is_not(
    hdr: tuple[Path, int],
) -> None:
    path, transfer = hdr
    wanted = np.array(COLOURS, int)
    with open_video(path, threads=1) as video:
        assert video.facts.transfer == ("pq" if transfer == PQ else "hlg")
        frame = next(video.frames(1, fit(video.facts.width, video.facts.height, 640)))
    assert frame.picture is not None
    whole = frame.picture.crops(np.array([[0, 0, 1, 1]], np.float32), 0)[0]
    assert np.abs(middles(whole).astype(int) - wanted).max() <= 6
    stored = np.rint(signal(wanted[None].astype(np.uint8), transfer)[0] * 255)
    seen = middles(frame.image[: frame.letterbox.inner_height, : frame.letterbox.inner_width])
    assert np.abs(seen.astype(int) - stored).max() <= 3
    boxes = np.array([[0, 0, 1, 1], [0.02, 0.02, 0.3, 0.45]], np.float32)
    points, conf = np.zeros((2, 5, 2), np.float32), np.ones(2, np.float32)
    # The first is cut from the detector's picture, the second from the stored planes.
    config = ThumbsConfig(long_side=96, margin=0, jpeg_quality=90, clearly_better=1.2)
    large, small = face_patches(frame, Faces(boxes, points, conf), config)
    assert np.abs(middles(large.picture(96)).astype(int) - wanted).max() <= 14
    assert np.abs(small.picture(96)[48, 48, ::-1].astype(int) - wanted[0]).max() <= 14


def test_an_ordinary_picture_is_left_alone(test_data: Path) -> None:
    with open_video(test_data / "videos" / "facenet_video.mp4", threads=1) as video:
        assert video.facts.transfer == "sdr"
        assert next(video.sampled(50)).picture.tone is None


def test_the_case_that_was_washed_out(test_data: Path) -> None:
    """Squares of (200, 40, 40), (40, 180, 60), (50, 60, 200) and (200, 200, 200)."""
    path = test_data / "cases" / "hdr-pq.mp4"
    if not path.is_file():
        pytest.skip("the test data have no cases/")
    with open_video(path, threads=1) as video:
        image = next(video.sampled(1)).picture.pixels()
    for x, colour in zip((747, 878, 1008, 1139), COLOURS[:4], strict=True):
        found = image[131:143, x - 6 : x + 6, ::-1].reshape(-1, 3).mean(axis=0)
        assert np.abs(found - colour).max() <= 4
