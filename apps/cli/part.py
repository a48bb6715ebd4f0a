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
from apps.common.errors import InvalidInput, RunFailed, StorageUnavailable
from apps.common.files import shown, storage_errors, write_json
from apps.common.lifeline import Lifeline
from apps.objects.job_parts import JobParts
from apps.objects.open import open_mirror
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.parts.part_run import PartRun
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.run_context import RunContext
from apps.pipeline.stop import StopFlag
from apps.runs.episodes import find_videos
from apps.runs.spec import PartSpec, RunSpec
from apps.runs.storage import check_space

_NEEDED_SECONDS = 60.0  # for the storage to come back: longer than to make most parts anew
_WISHED_SECONDS = 5.0
_HINT = "The worker's log has the details; please report them."


def make(lifeline: Lifeline) -> int:
    """Executes what the launcher's line says; returns the exit code."""
    spec = PartSpec.model_validate_json(lifeline.line)

    def work(stop: StopFlag, view: EventWriter) -> None:
        video = _own_video(spec, stop)
        made = _made(spec, spec.order, video, stop, view, view.progress, view.plan)
        _store(spec, stop, view)
        view.part(made)

    return made_for(lifeline, spec.run_id, work, RunFailed("Making the part failed.", hint=_HINT))


def _store(spec: PartSpec, stop: StopFlag, view: EventWriter) -> None:
    """Has the part's file in the storage, where hosts share one.

    Raises:
        StorageUnavailable: it is not there, and another host needs it.
    """
    order, path = spec.order, Path(spec.order.path)
    if spec.storage is None or order.place is None:
        return
    store = open_mirror(spec.storage, spec.layout.root, spec.min_free_mb).store
    stored = JobParts(store, order.place.job_id, order.place.token)
    try:
        stored.put(path, stop.check, _NEEDED_SECONDS if order.is_for_another else _WISHED_SECONDS)
    except StorageUnavailable as error:
        if order.is_for_another:
            raise
        view.log("warning", f"This host alone has part {order.number}. {error.detail}")
    finally:
        if order.is_for_another:
            path.unlink(missing_ok=True)


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
    video = arguments.video or _own_video(spec, stop)

    def report(progress: Progress) -> None:
        view.progress(progress)
        if copy is not None:
            with contextlib.suppress(OSError):
                write_json(copy, progress.model_dump())

    made = _made(spec, order, video, stop, view, report, lambda _: None)
    view.part(made, count, path)


def _own_video(spec: RunSpec, stop: StopFlag) -> Path:
    """The episode's; it comes from the storage where that alone has it."""
    if spec.storage is not None:
        mirror = open_mirror(spec.storage, spec.layout.root, spec.min_free_mb)
        mirror.bring_video(spec.layout, spec.ep_id, check=stop.check, hold=True)
    return find_videos(spec.layout, spec.ep_id)[0]


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
    if order.is_for_another:
        with storage_errors():
            Path(order.path).parent.mkdir(parents=True, exist_ok=True)
    check_space(Path(order.path).parent, spec.min_free_mb)
    with (
        CpuMeter(pipeline_config().meter) as meter,
        ProgressReporter(spec.run_id, meter, report) as progress,
    ):
        context = RunContext(spec, video, meter, stop, view)
        return PartRun(context, progress, on_plan).execute(order)
