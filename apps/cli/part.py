"""One part of a run in this process: no lock and no manifest, one file."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from apps.cli.observers import TerminalView
from apps.common.config import pipeline_config
from apps.common.contracts.manifest import Progress
from apps.common.errors import InvalidInput
from apps.common.files import shown, write_json
from apps.objects.open import open_mirror
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.parts.part_run import PartRun
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.run_context import RunContext
from apps.pipeline.stop import StopFlag
from apps.runs.episodes import find_videos
from apps.runs.spec import RunSpec
from apps.runs.storage import check_space


@dataclass(frozen=True)
class PartOrder:
    """Which part is to be made.

    Args:
        number: from 1.
        count: how many parts there are to be.
        path: of its file.
        video: instead of the episode's own.
        progress: receives copies of the progress.
    """

    number: int
    count: int
    path: Path
    video: Path | None = None
    progress: Path | None = None


def make_part(spec: RunSpec, order: PartOrder, stop: StopFlag, view: TerminalView) -> None:
    """Analyses a part of the episode's video, and says so.

    Raises:
        InvalidInput: the video has no such part, or the file has no folder.
        ScreenalyticsError: whatever else went wrong.
    """
    if not order.path.parent.is_dir():
        raise InvalidInput(
            f"--part-file: there is no folder {shown(order.path.parent)}.",
            hint="Make it, or name another one.",
        )
    if order.video is None and spec.storage is not None:
        mirror = open_mirror(spec.storage, spec.layout.root, spec.min_free_mb)
        mirror.bring_video(spec.layout, spec.ep_id, check=stop.check, hold=True)
    video = order.video or find_videos(spec.layout, spec.ep_id)[0]
    os.nice(spec.nice)
    check_space(order.path.parent, spec.min_free_mb)

    def report(progress: Progress) -> None:
        view.progress(progress)
        if order.progress is not None:
            with contextlib.suppress(OSError):
                write_json(order.progress, progress.model_dump())

    with (
        CpuMeter(pipeline_config().meter) as meter,
        ProgressReporter(spec.run_id, meter, report) as progress,
    ):
        context = RunContext(spec, video, meter, stop, view)
        made = PartRun(context, progress).execute(order.number, order.count, order.path)
    view.close()
    done, megabytes = made.done, order.path.stat().st_size / 1e6
    sys.stderr.write(
        f"Part {order.number} of {order.count} in {done.seconds:.1f} s: {done.frames} frames, "
        f"{megabytes:.1f} MB: {shown(order.path)}\n"
    )
