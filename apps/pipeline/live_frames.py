"""Live frames: a video's frames as they are decoded and analysed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import cv2

from apps.common.config import PipelineConfig
from apps.common.contracts.manifest import Agreement, DecodingFacts, ModelFacts, PartFacts
from apps.common.run_plan import RunPlan
from apps.pipeline.cascade_stage import CascadeStage
from apps.pipeline.decode.decoder import Decoded, EndOfSpan, Passed
from apps.pipeline.decode.hardware import devices
from apps.pipeline.decode.selection import Span
from apps.pipeline.decode.spans import short_spans
from apps.pipeline.decode.video import Video
from apps.pipeline.detect import Detector, DetectorFacts
from apps.pipeline.detect.cascade import Cascade
from apps.pipeline.detector_loader import DetectorLoader
from apps.pipeline.frame_analysis import FrameAnalyser, FrameAnalysis, RepeatedFrame
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.session import CPU
from apps.pipeline.ordered_parallel_map import ordered_parallel_map
from apps.pipeline.pacing.pacer import Pacer
from apps.pipeline.pacing.threads import Costs, observed
from apps.pipeline.shots.motion import MotionBetween, motion_between
from apps.pipeline.stage_clock import StageClock
from apps.pipeline.still_frames import StillFrames
from apps.pipeline.thread_choice import ThreadChoice
from apps.pipeline.track.tracker import FaceTracker
from apps.pipeline.types import Scene

_TRIED = 40  # samples, by which it is known whether decoders should take turns
_FRAMES_AHEAD = 2  # more than there are workers: one may be slow


@dataclass(frozen=True)
class SourceFacts:
    """What analysed the frames.

    Args:
        model_id: of the detector, or of a pair of them.
        full_model: of a pair, the one that was asked where it mattered.
        checks: of eight bits and accelerators: what they were believed by, or not.
        decoding: what decoded, where hardware was asked for.
    """

    detector: DetectorFacts
    letterbox: Letterbox
    model_id: str
    full_model: ModelFacts | None = None
    checks: dict[str, Agreement] = field(default_factory=dict)
    decoding: DecodingFacts = field(default_factory=DecodingFacts)


class FrameSource(Protocol):
    """Where a run's analysed frames come from; see `LiveFrames`."""

    @property
    def facts(self) -> SourceFacts: ...

    @property
    def is_truncated(self) -> bool: ...

    @property
    def parts(self) -> list[PartFacts]: ...

    @property
    def measure_motion(self) -> MotionBetween:
        """Between the frames, where cuts are looked for."""
        ...

    def load(self, video: Video, stride: int, wanted: int) -> SourceFacts: ...

    def analysed(
        self, stride: int, tracker: FaceTracker
    ) -> AbstractContextManager[Iterator[FrameAnalysis | RepeatedFrame]]: ...

    def settled(
        self, item: FrameAnalysis | RepeatedFrame, frame: FrameAnalysis, scene: Scene
    ) -> FrameAnalysis: ...

    def counts(self, done: int) -> dict[str, int]: ...

    def thread_facts(self) -> dict[str, Any]: ...


@dataclass
class LiveFrames:
    """Loads what analyses frames, and does so with the threads of the run.

    Args:
        loader: of detectors.
        threads: their division; it is settled while all is loaded.
        tell: receives lines for the log.
    """

    plan: RunPlan
    config: PipelineConfig
    loader: DetectorLoader
    threads: ThreadChoice
    pacer: Pacer
    clock: StageClock
    tell: Callable[[str], None]
    _video: Video = field(init=False)
    _detector: Detector = field(init=False)
    _pair: Cascade | None = field(init=False, default=None)
    _cascade: CascadeStage | None = field(init=False, default=None)
    _second_looks: int = field(init=False, default=0)  # frames
    _carried: int = field(init=False, default=0)  # frames

    def load(self, video: Video, stride: int, wanted: int) -> SourceFacts:
        """Loads detectors, and decides who decodes; to be called once.

        Args:
            stride: frames from one processed frame to the next, >= 1.
            wanted: frames that will be processed.
        """
        self._video = video
        detector = self.loader.detector(video, self.threads.plan.detector)
        self.pacer.between()
        if self.plan.options.decoder != "software":
            video.try_hardware(
                devices(), stride, detector.letterbox, self.config.hardware, self.pacer.between
            )
        self._detector = self._settle_threads(video, stride, wanted, detector)
        self._pair = self.loader.cascade(video, self.threads.plan.detector)
        return self.facts

    @property
    def measure_motion(self) -> MotionBetween:
        """As it is."""
        return motion_between

    @property
    def facts(self) -> SourceFacts:
        detector, pair = self._detector, self._pair
        full = None if pair is None else pair.whole.facts.model
        model_id = detector.facts.model.id
        return SourceFacts(
            detector=detector.facts,
            letterbox=detector.letterbox,
            model_id=model_id if full is None else f"{model_id}+{full.id}",
            full_model=full,
            checks=self.loader.checks,
            decoding=self._video.decoding,
        )

    @contextmanager
    def analysed(
        self, stride: int, tracker: FaceTracker
    ) -> Iterator[Iterator[FrameAnalysis | RepeatedFrame]]:
        """All samples with their faces; one that repeats another one is told where that is wanted.

        Args:
            tracker: knows where faces should be; a pair of detectors asks it.
        """
        with closing(self._all_mapped(stride, tracker)) as analysed:
            yield self._counted(_one_after_the_other(analysed))

    def _all_mapped(
        self, stride: int, tracker: FaceTracker
    ) -> Generator[FrameAnalysis | RepeatedFrame | EndOfSpan]:
        """By one decoder, until it is known whether others are to take turns in its place."""
        samples = self._video.sampled(stride)
        if self.plan.options.reuse_still:
            samples = StillFrames(self.config.still).marked(samples)
        spans = [span for span in self._spans_to_share(stride) if span.first >= _TRIED * stride]
        sources: Sequence[Iterator[Decoded | EndOfSpan]] = [samples]
        with ExitStack() as files:
            if len(spans) > 1 and self._video.index.count >= spans[0].first + _TRIED * stride:
                costs, last = yield from self._tried(_up_to(spans[0].first, samples), tracker)
                decoders = self.threads.decoders_for(costs, self._detector)
                turns = self._video.sampled_by_turns(spans, decoders, stride)
                others = files.enter_context(turns) if decoders > 1 else []
                if others:
                    samples.close()
                    self.tell(self.threads.take_turns(decoders, costs))
                    sources = [_behind(last, source) for source in others]
            with self._mapped(sources, tracker) as items:
                yield from items

    def _tried(
        self, samples: Iterator[Decoded], tracker: FaceTracker
    ) -> Generator[FrameAnalysis | RepeatedFrame | EndOfSpan, None, tuple[Costs, int]]:
        """The first frames of the run; returns what each cost, and the index of the last one."""
        count = last = 0
        with self._mapped([samples], tracker) as items:
            for item in items:
                if not isinstance(item, EndOfSpan):
                    count, last = count + 1, item.index
                yield item
        spent = self.clock.seconds
        return Costs(spent["decode"] / count, spent["detect"] / count), last

    @contextmanager
    def analysed_of(
        self, samples: Iterator[Decoded], tracker: FaceTracker | None = None
    ) -> Iterator[Iterator[FrameAnalysis | RepeatedFrame]]:
        """Samples with their faces, in their order.

        Args:
            tracker: see `analysed`; None where there is no pair of detectors.
        """
        with self._mapped([samples], tracker) as analysed:
            yield self._counted(_one_after_the_other(analysed))

    def _spans_to_share(self, stride: int) -> Sequence[Span]:
        """Those that decoders may take turns in; none where one decoder does all."""
        options = self.plan.options
        if self._video.decoding.device is not None or options.reuse_still:
            return []
        if self.loader.is_pair:  # which keeps the pictures of frames that wait
            return []
        return short_spans(self._video.index, stride)

    @contextmanager
    def _mapped(
        self, sources: Sequence[Iterator[Decoded | EndOfSpan]], tracker: FaceTracker | None
    ) -> Iterator[Iterator[FrameAnalysis | RepeatedFrame | EndOfSpan]]:
        analyser = FrameAnalyser(
            self._video,
            self._detector,
            self.loader.second_look(self._detector),
            self.clock,
            self.config.thumbs,
            self.config.crops if self.plan.options.save_crops else None,
            one_inference=self._detector.facts.provider != CPU,
            keep_frames=self._pair is not None,
        )
        if self._pair is not None and tracker is not None:
            self._cascade = CascadeStage(self._pair, analyser, tracker)

        def analyse(item: Decoded | EndOfSpan) -> FrameAnalysis | RepeatedFrame | EndOfSpan:
            return item if isinstance(item, EndOfSpan) else analyser.analyse(item)

        workers = self.threads.plan.workers
        with ordered_parallel_map(
            [self.pacer.paced(self.clock.over("decode", source)) for source in sources],
            analyse,
            threads=workers,
            depth=workers + _FRAMES_AHEAD,
            name="worker",
            ends_stretch=lambda item: isinstance(item, EndOfSpan),
        ) as analysed:
            yield analysed

    def settled(
        self, item: FrameAnalysis | RepeatedFrame, frame: FrameAnalysis, scene: Scene
    ) -> FrameAnalysis:
        """The frame with the faces that are tracked, once it is known where it belongs.

        Args:
            item: as it was analysed.
            frame: the same; where that repeats another frame, with that one's faces.
        """
        if isinstance(item, RepeatedFrame) or self._cascade is None:
            return frame
        return self._cascade.settled(frame, scene)

    def counts(self, done: int) -> dict[str, int]:
        """What was looked at, and how often.

        Args:
            done: frames that were processed.
        """
        still = {"frames_detected": done - self._carried, "frames_carried": self._carried}
        return {
            "damaged_packets": self._video.damaged_packets,
            "damaged_groups": self._video.damaged_groups,
            **({} if not self.loader.looks_again else {"second_looks": self._second_looks}),
            **(still if self.plan.options.reuse_still else {}),
            **({} if self._cascade is None else self._cascade.counts),
        }

    @property
    def is_truncated(self) -> bool:
        """The file ends before all frames that it announces."""
        return self._video.truncated

    @property
    def parts(self) -> list[PartFacts]:
        """Of a run that is put together from parts: none here."""
        return []

    def thread_facts(self) -> dict[str, Any]:
        """Limits, and what was seen of the pools; for the run's manifest."""
        return {**self.threads.report(self._detector), **observed()}

    def _counted(
        self, items: Iterator[FrameAnalysis | RepeatedFrame]
    ) -> Iterator[FrameAnalysis | RepeatedFrame]:
        for item in items:
            if isinstance(item, RepeatedFrame):
                self._carried += 1
            else:
                self._second_looks += item.looked_again
            yield item

    def _settle_threads(
        self, video: Video, stride: int, wanted: int, detector: Detector
    ) -> Detector:
        """Returns the detector, loaded again where it gets another number of threads."""
        before = self.threads.plan
        self.threads.settle(video, stride, wanted, detector, self.pacer.between)
        plan, reason = self.threads.plan, self.threads.reason
        if reason is not None:
            self.tell(reason)
        video.use_threads(plan.decoder)
        if plan.detector == before.detector:
            return detector
        cv2.setNumThreads(plan.detector)
        return self.loader.detector(video, plan.detector)


def _up_to(first: int, samples: Iterator[Decoded]) -> Iterator[Decoded]:
    """Those up to the first one that is not before a frame."""
    for decoded in samples:
        yield decoded
        if decoded.index >= first:
            return


def _behind(last: int, items: Iterator[Decoded | EndOfSpan]) -> Iterator[Decoded | EndOfSpan]:
    """Without the samples up to one, and what was passed before that."""
    return (each for each in items if isinstance(each, EndOfSpan) or each.index > last)


def _one_after_the_other(
    items: Iterator[FrameAnalysis | RepeatedFrame | EndOfSpan],
) -> Iterator[FrameAnalysis | RepeatedFrame]:
    """Frames with what was decoded before each, also in the span before."""
    before = Passed()
    for item in items:
        if isinstance(item, EndOfSpan):
            before.extend(item.passed.glimpses)
        elif before.glimpses:
            *passed, own = item.glimpses
            before.extend(passed)
            yield replace(item, glimpses=(*before.taken(), own))
        else:
            yield item
