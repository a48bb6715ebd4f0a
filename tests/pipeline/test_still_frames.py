"""What shows nothing new is not looked at again; what moves, however little, is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from apps.common.config import pipeline_config
from apps.common.files import read_jsonl
from apps.common.layout import Layout
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import open_video
from apps.pipeline.still_frames import StillFrames
from tests.pipeline.test_guards import Counts, counts, run
from tests.pipeline.videos import H264, write_video

__all__ = ["counts"]  # a fixture
CONFIG = pipeline_config().still
FRAMES = 13
SIZE = (640, 360)


def portrait(x: float = 0.0, light: float = 0.0) -> ByteArray:
    """A face on a quiet ground, shape (360, 640, 3), RGB.

    Args:
        x: pixels to the right.
        light: added to all of it.
    """
    face = cv2.resize(data.astronaut()[:256, 100:356], (200, 200), interpolation=cv2.INTER_AREA)
    picture = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    picture[80:280, 100:300] = face
    moved = cv2.warpAffine(
        picture, np.array([[1, 0, x], [0, 1, 0]], np.float32), SIZE, borderMode=cv2.BORDER_REPLICATE
    )
    return np.clip(moved.astype(np.float32) + light, 0, 255).astype(np.uint8)


def new_ones(video: Path, stride: int = 1) -> list[int]:
    """Numbers of the samples that are looked at."""
    with open_video(video, threads=1) as opened:
        samples = StillFrames(CONFIG).marked(opened.sampled(stride))
        return [sample.index for sample in samples if not sample.repeats]


def test_a_frozen_picture_is_looked_at_once(tmp_path: Path) -> None:
    """Though its encoder does not give the very same pixels each time."""
    video = write_video(tmp_path / "still.mp4", [portrait()] * FRAMES, H264)
    assert new_ones(video) == [0]
    assert new_ones(video, stride=4) == [0]


@pytest.mark.parametrize("step", [2.0, 5.0])
def test_who_moves_is_looked_at(tmp_path: Path, step: float) -> None:
    pictures = [portrait(step * number) for number in range(FRAMES)]
    assert new_ones(write_video(tmp_path / "moves.mp4", pictures, H264)) == list(range(FRAMES))


def test_a_small_thing_that_moves_is_enough(tmp_path: Path) -> None:
    pictures = [portrait() for _ in range(FRAMES)]
    for number, picture in enumerate(pictures):
        picture[300:316, 400 + 3 * number : 416 + 3 * number] = 200
    assert new_ones(write_video(tmp_path / "small.mp4", pictures, H264)) == list(range(FRAMES))


def test_slow_changes_add_up(tmp_path: Path) -> None:
    """Half a level a picture: none of them differs from the one before, but from the one seen."""
    pictures = [portrait(light=0.5 * number) for number in range(40)]
    seen = new_ones(write_video(tmp_path / "fade.mp4", pictures, H264))
    assert 5 < len(seen) < 30


def test_colours_count(tmp_path: Path) -> None:
    """Two grounds of one brightness."""
    red, blue = np.zeros((2, SIZE[1], SIZE[0], 3), np.uint8)
    red[:], blue[:] = (120, 60, 60), (60, 74, 160)
    pictures = [red] * 3 + [blue] * 3
    assert new_ones(write_video(tmp_path / "colours.mp4", pictures, H264)) == [0, 3]


def test_a_real_video_has_none(test_data: Path) -> None:
    video = test_data / "videos" / "short_hamilton_clip.mp4"
    assert new_ones(video, stride=6) == list(range(0, 275, 6))


def rows_of(folder: Path) -> list[Any]:
    return list(read_jsonl(Layout(folder).run("talk", "run").staged.detections))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_detects_what_is_new_and_gives_the_same(
    tmp_path: Path, counts: Counts, threads: int
) -> None:
    """A title, a person who stands still, the same who walks, and stands again."""
    title = np.full((SIZE[1], SIZE[0], 3), 20, np.uint8)
    walk = [portrait(8.0 * number) for number in range(1, 5)]
    pictures = [title] * 6 + [portrait()] * 6 + walk + [walk[-1]] * 6
    video = write_video(tmp_path / "episode.mp4", pictures, H264)
    options = {"stride": 1, "cpu_threads": threads, "save_crops": True}
    usual = run(video, tmp_path / "usual", **options)
    assert counts.inferences == len(pictures)
    again = run(video, tmp_path / "again", **options, reuse_still=True)
    new = 2 + len(walk)
    assert counts.inferences == len(pictures) + new
    assert (again.counts["frames_detected"], again.counts["frames_carried"]) == (
        new, len(pictures) - new,
    )  # fmt: skip
    assert "frames_carried" not in usual.counts
    assert again.counts["tracks"] == usual.counts["tracks"] == 1
    assert again.counts["detections"] == usual.counts["detections"] == len(pictures) - 6
    for one, other in zip(rows_of(tmp_path / "usual"), rows_of(tmp_path / "again"), strict=True):
        assert (one["frame_idx"], one["track_id"]) == (other["frame_idx"], other["track_id"])
        np.testing.assert_allclose(one["bbox"], other["bbox"], atol=2)
    crops = list(Layout(tmp_path / "again").run("talk", "run").staged.crops.rglob("*.jpg"))
    assert len(crops) > 0
