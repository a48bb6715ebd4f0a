"""Which of a run's threads do what: as usual at first, then by what the first frames cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from apps.common.options import Device
from apps.pipeline.decode.video import Video
from apps.pipeline.detect import Detector
from apps.pipeline.inference.session import CPU
from apps.pipeline.pacing.threads import (
    Costs,
    ThreadPlan,
    best_plan,
    single_thread_seconds,
    usual_plan,
    with_decoders,
)

_MEASURED_FRAMES = 4
_WORTH_MEASURING = 150  # processed frames; a shorter run is over before it pays
_OBVIOUS = 2  # threads: an inference in each is faster than one with both, whatever decoding costs


class ThreadChoice:
    """Divides a run's threads among decoder and inferences.

    Args:
        cpu_threads: compute threads of the run.
        device: that was chosen; what the detector really runs on is known later.

    Attributes:
        plan: the division that holds now.
        costs: what it rests on, where that was measured.
    """

    def __init__(self, cpu_threads: int, device: Device) -> None:
        self._cpu_threads = cpu_threads
        self.plan: ThreadPlan = usual_plan(cpu_threads, one_inference=device != "cpu")
        self.costs: Costs | None = None

    def settle(
        self,
        video: Video,
        stride: int,
        frames: int,
        detector: Detector,
        after_frame: Callable[[], None],
    ) -> None:
        """Divides the threads by what the first frames cost, where that decides anything.

        Args:
            stride: frames from one processed frame to the next, >= 1.
            frames: how many will be processed.
            after_frame: called after each frame that is tried; it may rest, or raise.
        """
        one_inference = detector.facts.provider != CPU
        if frames >= _WORTH_MEASURING and self._cpu_threads > (1 if one_inference else _OBVIOUS):
            self.costs = _first_costs(video, stride, detector, self.plan.detector, after_frame)
        self.plan = (
            usual_plan(self._cpu_threads, one_inference=one_inference)
            if self.costs is None
            else best_plan(self._cpu_threads, self.costs, one_inference=one_inference)
        )

    def decoders_for(self, seen: Costs, detector: Detector) -> int:
        """How many decoders should take turns, so that the run waits for none; 1 is none.

        Args:
            seen: what frames of this run cost.
        """
        one_inference = detector.facts.provider != CPU
        return with_decoders(self.plan, seen, one_inference=one_inference).decoders

    def take_turns(self, decoders: int, seen: Costs) -> str:
        """Has so many decoders take turns; a sentence for the log."""
        self.plan = replace(self.plan, decoders=decoders)
        return (
            f"Decoding takes {1000 * seen.decode:.1f} ms a frame, detection "
            f"{1000 * seen.detect:.1f} ms: {decoders} decoders take turns from here on"
        )

    @property
    def reason(self) -> str | None:
        """A sentence for the log; None where nothing was measured."""
        if self.costs is None:
            return None
        return (
            f"Decoding costs {1000 * self.costs.decode:.1f} ms a frame, detection "
            f"{1000 * self.costs.detect:.1f} ms: threads that share the frames: "
            f"{self.plan.workers}, of each inference {self.plan.detector}, of the decoder "
            f"{self.plan.decoder}"
        )

    def report(self, detector: Detector) -> dict[str, Any]:
        """For the run's manifest."""
        return {
            "limit": self._cpu_threads,
            "workers": self.plan.workers,
            "decoder": self.plan.decoder,
            **({} if self.plan.decoders == 1 else {"decoders": self.plan.decoders}),
            "detector": detector.facts.intra_op_threads,
            **({} if self.costs is None else self.costs.milliseconds()),
        }


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
