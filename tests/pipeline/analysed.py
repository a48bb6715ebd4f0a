"""Frames of a video as a run analyses them, for tests that compare all that is known of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.common.options import RunRequest
from apps.common.resolve import resolve
from apps.common.run_plan import RunPlan
from apps.pipeline.frame_analysis import FrameAnalysis, RepeatedFrame
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.run_context import RunContext
from apps.pipeline.stop import StopFlag
from lab.specs import SMALL_HOST


class Listener:
    """Hears nothing."""

    def started(self, frames_total: int) -> None: ...

    def progress(self, progress: object) -> None: ...

    def log(self, level: str, message: str) -> None: ...


def context(path: Path, folder: Path, meter: CpuMeter, **asked: Any) -> RunContext:
    request = RunRequest(device="cpu", detector="centerface", det_size=320, **asked)
    plan = RunPlan(
        ep_id="show",
        run_id="run",
        resolution=resolve(request, {}, SMALL_HOST),
        data_root=str(folder),
    )
    return RunContext(plan, path, meter, StopFlag(), Listener())


def everything(frame: FrameAnalysis | RepeatedFrame) -> list[Any]:
    """What the later stages may ask of a frame."""
    assert isinstance(frame, FrameAnalysis)
    faces = frame.faces
    arrays = [faces.boxes, faces.landmarks, faces.conf, frame.view.image, frame.appearance]
    patches = [(each.place, each.shape, each.picture(96).tobytes()) for each in frame.face_patches]
    glimpses = [(each.ts_s, each.tiny.tobytes()) for each in frame.glimpses]
    views = [each.view.image.tobytes() for each in frame.glimpses]
    told = [(each.dtype, each.shape, each.tobytes()) for each in arrays]
    return [
        frame.index,
        frame.ts_s,
        frame.looked_again,
        told,
        frame.crops,
        patches,
        glimpses,
        views,
    ]
