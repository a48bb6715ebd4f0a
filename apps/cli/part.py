"""One part of a run in this process: no lock and no manifest, one file."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from apps.cli.making import made_for
from apps.cli.observers import EventWriter, TerminalView, View
from apps.common.config import pipeline_config
from apps.common.contracts.manifest import Progress
from apps.common.contracts.parts import PartOrder, PartPlan, PartResult
from apps.common.errors import InvalidInput, RunFailed
from apps.common.files import shown, write_json
from apps.common.lifeline import Lifeline
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.parts.part_run import PartRun
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.run_context import RunContext
from apps.pipeline.stop import StopFlag
from apps.runs.episodes import find_videos
from apps.runs.spec import PartSpec, RunSpec
from apps.runs.storage import check_space

_HINT = "The worker's log has the details; please report them."


def make(lifeline: Lifeline) -> int:
    """Executes what the launcher's line says; returns the exit code."""
    spec = PartSpec.model_validate_json(lifeline.line)

    def work(stop: StopFlag, view: EventWriter) -> None:
        video = find_videos(spec.layout, spec.ep_id)[0]
        view.part(_made(spec, spec.order, video, stop, view, view.progress, view.plan))

    return made_for(lifeline, spec.run_id, work, RunFailed("Making the part failed.", hint=_HINT))


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
    video = arguments.video or find_videos(spec.layout, spec.ep_id)[0]

    def report(progress: Progress) -> None:
        view.progress(progress)
        if copy is not None:
            with contextlib.suppress(OSError):
                write_json(copy, progress.model_dump())

    made = _made(spec, order, video, stop, view, report, lambda _: None)
    view.part(made, count, path)


def _made(
    spec: RunSpec,
    order: PartOrder,
    video: Path,
    stop: StopFlag,
    view: View,
    report: Callable[[Progress], None],
    on_plan: Callable[[PartPlan], None],
) -> PartResult:
    os.nice(spec.nice)
    check_space(Path(order.path).parent, spec.min_free_mb)
    with (
        CpuMeter(pipeline_config().meter) as meter,
        ProgressReporter(spec.run_id, meter, report) as progress,
    ):
        context = RunContext(spec, video, meter, stop, view)
        return PartRun(context, progress, on_plan).execute(order)
