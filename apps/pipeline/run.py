"""Wires the stages of one run: decode -> detect -> shots -> track -> artifacts.

The only module that knows all stages. It knows no lock, no manifest and no process: those are
around it (`apps.cli.execution`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from apps.common.config import PipelineConfig, pipeline_config
from apps.common.contracts.manifest import (
    RecognitionFacts,
    ThermalFacts,
    TrackEnd,
    TrackMetrics,
    VideoFacts,
    VideoFile,
)
from apps.common.contracts.rows import DetectionRow, read_rows
from apps.common.errors import VideoUnreadable
from apps.common.files import storage_errors
from apps.common.layout import RunFiles
from apps.common.options import (
    EXPECTED_DECODED,
    PROVIDER_OF_DEVICE,
    Options,
    device_of,
    effective_stride,
    provider_rivals,
    sampled_count,
    stride_warning,
)
from apps.pipeline.artifacts.screen_time import SampleEdges
from apps.pipeline.artifacts.thumbs import ThumbWriter
from apps.pipeline.artifacts.writer import ArtifactWriter, RunTotals
from apps.pipeline.decode.container import identified
from apps.pipeline.decode.decoder import Decoded
from apps.pipeline.decode.video import Video, open_video
from apps.pipeline.detect import (
    Detector,
    DetectorFacts,
    DetectorRequest,
    make_detector,
)
from apps.pipeline.detect.second_look import SecondLook, doubtful_from
from apps.pipeline.frame_analysis import FrameAnalyser, FrameAnalysis
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.callbacks import LoadCallbacks
from apps.pipeline.inference.session import CPU
from apps.pipeline.observer import Observer
from apps.pipeline.ordered_parallel_map import ordered_parallel_map
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.pacing.pacer import Pacer, thermal_backoff
from apps.pipeline.pacing.thermal import SensorReader, system_sensors
from apps.pipeline.pacing.threads import (
    Costs,
    ThreadPlan,
    best_plan,
    limited_pools,
    observed,
    single_thread_seconds,
    usual_plan,
)
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.render.preview import PreviewFailed, collect_tracks, render_preview
from apps.pipeline.shots.splitter import ShotSplitter
from apps.pipeline.stage_clock import StageClock
from apps.pipeline.stop import StopFlag
from apps.pipeline.track.identity import IdentityGate
from apps.pipeline.track.tracker import TRACKER_NAME, FaceTracker, thresholds
from apps.pipeline.types import Sighting

_FRAMES_AHEAD = 2  # more than there are workers: one may be slow
_FEWEST_DECODED = 0.5  # of the frames to process, below it a run fails
_MEASURED_FRAMES = 4
_WORTH_MEASURING = 150  # processed frames; a shorter run is over before it pays
_REPLACED = "The video was replaced by another one during the run, which has no preview therefore."
_OBVIOUS = 2  # threads: an inference in each is faster than one with both, whatever decoding costs


@dataclass(frozen=True)
class RunPlan:
    """What to run, and where its files are.

    Args:
        sources: where each of the options came from, as far as that is known.
    """

    ep_id: str
    run_id: str
    options: Options
    video: Path
    files: RunFiles
    cache: Path
    retinaface_model: str | None = None
    recognition_model: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a finished run found out. Results lie in the plan's staging folder.

    Args:
        written: these results, and of how many files each consists.
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


@dataclass
class PipelineRun:
    """One execution of a plan. `execute` is called once.

    Args:
        plan: what to do.
        meter: running.
        progress: running.
        stop: checked before every frame.
        observer: told of the start, warnings and the provider.
        read_sensors: see `apps.pipeline.pacing.thermal`.
    """

    plan: RunPlan
    meter: CpuMeter
    progress: ProgressReporter
    stop: StopFlag
    observer: Observer
    config: PipelineConfig = field(default_factory=pipeline_config)
    clock: StageClock = field(default_factory=StageClock)
    warnings: list[str] = field(default_factory=list)
    read_sensors: SensorReader = system_sensors

    def __post_init__(self) -> None:
        options = self.plan.options
        self._pacer = Pacer(
            options.max_cpu_percent,
            self.meter,
            self.stop,
            self.config,
            thermal_backoff(options, self.meter, self.config, self._tell, self.read_sensors),
        )
        self._plan = usual_plan(options.cpu_threads, one_inference=options.device != "cpu")
        self._costs: Costs | None = None
        self._second_looks = 0  # frames
        self._written: dict[str, int] = {}  # files of each result

    def execute(self) -> Outcome:
        """Runs all stages.

        Raises:
            RunCancelled: the stop flag was set.
            ScreenalyticsError: whatever else went wrong.
        """
        self._note_budget()
        with (
            limited_pools(self._plan.detector),
            storage_errors(),
            self._opened() as video,
        ):
            return self._with_video(video)

    def _opened(self) -> AbstractContextManager[Video]:
        stream = self.plan.options.video_stream
        return open_video(
            self.plan.video,
            threads=self._plan.decoder,
            stream=None if stream == "auto" else stream,
        )

    def _with_video(self, video: Video) -> Outcome:
        options = self.plan.options
        video_file = identified(self.plan.video)
        stride = effective_stride(options.stride, options.fps, video.facts.fps)
        told = stride_warning(options, self.plan.sources, video.facts.fps)
        if told is not None:
            self._warn(told)
        self.progress.expect(sampled_count(video.facts.frames, stride), video.facts.frames)
        self.observer.started(sampled_count(video.facts.frames, stride))
        self.progress.phase("loading")
        with self.clock.measure("load_model"):
            detector = self._load_detector(video.facts)
            self._pacer.between()
            detector = self._settle_threads(video, stride, detector)
            gate = self._load_gate()
        self._pacer.between()
        self.observer.log("info", f"Using {detector.facts.provider}")
        self.observer.log(
            "info",
            f"{video_file.name}: {video.facts.frames} frames at {video.facts.fps:g} fps, stride "
            f"{stride}: {sampled_count(video.facts.frames, stride)} to process; "
            f"{detector.facts.model.id} at "
            f"{detector.letterbox.canvas_width}x{detector.letterbox.canvas_height}",
        )
        if len(video.facts.streams) > 1:
            self.observer.log(
                "info",
                f"Video stream {video.facts.stream} is processed; the file has "
                f"{', '.join(video.facts.streams)}.",
            )
        with self._writer(video, stride, detector) as writer:
            cuts, endings = self._analyse(video, stride, detector, gate, writer)
            threads = self._threads(detector)
            self._refuse_ruins(video, stride)
            self.progress.frames_missing()
            metrics = writer.finish(self._totals(video, cuts, detector.facts), endings)
            self._written |= writer.written
        if options.save_preview:
            self.progress.phase("preview")
            with self.clock.measure("preview"):
                self._make_preview(video_file)
        self._pacer.at_end()
        self._warn_of(video, stride, writer)
        return Outcome(
            video=video.facts,
            video_file=video_file,
            stride=stride,
            detector=detector.facts,
            letterbox=detector.letterbox,
            metrics=metrics,
            counts={
                "frames_total": sampled_count(video.facts.frames, stride),
                "frames_done": self.progress.frames_done,
                "detections": writer.detections,
                "tracks": writer.tracks,
                "scene_cuts": len(cuts),
                "damaged_packets": video.damaged_packets,
                **({} if options.small_faces == "off" else {"second_looks": self._second_looks}),
            },
            times=self._times(),
            threads=threads,
            warnings=self.warnings,
            written=self._written,
            thermal=self._pacer.heat,
            recognition=None if gate is None else gate.facts,
        )

    def _load_detector(self, facts: VideoFacts) -> Detector:
        options = self.plan.options
        request = DetectorRequest(
            width=facts.width,
            height=facts.height,
            det_size=options.det_size,
            det_thresh=self._reported_from(),
            provider=PROVIDER_OF_DEVICE[options.device],
            threads=self._plan.detector,
            precision=options.precision,
            rivals=provider_rivals(options),
        )
        return make_detector(
            options.detector,
            request,
            cache=self.plan.cache,
            retinaface_model=self.plan.retinaface_model,
            callbacks=LoadCallbacks(self._tell, self._pacer.between),
        )

    def _reported_from(self) -> float:
        """The least confidence that the detector reports."""
        options = self.plan.options
        if options.small_faces == "off":
            return options.det_thresh
        return doubtful_from(options.det_thresh, self.config.second_look)

    def _second_look(self, detector: Detector) -> SecondLook | None:
        options = self.plan.options
        if options.small_faces == "off":
            return None
        return SecondLook(self.config.second_look, options.det_thresh, detector.letterbox)

    def _load_gate(self) -> IdentityGate | None:
        """For tracks that are split and joined by faces, where a model for that is given."""
        if self.plan.recognition_model is None:
            return None
        from apps.pipeline.track.recognition import ArcFace  # loads InsightFace

        recogniser = ArcFace(self.plan.recognition_model, self._plan.detector)
        self._tell(f"Tracks are compared by faces, with {recogniser.facts.id}")
        return IdentityGate(recogniser, self.config.recognition)

    def _settle_threads(self, video: Video, stride: int, detector: Detector) -> Detector:
        """Divides the threads by what the first frames cost, where that decides anything.

        Returns:
            The detector, made again where it gets another number of threads.
        """
        threads = self.plan.options.cpu_threads
        one_inference = detector.facts.provider != CPU
        plan = usual_plan(threads, one_inference=one_inference)
        is_long = sampled_count(video.facts.frames, stride) >= _WORTH_MEASURING
        if is_long and threads > (1 if one_inference else _OBVIOUS):
            self._costs = _first_costs(
                video, stride, detector, self._plan.detector, self._pacer.between
            )
        if self._costs is not None:
            plan = best_plan(threads, self._costs, one_inference=one_inference)
            self.observer.log(
                "info",
                f"Decoding costs {1000 * self._costs.decode:.1f} ms a frame, detection "
                f"{1000 * self._costs.detect:.1f} ms: threads that share the frames: "
                f"{plan.workers}, of each inference {plan.detector}, of the decoder {plan.decoder}",
            )
        before, self._plan = self._plan, plan
        video.use_threads(plan.decoder)
        if plan.detector == before.detector:
            return detector
        cv2.setNumThreads(plan.detector)
        return self._load_detector(video.facts)

    def _writer(self, video: Video, stride: int, detector: Detector) -> ArtifactWriter:
        return ArtifactWriter(
            self.plan.files,
            self.plan.ep_id,
            detector.facts.model.id,
            SampleEdges(video.index.timeline.seconds, video.index.end_s, stride),
            self.config.crops,
            self.config.metrics,
        )

    def _analyse(
        self,
        video: Video,
        stride: int,
        detector: Detector,
        gate: IdentityGate | None,
        writer: ArtifactWriter,
    ) -> tuple[list[int], Mapping[int, TrackEnd]]:
        """Decode to tracks, frame by frame. Returns the cuts, and why tracks ended if known."""
        options = self.plan.options
        limits = thresholds(self.config.track, options.det_thresh)
        if limits.warning is not None:
            self._warn(limits.warning)
        tracker = FaceTracker(self.config.track, limits, gate)
        splitter = ShotSplitter(self.config.shots)
        thumbs = ThumbWriter(self.plan.files.staged.thumbs, self.config.thumbs)
        analyser = FrameAnalyser(
            video,
            detector,
            self._second_look(detector),
            self.clock,
            self.config.thumbs,
            self.config.crops if options.save_crops else None,
            one_inference=detector.facts.provider != CPU,
        )
        self.progress.phase("running")
        frames = self._paced(self.clock.over("decode", video.sampled(stride)))
        workers = self._plan.workers
        with (
            self.clock.measure("stages"),
            ordered_parallel_map(
                frames,
                analyser.analyse,
                threads=workers,
                depth=workers + _FRAMES_AHEAD,
                name="worker",
            ) as analysed,
        ):
            sightings = self.clock.over("upstream", self._sightings(analysed, splitter))
            for item in self.clock.over("upstream_and_track", tracker.track(sightings)):
                with self.clock.measure("write"):
                    writer.add(item)
                    thumbs.add(item)
        self.stop.check()
        self._written[self.plan.files.thumbs.name] = thumbs.written
        return splitter.cuts, tracker.endings

    def _paced(self, frames: Iterator[Decoded]) -> Iterator[Decoded]:
        """A rest before each frame but the first, as the budget wants it; nobody else goes on."""
        for frame in frames:
            yield frame
            with self.clock.measure("pace"):
                self._pacer.after_frame()

    def _sightings(
        self, analysed: Iterator[FrameAnalysis], splitter: ShotSplitter
    ) -> Iterator[Sighting]:
        for frame in analysed:
            self.stop.check()
            with self.clock.measure("shots"):
                scene = splitter.scene_of(frame.index, frame.view, frame.appearance, frame.glimpses)
            self._second_looks += frame.looked_again
            yield frame.in_scene(scene)
            self.progress.frame_done()

    def _totals(self, video: Video, cuts: list[int], facts: DetectorFacts) -> RunTotals:
        return RunTotals(
            total_frames=video.facts.frames,
            frames_done=self.progress.frames_done,
            fps=video.facts.fps,
            elapsed_sec=round(self.meter.elapsed(), 3),
            analyzed_fps=self.progress.analyzed_fps(),
            device=device_of(facts.provider),
            detector=self.plan.options.detector,
            tracker=TRACKER_NAME,
            scene_cuts=cuts,
        )

    @property
    def _preview(self) -> Path:
        return self.plan.files.staged.preview

    def _make_preview(self, analysed: VideoFile) -> None:
        """Whatever became of the video meanwhile, what was found in it is kept."""
        try:
            with self._opened() as video:
                if identified(self.plan.video) != analysed:
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
            collect_tracks(read_rows(self.plan.files.staged.detections, DetectionRow)),
            self._preview,
            self.config.preview,
            threads=max(1, self.plan.options.cpu_threads - self._plan.decoder),
            after_frame=lambda _: self._pacer.after_frame(),
        )
        self._written[self._preview.name] = 1

    def _threads(self, detector: Detector) -> dict[str, Any]:
        plan: ThreadPlan = self._plan
        return {
            "limit": self.plan.options.cpu_threads,
            "workers": plan.workers,
            "decoder": plan.decoder,
            "detector": detector.facts.intra_op_threads,
            **({} if self._costs is None else self._costs.milliseconds()),
            "busy": self.meter.busy_threads(),
            **observed(),
        }

    def _times(self) -> dict[str, float]:
        times = {stage: round(spent, 3) for stage, spent in self.clock.seconds.items()}
        upstream, both = times.pop("upstream", 0.0), times.pop("upstream_and_track", 0.0)
        times["track"] = round(max(0.0, both - upstream), 3)
        times["paced"] = round(self._pacer.rested_seconds, 3)
        times.pop("pace", None)
        return times

    def _refuse_ruins(self, video: Video, stride: int) -> None:
        """Raises:
        VideoUnreadable: so few of the frames could be decoded that the results say nothing.
        """
        wanted, done = sampled_count(video.facts.frames, stride), self.progress.frames_done
        if done < _FEWEST_DECODED * wanted:
            raise VideoUnreadable(
                f"Only {done} of the {wanted} frames to process could be decoded.",
                hint="The video is damaged or encrypted: check it in a player, then copy or record "
                "it again.",
                frames_done=done,
                frames_total=wanted,
            )

    def _warn_of(self, video: Video, stride: int, writer: ArtifactWriter) -> None:
        missing = sampled_count(video.facts.frames, stride) - self.progress.frames_done
        if self._pacer.warning is not None:
            self._warn(self._pacer.warning)
        for warning in video.warnings:
            self._warn(warning)
        if video.damaged_packets > 0:
            self._warn(f"{video.damaged_packets} damaged packets were skipped.")
        if missing > 0:
            wanted = sampled_count(video.facts.frames, stride)
            share = f"{missing} of the {wanted} frames to process could not be decoded."
            is_much = self.progress.frames_done < EXPECTED_DECODED * wanted
            self._warn(f"Much of the video is missing: {share}" if is_much else share)
        if video.truncated:
            self._warn("The video file ends in the middle; what there is was processed.")
        if writer.detections > 0 and writer.tracks == 0:
            self._warn(
                f"{writer.detections} detections but no track: detections start a track from "
                f"confidence {self.config.track.activation_threshold:g}, and one alone is a track "
                f"from {self.config.track.single_confidence:g}, else it needs a second sighting "
                f"within {self.config.track.lost_seconds:g} s; the detection threshold is "
                f"{self.plan.options.det_thresh:g} and the stride {stride}."
            )

    def _note_budget(self) -> None:
        options = self.plan.options
        cap = "no cap" if options.max_cpu_percent is None else f"{options.max_cpu_percent:g} %"
        self.observer.log(
            "info",
            f"Profile {options.profile}: {options.cpu_threads} threads, CPU budget {cap}, "
            f"device {options.device}, detector {options.detector}",
        )

    def _tell(self, line: str) -> None:
        self.observer.log("info", line)

    def _warn(self, message: str) -> None:
        self.warnings.append(message)
        self.observer.log("warning", message)


def _first_costs(
    video: Video,
    stride: int,
    detector: Detector,
    detector_threads: int,
    after_frame: Callable[[], None],
) -> Costs | None:
    """What the first frames cost; None where there are too few. Their results are thrown away."""
    decode, detect = [], []
    with video.again() as trial:
        frames = trial.frames(stride, detector.letterbox)
        for _ in range(_MEASURED_FRAMES + 1):
            start = time.thread_time()
            frame = next(frames, None)
            decode.append(time.thread_time() - start)
            if frame is None:
                return None
            start = time.perf_counter()
            detector.detect(frame.image)
            detect.append(time.perf_counter() - start)
            after_frame()
    # The first one also pays for tables and caches; a busy machine makes some slow, none fast.
    return Costs(
        decode=statistics.median(decode[1:]),
        detect=single_thread_seconds(min(detect[1:]), detector_threads),
    )
