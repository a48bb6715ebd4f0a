"""Analyses one part of a video, for a run that is put together from parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.common.contracts.manifest import PartFacts
from apps.common.errors import InvalidInput
from apps.common.options import Options, effective_stride
from apps.common.version import source_fingerprint
from apps.pipeline.decode.container import identified
from apps.pipeline.decode.selection import NOT_SHOWN, Span
from apps.pipeline.decode.video import Video
from apps.pipeline.frame_analysis import FrameAnalysis, RepeatedFrame
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.live_frames import LiveFrames, SourceFacts
from apps.pipeline.parts.asked import AskedGlimpses
from apps.pipeline.parts.file import PartHead, PartMaker, PartTail, PartWriter
from apps.pipeline.parts.plan import spans, undivided_because
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.run_context import RunContext

# Of the options, those that say how fast it may be, what it runs on, and what is made in the end.
_BESIDE = {
    "profile",
    "cpu_threads",
    "max_cpu_percent",
    "thermal_backoff",
    "save_preview",
    "people",
}


@dataclass
class PartRun:
    """One part; `execute` is called once.

    Args:
        context: of the run whose part it is.
        progress: running.
    """

    context: RunContext
    progress: ProgressReporter

    def execute(self, number: int, count: int, path: Path) -> PartTail:
        """Writes the part's file.

        Args:
            number: of the part, from 1.
            count: into how many the video is divided.

        Raises:
            InvalidInput: the video has no such part.
            RunCancelled: the stop flag was set.
            ScreenalyticsError: whatever else went wrong.
        """
        with self.context.analysed_video() as video:
            return self._with_video(video, number, count, path)

    def _with_video(self, video: Video, number: int, count: int, path: Path) -> PartTail:
        context, options = self.context, self.context.plan.options
        stride = effective_stride(options.stride, options.fps, video.facts.fps)
        span = part_of(video, options, stride, number, count)
        wanted = samples_in(video, span, stride)
        frames = context.live_frames()
        self.progress.expect(wanted, video.facts.frames)
        context.observer.started(wanted)
        self.progress.phase("loading")
        with context.clock.measure("load_model"):
            facts = frames.load(video, stride, wanted)
        maker = made_by(context, stride, facts)
        self.progress.phase("running")
        with PartWriter(path, PartHead.of(maker, span, facts)) as writer:
            left_over = self._write(frames, video, span, stride, writer)
            tail = PartTail(
                done=self._facts(span, writer.frames),
                counts=frames.counts(writer.frames),
                is_truncated=frames.is_truncated,
                threads=frames.thread_facts(),
                warnings=context.warnings,
                times={name: round(s, 3) for name, s in context.clock.seconds.items()},
            )
            writer.finish(left_over, tail)
        return tail

    def _facts(self, span: Span, frames: int) -> PartFacts:
        cpu, _ = self.context.meter.figures()
        return PartFacts(
            first=span.first,
            frames=frames,
            host=os.uname().nodename,
            seconds=round(self.context.meter.elapsed(), 3),
            cpu_seconds=round(cpu.seconds, 3),
        )

    def _write(
        self, frames: LiveFrames, video: Video, span: Span, stride: int, writer: PartWriter
    ) -> list[Glimpse]:
        """Returns the glimpses that are left over."""
        left_over: list[Glimpse] = []
        samples = video.sampled_in(span, stride, left_over)
        asked, clock = AskedGlimpses(self.context.config.shots), self.context.clock
        with frames.analysed_of(samples) as analysed:
            for frame in clock.through("shots", asked.passed, self._counted(analysed)):
                with clock.measure("write"):
                    writer.add(frame, asked.is_whole)
        self.context.stop.check()
        return left_over

    def _counted(
        self, analysed: Iterator[FrameAnalysis | RepeatedFrame]
    ) -> Iterator[FrameAnalysis]:
        for item in analysed:
            self.context.stop.check()
            if isinstance(item, RepeatedFrame):
                raise ValueError("no frame of a part repeats another one")
            yield item
            self.progress.frame_done()


def part_of(video: Video, options: Options, stride: int, number: int, count: int) -> Span:
    """One of the parts into which a video is divided.

    Raises:
        InvalidInput: it cannot be divided so; the message says why.
    """
    why = undivided_because(video.index, options, stride) if count > 1 else None
    if why is not None:
        raise InvalidInput(f"This run cannot be divided. {why}", hint="Run the episode as a whole.")
    parts = spans(video.index, count)
    if number > len(parts):
        raise InvalidInput(
            f"The video cannot be divided into more than {len(parts)} parts.",
            hint=f"Ask for the parts 1/{len(parts)} to {len(parts)}/{len(parts)}.",
        )
    return parts[number - 1]


def samples_in(video: Video, span: Span, stride: int) -> int:
    """How many frames of a part are processed, where none is damaged."""
    display = video.index.display
    if display is None:
        return 0
    inside = display[span.packet : span.end]
    return len(np.unique(inside[(inside != NOT_SHOWN) & (inside % stride == 0)]))


def made_by(context: RunContext, stride: int, facts: SourceFacts) -> PartMaker:
    """Of a part of this run that is computed here."""
    box = facts.letterbox
    return PartMaker(
        video=identified(context.video),
        stride=stride,
        options=context.plan.options.model_dump(mode="json", exclude=_BESIDE),
        model=facts.detector.model,
        provider=facts.detector.provider,
        letterbox=(box.canvas_width, box.canvas_height, box.inner_width, box.inner_height),
        code=source_fingerprint(),
    )
