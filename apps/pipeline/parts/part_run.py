"""Analyses one part of a video, for a run that is put together from parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.common.contracts.manifest import PartFacts
from apps.common.contracts.parts import PartOrder, PartPlan, PartResult
from apps.common.errors import InvalidInput, PartRefused
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
from apps.pipeline.parts.known_video import write_known
from apps.pipeline.parts.plan import spans, spans_at, undivided_because
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


def _nobody(_: PartPlan) -> None:
    """Nobody asks how the run is divided."""


@dataclass
class PartRun:
    """One part; `execute` is called once.

    Args:
        context: of the run whose part it is.
        progress: running.
        on_plan: told how the run is divided, when all is loaded.
    """

    context: RunContext
    progress: ProgressReporter
    on_plan: Callable[[PartPlan], None] = _nobody

    def execute(self, order: PartOrder) -> PartResult:
        """Writes the part's file.

        Raises:
            InvalidInput: the video has no such part.
            PartRefused: it would be of another kind than the order wants.
            RunCancelled: the stop flag was set.
            ScreenalyticsError: whatever else went wrong.
        """
        with self.context.analysed_video() as video:
            return self._with_video(video, order)

    def _with_video(self, video: Video, order: PartOrder) -> PartResult:
        context, options = self.context, self.context.plan.options
        known = video.known
        stride = effective_stride(options.stride, options.fps, video.facts.fps)
        division = divided(video, options, stride, order)
        span, wanted = division.part(order.number)
        frames = context.live_frames()
        self.progress.expect(wanted, video.facts.frames)
        context.observer.started(wanted)
        self.progress.phase("loading")
        with context.clock.measure("load_model"):
            facts = frames.load(video, stride, wanted)
        if order.known is not None and context.known is None:
            write_known(Path(order.known), context.video, known)
        maker = made_by(context, stride, facts)
        plan = division.plan(maker.digest)
        refuse_another_kind(order, plan)
        self.on_plan(plan)
        self.progress.phase("running")
        with PartWriter(Path(order.path), PartHead.of(maker, span, facts)) as writer:
            left_over = self._write(frames, video, span, stride, writer)
            tail = PartTail(
                done=self._facts(span, writer.frames),
                counts=frames.counts(writer.frames),
                is_truncated=frames.is_truncated,
                threads=frames.thread_facts(),
                warnings=context.warnings,
            )
            writer.finish(left_over, tail)
        return PartResult(number=order.number, done=tail.done)

    def _facts(self, span: Span, frames: int) -> PartFacts:
        cpu, _ = self.context.meter.figures()
        return PartFacts(
            first=span.first,
            frames=frames,
            host=os.uname().nodename,
            seconds=round(self.context.meter.elapsed(), 3),
            cpu_seconds=round(cpu.seconds, 3),
            cpu_peak_percent=cpu.peak_percent,
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
                    writer.add(frame, asked.is_whole, asked.motions.taken())
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


@dataclass(frozen=True)
class Division:
    """A video in parts.

    Args:
        spans: those that there are.
        samples: frames that are processed, part by part, where none is damaged.
        video_frames: that the whole video has.
    """

    spans: Sequence[Span]
    samples: Sequence[int]
    video_frames: int

    def part(self, number: int) -> tuple[Span, int]:
        """One of them, with its samples.

        Raises:
            InvalidInput: there is no such part.
        """
        most = len(self.spans)
        if number > most:
            raise InvalidInput(
                f"The video cannot be divided into more than {most} parts.",
                hint=f"Ask for the parts 1/{most} to {most}/{most}.",
            )
        return self.spans[number - 1], self.samples[number - 1]

    def plan(self, kind: str) -> PartPlan:
        return PartPlan(
            starts=[span.packet for span in self.spans],
            samples=list(self.samples),
            video_frames=self.video_frames,
            kind=kind,
        )


def divided(video: Video, options: Options, stride: int, order: PartOrder) -> Division:
    """The parts into which a video is divided.

    Raises:
        InvalidInput: it cannot be divided so; the message says why.
        PartRefused: it is another video than the one that was divided.
    """
    if order.starts is not None:
        planned = spans_at(video.index, order.starts)
        if planned is None:
            raise PartRefused(
                "The run was divided by another video than the one that is here.",
                hint="Start the run again.",
            )
        return _division(video, planned, stride)
    count = order.count
    why = undivided_because(video.index, options, stride) if count > 1 else None
    if why is not None:
        raise InvalidInput(f"This run cannot be divided. {why}", hint="Run the episode as a whole.")
    if order.min_samples > 1:
        count = min(count, video.facts.frames // (stride * order.min_samples))
        count -= count % order.makers if count > order.makers else 0
        if count < 2:
            raise InvalidInput(
                "This run is not divided: its parts would be too short to pay.",
                hint="Run the episode as a whole.",
            )
    return _division(video, spans(video.index, count), stride)


def _division(video: Video, parts: Sequence[Span], stride: int) -> Division:
    samples = [_samples_in(video, span, stride) for span in parts]
    return Division(parts, samples, video.facts.frames)


def refuse_another_kind(order: PartOrder, plan: PartPlan) -> None:
    """Refuses to make a part that would not fit the others.

    Raises:
        PartRefused: it would not.
    """
    if order.kind not in (None, plan.kind):
        raise PartRefused(
            "This host would compute the part differently from the others.",
            hint="All that make parts need the same version of the product, the same weights, "
            "the same ONNX Runtime and the same kind of CPU.",
        )


def _samples_in(video: Video, span: Span, stride: int) -> int:
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
