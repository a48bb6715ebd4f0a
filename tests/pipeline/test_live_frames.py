"""A run's frames are the same whoever decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apps.common.config import pipeline_config
from apps.pipeline import live_frames
from apps.pipeline.decode.video import open_video
from apps.pipeline.frame_analysis import FrameAnalysis, RepeatedFrame
from apps.pipeline.live_frames import LiveFrames
from apps.pipeline.pacing import threads
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.track.tracker import FaceTracker, thresholds
from tests.pipeline.analysed import context, everything
from tests.pipeline.grouped import PICTURES, RECIPES, grouped_video

STRIDE = 2
SAMPLES = list(range(0, PICTURES, STRIDE))
Frames = Iterator[FrameAnalysis | RepeatedFrame]


@contextmanager
def analysed(path: Path, folder: Path, **asked: Any) -> Iterator[tuple[Frames, LiveFrames]]:
    options = {"stride": STRIDE, "cpu_threads": 2, **asked}
    with CpuMeter(pipeline_config().meter) as meter, open_video(path, threads=1) as video:
        run = context(path, folder, meter, **options)
        live = run.live_frames()
        live.load(video, STRIDE, len(SAMPLES))
        tracker = FaceTracker(run.config.track, thresholds(run.config.track, 0.5))
        with live.analysed(STRIDE, tracker) as frames:
            yield frames, live


def let_a_second_decoder_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_frames, "_TRIED", 10)
    monkeypatch.setattr(threads, "_WORTH_A_DECODER", 0)


@pytest.mark.parametrize("codec", RECIPES)
def test_frames_are_the_same_where_decoders_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    path = grouped_video(tmp_path, codec)
    with analysed(path, tmp_path, save_crops=True) as (frames, live):
        one = [everything(frame) for frame in frames]
        assert "decoders" not in live.thread_facts()
    assert len(one) == len(SAMPLES)
    let_a_second_decoder_pay(monkeypatch)
    with analysed(path, tmp_path, save_crops=True) as (frames, live):
        assert [everything(frame) for frame in frames] == one
        assert live.thread_facts()["decoders"] == 2


@pytest.mark.parametrize("asked", [{"reuse_still": True}, {"cpu_threads": 1}], ids=str)
def test_one_decodes_all_where_others_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    let_a_second_decoder_pay(monkeypatch)
    path = grouped_video(tmp_path, "h264")
    with analysed(path, tmp_path, **asked) as (frames, live):
        assert [frame.index for frame in frames] == SAMPLES
        assert "decoders" not in live.thread_facts()


def test_a_video_that_is_replaced_before_others_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one decoder has the file open, and goes on with it."""
    path = grouped_video(tmp_path, "h264")
    with analysed(path, tmp_path) as (frames, _):
        one = [everything(frame) for frame in frames]
    let_a_second_decoder_pay(monkeypatch)
    (tmp_path / "other").mkdir()
    other = grouped_video(tmp_path / "other", "hevc")
    with analysed(path, tmp_path) as (frames, live):
        first = everything(next(frames))
        other.replace(path)
        assert [first, *map(everything, frames)] == one
        assert "decoders" not in live.thread_facts()


def test_frames_that_nobody_wants_any_more_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while two decode."""
    let_a_second_decoder_pay(monkeypatch)
    path = grouped_video(tmp_path, "h264")
    with analysed(path, tmp_path) as (frames, live):
        assert [next(frames).index for _ in range(20)] == SAMPLES[:20]
        assert live.thread_facts()["decoders"] == 2
    assert list(frames) == []
