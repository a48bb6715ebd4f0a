"""Faces are cut out of frames as they are displayed, and each track keeps its best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.common.config import ThumbsConfig
from apps.pipeline import yuv_crop
from apps.pipeline.artifacts.thumbs import ThumbWriter, face_patches
from apps.pipeline.decode.picture import FullPicture
from apps.pipeline.decode.video import open_video
from apps.pipeline.geometry import fit
from apps.pipeline.render.poster import poster
from apps.pipeline.types import (
    Faces,
    Frame,
    Scene,
    Sighting,
    TrackedSighting,
)
from apps.pipeline.yuv_crop import FacePatch, bgr_crop
from tests.pipeline.videos import H264, Image, Recipe, corner_names, corners, write_video

CONFIG = ThumbsConfig(long_side=96, margin=0.25, jpeg_quality=85, clearly_better=1.25)
CENTRE = [0.25, 0.25, 0.75, 0.75]


def first_frame(path: Path, long_side: int = 640) -> Frame:
    with open_video(path, threads=1) as video:
        box = fit(video.facts.width, video.facts.height, long_side)
        return next(iter(video.frames(1, box)))


def faces(*boxes: Sequence[float], conf: float = 0.9) -> Faces:
    count = len(boxes)
    return Faces(
        np.array(boxes, np.float32).reshape(count, 4),
        np.zeros((count, 5, 2), np.float32),
        np.full(count, conf, np.float32),
    )


# --- cutting -----------------------------------------------------------------------------------

LOSSLESS = replace(H264, options={"preset": "ultrafast", "crf": "10", "g": "12"})
KINDS = {
    "yuv420p": LOSSLESS,
    "yuv422p": replace(LOSSLESS, pix_fmt="yuv422p"),
    "yuv444p": replace(LOSSLESS, pix_fmt="yuv444p"),
    "full range": Recipe("mjpeg", pix_fmt="yuvj420p", options={"q:v": "2"}),
    "10 bits": replace(H264, pix_fmt="yuv420p10le"),
    "turned left": replace(LOSSLESS, rotation=90),
    "turned right": replace(LOSSLESS, rotation=-90),
    "upside down": replace(LOSSLESS, rotation=180),
    "wide pixels": replace(LOSSLESS, sample_aspect_ratio=Fraction(4, 3)),
    "turned, wide pixels": replace(LOSSLESS, rotation=90, sample_aspect_ratio=Fraction(4, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("box", [CENTRE, [0.1, 0.2, 0.45, 0.9], [0.6, 0.05, 0.98, 0.4]])
def test_it_is_the_part_that_a_crop_shows(tmp_path: Path, kind: str, box: list[float]) -> None:
    """Same place, same way up, same colours as the frame that is converted as a whole."""
    suffix = ".mkv" if kind == "full range" else ".mp4"
    source = write_video(tmp_path / f"a{suffix}", [corners(240, 160)] * 2, KINDS[kind])
    picture = first_frame(source).picture
    assert picture is not None
    found = picture.face_patch(np.array(box, np.float32), 0.1, 96)
    assert found is not None
    image = found.picture(96)
    (crop,) = picture.crops(np.array([box], np.float32), 0.1)
    assert max(image.shape[:2]) == 96
    assert image.shape[1] / image.shape[0] == pytest.approx(crop.shape[1] / crop.shape[0], rel=0.03)
    same = cv2.resize(crop, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(image.astype(int) - same).mean() < 8


def test_all_four_corners_are_where_they_belong(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", [corners(240, 160)] * 2, KINDS["turned left"])
    picture = first_frame(source).picture
    assert picture is not None
    found = picture.face_patch(np.array(CENTRE, np.float32), 0.0, 96)
    assert found is not None
    assert corner_names(found.picture(96)) == ["green", "white", "red", "blue"]


def test_other_kinds_of_frames_are_cut_from_the_detectors_picture(tmp_path: Path) -> None:
    recipe = Recipe("ffv1", pix_fmt="bgr0")
    source = write_video(tmp_path / "a.mkv", [corners(240, 160)] * 2, recipe)
    frame = first_frame(source, 120)
    assert frame.picture is not None
    assert frame.picture.face_patch(np.array(CENTRE, np.float32), 0.25, 96) is None
    (found,) = face_patches(frame, faces(CENTRE), CONFIG)
    image = found.picture(96)
    assert max(image.shape[:2]) == 96
    assert corner_names(image) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize(("side", "planes_count"), [(0.05, 3), (0.14, 3), (0.3, 1), (0.9, 1)])
def test_a_large_face_needs_no_frame_at_full_size(
    tmp_path: Path, side: float, planes_count: int
) -> None:
    """From 96 pixels in the detector's picture on, that one is enough."""
    source = write_video(tmp_path / "a.mp4", [corners(1280, 640)] * 2)
    frame = first_frame(source, 640)
    (found,) = face_patches(frame, faces([0.05, 0.05, 0.05 + side / 2, 0.05 + side]), CONFIG)
    assert len(found.planes) == planes_count
    assert max(found.picture(96).shape) == 96


def test_no_frame_is_converted_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: FullPicture) -> Image:
        raise AssertionError("converted")

    source = write_video(tmp_path / "a.mp4", [corners(1280, 640)] * 2)
    frame = first_frame(source)
    monkeypatch.setattr(FullPicture, "pixels", refuse)
    boxes = [[0.1, 0.1, 0.15, 0.2], [0.5, 0.5, 0.9, 0.9], [0.0, 0.0, 0.01, 0.01]]
    assert len(face_patches(frame, faces(*boxes), CONFIG)) == 3
    assert face_patches(frame, Faces.none(), CONFIG) == ()


@pytest.mark.parametrize("size", [(320, 180), (3840, 2160)])
def test_what_waits_for_its_track_is_small(tmp_path: Path, size: tuple[int, int]) -> None:
    source = write_video(tmp_path / "a.mp4", [corners(*size)])
    frame = first_frame(source)
    boxes = [[0.0, 0.0, side, side] for side in (0.01, 0.03, 0.06, 0.1, 0.2, 0.5, 1.0)]
    for found in face_patches(frame, faces(*boxes), CONFIG):
        assert sum(plane.nbytes for plane in found.planes) <= 3 * 200 * 200
        assert all(plane.base is None for plane in found.planes)  # it keeps no frame alive


@pytest.mark.parametrize(
    "box",
    [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [0.999, 0, 1, 1e-6], [0.5, 0.5, 0.5, 0.5]],
)
def test_boxes_at_the_edge(tmp_path: Path, box: list[float]) -> None:
    source = write_video(tmp_path / "a.mp4", [corners(66, 50)] * 2)  # odd chroma
    for found in face_patches(first_frame(source), faces(box), CONFIG):
        assert max(found.picture(96).shape[:2]) == 96


# --- the best of a track -----------------------------------------------------------------------


def plain(level: int) -> FacePatch:
    return bgr_crop(np.full((96, 80, 3), level, np.uint8), (0, 0, 80, 96), (80, 96), 96)


def item(level: int, side: float, *tracks: int, conf: float = 0.9) -> TrackedSighting:
    found = faces(*[[0, 0, side, side]] * len(tracks), conf=conf)
    cut_out = tuple(plain(level) for _ in tracks)
    return TrackedSighting(Sighting(level, level / 25, found, Scene(0), None, (), cut_out), tracks)


def levels(staging: Path) -> dict[str, int]:
    """Mean level of each picture."""
    return {
        path.name: round(float(cv2.imread(str(path)).mean()))
        for path in sorted((staging / "thumbs").glob("*"))
    }


def test_only_a_clearly_better_face_replaces_the_picture(tmp_path: Path) -> None:
    writer = ThumbWriter(tmp_path / "thumbs", CONFIG)
    writer.add(item(10, 0.20, 1))
    writer.add(item(20, 0.22, 1))  # 1.21 times the area
    assert writer.finish() == 1
    assert levels(tmp_path) == {"track-00001.jpg": 10}
    writer.add(item(30, 0.24, 1))  # 1.44 times
    assert writer.finish() == 1
    assert levels(tmp_path) == {"track-00001.jpg": 30}
    writer.add(item(40, 0.26, 1, conf=0.5))
    writer.add(item(50, 0.10, 1))
    writer.finish()
    assert levels(tmp_path) == {"track-00001.jpg": 30}


def test_faces_of_no_track_have_none(tmp_path: Path) -> None:
    writer = ThumbWriter(tmp_path / "thumbs", CONFIG)
    writer.add(item(10, 0.2, 0, 0))
    assert writer.finish() == 0
    assert not (tmp_path / "thumbs").exists()
    writer.add(item(20, 0.2, 0, 7, 2))
    assert writer.finish() == 2
    assert levels(tmp_path) == {"track-00002.jpg": 20, "track-00007.jpg": 20}
    assert cv2.imread(str(tmp_path / "thumbs/track-00007.jpg")).shape == (96, 80, 3)


def test_no_more_than_some_faces_wait(tmp_path: Path) -> None:
    """Those of the tracks that got their best one longest ago are written first."""
    writer = ThumbWriter(tmp_path / "thumbs", CONFIG)
    for number in range(1, 101):
        writer.add(item(number, 0.2, number))
    early = levels(tmp_path)
    assert early == {f"track-{number:05}.jpg": number for number in range(1, len(early) + 1)}
    assert 20 < len(early) < 60
    writer.add(item(200, 0.3, 1))  # it was written already
    assert writer.finish() == 100
    every = {f"track-{number:05}.jpg": number for number in range(1, 101)}
    assert levels(tmp_path) == every | {"track-00001.jpg": 200}


def test_a_growing_face_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    original = FacePatch.picture

    def counted(self: FacePatch, long_side: int) -> Image:
        written.append(long_side)
        return original(self, long_side)

    monkeypatch.setattr(yuv_crop.FacePatch, "picture", counted)
    writer = ThumbWriter(tmp_path / "thumbs", CONFIG)
    for n in range(1000):
        writer.add(item(n % 256, 0.05 + 0.9 * n / 1000, 1))
    writer.finish()
    assert len(written) == 1
    assert len(list((tmp_path / "thumbs").iterdir())) == 1


# --- the episode's own picture -----------------------------------------------------------------


def decoded(jpeg: bytes) -> Image:
    image: Image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return image


def film(*parts: tuple[int, str]) -> list[Image]:
    """Frames: so many of each kind."""
    kinds = {
        "black": np.zeros((180, 320, 3), np.uint8),
        "white": np.full((180, 320, 3), 255, np.uint8),
        "picture": corners(320, 180),
        "mirrored": corners(320, 180)[:, ::-1].copy(),
    }
    return [kinds[kind] for count, kind in parts for _ in range(count)]


SHOWN, MIRRORED = ["red", "green", "blue", "white"], ["green", "red", "white", "blue"]


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ([(10, "mirrored"), (90, "picture")], SHOWN),  # a tenth into it, not the first frame
        ([(5, "black"), (95, "picture")], SHOWN),
        ([(20, "black"), (80, "picture")], SHOWN),
        ([(30, "white"), (70, "picture")], SHOWN),
        ([(8, "mirrored"), (92, "black")], MIRRORED),  # the only ones that show something
    ],
)
@pytest.mark.parametrize("keyframes", ["12", "250"])
def test_poster_shows_something(
    tmp_path: Path, parts: list[tuple[int, str]], names: list[str], keyframes: str
) -> None:
    recipe = replace(H264, options={**H264.options, "g": keyframes})
    image = decoded(poster(write_video(tmp_path / "a.mp4", film(*parts), recipe)))
    assert image.shape == (180, 320, 3)
    assert corner_names(image) == names


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("a.mkv", H264), ("a.ts", H264), ("a.h264", replace(H264, format="h264"))],
)
def test_poster_of_other_containers(tmp_path: Path, name: str, recipe: Recipe) -> None:
    frames = film((10, "black"), (90, "picture"))
    assert corner_names(decoded(poster(write_video(tmp_path / name, frames, recipe)))) == SHOWN


def test_poster_of_a_black_film_is_black(tmp_path: Path) -> None:
    image = decoded(poster(write_video(tmp_path / "a.mp4", film((40, "black")))))
    assert image.max() < 16


def test_poster_is_small_and_upright(tmp_path: Path) -> None:
    recipe = replace(H264, rotation=90, sample_aspect_ratio=Fraction(4, 3))
    source = write_video(tmp_path / "a.mp4", [corners(960, 540)] * 20, recipe)
    image = decoded(poster(source))
    assert image.shape[1] == 270  # 540 pixels wide and 1280 high before it was shrunk
    assert image.shape[0] == 640
    assert corner_names(image) == ["green", "white", "red", "blue"]
