"""Cuts between sampled frames: the true ones, and nothing that only looks like one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apps.common.config import pipeline_config
from apps.pipeline.decode import open_video
from apps.pipeline.geometry import fit
from apps.pipeline.shots import ShotSplitter
from tests.pipeline.videos import Image, write_video

STRIDE = 6


def shots_of(path: Path, stride: int = STRIDE) -> tuple[list[int], list[int]]:
    """Shot of every sampled frame, and the cuts."""
    with open_video(path, threads=2) as video:
        splitter = ShotSplitter(pipeline_config().shots, video.facts.fps)
        box = fit(video.facts.width, video.facts.height, 640)
        return [splitter.shot_of(frame) for frame in video.frames(stride, box)], splitter.cuts


@pytest.mark.trap(7)
def test_the_cuts_of_a_real_episode(test_data: Path) -> None:
    # The true cuts lie at frames 20, 82 and 211; the next sampled frames are these.
    shots, cuts = shots_of(test_data / "videos" / "short_hamilton_clip.mp4")
    assert cuts == [24, 84, 216]
    indices = range(0, 275, STRIDE)
    assert shots == [sum(cut <= index for cut in cuts) for index in indices]


@pytest.mark.parametrize("name", ["facenet_video.mp4", "carphone_pristine.mp4"])
@pytest.mark.parametrize("stride", [4, 12])
def test_one_shot_is_one_shot(test_data: Path, name: str, stride: int) -> None:
    shots, cuts = shots_of(test_data / "videos" / name, stride)
    assert cuts == []
    assert set(shots) == {0}


def scene(seed: int, hue: int) -> Image:
    """A textured picture of mostly one colour, shape (144, 256, 3), RGB."""
    rng = np.random.default_rng(seed)
    hsv = np.empty((144, 256, 3), np.uint8)
    hsv[..., 0] = hue
    hsv[..., 1] = 180
    coarse = rng.integers(40, 220, (9, 16), np.uint8)
    hsv[..., 2] = np.kron(coarse, np.ones((16, 16), np.uint8))
    rgb: NDArray[np.uint8] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return rgb


def panned(image: Image, number: int) -> Image:
    return np.roll(image, 2 * number, axis=1)


def test_shots_are_numbered_from_cut_to_cut(tmp_path: Path) -> None:
    scenes = [scene(1, 10), scene(2, 60), scene(3, 120)]
    pictures = [panned(scenes[n // 30], n) for n in range(90)]
    shots, cuts = shots_of(write_video(tmp_path / "a.mp4", pictures))
    assert cuts == [30, 60]
    assert shots == [0] * 5 + [1] * 5 + [2] * 5


def test_a_moving_camera_is_no_cut(tmp_path: Path) -> None:
    image = scene(1, 10)
    pictures = [np.roll(image, 8 * n, axis=1) for n in range(60)]
    assert shots_of(write_video(tmp_path / "a.mp4", pictures))[1] == []


def test_a_flash_between_samples_is_not_seen(tmp_path: Path) -> None:
    image = scene(1, 10)
    pictures = [panned(image, n) for n in range(60)]
    pictures[20] = np.full_like(image, 255)
    assert shots_of(write_video(tmp_path / "a.mp4", pictures))[1] == []


def test_a_flash_on_a_sample_leaves_the_rest_in_one_piece(tmp_path: Path) -> None:
    image = scene(1, 10)
    pictures = [panned(image, n) for n in range(60)]
    pictures[24] = np.full_like(image, 255)
    shots, cuts = shots_of(write_video(tmp_path / "a.mp4", pictures))
    # Whether a white picture is a shot of its own is a matter of taste; elsewhere there is no cut.
    assert set(cuts) <= {24, 30}
    assert len(set(shots[:4])) == len(set(shots[5:])) == 1


def test_two_splitters_do_not_share_state(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(n // 12, 10 + 50 * (n // 12)) for n in range(24)])
    assert shots_of(path) == shots_of(path) == ([0, 0, 1, 1], [12])
