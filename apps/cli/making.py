"""What processes have in common that make something beside runs: previews, and files to play.

They are started by `apps.runs.launch`: read a line on their standard input, and write one JSON
event a line. What they make appears as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from apps.cli.ending import last_word, listen_to_signals
from apps.cli.observers import EventWriter
from apps.common.config import pipeline_config
from apps.common.contracts.manifest import Progress
from apps.common.errors import RunFailed, ScreenalyticsError
from apps.common.lifeline import Lifeline
from apps.pipeline.decode.video import Video, open_video
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.pacing.pacer import Pacer
from apps.pipeline.pacing.threads import limited_pools
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.stop import StopFlag, stopped


def made_for(
    lifeline: Lifeline,
    run_id: str,
    work: Callable[[StopFlag, EventWriter], None],
    failed: RunFailed,
) -> int:
    """Works until it is done or told to stop; the exit code.

    Args:
        lifeline: ties this process to who started it.
        run_id: goes into the events.
        work: gets what tells it to stop, and whom to tell; it tells its result itself.
        failed: what is told of an error that is not known.
    """
    stop = StopFlag()
    codes = listen_to_signals(stop)
    lifeline.watch(lambda word: stop.stop(last_word(word)))
    view = EventWriter(run_id, lambda: stop.stop(stopped("nobody reads its events")))
    try:
        work(stop, view)
    except ScreenalyticsError as error:
        view.error(error)
        return codes.get("signal", error.exit_code)
    except Exception as error:
        detail = f"{failed.detail.removesuffix('.')}: {type(error).__name__}."
        view.error(RunFailed(detail, hint=failed.hint))
        return RunFailed.exit_code
    return 0


class Making:
    """A video that something is made of, and how that goes on.

    Args:
        video: opened.
        progress: of its pictures.
        meter: of this process.
        pacer: rests where the budget asks for it.

    Attributes:
        frames: how many pictures are done.
    """

    def __init__(
        self, video: Video, progress: ProgressReporter, meter: CpuMeter, pacer: Pacer
    ) -> None:
        self.video = video
        self._progress = progress
        self._meter = meter
        self._pacer = pacer
        self.frames = 0

    def begin(self) -> None:
        """The pictures come next."""
        self._progress.phase("running")
        self._pacer.between()

    def after_frame(self, _: int = 0) -> None:
        self.frames += 1
        self._progress.frame_done()
        self._pacer.after_frame()

    def expect(self, frames: int) -> None:
        """So many pictures are made of the video."""
        self._progress.expect(frames, self.video.facts.frames)

    def between(self) -> None:
        """Rests after other work than a picture of the result, where that is due."""
        self._pacer.between()

    def again(self) -> None:
        """What was made so far is of no use: the pictures are counted from the first again."""
        self._progress.restart()

    def end(self) -> float:
        """Nothing more comes; the seconds since this process began."""
        self._progress.frames_missing()
        self._progress.phase("done")
        return self._meter.elapsed()


@contextmanager
def making(
    path: Path,
    stream: int | None,
    run_id: str,
    max_cpu_percent: float | None,
    stop: StopFlag,
    tell: Callable[[Progress], None],
) -> Generator[Making]:
    """Opens a video to make something of it, inside a CPU budget.

    Args:
        path, stream: of the video.
        run_id: goes into the progress.
        max_cpu_percent: 100 is one core; None for no budget.
        stop: asked after each picture.
        tell: of the progress.

    Raises:
        VideoUnreadable: it cannot be read.
    """
    config = pipeline_config()
    with (
        limited_pools(1),
        CpuMeter(config.meter) as meter,
        ProgressReporter(run_id, meter, tell) as progress,
        open_video(path, threads=1, stream=stream) as video,
    ):
        progress.expect(video.facts.frames, video.facts.frames)
        yield Making(video, progress, meter, Pacer(max_cpu_percent, meter, stop, config))
