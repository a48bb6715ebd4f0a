"""What all that is done for a run shares: its plan, its budget, its threads and its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from apps.common.config import PipelineConfig, pipeline_config
from apps.common.files import storage_errors
from apps.common.run_plan import RunPlan
from apps.pipeline.decode.video import KnownVideo, Video, open_video
from apps.pipeline.detect import Detector, DetectorRequest
from apps.pipeline.detector_loader import DetectorLoader, Wrap
from apps.pipeline.inference.callbacks import LoadCallbacks
from apps.pipeline.live_frames import LiveFrames
from apps.pipeline.observer import Observer
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.pacing.pacer import Pacer, thermal_backoff
from apps.pipeline.pacing.thermal import SensorReader, system_sensors
from apps.pipeline.pacing.threads import limited_pools
from apps.pipeline.stage_clock import StageClock
from apps.pipeline.stop import StopFlag
from apps.pipeline.thread_choice import ThreadChoice


def as_it_is(detector: Detector, _: DetectorRequest) -> Detector:
    """The detector that was loaded."""
    return detector


@dataclass
class RunContext:
    """Made for one run, or for a part of one.

    Args:
        plan: what to do.
        video: the file.
        meter: running.
        stop: checked before every frame.
        observer: receives warnings and lines for the log.
        cache: folder of models that were made; that of the plan's data root by default.
        read_sensors: see `apps.pipeline.pacing.thermal`.
        wrap_detector: gives what is asked in place of a detector that was loaded so.
        known: of the video, where it was opened before.

    Attributes:
        warnings: what the run's caller must be told, so far.
    """

    plan: RunPlan
    video: Path
    meter: CpuMeter
    stop: StopFlag
    observer: Observer
    config: PipelineConfig = field(default_factory=pipeline_config)
    cache: Path | None = None
    read_sensors: SensorReader = system_sensors
    wrap_detector: Wrap = as_it_is
    clock: StageClock = field(default_factory=StageClock)
    warnings: list[str] = field(default_factory=list)
    known: KnownVideo | None = None
    pacer: Pacer = field(init=False)
    threads: ThreadChoice = field(init=False)
    callbacks: LoadCallbacks = field(init=False)

    def __post_init__(self) -> None:
        options = self.plan.options
        self.pacer = Pacer(
            options.max_cpu_percent,
            self.meter,
            self.stop,
            self.config,
            thermal_backoff(options, self.meter, self.config, self.tell, self.read_sensors),
        )
        self.threads = ThreadChoice(options.cpu_threads, options.device)
        self.callbacks = LoadCallbacks(self.tell, self.pacer.between)

    @property
    def cache_folder(self) -> Path:
        return self.plan.layout.cache if self.cache is None else self.cache

    def live_frames(self) -> LiveFrames:
        """What decodes and analyses the video's frames; nothing is loaded yet."""
        loader = DetectorLoader(
            self.plan,
            self.config,
            self.cache_folder,
            self.callbacks,
            self.warn,
            self.wrap_detector,
        )
        return LiveFrames(
            self.plan, self.config, loader, self.threads, self.pacer, self.clock, self.tell
        )

    @contextmanager
    def analysed_video(self) -> Iterator[Video]:
        """The video for its analysis, within the run's limits of threads."""
        with (
            limited_pools(self.threads.plan.detector),
            storage_errors(),
            self.opened(fast=self.plan.options.decode == "fast") as video,
        ):
            yield video

    def opened(self, *, fast: bool) -> AbstractContextManager[Video]:
        """The video as the options want it.

        Args:
            fast: see `open_video`.
        """
        stream = self.plan.options.video_stream
        return open_video(
            self.video,
            threads=self.threads.plan.decoder,
            stream=None if stream == "auto" else stream,
            fast=fast,
            known=self.known,
        )

    def tell(self, line: str) -> None:
        """Writes into the run's log."""
        self.observer.log("info", line)

    def warn(self, message: str | None) -> None:
        """Tells the run's caller. None is nothing to say."""
        if message is None:
            return
        self.warnings.append(message)
        self.observer.log("warning", message)
