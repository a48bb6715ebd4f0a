"""One part of a run in this process: no lock and no manifest, one file."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from apps.cli.observers import TerminalView, View
from apps.common.config import pipeline_config
from apps.common.contracts.manifest import Progress
from apps.common.contracts.parts import PartOrder, PartPlan, PartResult
from apps.common.errors import InvalidInput
from apps.common.files import shown, write_json
from apps.objects.open import open_mirror
from apps.pipeline.decode.video import KnownVideo
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.parts.part_run import PartRun
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.run_context import RunContext
from apps.pipeline.stop import StopFlag
from apps.runs.episodes import find_videos
from apps.runs.spec import RunSpec
from apps.runs.storage import check_space


def _nobody(_: PartPlan) -> None:
    """Nobody asks."""


def make_asked_part(
    spec: RunSpec, arguments: argparse.Namespace, stop: StopFlag, view: TerminalView
) -> None:
    """Makes the part that the command line asks for, and says so.

    Raises:
        InvalidInput: the video has no such part, or the file has no folder.
        ScreenalyticsError: whatever else went wrong.
    """
    path: Path = arguments.part_file
    copy: Path | None = arguments.progress_file
    if not path.parent.is_dir():
        raise InvalidInput(
            f"--part-file: there is no folder {shown(path.parent)}.",
            hint="Make it, or name another one.",
        )
    number, count = arguments.part
    order = PartOrder(number=number, count=count, path=str(path))
    video = arguments.video or own_video(spec, stop)

    def report(progress: Progress) -> None:
        view.progress(progress)
        if copy is not None:
            with contextlib.suppress(OSError):
                write_json(copy, progress.model_dump())

    os.nice(spec.nice)
    made = made_part(spec, order, video, stop, view, report)
    view.part(made, count, path)


def own_video(spec: RunSpec, stop: StopFlag) -> Path:
    """The episode's; it comes from the storage where that alone has it."""
    if spec.storage is not None:
        mirror = open_mirror(spec.storage, spec.layout.root, spec.min_free_mb)
        mirror.bring_video(spec.layout, spec.ep_id, check=stop.check, hold=True)
    return find_videos(spec.layout, spec.ep_id)[0]


def made_part(
    spec: RunSpec,
    order: PartOrder,
    video: Path,
    stop: StopFlag,
    view: View,
    report: Callable[[Progress], None],
    on_plan: Callable[[PartPlan], None] = _nobody,
    known: KnownVideo | None = None,
) -> PartResult:
    """Makes a part of a video file.

    Args:
        report: told how far it is.
        on_plan: told how the run is divided.
        known: of the video, where somebody has found that out.

    Raises:
        PacketAbsent: what is known is of an extract, which has too little.
        ScreenalyticsError: whatever else went wrong.
    """
    check_space(Path(order.path).parent, spec.min_free_mb)
    with (
        CpuMeter(pipeline_config().meter) as meter,
        ProgressReporter(spec.run_id, meter, report) as progress,
    ):
        context = RunContext(spec, video, meter, stop, view, known=known)
        return PartRun(context, progress, on_plan).execute(order)
