"""Guards against waste, by counting at the libraries' seams: counts do not depend on the machine.

A whole run in this process; ONNX Runtime's sessions and inferences, and PyAV's decoded frames and
conversions, are counted where they are called, whoever calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import onnxruntime as ort
import pytest
from av.video.reformatter import VideoReformatter

from apps.common.config import pipeline_config
from apps.common.contracts.manifest import Progress
from apps.common.options import RunRequest
from apps.common.resolve import HostFacts, Resolution, resolve
from apps.common.run_plan import RunPlan
from apps.pipeline.detector_loader import Wrap
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.run import Outcome, PipelineRun
from apps.pipeline.stop import StopFlag
from lab.specs import SMALL_HOST

FRAMES = 105  # of facenet_video, which is 1920x1080
# Of its frames at a stride: the sampled ones, and those that they are made from.
DECODED = {6: 53, 12: 49}
ONE_LOOK = 1  # frame that is decoded beforehand, for the video's rotation
SMALL = 640 * 640  # pixels; the detector's picture is not larger, a whole frame is


@dataclass
class Counts:
    sessions: int = 0
    inferences: int = 0
    decoded: int = 0
    conversions: list[int] = field(default_factory=list)  # pixels of each

    @property
    def large(self) -> int:
        return sum(pixels > SMALL for pixels in self.conversions)


class Listener:
    """An `Observer` that keeps nothing."""

    def started(self, frames_total: int) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def log(self, level: str, message: str) -> None: ...


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    found = Counts()

    class Session(ort.InferenceSession):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **more: Any) -> None:
            found.sessions += 1
            super().__init__(*arguments, **more)

        def run(self, *arguments: Any, **more: Any) -> Any:
            found.inferences += 1
            return super().run(*arguments, **more)

    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(av.CodecContext, "decode", _counting_decode(found))
    # A frame's own `reformat` comes through here as well.
    monkeypatch.setattr(VideoReformatter, "reformat", _counting_reformat(found))
    return found


def _counting_decode(found: Counts) -> Callable[..., Any]:
    decode = av.CodecContext.decode

    def counted(context: Any, packet: Any) -> Any:
        frames = decode(context, packet)
        found.decoded += sum(isinstance(frame, av.VideoFrame) for frame in frames)
        return frames

    return counted


def _counting_reformat(found: Counts) -> Callable[..., Any]:
    reformat = VideoReformatter.reformat

    def counted(*arguments: Any, **more: Any) -> Any:
        made = reformat(*arguments, **more)
        found.conversions.append(made.width * made.height)
        return made

    return counted


def run(
    video: Path,
    folder: Path,
    *,
    detector_model: Path | None = None,
    wrap_detector: Wrap | None = None,
    host: HostFacts = SMALL_HOST,
    **requested: Any,
) -> Outcome:
    request = RunRequest(**{"device": "cpu", "detector": "centerface", "fps": 1000, **requested})
    # A budget would count what the tests before used.
    uncapped = {"max_cpu_percent": None, "thermal_backoff": False}
    options = resolve(request, {}, host).options.model_copy(update=uncapped)
    plan = RunPlan(
        ep_id="talk",
        run_id="run",
        resolution=Resolution(options=options, sources={}),
        data_root=str(folder),
        detector_model=None if detector_model is None else str(detector_model),
    )
    plan.files.staging.mkdir(parents=True)
    with (
        CpuMeter(pipeline_config().meter) as meter,
        ProgressReporter("run", meter, lambda _: None) as progress,
    ):
        more = {} if wrap_detector is None else {"wrap_detector": wrap_detector}
        cache = folder.parent / "cache"
        return PipelineRun(
            plan, video, meter, progress, StopFlag(), Listener(), cache=cache, **more
        ).execute()


@pytest.fixture
def street(test_data: Path) -> Path:
    return test_data / "videos" / "facenet_video.mp4"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stride", [6, 12])
def test_a_run_does_nothing_twice(
    tmp_path: Path, street: Path, counts: Counts, stride: int, threads: int
) -> None:
    outcome = run(street, tmp_path / "data", stride=stride, cpu_threads=threads)
    processed = len(range(0, FRAMES, stride))
    assert outcome.counts["frames_done"] == processed
    assert outcome.counts["detections"] > processed  # so there was something to cut out
    assert counts.sessions == 1
    assert counts.inferences == processed
    assert len(counts.conversions) == processed
    assert counts.large == 0
    assert processed <= counts.decoded <= DECODED[stride] + ONE_LOOK


def test_frames_are_converted_as_a_whole_for_crops_only(
    tmp_path: Path, street: Path, counts: Counts
) -> None:
    """Once a frame that has faces; this also shows that such conversions are counted."""
    outcome = run(street, tmp_path / "data", stride=30, cpu_threads=1, save_crops=True)
    assert outcome.counts["frames_done"] == 4
    assert counts.large == 4
    assert len(counts.conversions) == 4 + 4


def test_every_frame_is_decoded_once_where_all_are_wanted(
    tmp_path: Path, test_data: Path, counts: Counts
) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    assert run(video, tmp_path / "data", stride=1, cpu_threads=2).counts["frames_done"] == 120
    assert counts.decoded == 120 + ONE_LOOK
    assert counts.inferences == len(counts.conversions) == 120
