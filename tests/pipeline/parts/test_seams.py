"""Parts decode by themselves: together they give the very pictures that the whole video gives."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from apps.common.config import pipeline_config
from apps.common.contracts.parts import PartOrder
from apps.common.errors import InvalidInput
from apps.common.options import RunRequest
from apps.common.resolve import resolve
from apps.pipeline.decode.selection import Span
from apps.pipeline.decode.video import open_video
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.parts.part_run import PartRun, divided
from apps.pipeline.parts.plan import spans, undivided_because
from apps.pipeline.parts.stored_frames import StoredFrames, joined
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.track.tracker import FaceTracker, thresholds
from lab.specs import SMALL_HOST
from tests.pipeline.analysed import context, everything
from tests.pipeline.damage import copied, damaged
from tests.pipeline.grouped import PICTURES, RECIPES, Seen, grouped_video, sample
from tests.pipeline.videos import H264, moving, write_video


def of_parts(
    path: Path, stride: int, parts: Sequence[Span]
) -> Iterator[tuple[int, Seen, list[Seen]]]:
    before: list[Glimpse] = []
    for part in parts:
        with open_video(path, threads=1) as video:
            left_over: list[Glimpse] = []
            for decoded in video.sampled_in(part, stride, left_over):
                yield sample(decoded, joined(tuple(before), decoded.passed))
                before = []
            before = [*before, *left_over]


@pytest.fixture(scope="module", params=list(RECIPES))
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grouped_video(tmp_path_factory.mktemp("parts"), request.param)


@pytest.mark.parametrize("stride", [1, 5, 6, 12, 31])
def test_parts_show_what_the_whole_shows(path: Path, stride: int) -> None:
    with open_video(path, threads=1) as video:
        if len(spans(video.index, 9)) == 1:
            pytest.skip("this encoder makes one closed group of it")
        whole = [sample(decoded, decoded.passed) for decoded in video.sampled(stride)]
    assert len(whole) == len(range(0, PICTURES, stride))
    for count in (2, 4, 7):
        with open_video(path, threads=1) as video:
            parts = spans(video.index, count)
        assert list(of_parts(path, stride, parts)) == whole


@pytest.mark.parametrize("seed", range(4))
def test_parts_of_a_damaged_video_show_what_the_whole_shows(
    path: Path, tmp_path: Path, seed: int
) -> None:
    """Above all where the very picture is damaged at which a part begins."""
    broken = copied(path, tmp_path / f"{path.stem}.mp4")
    with open_video(broken, threads=1) as video:
        parts = spans(video.index, 3)
        if len(parts) < 3:
            pytest.skip("this encoder makes one closed group of it")
    chance = random.Random(seed)
    any_packet = chance.randrange(1, parts[-1].end)
    damaged(broken, [parts[1].packet, any_packet], chance)
    stride = chance.choice([1, 5])
    with open_video(broken, threads=1) as video:
        whole = [sample(decoded, decoded.passed) for decoded in video.sampled(stride)]
    assert list(of_parts(broken, stride, parts)) == whole


def test_stored_frames_are_those_that_were_analysed(tmp_path: Path) -> None:
    """With what was passed before each, where it has to be decoded again as well."""
    stride = 5
    path = write_video(tmp_path / "v.mp4", moving(PICTURES), H264)
    with CpuMeter(pipeline_config().meter) as meter, open_video(path, threads=1) as video:
        usual = context(path, tmp_path, meter, stride=stride, save_crops=True)
        live = usual.live_frames()
        live.load(video, stride, 15)
        tracker = FaceTracker(usual.config.track, thresholds(usual.config.track, 0.5))
        with live.analysed(stride, tracker) as analysed:
            wanted = [everything(frame) for frame in analysed]
    paths = [tmp_path / f"{number}.part" for number in (1, 2, 3)]
    for number, each in enumerate(paths, 1):
        with (
            CpuMeter(pipeline_config().meter) as meter,
            ProgressReporter("run", meter, lambda _: None) as progress,
        ):
            made = context(path, tmp_path, meter, stride=stride, save_crops=True)
            PartRun(made, progress).execute(PartOrder(number=number, count=3, path=str(each)))
    with CpuMeter(pipeline_config().meter) as meter, open_video(path, threads=1) as video:
        whole = context(path, tmp_path, meter, stride=stride, save_crops=True)
        stored = StoredFrames(whole, paths)
        stored.load(video, stride, 15)
        with stored.analysed(stride, tracker) as analysed:
            assert [everything(frame) for frame in analysed] == wanted
        assert [part.first for part in stored.parts] == [0, 24, 48]
        assert any(part.left_over for part in stored.files[:-1]), "nothing is handed on here"


def test_what_is_not_divided_says_why(tmp_path: Path) -> None:
    from apps.common.options import RunRequest
    from apps.common.resolve import resolve
    from lab.specs import SMALL_HOST

    options = resolve(RunRequest(device="cpu"), {}, SMALL_HOST).options
    path = write_video(tmp_path / "v.mp4", moving(PICTURES), H264)
    with open_video(path, threads=1) as video:
        index = video.index
    assert undivided_because(index, options, 5) is None
    for changed, stride, said in (
        ({"detector": "cascade"}, 5, "A pair of detectors"),
        ({"reuse_still": True}, 5, "reuse_still"),
        ({"decoder": "hardware"}, 5, "hardware"),
        ({}, 33, "stride over 32"),
    ):
        why = undivided_because(index, options.model_copy(update=changed), stride)
        assert why is not None
        assert said in why
    one = write_video(tmp_path / "one.mp4", moving(10), H264)
    with open_video(one, threads=1) as video:
        assert "one closed group" in str(undivided_because(video.index, options, 5))


def test_parts_that_pay_are_as_many_for_each_who_makes_them(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", moving(PICTURES), H264)
    options = resolve(RunRequest(device="cpu"), {}, SMALL_HOST).options

    def count(wanted: int, min_samples: int, makers: int) -> int:
        order = PartOrder(number=1, count=wanted, path="", min_samples=min_samples, makers=makers)
        with open_video(path, threads=1) as video:
            return len(divided(video, options, 1, order).spans)

    assert count(6, 10, 3) == 6
    assert count(6, 15, 2) == 4  # of five that would pay
    assert count(9, 25, 5) == 3  # fewer than would make them
    with pytest.raises(InvalidInput, match="too short to pay"):
        count(6, 40, 2)
