"""Wires the stages of one run: decode -> detect -> shots -> track -> artifacts.

The only module that knows all stages. It knows no lock, no manifest and no process: those are
around it (`apps.cli.execution`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.common.config import PipelineConfig, pipeline_config
from apps.common.contracts.manifest import (
    Agreement,
    DecodingFacts,
    ModelFacts,
    PartFacts,
    PeopleFacts,
    RecognitionFacts,
    ThermalFacts,
    TrackEnd,
    TrackMetrics,
    VideoFacts,
    VideoFile,
)
from apps.common.contracts.rows import DetectionRow, read_rows
from apps.common.errors import ModelUnavailable, VideoUnreadable
from apps.common.options import (
    device_of,
    effective_stride,
    sampled_count,
    stride_warning,
)
from apps.common.run_plan import RunPlan
from apps.common.screen_time import SampleEdges
from apps.pipeline.artifacts.people import Person, write_embeddings, write_people
from apps.pipeline.artifacts.thumbs import ThumbWriter
from apps.pipeline.artifacts.writer import ArtifactWriter, RunTotals
from apps.pipeline.decode.container import identified
from apps.pipeline.decode.video import KnownVideo, Video
from apps.pipeline.detect import DetectorFacts
from apps.pipeline.detector_loader import Wrap
from apps.pipeline.frame_analysis import FrameAnalysis, RepeatedFrame
from apps.pipeline.geometry import Letterbox
from apps.pipeline.live_frames import FrameSource, SourceFacts
from apps.pipeline.observer import Observer
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.pacing.thermal import SensorReader, system_sensors
from apps.pipeline.parts.stored_frames import StoredFrames
from apps.pipeline.people.stage import PeopleStage
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.recognise import DLIB, Recogniser, make_recogniser
from apps.pipeline.render.preview import PreviewFailed, collect_tracks, render_preview
from apps.pipeline.run_context import RunContext, as_it_is
from apps.pipeline.run_warnings import (
    decoding_warning,
    refuse_ruins,
    trackless_warning,
    video_warnings,
)
from apps.pipeline.shots.splitter import ShotSplitter
from apps.pipeline.stage_clock import StageClock
from apps.pipeline.stop import StopFlag
from apps.pipeline.track.identity import IdentityGate
from apps.pipeline.track.tracker import TRACKER_NAME, FaceTracker, thresholds
from apps.pipeline.types import Sighting

_REPLACED = "The video was replaced by another one during the run, which has no preview therefore."


@dataclass(frozen=True)
class Outcome:
    """What a finished run found out. Results lie in the plan's staging folder.

    Args:
        written: these results, and of how many files each consists.
        full_model: of a pair of detectors, the one that was asked where it mattered.
        detector_checks: of eight bits and accelerators: what they were believed by, or not.
        decoding: what decoded, where hardware was asked for.
        parts: what each part took, where the run was put together from parts.
    """

    video: VideoFacts
    video_file: VideoFile
    stride: int
    detector: DetectorFacts
    letterbox: Letterbox
    metrics: TrackMetrics
    counts: dict[str, int]
    times: dict[str, float]
    threads: dict[str, Any]
    warnings: list[str]
    written: dict[str, int]
    thermal: ThermalFacts | None = None
    recognition: RecognitionFacts | None = None
    people: PeopleFacts | None = None
    full_model: ModelFacts | None = None
    detector_checks: dict[str, Agreement] = field(default_factory=dict)
    decoding: DecodingFacts | None = None
    parts: list[PartFacts] = field(default_factory=list)


def _same(recogniser: Recogniser) -> Recogniser:
    return recogniser


def _unseen(_: Sighting) -> None:
    """Nobody looks."""


@dataclass
class PipelineRun:
    """One execution of a plan. `execute` is called once.

    Args:
        plan: what to do.
        video: the file.
        meter: running.
        progress: running.
        stop: checked before every frame.
        observer: receives the start, warnings and the provider.
        cache: folder of models that were made; that of the plan's data root by default.
        read_sensors: see `apps.pipeline.pacing.thermal`.
        wrap_detector: gives what is asked in place of a detector that was loaded so.
        wrap_recogniser: gives what is asked in place of the recogniser of `people`.
        on_sighting: shown the faces of each processed frame, before they are tracked.
        parts: files of all parts of the video, in their order, in which its frames were analysed
            beforehand; none where this run does that itself.
        known: of the video, where it was opened before.
    """

    plan: RunPlan
    video: Path
    meter: CpuMeter
    progress: ProgressReporter
    stop: StopFlag
    observer: Observer
    config: PipelineConfig = field(default_factory=pipeline_config)
    clock: StageClock = field(default_factory=StageClock)
    warnings: list[str] = field(default_factory=list)
    cache: Path | None = None
    read_sensors: SensorReader = system_sensors
    wrap_detector: Wrap = as_it_is
    wrap_recogniser: Callable[[Recogniser], Recogniser] = _same
    on_sighting: Callable[[Sighting], None] = _unseen
    parts: Sequence[Path] = ()
    known: KnownVideo | None = None

    def __post_init__(self) -> None:
        self._options = self.plan.options
        self._files = self.plan.files
        self._written: dict[str, int] = {}  # files of each result
        self._context = context = RunContext(
            self.plan,
            self.video,
            self.meter,
            self.stop,
            self.observer,
            self.config,
            self.cache,
            self.read_sensors,
            self.wrap_detector,
            self.clock,
            self.warnings,
            self.known,
        )
        self._pacer, self._tell, self._warn = context.pacer, context.tell, context.warn
        self._source: FrameSource = (
            StoredFrames(context, self.parts) if self.parts else context.live_frames()
        )

    def execute(self) -> Outcome:
        """Runs all stages.

        Raises:
            RunCancelled: the stop flag was set.
            ScreenalyticsError: whatever else went wrong.
        """
        self._note_budget()
        with self._context.analysed_video() as video:
            return self._with_video(video)

    def _with_video(self, video: Video) -> Outcome:
        options = self._options
        video_file = identified(self.video)
        stride = effective_stride(options.stride, options.fps, video.facts.fps)
        wanted = sampled_count(video.facts.frames, stride)
        self._warn(stride_warning(options, self.plan.resolution.sources, video.facts.fps))
        self.progress.expect(wanted, video.facts.frames)
        self.observer.started(wanted)
        self.progress.phase("loading")
        with self.clock.measure("load_model"):
            facts = self._source.load(video, stride, wanted)
            gate = self._load_gate()
            people = self._load_people()
        self._pacer.between()
        self._tell(f"Using {facts.detector.provider}")
        if facts.decoding.device is not None:
            self._tell(f"Decoding with {facts.decoding.device}")
        self._note_work(video, video_file.name, stride, wanted, facts)
        with self._writer(video, stride, facts.model_id) as writer:
            cuts, endings = self._analyse(stride, gate, people, writer)
            facts = self._source.facts  # by now it is known how decoding went
            threads = {**self._source.thread_facts(), "busy": self.meter.busy_threads()}
            done = self.progress.frames_done
            refuse_ruins(done, wanted)
            self.progress.frames_missing()
            metrics = writer.finish(self._totals(video, cuts, facts.detector), endings)
            self._written |= writer.written
            grouped = None if people is None else self._write_people(people, writer, video)
        if options.save_preview:
            self.progress.phase("preview")
            with self.clock.measure("preview"):
                self._make_preview(video_file)
        self._pacer.at_end()
        self._warn(self._pacer.warning)
        counts = self._source.counts(done)
        for warning in video_warnings(
            video.warnings, done, wanted, counts, is_truncated=self._source.is_truncated
        ):
            self._warn(warning)
        self._warn(decoding_warning(facts.decoding, options.decoder))
        self._warn(
            trackless_warning(
                writer.detections, writer.tracks, self.config.track, options.det_thresh, stride
            )
        )
        return Outcome(
            video=video.facts,
            video_file=video_file,
            stride=stride,
            detector=facts.detector,
            letterbox=facts.letterbox,
            metrics=metrics,
            counts={
                "frames_total": wanted,
                "frames_done": done,
                "detections": writer.detections,
                "tracks": writer.tracks,
                "scene_cuts": len(cuts),
                **counts,
            },
            times={
                **{stage: round(spent, 3) for stage, spent in self.clock.seconds.items()},
                "paced": round(self._pacer.rested_seconds, 3),
            },
            threads=threads,
            warnings=self.warnings,
            written=self._written,
            thermal=self._pacer.heat,
            recognition=None if gate is None else gate.facts,
            people=grouped,
            full_model=facts.full_model,
            detector_checks=facts.checks,
            decoding=None if options.decoder == "software" else facts.decoding,
            parts=self._source.parts,
        )

    def _load_gate(self) -> IdentityGate | None:
        """For tracks that are split and joined by faces, where a model for that is given."""
        if self.plan.recognition_model is None:
            return None
        recogniser = make_recogniser(
            self.plan.recognition_model,
            self._context.threads.plan.detector,
            cache=self._context.cache_folder,
            callbacks=self._context.callbacks,
        )
        self._tell(f"Tracks are compared by faces, with {recogniser.facts.id}")
        return IdentityGate(recogniser, self.config.recognition)

    def _load_people(self) -> PeopleStage | None:
        """For tracks that are grouped into people, where that is wanted and can be done.

        Raises:
            ModelUnavailable: it was asked for by name, and there is no model.
        """
        if not self._options.people:
            return None
        try:
            recogniser = make_recogniser(
                DLIB, 1, cache=self._context.cache_folder, callbacks=self._context.callbacks
            )
        except ModelUnavailable as problem:
            if not self.plan.resolution.sources.get("people", "").startswith("profile"):
                raise
            self._warn(f"Tracks were not grouped into people: {problem.detail}")
            return None
        recogniser = self.wrap_recogniser(recogniser)
        return PeopleStage(recogniser, self.config.people, self.config.track.lost_seconds)

    def _write_people(
        self, people: PeopleStage, writer: ArtifactWriter, video: Video
    ) -> PeopleFacts:
        with self.clock.measure("people"):
            groups = people.finish()
            known = {each.number: each for each in people.descriptions()}
        found = [
            Person(
                group.tracks,
                tuple(
                    (face.score, number, face.index, face.ts_s)
                    for number in group.tracks
                    for face in known[number].best
                ),
                group.confidence,
            )
            for group in groups
        ]
        staged = self._files.staged
        write_people(staged, self.plan.ep_id, found, writer.on_screen, video.facts.duration_s)
        model = people.recogniser.facts
        write_embeddings(
            staged,
            model,
            {n: (each.embedding, each.spread, len(each.best)) for n, each in known.items()},
        )
        self._written |= {staged.people.name: 1, staged.embeddings.name: 1}
        return PeopleFacts(
            model=model,
            faces=people.faces,
            described=len(known),
            unassigned=writer.tracks - len(known),
            people=len(groups),
            max_distance=people.recogniser.likeness.group_distance,
        )

    def _writer(self, video: Video, stride: int, model_id: str) -> ArtifactWriter:
        return ArtifactWriter(
            self._files,
            self.plan.ep_id,
            model_id,
            SampleEdges(video.index.timeline.seconds, video.index.end_s, stride),
            self.config.crops,
            self.config.metrics,
        )

    def _analyse(
        self,
        stride: int,
        gate: IdentityGate | None,
        people: PeopleStage | None,
        writer: ArtifactWriter,
    ) -> tuple[list[int], Mapping[int, TrackEnd]]:
        """Decode to tracks, frame by frame. Returns the cuts, and why tracks ended if known."""
        options = self._options
        limits = thresholds(self.config.track, options.det_thresh)
        self._warn(limits.warning)
        tracker = FaceTracker(self.config.track, limits, gate)
        splitter = ShotSplitter(self.config.shots, self._source.measure_motion)
        thumbs = ThumbWriter(self._files.staged.thumbs, self.config.thumbs)
        self.progress.phase("running")
        with (
            self.clock.measure("stages"),
            self._source.analysed(stride, tracker) as analysed,
        ):
            sightings = self._sightings(analysed, splitter)
            for item in self.clock.through("track", tracker.track, sightings):
                with self.clock.measure("write"):
                    writer.add(item)
                    thumbs.add(item)
                if people is not None:
                    with self.clock.measure("people"):
                        people.add(item)
        self.stop.check()
        with self.clock.measure("write"):
            self._written[self.plan.files.thumbs.name] = thumbs.finish()
        return splitter.cuts, tracker.endings

    def _sightings(
        self, analysed: Iterator[FrameAnalysis | RepeatedFrame], splitter: ShotSplitter
    ) -> Iterator[Sighting]:
        """Frames in their scenes, with the faces that are tracked."""
        last: FrameAnalysis | None = None
        for item in analysed:
            self.stop.check()
            frame = item if isinstance(item, FrameAnalysis) else item.like(last)
            with self.clock.measure("shots"):
                scene = splitter.scene_of(frame.index, frame.view, frame.appearance, frame.glimpses)
            frame = self._source.settled(item, frame, scene)
            last, sighting = frame, frame.in_scene(scene)
            self.on_sighting(sighting)
            yield sighting
            self.progress.frame_done()

    def _totals(self, video: Video, cuts: list[int], facts: DetectorFacts) -> RunTotals:
        return RunTotals(
            total_frames=video.facts.frames,
            frames_done=self.progress.frames_done,
            fps=video.facts.fps,
            elapsed_sec=round(self.meter.elapsed(), 3),
            analyzed_fps=self.progress.analyzed_fps(),
            device=device_of(facts.provider),
            detector=self._options.detector,
            tracker=TRACKER_NAME,
            scene_cuts=cuts,
        )

    @property
    def _preview(self) -> Path:
        return self._files.staged.preview

    def _make_preview(self, analysed: VideoFile) -> None:
        """Whatever became of the video meanwhile, what was found in it is kept."""
        try:
            with self._context.opened(fast=False) as video:  # people look at it
                if identified(self.video) != analysed:
                    self._warn(_REPLACED)
                else:
                    self._render_preview(video)
        except VideoUnreadable:
            self._preview.unlink(missing_ok=True)
            self._warn("The video is gone or cannot be read any more; the run has no preview.")
        except PreviewFailed:
            self._warn("This video's preview cannot be encoded; the run has none.")

    def _render_preview(self, video: Video) -> None:
        render_preview(
            video,
            collect_tracks(read_rows(self._files.staged.detections, DetectionRow)),
            self._preview,
            self.config.preview,
            cpu_threads=self._options.cpu_threads,
            after_frame=lambda _: self._pacer.after_frame(),
        )
        self._written[self._preview.name] = 1

    def _note_budget(self) -> None:
        options = self._options
        cap = "no cap" if options.max_cpu_percent is None else f"{options.max_cpu_percent:g} %"
        self.observer.log(
            "info",
            f"Profile {options.profile}: {options.cpu_threads} threads, CPU budget {cap}, "
            f"device {options.device}, detector {options.detector}",
        )

    def _note_work(
        self,
        video: Video,
        name: str,
        stride: int,
        wanted: int,
        source: SourceFacts,
    ) -> None:
        facts, letterbox = video.facts, source.letterbox
        self._tell(
            f"{name}: {facts.frames} frames at {facts.fps:g} fps, stride {stride}: {wanted} to "
            f"process; {source.model_id} at "
            f"{letterbox.canvas_width}x{letterbox.canvas_height}"
        )
        if len(facts.streams) > 1:
            self._tell(
                f"Video stream {facts.stream} is processed; the file has "
                f"{', '.join(facts.streams)}."
            )
