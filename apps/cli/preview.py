"""One preview in this process: the right to make it, the video, the drawing, its place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from apps.cli.making import Making, made_for, making
from apps.cli.observers import EventWriter
from apps.common.config import pipeline_config
from apps.common.contracts.events import PreviewResult
from apps.common.contracts.manifest import Progress, VideoFacts, VideoFile
from apps.common.contracts.rows import DetectionRow
from apps.common.errors import RunFailed, VideoReplaced, VideoUnreadable
from apps.common.files import storage_errors, sync
from apps.common.layout import Layout, RunFiles
from apps.common.lifeline import Lifeline
from apps.common.open_result import result_rows
from apps.pipeline.decode.container import identified
from apps.pipeline.render.preview import PreviewFailed, TrackBoxes, collect_tracks, render_preview
from apps.pipeline.stop import StopFlag
from apps.results.export import readable
from apps.runs.episodes import find_video
from apps.runs.preview import add_preview, existing_preview, making_preview
from apps.runs.spec import PreviewSpec

_RUN_AGAIN = "Run the episode again, with save_preview."


def make(lifeline: Lifeline) -> int:
    """Executes what the launcher's line says; returns the exit code."""
    spec = PreviewSpec.model_validate_json(lifeline.line)
    failed = RunFailed("The preview failed.", hint=_RUN_AGAIN)

    def work(stop: StopFlag, view: EventWriter) -> None:
        view.preview(_Making(spec, stop, view).run())

    return made_for(lifeline, spec.run_id, work, failed)


class _Making:
    """Makes one preview, in this process.

    Args:
        spec: what to do.
        stop: asked after every frame.
        view: whom to tell.
    """

    def __init__(self, spec: PreviewSpec, stop: StopFlag, view: EventWriter) -> None:
        self._spec = spec
        self._stop = stop
        self._view = view
        self._layout = Layout(Path(spec.data_root))
        self._files: RunFiles = self._layout.run(spec.ep_id, spec.run_id)

    def run(self) -> PreviewResult:
        """Makes the preview.

        Raises:
            ScreenalyticsError: it cannot be made, or was stopped; nothing is left then.
        """
        os.nice(self._spec.nice)
        with making_preview(self._files), storage_errors():
            done = existing_preview(self._layout, self._spec.ep_id, self._spec.run_id)
            if done is not None:  # by another program, since the request was looked at
                return done
            shutil.rmtree(self._files.staging, ignore_errors=True)  # of one that was killed
            self._files.staging.mkdir()
            try:
                elapsed = self._render()
                staged = self._files.staged.preview
                sync(staged)  # a power cut must not leave an empty file under its name
                staged.replace(self._files.preview)
                sync(self._files.folder)
            finally:
                shutil.rmtree(self._files.staging, ignore_errors=True)
            add_preview(self._layout, self._spec.ep_id, self._spec.run_id)
        return PreviewResult(
            ep_id=self._spec.ep_id, run_id=self._spec.run_id, elapsed_seconds=round(elapsed, 3)
        )

    def _render(self) -> float:
        """Draws into the staging folder; the seconds since this process began."""
        path, spec = find_video(self._layout, self._spec.ep_id), self._spec
        stop, stream, budget = self._stop, spec.video.stream, spec.max_cpu_percent
        with making(path, stream, spec.run_id, budget, stop, self._tell) as made:
            facts = made.video.facts
            self._refuse_another(facts, identified(path))
            self._view.started(facts.frames)
            tracks = self._tracks(facts.frames)
            made.begin()
            self._draw(made, tracks)
            return made.end()

    def _refuse_another(self, found: VideoFacts, file: VideoFile) -> None:
        """Refuses a video that is not the one that was run.

        Raises:
            VideoReplaced: the boxes would not lie where the faces are.
        """
        expected, ran = self._spec.video, self._spec.video_file
        if (found.width, found.height, found.frames) != (
            expected.width,
            expected.height,
            expected.frames,
        ):
            raise VideoReplaced(
                f"The run's video had {expected.frames} frames of {expected.width}x"
                f"{expected.height}; now there is one of {found.frames} frames of {found.width}x"
                f"{found.height}.",
                hint=_RUN_AGAIN,
            )
        if ran is not None and ran.fingerprint != file.fingerprint:
            raise VideoReplaced(
                f"The run read another video ({ran.name}, {ran.size_bytes} bytes) than the one "
                f"that is there now ({file.name}, {file.size_bytes} bytes).",
                hint=_RUN_AGAIN,
            )

    def _tracks(self, frames: int) -> list[TrackBoxes]:
        rows = result_rows(self._layout, self._files.detections, DetectionRow)
        return collect_tracks(readable(rows, frames))

    def _draw(self, made: Making, tracks: list[TrackBoxes]) -> None:
        try:
            render_preview(
                made.video,
                tracks,
                self._files.staged.preview,
                pipeline_config().preview,
                cpu_threads=self._spec.cpu_threads,
                after_frame=made.after_frame,
            )
        except PreviewFailed:
            raise VideoUnreadable(
                "This video's preview cannot be encoded.",
                hint="Look at the video itself; its tracks are in the run's results.",
            ) from None
        self._stop.check()

    def _tell(self, progress: Progress) -> None:
        """The reporter counts its rate in the phase that it calls `running`."""
        phase = "preview" if progress.phase == "running" else progress.phase
        self._view.progress(progress.model_copy(update={"phase": phase}))
