"""Decoding fast: pictures that differ a little, for codecs that have something to leave out."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from apps.common.errors import VideoUnreadable
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode import container
from apps.pipeline.decode.video import open_video
from apps.pipeline.geometry import fit
from tests.pipeline.videos import H264, HEVC, MPEG4, Recipe, write_video

COARSE = Recipe(options={"preset": "medium", "crf": "38", "g": "12"})  # blocks that can be seen


def frames(path: Path, *, fast: bool) -> list[ByteArray]:
    with open_video(path, threads=1, fast=fast) as video:
        box = fit(video.facts.width, video.facts.height, 640)
        return [frame.image for frame in video.frames(3, box)]


def difference(path: Path) -> float:
    """Mean over all sampled pictures, in levels of 255."""
    pairs = zip(frames(path, fast=False), frames(path, fast=True), strict=True)
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs]))


def moving() -> list[ByteArray]:
    rng = np.random.default_rng(1)
    ground = np.kron(rng.integers(60, 200, (12, 20, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    return [np.roll(ground, 3 * number, axis=1) for number in range(18)]


@pytest.mark.parametrize("recipe", [COARSE, HEVC], ids=["h264", "hevc"])
def test_what_has_a_loop_filter_differs_a_little(tmp_path: Path, recipe: Recipe) -> None:
    assert 0 < difference(write_video(tmp_path / "video.mp4", moving(), recipe)) < 3


def test_what_has_none_is_the_same(tmp_path: Path) -> None:
    assert difference(write_video(tmp_path / "video.mp4", moving(), MPEG4)) == 0


def test_a_real_video(test_data: Path) -> None:
    assert 0 < difference(test_data / "videos" / "facenet_video.mp4") < 1.5


@pytest.mark.skipif("libsvtav1" not in av.codecs_available, reason="no encoder for AV1")
def test_film_grain_is_left_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(2)
    pictures = [
        np.clip(picture + noise.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        for picture in moving()
    ]
    grain = {"preset": "10", "svtav1-params": "lp=1:film-grain=20"}
    video = write_video(tmp_path / "grain.mp4", pictures, Recipe("libsvtav1", options=grain))
    assert difference(video) > 0


@pytest.mark.parametrize("fast", [False, True])
def test_the_limit_on_pixels_holds(
    tmp_path: Path, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a later picture than the header's: the decoder itself refuses."""
    video = write_video(tmp_path / "video.mp4", moving(), H264)
    with open_video(video, threads=1, fast=fast) as opened:
        context = opened._decoder._stream.codec_context
        assert context.options["max_pixels"] == str(container.MAX_PIXELS)
        assert ("skip_loop_filter" in context.options) == fast
    monkeypatch.setattr(container, "MAX_PIXELS", 1000)
    with pytest.raises(VideoUnreadable, match="larger"), open_video(video, threads=1, fast=fast):
        raise AssertionError("it is too large")
